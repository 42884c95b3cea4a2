//! A vault: what the keeper alone can read of its own. ChaCha20-Poly1305 with a random nonce for each text, bound to what it
//! is about; keys for different purposes are derived from one by HKDF-SHA256.

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use zeroize::Zeroizing;

use crate::{Error, Result};

/// Bytes of a key.
pub const KEY: usize = 32;

/// Seals and opens.
pub struct Vault {
    key: LessSafeKey,
    prk: Prk,
}

struct Bytes(usize);

impl KeyType for Bytes {
    fn len(&self) -> usize {
        self.0
    }
}

impl Vault {
    /// The vault of a key.
    pub fn new(key: &[u8; KEY]) -> Vault {
        let cipher = UnboundKey::new(&CHACHA20_POLY1305, key).expect("32 bytes are a key");
        Vault { key: LessSafeKey::new(cipher), prk: Salt::new(HKDF_SHA256, b"stead keeper").extract(key) }
    }

    /// Another vault, for one purpose: who has its key learns nothing of this one's.
    pub fn of(&self, purpose: &str) -> Vault {
        Vault::new(&self.secret(purpose))
    }

    /// A secret for one purpose.
    pub fn secret(&self, purpose: &str) -> Zeroizing<[u8; KEY]> {
        let mut key = Zeroizing::new([0; KEY]);
        let purpose = [purpose.as_bytes()];
        let derived = self.prk.expand(&purpose, Bytes(KEY)).expect("32 bytes are not too many");
        derived.fill(&mut *key).expect("the length that was asked for");
        key
    }

    /// Seals `plain`, bound to `about`: nonce, ciphertext, tag.
    pub fn seal(&self, about: &[u8], plain: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE_LEN] = rand::random();
        let mut text = plain.to_vec();
        let sealed =
            self.key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(about), &mut text);
        sealed.expect("no text here comes near 256 GiB");
        [&nonce[..], &text].concat()
    }

    /// Opens what was sealed with the same `about`.
    pub fn open(&self, about: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let wrong =
            || Error::Keys("cannot open what the keeper sealed: its key is another one, or it was changed".into());
        let (nonce, text) = sealed.split_first_chunk::<NONCE_LEN>().ok_or_else(wrong)?;
        let mut text = Zeroizing::new(text.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = self.key.open_in_place(nonce, Aad::from(about), &mut text).map_err(|_| wrong())?;
        let length = plain.len();
        text.truncate(length);
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_its_key_and_subject_alone() {
        let vault = Vault::new(&[1; KEY]);
        let sealed = vault.seal(b"sheet 1", b"secret");
        assert_eq!(*vault.open(b"sheet 1", &sealed).unwrap(), b"secret");
        assert!(vault.open(b"sheet 2", &sealed).is_err());
        assert!(vault.of("catalogue").open(b"sheet 1", &sealed).is_err());
        assert!(Vault::new(&[2; KEY]).open(b"sheet 1", &sealed).is_err());
        assert!(vault.open(b"sheet 1", b"short").is_err());
        assert_ne!(sealed, vault.seal(b"sheet 1", b"secret"));
    }
}
