//! Key files: passwords' ways to the master key.
//!
//! A key file is plain JSON with the master key in an envelope that scrypt's output of the password opens. Its parameters
//! come from whoever can write to the storage, so they are bounded before anything is computed.

mod file;
mod kdf;

use backend::{Backend, FileKind, FileName, Id, Part};

use crate::crypto::MasterKey;
use crate::{Error, Result};

use file::KeyFile;
pub use kdf::KdfParams;

/// How many key files are tried, the hinted one included, as in restic.
const MOST_TRIED: usize = 20;

/// Key files have about 450 bytes; anything much larger is not read.
const LARGEST_FILE: u64 = 64 << 10;

/// Who makes a key, for the key file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyOrigin {
    /// When.
    pub created: jiff::Zoned,
    /// Which user.
    pub username: String,
    /// On which host.
    pub hostname: String,
}

/// What a key file tells without its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// The key file.
    pub id: Id,
    /// When it was made: RFC 3339, as written.
    pub created: String,
    /// Which user made it.
    pub username: String,
    /// On which host.
    pub hostname: String,
}

/// A password that opened a repository.
pub struct OpenKey {
    /// Which key file it was.
    pub id: Id,
    /// What it opened.
    pub master: MasterKey,
    /// Key files that were skipped because they are damaged, with the reason.
    pub skipped: Vec<(Id, String)>,
}

/// Finds the key that `password` opens: the hinted one (an id or the beginning of one) first, then others, 20 in all.
///
/// # Errors
/// `WrongPassword` if none opens; `Unsupported` if there were key files and not one of them could be used; `Backend` if
/// the storage fails.
pub fn open(backend: &dyn Backend, password: &[u8], hint: Option<&str>) -> Result<OpenKey> {
    let mut ids = ids(backend)?;
    if let Some(hint) = hint {
        ids.sort_by_key(|id| !id.to_string().starts_with(hint));
    }
    let mut skipped = Vec::new();
    let tried = &ids[..ids.len().min(MOST_TRIED)];
    for id in tried {
        let attempt = match read(backend, *id)? {
            Ok(file) => file.open(password),
            Err(reason) => Err(reason),
        };
        match attempt {
            Ok(Some(master)) => return Ok(OpenKey { id: *id, master, skipped }),
            Ok(None) => {}
            Err(reason) => skipped.push((*id, reason)),
        }
    }
    match skipped.first() {
        Some((id, reason)) if skipped.len() == tried.len() => {
            Err(Error::Unsupported(format!("none of its key files can be used ({}: {reason})", id.short())))
        }
        _ => Err(Error::WrongPassword),
    }
}

/// Adds a key file that opens `master` with `password`, and returns its id.
pub fn add(
    backend: &dyn Backend,
    master: &MasterKey,
    password: &[u8],
    params: KdfParams,
    origin: &KeyOrigin,
) -> Result<Id> {
    let file = KeyFile::seal(master, password, params, origin).map_err(Error::Invalid)?;
    // A key that does not open would lock its owner out for good.
    match file.open(password) {
        Ok(Some(again)) if again.is_same(master) => {}
        other => {
            let reason = other.err().unwrap_or_else(|| "another key came out".into());
            return Err(Error::SelfCheck { what: "the new key".into(), reason });
        }
    }
    let json = file.to_json();
    let id = Id::of(&json);
    backend.write(&FileName::new(FileKind::Key, id), &json)?;
    Ok(id)
}

/// Removes a key file. That the key in use stays is the caller's care.
///
/// # Errors
/// `Invalid` if it is the last one: nobody could open the repository again.
pub fn remove(backend: &dyn Backend, id: Id) -> Result<()> {
    let ids = ids(backend)?;
    if ids == [id] {
        return Err(Error::Invalid("this is the only key: without it nobody could open the repository".into()));
    }
    Ok(backend.remove(&FileName::new(FileKind::Key, id))?)
}

/// Lists key files, sorted by id; damaged ones carry empty fields.
pub fn list(backend: &dyn Backend) -> Result<Vec<KeyInfo>> {
    let info = |id| {
        let file = read(backend, id)?.unwrap_or_default();
        Ok(KeyInfo { id, created: file.created, username: file.username, hostname: file.hostname })
    };
    ids(backend)?.into_iter().map(info).collect()
}

/// All key files, sorted, so that every program run tries them in the same order.
fn ids(backend: &dyn Backend) -> Result<Vec<Id>> {
    let mut ids: Vec<Id> = backend.list(FileKind::Key)?.into_iter().map(|file| file.id).collect();
    ids.sort_unstable();
    Ok(ids)
}

/// Reads a key file; the inner error tells in words why it cannot be used.
fn read(backend: &dyn Backend, id: Id) -> Result<std::result::Result<KeyFile, String>> {
    let mut json = Vec::new();
    match backend.read(&FileName::new(FileKind::Key, id), Part::Tail(LARGEST_FILE), &mut json) {
        Ok(()) if Id::of(&json) != id => Ok(Err("its content does not have the hash that is its name".into())),
        Ok(()) => Ok(KeyFile::parse(&json)),
        // Somebody may have removed it since it was listed.
        Err(error) if error.is_not_found() => Ok(Err(error.to_string())),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
