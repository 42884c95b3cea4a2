//! A credential's secret: 256 random bits that the gateway makes itself and shows once. Stored is its hash.
//!
//! Because nobody chooses it, a plain SHA-256 is enough: there is no dictionary to try, and no slow hash that strangers
//! could make us compute.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use backend::Id;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A secret as its holder has it: 43 characters of the URL-safe alphabet.
pub struct Secret(String);

/// What is kept of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct SecretHash(Id);

impl Secret {
    /// A new one.
    pub fn random() -> Secret {
        Secret(URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()))
    }

    /// For the holder's eyes, once.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    pub fn hash(&self) -> SecretHash {
        SecretHash::of(&self.0)
    }
}

impl SecretHash {
    /// A hash that no secret has, to compare with where there is no account: that takes as long as if there were.
    pub(crate) const NOBODY: SecretHash = SecretHash(Id::from_bytes([0; 32]));

    /// What is kept of a secret that comes from elsewhere. It must not be one that people make up.
    pub fn of(secret: &str) -> SecretHash {
        SecretHash(Id::of(secret.as_bytes()))
    }

    /// The SHA-256 of such a secret, which somebody else keeps.
    pub fn from_bytes(sha256: [u8; 32]) -> SecretHash {
        SecretHash(Id::from_bytes(sha256))
    }

    /// Whether `given` is the secret; takes the same time for every text of its length.
    pub fn is_of(&self, given: &str) -> bool {
        let given = Id::of(given.as_bytes());
        verify_slices_are_equal(given.as_bytes(), self.0.as_bytes()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_its_own_hash_only() {
        let (one, other) = (Secret::random(), Secret::random());
        assert!(one.hash().is_of(one.reveal()));
        assert!(!one.hash().is_of(other.reveal()) && !one.hash().is_of(""));
        assert_eq!(one.reveal().len(), 43);
    }
}
