//! Password: what a person types, stored as argon2id says. Checking takes tens of milliseconds on purpose.

use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Argon2, PasswordHash as Parsed};

/// What is stored of a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordHash(pub(crate) String);

/// A password that is not the right one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the password is wrong")]
pub struct WrongPassword;

impl PasswordHash {
    /// Hashes with argon2id and its recommended cost; blocks for tens of milliseconds.
    pub fn of(password: &str) -> PasswordHash {
        let hash = Argon2::default().hash_password(password.as_bytes()).expect("argon2's own parameters are valid");
        PasswordHash(hash.to_string())
    }

    /// Whether it is this password; blocks as long as hashing does.
    pub fn check(&self, password: &str) -> Result<(), WrongPassword> {
        let parsed = Parsed::new(&self.0).map_err(|_| WrongPassword)?;
        Argon2::default().verify_password(password.as_bytes(), &parsed).map_err(|_| WrongPassword)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_password_is_right() {
        let hash = PasswordHash::of("correct horse");
        assert!(hash.0.starts_with("$argon2id$"), "{}", hash.0);
        assert_eq!(hash.check("correct horse"), Ok(()));
        assert_eq!(hash.check("correct house"), Err(WrongPassword));
        assert_eq!(PasswordHash("rubbish".into()).check("correct horse"), Err(WrongPassword));
    }
}
