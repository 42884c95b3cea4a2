//! Secret: 256 random bits that are handed out once; only their SHA-256 is stored.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Bits that somebody must show to be let in. Not printed by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// What is stored of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecretHash(pub(crate) [u8; 32]);

impl SecretHash {
    /// The SHA-256, for whoever compares.
    pub fn bytes(&self) -> [u8; 32] {
        self.0
    }
}

impl Secret {
    /// A new one of 256 random bits, as 43 letters that are safe in addresses and headers.
    pub fn random() -> Secret {
        let mut bits = [0; 32];
        aws_lc_rs::rand::fill(&mut bits).expect("the system has random numbers");
        Secret(URL_SAFE_NO_PAD.encode(bits))
    }

    /// One that was received; any text is one, and most are wrong.
    pub fn received(text: &str) -> Secret {
        Secret(text.to_owned())
    }

    /// The text to hand out.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// What is stored of it.
    pub fn hash(&self) -> SecretHash {
        SecretHash(sha256(self.0.as_bytes()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The SHA-256 of some bytes.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ_and_do_not_show_themselves() {
        let (one, other) = (Secret::random(), Secret::random());
        assert_ne!(one, other);
        assert_eq!(one.text().len(), 43);
        assert_eq!(Secret::received(one.text()).hash(), one.hash());
        assert!(!format!("{one:?}").contains(one.text()));
    }
}
