//! How much a repository may still take: its quota and its budgets of the day, with what is on its way counted in.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use backend::{Backend, FileKind};
use governor::clock::{Clock as _, DefaultClock};
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use http::StatusCode;
use jiff::Timestamp;
use parking_lot::Mutex;

use crate::refusal::{Granted, Refusal};
use crate::{Limits, RepositoryName, Today};

/// Index files and snapshots may go past a quota by so much, so that a backup whose packs were taken can end.
const TO_FINISH: u64 = 64 << 20;

/// A machine may have so many locks and keys at a time; restic looks at 20 keys at most.
const MOST_LOCKS: usize = 100;
const MOST_KEYS: usize = 8;

/// Requests that leave a line in the ledger, per second and at once. Locks and packs of an honest machine are far fewer.
const CHANGES_PER_SECOND: u32 = 50;
const CHANGES_AT_ONCE: u32 = 5000;

/// What repositories may still take.
#[derive(Default)]
pub(crate) struct Allowances(Mutex<HashMap<RepositoryName, Arc<Room>>>);

/// What is known of one repository.
pub(crate) struct Room {
    taken: Mutex<Taken>,
    changes: RateLimiter<NotKeyed, InMemoryState, DefaultClock>,
}

#[derive(Default)]
struct Taken {
    /// Stored bytes; `None` until they were counted, which only a quota needs.
    stored: Option<u64>,
    /// On its way.
    coming: Today,
}

/// Room that is kept for a file on its way; given back when it is dropped.
pub(crate) struct Reservation {
    room: Arc<Room>,
    kind: FileKind,
    bytes: u64,
}

impl Allowances {
    pub(crate) fn of(&self, repository: &RepositoryName) -> Arc<Room> {
        let mut rooms = self.0.lock();
        Arc::clone(rooms.entry(repository.clone()).or_insert_with(|| Arc::new(Room::new())))
    }
}

impl Room {
    fn new() -> Room {
        let number = |number| NonZeroU32::new(number).expect("not zero");
        let quota = Quota::per_second(number(CHANGES_PER_SECOND)).allow_burst(number(CHANGES_AT_ONCE));
        Room { taken: Mutex::default(), changes: RateLimiter::direct(quota) }
    }

    /// Counts a change; refuses where there are far more than backups make.
    pub(crate) fn change(&self) -> Granted<()> {
        self.changes.check().map_err(|refused| {
            let wait = refused.wait_time_from(DefaultClock::default().now());
            Refusal::later(StatusCode::TOO_MANY_REQUESTS, "too many changes", wait.as_secs() + 1)
        })
    }

    /// Keeps room for a file of `bytes`. `now` tells when the day ends.
    pub(crate) fn reserve(
        self: &Arc<Room>,
        file: (FileKind, u64),
        limits: &Limits,
        today: Today,
        now: Timestamp,
    ) -> Granted<Reservation> {
        let (kind, bytes) = file;
        let mut taken = self.taken.lock();
        let day = Today {
            bytes: today.bytes.saturating_add(taken.coming.bytes),
            snapshots: today.snapshots + taken.coming.snapshots,
        };
        taken.judge_quota(kind, bytes, limits)?;
        judge_day(kind, bytes, limits, day, now)?;
        taken.coming.add(kind, bytes);
        Ok(Reservation { room: Arc::clone(self), kind, bytes })
    }

    /// Counts what is stored, if a quota needs it and nobody did yet.
    pub(crate) fn take_stock(&self, backend: &dyn Backend, limits: &Limits) -> backend::Result<()> {
        if limits.stored_bytes.is_none() || self.taken.lock().stored.is_some() {
            return Ok(());
        }
        let mut stored = 0;
        for kind in FileKind::NAMED {
            match backend.list(kind) {
                Ok(files) => stored += files.iter().map(|file| file.size).sum::<u64>(),
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        self.taken.lock().stored.get_or_insert(stored);
        Ok(())
    }

    /// A file is gone.
    pub(crate) fn removed(&self, bytes: u64) {
        let mut taken = self.taken.lock();
        taken.stored = taken.stored.map(|stored| stored.saturating_sub(bytes));
    }
}

impl Taken {
    fn judge_quota(&self, kind: FileKind, bytes: u64, limits: &Limits) -> Granted<()> {
        let (Some(quota), Some(stored)) = (limits.stored_bytes, self.stored) else { return Ok(()) };
        let quota = match kind {
            FileKind::Pack => quota,
            _ => quota.saturating_add(TO_FINISH),
        };
        let after = stored.saturating_add(self.coming.bytes).saturating_add(bytes);
        if after <= quota {
            return Ok(());
        }
        let words = format!("this repository may have {quota} bytes and has {stored}: its quota is used up");
        Err(Refusal::new(StatusCode::INSUFFICIENT_STORAGE, words))
    }
}

/// Packs count against the day's bytes, snapshots against their number; locks and index files never wait for tomorrow.
fn judge_day(kind: FileKind, bytes: u64, limits: &Limits, day: Today, now: Timestamp) -> Granted<()> {
    let over = match (kind, limits) {
        (FileKind::Pack, Limits { daily_bytes: Some(most), .. }) => {
            (day.bytes.saturating_add(bytes) > *most).then(|| format!("{most} bytes"))
        }
        (FileKind::Snapshot, Limits { daily_snapshots: Some(most), .. }) => {
            (day.snapshots >= *most).then(|| format!("{most} snapshots"))
        }
        _ => None,
    };
    let tomorrow = 86_400 - now.as_second().rem_euclid(86_400);
    match over {
        None => Ok(()),
        Some(budget) => {
            let words = format!("this repository may receive {budget} a day (UTC), and today has them");
            Err(Refusal::later(StatusCode::TOO_MANY_REQUESTS, words, tomorrow as u64))
        }
    }
}

/// Refuses further locks or keys of a machine where there are more than it can need: both could shut it out.
pub(crate) fn judge_number(kind: FileKind, present: usize) -> Granted<()> {
    match kind {
        FileKind::Lock if present >= MOST_LOCKS => {
            Err(Refusal::later(StatusCode::TOO_MANY_REQUESTS, format!("there are {present} locks already"), 60))
        }
        FileKind::Key if present >= MOST_KEYS => {
            Err(Refusal::forbidden(format!("there are {present} keys already; only a keeper can add more")))
        }
        _ => Ok(()),
    }
}

impl Reservation {
    /// The file has only so many bytes.
    pub(crate) fn shrink(&mut self, bytes: u64) {
        let less = self.bytes.saturating_sub(bytes);
        self.bytes -= less;
        let mut taken = self.room.taken.lock();
        taken.coming.bytes = taken.coming.bytes.saturating_sub(less);
    }

    /// The file is stored.
    pub(crate) fn stored(self) {
        let mut taken = self.room.taken.lock();
        taken.stored = taken.stored.map(|stored| stored.saturating_add(self.bytes));
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut taken = self.room.taken.lock();
        taken.coming.bytes = taken.coming.bytes.saturating_sub(self.bytes);
        taken.coming.snapshots -= u64::from(self.kind == FileKind::Snapshot && taken.coming.snapshots > 0);
    }
}

#[cfg(test)]
mod tests {
    use backend::{FileName, Id, Memory};

    use super::*;

    const PACK: FileKind = FileKind::Pack;
    const NOON: Timestamp = Timestamp::constant(1_700_049_600, 0);

    fn limits(stored: u64, daily: u64, snapshots: u64) -> Limits {
        Limits { stored_bytes: Some(stored), daily_bytes: Some(daily), daily_snapshots: Some(snapshots) }
    }

    fn room_with(stored: &[u8]) -> Arc<Room> {
        let backend = Memory::new();
        backend.create().unwrap();
        backend.write(&FileName::new(PACK, Id::of(stored)), stored).unwrap();
        let room = Arc::new(Room::new());
        room.take_stock(&backend, &limits(0, 0, 0)).unwrap();
        room
    }

    #[test]
    fn what_is_on_its_way_counts_until_it_is_dropped() {
        let room = room_with(&[0; 400]);
        let limits = limits(1000, u64::MAX, 1);
        let reserve = |bytes| room.reserve((PACK, bytes), &limits, Today::default(), NOON);
        let first = reserve(300).unwrap();
        let second = reserve(300).unwrap();
        assert_eq!(reserve(1).err().unwrap().status, StatusCode::INSUFFICIENT_STORAGE);
        drop(first);
        second.stored();
        assert!(reserve(301).is_err());
        reserve(300).unwrap();
        room.removed(100);
        reserve(400).unwrap();
    }

    #[test]
    fn a_full_repository_can_still_be_locked_and_finished() {
        let room = room_with(&[0; 400]);
        let limits = limits(400, 0, 1);
        for kind in [FileKind::Lock, FileKind::Index, FileKind::Snapshot] {
            assert!(room.reserve((kind, 1000), &limits, Today::default(), NOON).is_ok(), "{kind}");
        }
        assert!(room.reserve((PACK, 1), &limits, Today::default(), NOON).is_err());
    }

    #[test]
    fn a_budget_that_is_used_up_tells_when_the_day_ends() {
        let room = room_with(b"");
        let limits = limits(u64::MAX, 1000, 2);
        let today = Today { bytes: 900, snapshots: 2 };
        let over = |kind, bytes| room.reserve((kind, bytes), &limits, today, NOON).err();
        let refusal = over(PACK, 101).unwrap();
        assert_eq!((refusal.status, refusal.retry_after), (StatusCode::TOO_MANY_REQUESTS, Some(43_200)));
        assert_eq!(over(PACK, 100), None);
        assert!(over(FileKind::Snapshot, 1).is_some());
    }

    #[test]
    fn two_snapshots_at_once_do_not_pass_a_budget_of_one() {
        let room = room_with(b"");
        let limits = limits(u64::MAX, u64::MAX, 1);
        let reserve = || room.reserve((FileKind::Snapshot, 1), &limits, Today::default(), NOON);
        let first = reserve().unwrap();
        assert!(reserve().is_err());
        drop(first);
        assert!(reserve().is_ok());
    }
}
