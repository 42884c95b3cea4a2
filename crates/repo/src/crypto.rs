//! Encryption of everything stored: AES-256-CTR, then Poly1305-AES over the ciphertext.
//!
//! Envelope: 16 bytes nonce, ciphertext, 16 bytes MAC. The MAC is checked before anything is decrypted.

/// Bytes that the envelope adds.
pub const OVERHEAD: usize = 32;

/// The keys that encrypt and authenticate a repository.
#[derive(Clone)]
pub struct MasterKey {}

/// The content was not made with this key, or was changed since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its authentication code does not match")]
pub struct Unauthentic;

impl MasterKey {
    /// A new random key.
    pub fn random() -> MasterKey {
        todo!()
    }

    /// Reads the JSON that key files carry (`{"mac":{"k","r"},"encrypt"}`); all-zero parts are an error.
    pub fn from_json(_json: &[u8]) -> Option<MasterKey> {
        todo!()
    }

    /// Writes that JSON.
    pub fn to_json(&self) -> Vec<u8> {
        todo!()
    }

    /// Appends the envelope around `plain` to `out`, with a random nonce.
    pub fn seal(&self, _plain: &[u8], _out: &mut Vec<u8>) {
        todo!()
    }

    /// Checks and decrypts in place; returns the plain part of `envelope`.
    pub fn open<'e>(&self, _envelope: &'e mut [u8]) -> Result<&'e mut [u8], Unauthentic> {
        todo!()
    }
}
