//! What opens a keeper's keys: a file, a passphrase, or a TPM.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::tpm::{Sealed, Tpm};
use crate::vault::{KEY, Vault};
use crate::{Error, Result, home};

/// What opens the keys at a start.
pub enum Opener {
    /// A file with 64 hexadecimal digits that its owner alone can read; made where it is missing.
    File(PathBuf),
    /// Something that a person types.
    Passphrase(Zeroizing<String>),
    /// A TPM.
    Tpm(Tpm),
}

/// The ways in which keys are opened; a file of keys has at most one of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By a key file.
    KeyFile,
    /// By a passphrase.
    Passphrase,
    /// By a TPM.
    Tpm,
}

impl Way {
    /// What people call it.
    pub fn word(self) -> &'static str {
        match self {
            Way::KeyFile => "key file",
            Way::Passphrase => "passphrase",
            Way::Tpm => "TPM",
        }
    }
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
    /// A key that a TPM sealed.
    Tpm(Sealed),
}

impl How {
    pub(super) fn way(&self) -> Way {
        match self {
            How::KeyFile => Way::KeyFile,
            How::Passphrase { .. } => Way::Passphrase,
            How::Tpm(_) => Way::Tpm,
        }
    }
}

/// 64 MiB and some tenths of a second.
const LOG_N: u8 = 16;

/// What a foreign file may make us compute: 1 GiB.
const LARGEST_LOG_N: u8 = 20;

impl Opener {
    /// Which way it is.
    pub fn way(&self) -> Way {
        match self {
            Opener::File(_) => Way::KeyFile,
            Opener::Passphrase(_) => Way::Passphrase,
            Opener::Tpm(_) => Way::Tpm,
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
            Opener::Tpm(tpm) => How::Tpm(tpm.seal(&Zeroizing::new(rand::random()))?),
        };
        let vault = self.open(&how)?;
        Ok((how, vault))
    }

    /// What opens keys that were sealed like this.
    pub(super) fn open(&self, how: &How) -> Result<Vault> {
        match (self, how) {
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
            (Opener::Tpm(tpm), How::Tpm(sealed)) => Ok(Vault::new(&*tpm.open(sealed)?)),
            (opener, how) => {
                let (wanted, given) = (how.way().word(), opener.way().word());
                Err(Error::Keys(format!("the keys were sealed with a {wanted}, not with a {given}")))
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
