//! Are the packs that were stored still there? Some storage says "stored" and loses it.

use std::collections::HashMap;

use backend::{Backend, FileInfo, FileKind, FileName, Id};

use crate::workers::{self, Workers};
use crate::{Error, Result};

/// Up to so many packs are asked for one by one; above, one listing is cheaper.
const ASKED_SINGLY: usize = 64;

/// An error for the first of `packs` that is not stored with its size.
pub(super) fn audit(backend: &dyn Backend, packs: &[FileInfo]) -> Result<()> {
    match packs.len() > ASKED_SINGLY {
        true => audit_by_listing(backend, packs),
        false => audit_singly(backend, packs),
    }
}

fn audit_by_listing(backend: &dyn Backend, packs: &[FileInfo]) -> Result<()> {
    let listed = backend.list(FileKind::Pack)?;
    let sizes: HashMap<Id, u64> = listed.into_iter().map(|file| (file.id, file.size)).collect();
    // One listing is never believed when it denies a file.
    let doubtful: Vec<FileInfo> =
        packs.iter().filter(|pack| sizes.get(&pack.id) != Some(&pack.size)).copied().collect();
    audit_singly(backend, &doubtful)
}

fn audit_singly(backend: &dyn Backend, packs: &[FileInfo]) -> Result<()> {
    workers::for_each(Workers::requests(backend), packs, || (), |(), pack| ask(backend, pack))
}

fn ask(backend: &dyn Backend, pack: &FileInfo) -> Result<()> {
    let file = FileName::new(FileKind::Pack, pack.id);
    match backend.size(&file) {
        Ok(size) if size == pack.size => Ok(()),
        Ok(size) => Err(Error::damaged(file, format!("{} bytes were stored, but {size} are there", pack.size))),
        Err(error) if error.is_not_found() => Err(Error::damaged(file, "it was stored, but it is not there any more")),
        Err(error) => Err(error.into()),
    }
}
