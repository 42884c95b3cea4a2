//! Passwords: which are taken, and argon2id for two at a time, so that many attempts cost time and not all memory.

use std::sync::LazyLock;

use store::PasswordHash;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use crate::problem::Problem;

/// Why a new password is not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Weak {
    /// Too short.
    #[error("Use at least 12 characters: a few words are easier to remember than signs.")]
    Short,
    /// Too long to be hashed in reasonable time.
    #[error("Use at most 200 characters.")]
    Long,
    /// The same character again and again, or what everybody tries first.
    #[error("This one is among the first that anybody would try. Choose a few words of your own.")]
    Guessable,
}

/// Whether a new password may be taken.
pub(crate) fn judge(password: &str, email: &str) -> Result<(), Weak> {
    let lower = password.to_lowercase();
    let first = lower.chars().next();
    let guessable = ["password", "passwort", "123456789", "qwertz", "qwerty"];
    match password.chars().count() {
        ..12 => Err(Weak::Short),
        201.. => Err(Weak::Long),
        _ if lower.chars().all(|c| Some(c) == first) => Err(Weak::Guessable),
        _ if guessable.iter().any(|word| lower.starts_with(word)) => Err(Weak::Guessable),
        _ if !email.is_empty() && lower == email.to_lowercase() => Err(Weak::Guessable),
        _ => Ok(()),
    }
}

static AT_ONCE: Semaphore = Semaphore::const_new(2);

/// What is stored of a password.
pub(crate) async fn hash(password: Zeroizing<String>) -> Result<PasswordHash, Problem> {
    in_turn(move || PasswordHash::of(&password)).await
}

/// The hash of something that nobody knows: who has no password costs as much time as who has one.
static NOBODY: LazyLock<PasswordHash> = LazyLock::new(|| PasswordHash::of(store::Secret::random().text()));

/// Whether a password is the stored one. Takes as long where nothing is stored.
pub(crate) async fn is_right(password: Zeroizing<String>, stored: Option<PasswordHash>) -> Result<bool, Problem> {
    // Nobody's is this long; hashing would take as long as they like.
    if password.len() > 1_000 {
        return Ok(false);
    }
    in_turn(move || match stored {
        Some(stored) => stored.check(&password).is_ok(),
        None => {
            _ = NOBODY.check(&password);
            false
        }
    })
    .await
}

async fn in_turn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    let failed = |error| Problem::internal("hash a password", error);
    let _turn = AT_ONCE.acquire().await.map_err(|error| Problem::internal("hash a password", error))?;
    spawn_blocking(work).await.map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> Zeroizing<String> {
        Zeroizing::new(text.to_owned())
    }

    #[tokio::test]
    async fn only_the_password_opens_what_was_stored_of_it() {
        let stored = hash(typed("four words of mine")).await.unwrap();
        assert!(is_right(typed("four words of mine"), Some(stored.clone())).await.unwrap());
        assert!(!is_right(typed("four words of yours"), Some(stored)).await.unwrap());
        assert!(!is_right(typed("four words of mine"), None).await.unwrap());
    }

    #[test]
    fn what_everybody_tries_first_is_not_taken() {
        assert_eq!(judge("short", ""), Err(Weak::Short));
        assert_eq!(judge("aaaaaaaaaaaaaaaa", ""), Err(Weak::Guessable));
        assert_eq!(judge("Password1234", ""), Err(Weak::Guessable));
        assert_eq!(judge("anna@example.org", "Anna@example.org"), Err(Weak::Guessable));
        assert_eq!(judge("correct horse battery", "anna"), Ok(()));
        assert_eq!(judge(&"x".repeat(201), ""), Err(Weak::Long));
    }
}
