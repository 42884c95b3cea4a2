//! Encryption of everything stored: AES-256-CTR, then Poly1305-AES over the ciphertext.
//!
//! Envelope: 16 bytes nonce, ciphertext, 16 bytes MAC. The MAC is checked before anything is decrypted.

use aes::{Aes128Enc, Aes256Enc};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cipher::{BlockCipherEncrypt, InnerIvInit, KeyInit, StreamCipher};
use poly1305::Poly1305;
use poly1305::universal_hash::UniversalHash;
use rand::{RngCore, TryRngCore};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Bytes that the envelope adds.
pub const OVERHEAD: usize = NONCE + MAC;

const NONCE: usize = 16;
const MAC: usize = 16;

/// Bytes that are encrypted and authenticated at a time, so that both passes find them in the nearest cache.
const STRIDE: usize = 16 << 10;

/// The keys that encrypt and authenticate a repository. Their schedules are computed once; secrets are wiped on drop.
#[derive(Clone)]
pub struct MasterKey {
    secret: Secret,
    data_cipher: Aes256Enc,
    nonce_cipher: Aes128Enc,
}

#[derive(Clone, Default, Zeroize, ZeroizeOnDrop)]
struct Secret {
    encrypt: [u8; 32],
    mac_k: [u8; 16],
    mac_r: [u8; 16],
}

/// The JSON form. Go encodes byte slices as padded base64.
#[derive(serde::Serialize, serde::Deserialize)]
struct KeyJson {
    mac: MacJson,
    encrypt: Zeroizing<String>,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct MacJson {
    k: Zeroizing<String>,
    r: Zeroizing<String>,
}

/// The content was not made with this key, or was changed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its authentication code does not match")]
pub struct Unauthentic;

impl MasterKey {
    /// A new random key.
    pub fn random() -> MasterKey {
        let mut bytes = Zeroizing::new([0; 64]);
        rand::rngs::OsRng.try_fill_bytes(&mut *bytes).expect("the system gives random bytes");
        MasterKey::from_bytes(&bytes)
    }

    /// The key made of 32 bytes for encryption, then 16 + 16 for authentication: how scrypt's output is cut.
    pub(crate) fn from_bytes(bytes: &[u8; 64]) -> MasterKey {
        let mut secret = Secret::default();
        secret.encrypt.copy_from_slice(&bytes[..32]);
        secret.mac_k.copy_from_slice(&bytes[32..48]);
        secret.mac_r.copy_from_slice(&bytes[48..]);
        MasterKey::from_secret(secret)
    }

    fn from_secret(secret: Secret) -> MasterKey {
        let data_cipher = Aes256Enc::new(&secret.encrypt.into());
        let nonce_cipher = Aes128Enc::new(&secret.mac_k.into());
        MasterKey { secret, data_cipher, nonce_cipher }
    }

    /// True if both are the same key; takes the same time wherever they differ.
    pub fn is_same(&self, other: &MasterKey) -> bool {
        let equal =
            |ours: &[u8], theirs: &[u8]| aws_lc_rs::constant_time::verify_slices_are_equal(ours, theirs).is_ok();
        let (ours, theirs) = (&self.secret, &other.secret);
        equal(&ours.encrypt, &theirs.encrypt) & equal(&ours.mac_k, &theirs.mac_k) & equal(&ours.mac_r, &theirs.mac_r)
    }

    /// Reads the JSON that key files carry (`{"mac":{"k","r"},"encrypt"}`); all-zero parts are an error.
    pub fn from_json(json: &[u8]) -> Option<MasterKey> {
        let parsed: KeyJson = serde_json::from_slice(json).ok()?;
        let mut secret = Secret::default();
        decode_part(&parsed.encrypt, &mut secret.encrypt)?;
        decode_part(&parsed.mac.k, &mut secret.mac_k)?;
        decode_part(&parsed.mac.r, &mut secret.mac_r)?;
        Some(MasterKey::from_secret(secret))
    }

    /// Writes that JSON.
    pub fn to_json(&self) -> Zeroizing<Vec<u8>> {
        let encode = |bytes: &[u8]| Zeroizing::new(BASE64.encode(bytes));
        let json = KeyJson {
            mac: MacJson { k: encode(&self.secret.mac_k), r: encode(&self.secret.mac_r) },
            encrypt: encode(&self.secret.encrypt),
        };
        Zeroizing::new(serde_json::to_vec(&json).expect("strings are JSON"))
    }

    /// Appends the envelope around `plain` to `out`, with a random nonce.
    pub fn seal(&self, plain: &[u8], out: &mut Vec<u8>) {
        let nonce = random_nonce();
        out.reserve(plain.len() + OVERHEAD);
        out.extend_from_slice(&nonce);
        let mut keystream = self.keystream(&nonce);
        let mut mac = self.authenticator(&nonce);
        for part in plain.chunks(STRIDE) {
            let start = out.len();
            out.extend_from_slice(part);
            keystream.apply_keystream(&mut out[start..]);
            absorb(&mut mac, &out[start..]);
        }
        let start = out.len() - plain.len() % 16;
        let tag = mac.compute_unpadded(&out[start..]);
        out.extend_from_slice(&tag);
    }

    /// Checks and decrypts in place; returns the plain part of `envelope`.
    pub fn open<'e>(&self, envelope: &'e mut [u8]) -> Result<&'e mut [u8], Unauthentic> {
        let nonce = self.check(envelope)?;
        let end = envelope.len() - MAC;
        let content = &mut envelope[NONCE..end];
        self.keystream(&nonce).apply_keystream(content);
        Ok(content)
    }

    /// Checks `envelope` and appends its plain part to `out`: for callers who may not change the stored bytes.
    pub fn open_into(&self, envelope: &[u8], out: &mut Vec<u8>) -> Result<(), Unauthentic> {
        let nonce = self.check(envelope)?;
        let mut keystream = self.keystream(&nonce);
        out.reserve(envelope.len() - OVERHEAD);
        for part in envelope[NONCE..envelope.len() - MAC].chunks(STRIDE) {
            let start = out.len();
            out.extend_from_slice(part);
            keystream.apply_keystream(&mut out[start..]);
        }
        Ok(())
    }

    /// Checks `envelope` and hands out its plain part piece by piece, for callers who need it but once: nothing is
    /// handed out of an envelope that was changed.
    pub fn open_in_parts(&self, envelope: &[u8], mut each: impl FnMut(&[u8])) -> Result<(), Unauthentic> {
        let nonce = self.check(envelope)?;
        let mut keystream = self.keystream(&nonce);
        let mut plain = [0; STRIDE];
        for part in envelope[NONCE..envelope.len() - MAC].chunks(STRIDE) {
            let plain = &mut plain[..part.len()];
            plain.copy_from_slice(part);
            keystream.apply_keystream(plain);
            each(plain);
        }
        Ok(())
    }

    /// Checks the MAC of an envelope and returns its nonce.
    fn check(&self, envelope: &[u8]) -> Result<[u8; NONCE], Unauthentic> {
        let (nonce, rest) = envelope.split_first_chunk::<NONCE>().ok_or(Unauthentic)?;
        let (content, tag) = rest.split_last_chunk::<MAC>().ok_or(Unauthentic)?;
        let mut mac = self.authenticator(nonce);
        absorb(&mut mac, content);
        let computed = mac.compute_unpadded(&content[content.len() - content.len() % 16..]);
        let equal = aws_lc_rs::constant_time::verify_slices_are_equal(&computed, tag).is_ok();
        if equal && *nonce != [0; NONCE] { Ok(*nonce) } else { Err(Unauthentic) }
    }

    fn keystream(&self, nonce: &[u8; NONCE]) -> ctr::Ctr128BE<&Aes256Enc> {
        let core = ctr::CtrCore::inner_iv_init(&self.data_cipher, nonce.into());
        ctr::Ctr128BE::from_core(core)
    }

    /// Poly1305 under the one-time key of `nonce`: r, then the nonce encrypted with k.
    fn authenticator(&self, nonce: &[u8; NONCE]) -> Poly1305 {
        let mut one_time = Zeroizing::new([0; 32]);
        one_time[..16].copy_from_slice(&self.secret.mac_r);
        let mut pad = (*nonce).into();
        self.nonce_cipher.encrypt_block(&mut pad);
        one_time[16..].copy_from_slice(&pad);
        Poly1305::new((&*one_time).into())
    }
}

/// Feeds the whole blocks of `content`; the rest, fewer than 16 bytes, is the caller's.
fn absorb(mac: &mut Poly1305, content: &[u8]) {
    let (blocks, _rest) = poly1305::Block::slice_as_chunks(content);
    mac.update(blocks);
}

/// A nonce nobody used before. An all-zero one is invalid in the format.
fn random_nonce() -> [u8; NONCE] {
    let mut nonce = [0; NONCE];
    while nonce == [0; NONCE] {
        rand::rng().fill_bytes(&mut nonce);
    }
    nonce
}

fn decode_part(text: &str, part: &mut [u8]) -> Option<()> {
    let length = BASE64.decode_slice(text, part).ok()?;
    (length == part.len() && part.iter().any(|byte| *byte != 0)).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digits<const N: usize>(text: &str) -> [u8; N] {
        hex::decode(text).unwrap().try_into().unwrap()
    }

    /// Message, r, k, nonce, MAC from appendix B of "The Poly1305-AES message-authentication code".
    const BERNSTEIN: [[&str; 5]; 4] = [
        [
            "f3f6",
            "851fc40c3467ac0be05cc20404f3f700",
            "ec074c835580741701425b623235add6",
            "fb447350c4e868c52ac3275cf9d4327e",
            "f4c633c3044fc145f84f335cb81953de",
        ],
        [
            "",
            "a0f3080000f46400d0c7e9076c834403",
            "75deaa25c09f208e1dc4ce6b5cad3fbf",
            "61ee09218d29b0aaed7e154a2c5509cc",
            "dd3fab2251f11ac759f0887129cc2ee7",
        ],
        [
            "663cea190ffb83d89593f3f476b6bc24d7e679107ea26adb8caf6652d0656136",
            "48443d0bb0d21109c89a100b5ce2c208",
            "6acb5f61a7176dd320c5c1eb2edcdc74",
            "ae212a55399729595dea458bc621ff0e",
            "0ee1c16bb73f0f4fd19881753c01cdbe",
        ],
        [
            "ab0812724a7f1e342742cbed374d94d136c6b8795d45b3819830f2c04491faf0990c62e48b8018b2c3e4a0fa3134cb67fa83e158c994d9\
             61c4cb21095c1bf9",
            "12976a08c4426d0ce8a82407c4f48207",
            "e1a5668a4d5b66a5f68cc5424ed5982d",
            "9ae831e743978d3a23527c7128149e3a",
            "5154ad0d2cb26e01274fc51148491f1b",
        ],
    ];

    #[test]
    fn the_mac_is_poly1305_aes_of_bernsteins_paper() {
        for [message, r, k, nonce, mac] in BERNSTEIN {
            let secret = Secret { encrypt: [1; 32], mac_k: digits(k), mac_r: digits(r) };
            let key = MasterKey::from_secret(secret);
            let mut envelope = hex::decode([nonce, message, mac].concat()).unwrap();
            assert!(key.check(&envelope).is_ok(), "{message}");
            let last = envelope.len() - 1;
            envelope[last] ^= 1;
            assert_eq!(key.check(&envelope), Err(Unauthentic), "{message}");
        }
    }

    #[test]
    fn what_is_sealed_opens_again_whatever_its_length() {
        let key = MasterKey::random();
        for length in [0, 1, 15, 16, 17, 63, 64, 65, 1000, STRIDE - 1, STRIDE, STRIDE + 1, 3 * STRIDE + 7] {
            let plain: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let mut envelope = b"before".to_vec();
            key.seal(&plain, &mut envelope);
            assert_eq!(envelope.len(), 6 + length + OVERHEAD);
            let mut copied = b"kept".to_vec();
            key.open_into(&envelope[6..], &mut copied).unwrap();
            assert_eq!(copied[4..], plain);
            let mut parts = Vec::new();
            key.open_in_parts(&envelope[6..], |part| parts.extend_from_slice(part)).unwrap();
            assert_eq!(parts, plain);
            assert_eq!(key.open(&mut envelope[6..]).unwrap(), plain);
        }
    }

    #[test]
    fn any_flipped_bit_is_noticed_and_nothing_is_decrypted() {
        let key = MasterKey::random();
        let mut sealed = Vec::new();
        key.seal(b"a page of the diary", &mut sealed);
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let before = changed.clone();
            assert_eq!(key.open_in_parts(&changed, |_| panic!("bit {bit}")), Err(Unauthentic));
            assert_eq!(key.open(&mut changed), Err(Unauthentic), "bit {bit}");
            assert_eq!(changed, before);
        }
        for length in 0..sealed.len() {
            assert_eq!(key.open(&mut sealed[..length]), Err(Unauthentic), "{length} bytes");
        }
    }

    #[test]
    fn another_key_does_not_open_it() {
        let mut sealed = Vec::new();
        MasterKey::random().seal(b"secret", &mut sealed);
        assert_eq!(MasterKey::random().open(&mut sealed), Err(Unauthentic));
    }

    #[test]
    fn a_key_reads_back_from_its_json() {
        let key = MasterKey::random();
        let json = key.to_json();
        assert!(json.starts_with(b"{\"mac\":{\"k\":\""));
        let again = MasterKey::from_json(&json).unwrap();
        let mut sealed = Vec::new();
        key.seal(b"secret", &mut sealed);
        assert_eq!(again.open(&mut sealed).unwrap(), b"secret");
    }

    #[test]
    fn keys_of_zeros_or_of_another_length_are_refused() {
        let good = String::from_utf8(MasterKey::random().to_json().to_vec()).unwrap();
        let zero = |length| BASE64.encode(vec![0; length]);
        let parsed: serde_json::Value = serde_json::from_str(&good).unwrap();
        for (pointer, length) in [("/encrypt", 32), ("/mac/k", 16), ("/mac/r", 16)] {
            for bad in [zero(length), zero(length + 1), "?".into(), BASE64.encode([1; 8])] {
                let mut changed = parsed.clone();
                *changed.pointer_mut(pointer).unwrap() = bad.into();
                assert!(MasterKey::from_json(changed.to_string().as_bytes()).is_none(), "{pointer}");
            }
        }
        assert!(MasterKey::from_json(b"").is_none());
    }
}
