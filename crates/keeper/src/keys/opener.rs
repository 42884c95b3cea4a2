//! What opens a keeper's keys: a file, a passphrase, or a TPM.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::vault::{KEY, Vault};
use crate::{Error, Result, home};

/// What opens the keys at a start.
pub enum Opener {
    /// A file with 64 hexadecimal digits that its owner alone can read; made where it is missing.
    File(PathBuf),
    /// Something that a person types.
    Passphrase(Zeroizing<String>),
    /// The machine's TPM. Not possible yet: it is refused, with the reason.
    Tpm,
}

/// How a file of keys was sealed.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum How {
    KeyFile,
    /// scrypt of a passphrase.
    Passphrase {
        log_n: u8,
        r: u32,
        p: u32,
        salt: String,
    },
}

/// 64 MiB and some tenths of a second.
const LOG_N: u8 = 16;

/// What a foreign file may make us compute: 1 GiB.
const LARGEST_LOG_N: u8 = 20;

impl Opener {
    /// The word for what is meant.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Opener::File(_) => "key file",
            Opener::Passphrase(_) => "passphrase",
            Opener::Tpm => "TPM",
        }
    }

    /// What seals new keys.
    pub(super) fn prepare(&self) -> Result<(How, Vault)> {
        let how = match self {
            Opener::File(path) => {
                if !path.exists() {
                    let key = Zeroizing::new(rand::random::<[u8; KEY]>());
                    home::write_private(path, Zeroizing::new(hex::encode(*key)).as_bytes())?;
                }
                How::KeyFile
            }
            Opener::Passphrase(phrase) if phrase.is_empty() => {
                return Err(Error::Keys("an empty passphrase protects nothing".into()));
            }
            Opener::Passphrase(_) => {
                let salt = hex::encode(rand::random::<[u8; 32]>());
                How::Passphrase { log_n: LOG_N, r: 8, p: 1, salt }
            }
            Opener::Tpm => return Err(no_tpm()),
        };
        let vault = self.open(&how)?;
        Ok((how, vault))
    }

    /// What opens keys that were sealed like this.
    pub(super) fn open(&self, how: &How) -> Result<Vault> {
        match (self, how) {
            (Opener::Tpm, _) => Err(no_tpm()),
            (Opener::File(path), How::KeyFile) => {
                let text = Zeroizing::new(std::fs::read_to_string(path).map_err(Error::file("read", path))?);
                let mut key = Zeroizing::new([0; KEY]);
                hex::decode_to_slice(text.trim(), &mut *key).map_err(|_| {
                    Error::Keys(format!("{} is no key file: it must have 64 hexadecimal digits", path.display()))
                })?;
                Ok(Vault::new(&key))
            }
            (Opener::Passphrase(phrase), How::Passphrase { log_n, r, p, salt }) => {
                stretched(phrase, *log_n, *r, *p, salt)
            }
            (Opener::File(_), How::Passphrase { .. }) => {
                Err(Error::Keys("the keys were sealed with a passphrase, not with a key file".into()))
            }
            (Opener::Passphrase(_), How::KeyFile) => {
                Err(Error::Keys("the keys were sealed with a key file, not with a passphrase".into()))
            }
        }
    }
}

fn stretched(phrase: &str, log_n: u8, r: u32, p: u32, salt: &str) -> Result<Vault> {
    let wrong = || Error::Keys("the keys' parameters of scrypt are out of bounds".into());
    if log_n > LARGEST_LOG_N || r > 8 || p > 4 {
        return Err(wrong());
    }
    let params = scrypt::Params::new(log_n, r, p).map_err(|_| wrong())?;
    let mut key = Zeroizing::new([0; KEY]);
    let salt = hex::decode(salt).map_err(|_| wrong())?;
    scrypt::scrypt(phrase.as_bytes(), &salt, &params, &mut *key).map_err(|_| wrong())?;
    Ok(Vault::new(&key))
}

fn no_tpm() -> Error {
    Error::Keys(
        "keys cannot be sealed to this machine's TPM yet: there is no library for it that is free of C code and well kept; \
         use a key file on another disk, or a passphrase"
            .into(),
    )
}
