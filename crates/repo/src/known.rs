//! The snapshots and index files that this machine knows of: those it wrote and those it saw when it last pruned.
//!
//! A listing that leaves one of them out is not believed before the storage was asked for it by name. One line per file in
//! the repository's cache directory, appended to when one is written. Losing a list, or a line of it, loses knowledge only.

use std::collections::HashSet;
use std::io::Write;
use std::path::PathBuf;

use backend::{FileKind, FileName};

use crate::{Error, Id, Repository, Result, presence};

/// Where the list of a kind is, if there is a cache.
fn path(repo: &Repository, kind: FileKind) -> Option<PathBuf> {
    let cache = repo.options().cache.as_ref()?;
    Some(cache.join(repo.id().to_string()).join(format!("stead-known-{}", kind.directory())))
}

/// Everything of a kind that is known; nothing where there is no cache, and where it cannot be read.
fn read(repo: &Repository, kind: FileKind) -> HashSet<Id> {
    let text = path(repo, kind).and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Notes a file that was just written. That this machine's disk is full must not fail a backup that succeeded.
pub(crate) fn note_written(repo: &Repository, kind: FileKind, id: &Id) {
    let append = |path: PathBuf| -> std::io::Result<()> {
        std::fs::create_dir_all(path.parent().unwrap_or(&path))?;
        std::fs::OpenOptions::new().append(true).create(true).open(path)?.write_all(format!("{id}\n").as_bytes())
    };
    let _ = path(repo, kind).map(append);
}

/// Forgets files that were just removed: nobody needs to ask for them.
pub(crate) fn note_removed(repo: &Repository, kind: FileKind, ids: &[Id]) {
    let mut known = read(repo, kind);
    let before = known.len();
    ids.iter().for_each(|id| _ = known.remove(id));
    if known.len() < before {
        replace(repo, kind, &known);
    }
}

/// Replaces what is known by what a listing showed that was found to be right.
pub(crate) fn replace(repo: &Repository, kind: FileKind, listed: &HashSet<Id>) {
    let Some(path) = path(repo, kind) else { return };
    let mut lines: Vec<String> = listed.iter().map(|id| format!("{id}\n")).collect();
    lines.sort_unstable();
    // What cannot be noted is not known next time: no reason not to prune now.
    let _ = crate::ledger::replace(&path, lines.concat().as_bytes());
}

/// F6, F11: an error unless every known file of a kind is listed or, asked for by name, is gone. Storage that denies
/// everything, its config as well, is not believed.
pub(crate) fn refuse_if_hidden(repo: &Repository, kind: FileKind, listed: &HashSet<Id>) -> Result<()> {
    let unlisted: Vec<Id> = read(repo, kind).difference(listed).copied().collect();
    if unlisted.is_empty() {
        return Ok(());
    }
    presence::refuse_if_there(repo, kind, &unlisted)?;
    match repo.backend().size(&FileName::CONFIG) {
        Ok(_) => Ok(()),
        Err(error) if error.is_not_found() => Err(Error::Invalid(format!(
            "the storage denies to have {kind} {}, but also the config: nothing was pruned",
            unlisted[0].short()
        ))),
        Err(error) => Err(error.into()),
    }
}
