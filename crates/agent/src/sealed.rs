//! Sealed text: RFC 9180 HPKE (X25519, HKDF-SHA256, ChaCha20-Poly1305), so that only whoever has the private key reads it.
//!
//! What is written is the encapsulated key (32 bytes) and the ciphertext, as hexadecimal digits. It is bound to what it is
//! about ([`about`]): what was sealed for one machine does not open as another's.

use rustls::crypto::aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_CHACHA20_POLY1305 as SUITE;
use rustls::crypto::hpke::{EncapsulatedSecret, Hpke, HpkePrivateKey, HpkePublicKey};
use zeroize::Zeroizing;

/// Bytes of a public key, of a private one, and of an encapsulated one.
const KEY: usize = 32;

/// Bytes of the longest text that is sealed or opened.
pub const LONGEST: usize = 64 << 10;

/// Why something was not sealed or opened. What was sealed is in none of them.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// A key has another length, or other digits.
    #[error("cannot use the {which} key: it must be {KEY} bytes as hexadecimal digits")]
    Key {
        /// Which key.
        which: &'static str,
    },
    /// What is sealed is too long, or what should be opened was never sealed.
    #[error("cannot {doing}: it is {bytes} bytes long")]
    Length {
        /// What was being done.
        doing: &'static str,
        /// How long it is.
        bytes: usize,
    },
    /// What should be opened is not hexadecimal digits.
    #[error("cannot open what is sealed: it is not written in hexadecimal digits")]
    Digits,
    /// The public key is none of the curve's, or randomness failed.
    #[error("cannot seal to this public key")]
    Seal(#[source] rustls::Error),
    /// It was sealed to another key, is about something else, or was changed.
    #[error("cannot open what is sealed: it was sealed to another key, is about another machine, or was changed")]
    Open(#[source] rustls::Error),
    /// No key could be made.
    #[error("cannot make a key to seal to")]
    Generate(#[source] rustls::Error),
}

/// A pair of keys; the private one is overwritten when it is dropped.
pub struct KeyPair {
    /// What others seal to, as hexadecimal digits.
    pub public: String,
    /// What opens it: 32 bytes.
    pub private: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyPair").field("public", &self.public).finish_non_exhaustive()
    }
}

/// A new pair of keys.
pub fn generate() -> Result<KeyPair, SealError> {
    let (public, private) = SUITE.generate_key_pair().map_err(SealError::Generate)?;
    Ok(KeyPair { public: hex::encode(public.0), private: Zeroizing::new(private.secret_bytes().to_vec()) })
}

/// What a sealed repository key is bound to: the `info` for [`seal`] and [`open`].
pub fn about(machine: &str) -> Vec<u8> {
    format!("stead repository key 1\n{machine}").into_bytes()
}

/// Seals bytes (at most [`LONGEST`]) to a public key, bound to `info`.
pub fn seal(public: &str, info: &[u8], plain: &[u8]) -> Result<String, SealError> {
    if plain.len() > LONGEST {
        return Err(SealError::Length { doing: "seal this", bytes: plain.len() });
    }
    let public = HpkePublicKey(key("public", public)?);
    let (mut sealed, cipher) = match SUITE.seal(info, b"", plain, &public) {
        Ok((EncapsulatedSecret(encapsulated), cipher)) => (encapsulated, cipher),
        Err(error) => return Err(SealError::Seal(error)),
    };
    sealed.extend(cipher);
    Ok(hex::encode(sealed))
}

/// Opens what was sealed to the public key of `private` (32 bytes) with the same `info`.
pub fn open(private: &[u8], info: &[u8], sealed: &str) -> Result<Zeroizing<Vec<u8>>, SealError> {
    if private.len() != KEY {
        return Err(SealError::Key { which: "private" });
    }
    let wrong = |bytes| SealError::Length { doing: "open what is sealed", bytes };
    if sealed.len() > 2 * (LONGEST + KEY + 16) {
        return Err(wrong(sealed.len() / 2));
    }
    let mut sealed = hex::decode(sealed).map_err(|_| SealError::Digits)?;
    if sealed.len() < KEY {
        return Err(wrong(sealed.len()));
    }
    let cipher = sealed.split_off(KEY);
    let private = HpkePrivateKey::from(private.to_vec());
    let opened = SUITE.open(&EncapsulatedSecret(sealed), info, b"", &cipher, &private);
    opened.map(Zeroizing::new).map_err(SealError::Open)
}

fn key(which: &'static str, digits: &str) -> Result<Vec<u8>, SealError> {
    let mut key = vec![0; KEY];
    hex::decode_to_slice(digits, &mut key).map_err(|_| SealError::Key { which })?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: &str = "0198a1b2-0000-7000-8000-000000000001";

    #[test]
    fn what_is_sealed_opens_with_the_private_key_alone_and_is_different_each_time() {
        let (keeper, other) = (generate().unwrap(), generate().unwrap());
        let sealed = seal(&keeper.public, &about(MACHINE), b"correct horse").unwrap();
        assert_eq!(*open(&keeper.private, &about(MACHINE), &sealed).unwrap(), b"correct horse");
        assert!(matches!(open(&other.private, &about(MACHINE), &sealed), Err(SealError::Open(_))));
        assert_ne!(sealed, seal(&keeper.public, &about(MACHINE), b"correct horse").unwrap());
    }

    #[test]
    fn what_was_sealed_for_one_machine_does_not_open_as_anothers() {
        let keeper = generate().unwrap();
        let sealed = seal(&keeper.public, &about(MACHINE), b"x").unwrap();
        assert!(matches!(open(&keeper.private, &about("another"), &sealed), Err(SealError::Open(_))));
    }

    #[test]
    fn a_changed_bit_anywhere_is_noticed() {
        let keeper = generate().unwrap();
        let sealed = hex::decode(seal(&keeper.public, b"", b"password").unwrap()).unwrap();
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            // The top bit of an X25519 key is masked (RFC 7748); the lowest bits of all bytes count.
            assert!(open(&keeper.private, b"", &hex::encode(changed)).is_err(), "byte {place}");
        }
    }

    #[test]
    fn keys_and_texts_that_make_no_sense_are_refused() {
        let keeper = generate().unwrap();
        for public in ["", "00", "zz", &"g".repeat(64), &"00".repeat(33)] {
            assert!(matches!(seal(public, b"", b"x"), Err(SealError::Key { which: "public" })), "{public}");
        }
        assert!(matches!(seal(&"00".repeat(32), b"", b"x"), Err(SealError::Seal(_))), "the point of no order");
        assert!(matches!(seal(&keeper.public, b"", &vec![0; LONGEST + 1]), Err(SealError::Length { .. })));
        for sealed in ["", "00", "nonsense", &"00".repeat(32), &"00".repeat(48), &"00".repeat(LONGEST + 99)] {
            assert!(open(&keeper.private, b"", sealed).is_err(), "{}", sealed.len());
        }
        assert!(matches!(open(b"short", b"", "00"), Err(SealError::Key { which: "private" })));
    }
}
