//! Are the index files readable, and do they agree with each other?

use std::collections::HashMap;

use backend::FileKind;
use parking_lot::Mutex;

use super::{Problem, ends_check};
use crate::index::IndexFile;
use crate::workers::{self, Workers};
use crate::{Id, Repository, Result};

/// What was found about all index files.
pub(super) struct IndexFindings {
    pub(super) files: u64,
    pub(super) problems: Vec<Problem>,
    /// At least one file cannot be read.
    pub(super) is_unusable: bool,
}

/// How often a pack is listed, and whether always with the same blobs.
struct Listed {
    entry: Id,
    times: u32,
    differs: bool,
}

/// Reads every index file as it is stored, past all caches.
pub(super) fn check_index_files(repo: &Repository) -> Result<IndexFindings> {
    let files = repo.backend().list(FileKind::Index)?;
    let packs: Mutex<HashMap<Id, Listed>> = Mutex::default();
    let unreadable = Mutex::new(Vec::new());
    workers::for_each(
        Workers::processors(),
        &files,
        || (),
        |(), file| {
            repo.cancel().check()?;
            match repo.read_index_file(&file.id) {
                Ok(content) => note(&content, &mut packs.lock()),
                Err(error) if ends_check(&error) => return Err(error),
                Err(error) => unreadable.lock().push(Problem::Index { id: file.id, error }),
            }
            Ok(())
        },
    )?;
    let mut problems = unreadable.into_inner();
    let is_unusable = !problems.is_empty();
    let mut odd: Vec<_> = packs.into_inner().into_iter().filter(|(_, listed)| listed.times > 1).collect();
    odd.sort_unstable_by_key(|(pack, _)| *pack);
    problems.extend(odd.into_iter().map(|(pack, listed)| match listed.differs {
        true => Problem::ContradictingPack { pack },
        false => Problem::DuplicatePack { pack, times: listed.times },
    }));
    Ok(IndexFindings { files: files.len() as u64, problems, is_unusable })
}

fn note(content: &IndexFile, packs: &mut HashMap<Id, Listed>) {
    for pack in &content.packs {
        let entry = pack.fingerprint();
        let listed = packs.entry(pack.id).or_insert(Listed { entry, times: 0, differs: false });
        listed.times += 1;
        listed.differs |= listed.entry != entry;
    }
}
