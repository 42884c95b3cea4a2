//! Whether a file is there that a listing does not show. One listing is never believed when it says that something is
//! missing: storage may show files late, or answer with a part.

use backend::{FileKind, FileName};

use crate::workers::{self, Workers};
use crate::{Error, Id, Repository, Result};

/// After so many files that really are missing the listing is believed about the others: asking for each takes a round trip.
const MOST_QUESTIONS: usize = 1000;

/// The files among `unlisted` that the storage has all the same, with their sizes in bytes: it is asked for each by name.
pub(crate) fn there_after_all(repo: &Repository, kind: FileKind, unlisted: &[Id]) -> Result<Vec<(Id, u64)>> {
    let backend = repo.backend();
    let asked = &unlisted[..unlisted.len().min(MOST_QUESTIONS)];
    let sizes = workers::map(Workers::requests(backend), asked, |id| backend.size(&FileName::new(kind, *id)));
    let mut there = Vec::new();
    for (id, size) in asked.iter().zip(sizes) {
        match size {
            Ok(size) => there.push((*id, size)),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(there)
}

/// An error if the storage has one of these files, which it does not list: nothing may be decided by its listings now.
pub(crate) fn refuse_if_there(repo: &Repository, kind: FileKind, unlisted: &[Id]) -> Result<()> {
    match there_after_all(repo, kind, unlisted)?.first() {
        None => Ok(()),
        Some((id, _)) => Err(Error::Invalid(format!(
            "the storage has {kind} {} but does not list it: its listings are incomplete, nothing was pruned",
            id.short()
        ))),
    }
}
