//! The locks that are present in a repository.

use std::time::Duration;

use backend::{Class, Clock, FileKind, FileName, Id};

use super::{LockContent, LockKind, LockOwner};
use crate::unpacked::Unpacked;
use crate::workers::{self, Workers};
use crate::{Error, Repository, Result};

/// Waits before reading an unreadable lock again, as in restic; after the last the error stands.
const WAITS: [Duration; 3] = [Duration::from_secs(5), Duration::from_secs(10), Duration::from_secs(20)];

/// A lock file and what it says.
#[derive(Debug)]
pub struct FoundLock {
    /// The file.
    pub id: Id,
    /// Its content, or why it cannot be read.
    pub content: Result<LockContent>,
}

/// All locks; empty files, which interrupted writers leave, are passed over.
pub fn list(repo: &Repository) -> Result<Vec<FoundLock>> {
    read_all(repo.files())
}

/// Removes stale locks (not refreshed for 30 minutes, or of a dead process of this host); returns how many.
pub fn remove_stale(repo: &Repository, here: &LockOwner) -> Result<usize> {
    let now = repo.clock().now();
    remove(repo.files(), |content| matches!(content, Ok(content) if content.is_stale(now, here)))
}

/// Removes all locks, whoever holds them; returns how many.
pub fn remove_all(repo: &Repository) -> Result<usize> {
    let files = repo.backend().list(FileKind::Lock)?;
    files.iter().try_for_each(|file| repo.backend().remove(&FileName::new(FileKind::Lock, file.id)))?;
    Ok(files.len())
}

/// Removes the locks of stead processes of this machine that are gone. What storage does not let us remove stays: another
/// account's lock, whose process was on this machine. Whether it is in the way is judged like any other's.
pub(super) fn remove_our_dead(files: &Unpacked, clock: &dyn Clock, here: &LockOwner) -> Result<()> {
    let now = clock.now();
    let is_dead = |lock: &FoundLock| matches!(&lock.content, Ok(content) if content.is_our_dead(now, here));
    for lock in read_all(files)?.iter().filter(|lock| is_dead(lock)) {
        match files.backend.remove(&FileName::new(FileKind::Lock, lock.id)) {
            Err(error) if error.class == Class::Rejected => {}
            removed => removed?,
        }
    }
    Ok(())
}

fn remove(files: &Unpacked, is_meant: impl Fn(&Result<LockContent>) -> bool) -> Result<usize> {
    let mut count = 0;
    for lock in read_all(files)?.iter().filter(|lock| is_meant(&lock.content)) {
        files.backend.remove(&FileName::new(FileKind::Lock, lock.id))?;
        count += 1;
    }
    Ok(count)
}

/// An error if a lock other than `own` does not allow one of `kind` beside it, or cannot be read even later.
pub(super) fn require_no_conflict(files: &Unpacked, clock: &dyn Clock, kind: LockKind, own: Option<&Id>) -> Result<()> {
    let mut waits = WAITS.iter();
    loop {
        let locks = read_all(files)?;
        let others = locks.into_iter().filter(|lock| Some(&lock.id) != own);
        match (others.map(|lock| refuse(kind, lock)).find(Result::is_err), waits.next()) {
            (None, _) => return Ok(()),
            (Some(Err(Error::Damaged { .. } | Error::Backend(_))), Some(wait)) => clock.sleep(*wait),
            (Some(refusal), _) => return refusal,
        }
    }
}

fn refuse(kind: LockKind, lock: FoundLock) -> Result<()> {
    let content = lock.content?;
    if !content.conflicts(kind) {
        return Ok(());
    }
    let how = if content.exclusive { "exclusively " } else { "" };
    Err(Error::Locked { how, holder: content.holder(), since: content.time, id: lock.id })
}

fn read_all(files: &Unpacked) -> Result<Vec<FoundLock>> {
    let listed = files.backend.list(FileKind::Lock)?;
    let ids: Vec<Id> = listed.iter().filter(|file| file.size > 0).map(|file| file.id).collect();
    let read = workers::map(Workers::requests(&*files.backend), &ids, |id| read_one(files, id));
    let found = ids.into_iter().zip(read).map(|(id, content)| FoundLock { id, content });
    Ok(found.filter(|lock| !vanished(&lock.content)).collect())
}

fn read_one(files: &Unpacked, id: &Id) -> Result<LockContent> {
    let json = files.read(FileKind::Lock, id)?;
    serde_json::from_slice(&json).map_err(|error| Error::damaged(FileName::new(FileKind::Lock, *id), error))
}

fn vanished(content: &Result<LockContent>) -> bool {
    matches!(content, Err(Error::Backend(error)) if error.is_not_found())
}
