//! The seal: passwords and keys that the server must use lie in the database sealed with a key that lies beside it, in a
//! file. Who has only the database, or a copy of it, has none of them.

use std::io::Write;
use std::path::Path;

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use zeroize::Zeroizing;

use crate::problem::Problem;

/// What sealed texts begin with; others were stored before there was a seal.
const MARK: &str = "sealed:1:";

/// Bytes of the key.
const KEY: usize = 32;

/// Why there is no seal.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The file cannot be used.
    #[error("cannot use the key file {path}: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// It holds something else.
    #[error("{0} holds no key: 64 hexadecimal digits are expected")]
    NoKey(String),
    /// The operating system gave no random bytes.
    #[error("cannot draw a new key")]
    NoChance,
}

/// Seals and opens secrets of the server.
pub struct Seal(LessSafeKey);

impl Seal {
    /// With the key in a file; made, readable by its owner alone, if it is not there.
    ///
    /// # Errors
    /// The file cannot be read or made, or holds no key.
    pub fn at(path: &Path) -> Result<Seal, SealError> {
        let file = |source| SealError::File { path: path.display().to_string(), source };
        let text = match std::fs::read_to_string(path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => make(path)?,
            Err(error) => return Err(file(error)),
        };
        let mut key = Zeroizing::new([0; KEY]);
        let no_key = |_| SealError::NoKey(path.display().to_string());
        hex::decode_to_slice(text.trim(), &mut *key).map_err(no_key)?;
        Ok(Seal::of(&key))
    }

    fn of(key: &[u8; KEY]) -> Seal {
        Seal(LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).expect("32 bytes are a key")))
    }

    /// Seals a text, bound to what it is about. Nothing stays nothing.
    pub(crate) fn close(&self, about: &str, plain: &str) -> Result<String, Problem> {
        if plain.is_empty() {
            return Ok(String::new());
        }
        Ok(format!("{MARK}{}", STANDARD_NO_PAD.encode(self.close_bytes(about, plain.as_bytes())?)))
    }

    /// Seals bytes, bound to what they are about.
    pub(crate) fn close_bytes(&self, about: &str, plain: &[u8]) -> Result<Vec<u8>, Problem> {
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).map_err(|error| Problem::internal("draw random bytes", error))?;
        let mut sealed = [&nonce[..], plain].concat();
        let (once, about) = (Nonce::assume_unique_for_key(nonce), Aad::from(about.as_bytes()));
        let tag = self.0.seal_in_place_separate_tag(once, about, &mut sealed[NONCE_LEN..]);
        let tag = tag.map_err(|error| Problem::internal("seal a secret", error))?;
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// Opens what was sealed about the same; none: with another key, or it was changed. What was never sealed is as it is.
    pub(crate) fn open(&self, about: &str, stored: &str) -> Option<String> {
        let Some(sealed) = stored.strip_prefix(MARK) else { return Some(stored.to_owned()) };
        let plain = self.open_bytes(about, &STANDARD_NO_PAD.decode(sealed).ok()?)?;
        Some(std::str::from_utf8(&plain).ok()?.to_owned())
    }

    /// Opens bytes that were sealed about the same; none: with another key, or they were changed.
    pub(crate) fn open_bytes(&self, about: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, text) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut text = Zeroizing::new(text.to_vec());
        let (once, about) = (Nonce::assume_unique_for_key(*nonce), Aad::from(about.as_bytes()));
        let length = self.0.open_in_place(once, about, &mut text).ok()?.len();
        text.truncate(length);
        Some(text)
    }
}

/// Makes the key file; one that somebody else made meanwhile stays.
fn make(path: &Path) -> Result<Zeroizing<String>, SealError> {
    let file = |source| SealError::File { path: path.display().to_string(), source };
    let mut key = Zeroizing::new([0; KEY]);
    aws_lc_rs::rand::fill(&mut *key).map_err(|_| SealError::NoChance)?;
    let text = Zeroizing::new(hex::encode(*key));
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let draft = folder.join(format!(".key-{}", hex::encode(&key[..4])));
    let written = private(&draft).and_then(|mut new| new.write_all(text.as_bytes()).and_then(|()| new.sync_all()));
    let linked = written.and_then(|()| std::fs::hard_link(&draft, path));
    // Whether it is there or not, nothing depends on the draft.
    _ = std::fs::remove_file(&draft);
    match linked {
        Ok(()) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            std::fs::read_to_string(path).map(Zeroizing::new).map_err(file)
        }
        Err(error) => Err(file(error)),
    }
}

fn private(path: &Path) -> std::io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_its_key_and_about_the_same_alone() {
        let seal = Seal::of(&[1; KEY]);
        let sealed = seal.close("mail of a", "sesame").unwrap();
        assert!(sealed.starts_with(MARK) && !sealed.contains("sesame"), "{sealed}");
        assert_ne!(sealed, seal.close("mail of a", "sesame").unwrap());
        assert_eq!(seal.open("mail of a", &sealed).as_deref(), Some("sesame"));
        assert_eq!(seal.open("mail of b", &sealed), None);
        assert_eq!(Seal::of(&[2; KEY]).open("mail of a", &sealed), None);
        for damaged in [&sealed[..sealed.len() - 4], "sealed:1:", "sealed:1:!!", "sealed:1:AAAA"] {
            assert_eq!(seal.open("mail of a", damaged), None, "{damaged}");
        }
        assert_eq!(seal.open("mail of a", "stored before").as_deref(), Some("stored before"));
        assert_eq!(seal.close("mail of a", "").unwrap(), "");
    }

    #[test]
    fn a_key_file_is_made_once_for_its_owner_alone_and_another_text_is_none() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("server.key");
        let sealed = Seal::at(&path).unwrap().close("a", "sesame").unwrap();
        assert_eq!(Seal::at(&path).unwrap().open("a", &sealed).as_deref(), Some("sesame"));
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(room.path()).unwrap().count(), 1, "no draft stays");
        std::fs::write(&path, "no key").unwrap();
        assert!(matches!(Seal::at(&path), Err(SealError::NoKey(_))));
    }
}
