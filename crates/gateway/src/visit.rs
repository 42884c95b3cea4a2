//! Somebody who was let in to one repository, and what they do there.

use std::sync::Arc;

use backend::{Backend, FileInfo, FileKind, FileName, Id, Part};
use jiff::Timestamp;

use crate::allowance::{Room, judge_number};
use crate::gateway::Gateway;
use crate::intake::{Expected, Intake};
use crate::ledger::day_of;
use crate::permission::{Wish, judge};
use crate::refusal::{Granted, Refusal};
use crate::{Act, Holder, Receipt, RepositoryName, Rules, meter};

/// Whom the ledger names for locks that it finds in the storage and knows nothing of.
const UNKNOWN: &str = "(unknown)";

/// Whom the ledger names for what the gateway does by itself.
const GATEWAY: &str = "(gateway)";

/// Somebody in a repository.
pub(crate) struct Visit {
    pub(crate) gateway: Arc<Gateway>,
    /// The account's name.
    pub(crate) by: String,
    pub(crate) holder: Holder,
    pub(crate) repository: RepositoryName,
    pub(crate) rules: Rules,
    pub(crate) backend: Arc<dyn Backend>,
}

impl Visit {
    /// Makes the layout of an empty repository.
    pub(crate) fn create(&self) -> Granted<()> {
        self.ask(Wish::Create)?;
        Ok(self.backend.create()?)
    }

    /// Size of a file.
    pub(crate) fn size(&self, file: &FileName) -> Granted<u64> {
        self.ask(Wish::Look)?;
        Ok(self.backend.size(file)?)
    }

    /// Part of a file.
    pub(crate) fn read(&self, file: &FileName, part: Part) -> Granted<Vec<u8>> {
        let mut content = Vec::new();
        self.backend.read(file, part, &mut content)?;
        meter::sent(file.kind, content.len() as u64);
        Ok(content)
    }

    /// All files of a kind; locks that were held too long are removed first.
    pub(crate) fn list(&self, kind: FileKind) -> Granted<Vec<FileInfo>> {
        self.ask(Wish::Look)?;
        let files = self.backend.list(kind)?;
        if kind == FileKind::Lock && !files.is_empty() { self.without_expired(files) } else { Ok(files) }
    }

    /// Removes a file; one that is not there is success.
    pub(crate) fn remove(&self, file: &FileName) -> Granted<()> {
        self.ask(Wish::Remove(file.kind))?;
        let size = match self.backend.size(file) {
            Err(error) if error.is_not_found() => return Ok(()),
            size => size?,
        };
        if let (Holder::Machine(_), FileKind::Lock) = (&self.holder, file.kind) {
            self.require_own_lock(&file.id)?;
        }
        self.count_change()?;
        self.backend.remove(file)?;
        self.room().removed(size);
        self.record(Act::Removed, file, size, file.id, &self.by)
    }

    /// Begins to receive a file of `length` bytes, if that is known.
    pub(crate) fn begin(&self, file: &FileName, length: Option<u64>) -> Granted<Intake> {
        self.ask(Wish::Add(file.kind))?;
        let limit = self.gateway.options.lengths.of(file.kind);
        if length.is_some_and(|length| length > limit) {
            return Err(too_long(file.kind, limit));
        }
        self.count_change()?;
        let room = self.room();
        let stored = match self.backend.size(file) {
            Err(error) if error.is_not_found() => None,
            size => Some(size?),
        };
        if stored.is_none() {
            self.judge_number(file.kind)?;
        }
        let limits = self.limits();
        room.take_stock(&*self.backend, &limits)?;
        let now = self.now();
        let today = self.gateway.options.ledger.today(&self.repository, day_of(now))?;
        let reservation = room.reserve((file.kind, length.unwrap_or(limit)), &limits, today, now)?;
        Intake::begin(self, Expected { file: *file, length, limit, stored }, reservation)
    }

    /// Writes into the ledger what happened to a file.
    pub(crate) fn record(&self, act: Act, file: &FileName, size: u64, sha256: Id, by: &str) -> Granted<()> {
        let receipt = Receipt { at: self.now(), act, file: *file, size, sha256, by: by.to_owned() };
        Ok(self.gateway.options.ledger.record(&self.repository, &receipt)?)
    }

    fn ask(&self, wish: Wish) -> Granted<()> {
        judge(&self.holder, self.rules.enrolment, wish).map_err(Refusal::forbidden)
    }

    fn now(&self) -> Timestamp {
        self.gateway.options.clock.now()
    }

    fn room(&self) -> Arc<Room> {
        self.gateway.allowances.of(&self.repository)
    }

    /// Only machines can flood the ledger; a keeper that prunes makes many changes.
    fn count_change(&self) -> Granted<()> {
        match self.holder {
            Holder::Machine(_) => self.room().change(),
            Holder::Keeper(_) => Ok(()),
        }
    }

    /// A keeper makes room, also where there is none left.
    fn limits(&self) -> crate::Limits {
        match self.holder {
            Holder::Machine(_) => self.rules.limits,
            Holder::Keeper(_) => crate::Limits::default(),
        }
    }

    fn judge_number(&self, kind: FileKind) -> Granted<()> {
        match (&self.holder, kind) {
            (Holder::Machine(_), FileKind::Lock | FileKind::Key) => match self.backend.list(kind) {
                Err(error) if error.is_not_found() => Ok(()),
                present => judge_number(kind, present?.len()),
            },
            _ => Ok(()),
        }
    }

    fn require_own_lock(&self, lock: &Id) -> Granted<()> {
        let locks = self.gateway.options.ledger.locks(&self.repository)?;
        match locks.get(lock) {
            Some(holder) if holder.by == self.by => Ok(()),
            _ => Err(Refusal::forbidden("this lock is somebody else's; it can be removed by them, a keeper, or time")),
        }
    }

    fn without_expired(&self, locks: Vec<FileInfo>) -> Granted<Vec<FileInfo>> {
        let held = self.gateway.options.ledger.locks(&self.repository)?;
        let (now, most) = (self.now(), self.gateway.options.locks_last);
        let mut left = Vec::with_capacity(locks.len());
        for lock in locks {
            let file = FileName::new(FileKind::Lock, lock.id);
            let Some(holder) = held.get(&lock.id) else {
                // Its time begins now.
                self.record(Act::Received, &file, lock.size, lock.id, UNKNOWN)?;
                left.push(lock);
                continue;
            };
            let age = now.duration_since(holder.at);
            if age.is_negative() || age.unsigned_abs() <= most {
                left.push(lock);
                continue;
            }
            self.backend.remove(&file)?;
            self.record(Act::Expired, &file, lock.size, lock.id, GATEWAY)?;
            meter::lock_expired();
        }
        Ok(left)
    }
}

/// The file is longer than files of its kind are.
pub(crate) fn too_long(kind: FileKind, limit: u64) -> Refusal {
    Refusal::new(http::StatusCode::PAYLOAD_TOO_LARGE, format!("a {kind} may have {limit} bytes here"))
}
