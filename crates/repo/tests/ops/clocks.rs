//! Clocks that are wrong, jump or contradict each other, and files whose times mean nothing: none of that decides what
//! is deleted.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use backend::{FileKind, Local};
use repo::lock::{self, Lock, LockKind, LockOptions, LockOwner};
use repo::prune::{MaxUnused, PruneOptions, PruneOutcome, PruneWhen};

use crate::workshop::{Workshop, files, load, snapshot};

/// Hours by which a clock is wrong.
const WRONG: [i64; 6] = [-24, 24, -1, 1, -24 * 365 * 10, 24 * 365 * 10];

const TWO_DAYS: PruneOptions = PruneOptions {
    max_unused: MaxUnused::Bytes(0),
    max_repack: None,
    repack_cacheable_only: false,
    repack_uncompressed: false,
    repack_smaller_than: None,
    when: PruneWhen::Delayed(Duration::from_secs(48 * 3600)),
};

/// F30: kopia deletes what it needs when clocks differ. Here the machine that marks has a wrong clock, so that its marks
/// look old or young: a writer that relies on what was marked keeps it all the same.
#[test]
fn marks_of_a_machine_with_a_wrong_clock_sweep_nothing_that_a_writer_needs() {
    for hours in WRONG {
        let workshop = Workshop::new();
        let list = files(&[("a", &[1, 2]), ("d/b", &[3])]);
        let old = workshop.save(&list);
        let writer = workshop.open();
        let lock = workshop.lock(&writer, LockKind::Shared);
        writer.load_index().unwrap();
        workshop.forget(old);
        Workshop::sharing(&workshop).with_clock_off_by(hours).prune(&TWO_DAYS);
        assert_eq!(workshop.prune(&TWO_DAYS).removed_packs, 0, "a clock off by {hours} hours");
        let new = workshop.save_with(&writer, &list);
        drop(lock);
        workshop.prune(&TWO_DAYS);
        workshop.wait(100);
        workshop.prune(&TWO_DAYS);
        assert_eq!(load(&workshop.open(), new).unwrap(), list, "a clock off by {hours} hours");
        assert_eq!(workshop.check(), Vec::<String>::new());
    }
}

/// F30: the pruner's clock jumps by years between marking and sweeping, while a writer is at work whose own clock is wrong.
#[test]
fn a_clock_that_jumps_between_marking_and_sweeping_sweeps_nothing_that_a_writer_needs() {
    for (writers, jump) in WRONG.into_iter().flat_map(|writers| [(writers, 24), (writers, 24 * 365 * 30)]) {
        let pruner = Workshop::new();
        let list = files(&[("a", &[1, 2])]);
        let old = pruner.save(&list);
        let writer = Workshop::sharing(&pruner).with_clock_off_by(writers);
        let at_work = writer.open();
        let lock = writer.lock(&at_work, LockKind::Shared);
        at_work.load_index().unwrap();
        pruner.forget(old);
        pruner.prune(&TWO_DAYS);
        pruner.wait(jump);
        assert_eq!(pruner.prune(&TWO_DAYS).removed_packs, 0);
        let new = writer.save_with(&at_work, &list);
        drop(lock);
        pruner.prune(&TWO_DAYS);
        assert_eq!(load(&pruner.open(), new).unwrap(), list);
    }
}

/// F30: a lock is respected however old or young its time makes it look. Only `unlock` goes by the time; a writer whose
/// lock it removed writes no snapshot.
#[test]
fn locks_count_whatever_their_time_says() {
    for hours in WRONG {
        let right = Workshop::new();
        let list = files(&[("a", &[1])]);
        let old = right.save(&list);
        let wrong = Workshop::sharing(&right).with_clock_off_by(hours);
        let writer = wrong.open();
        let _lock = wrong.lock(&writer, LockKind::Shared);
        writer.load_index().unwrap();
        let root = writer.read_snapshot(&old).unwrap().tree;
        let other = LockOwner::this_process("elsewhere", "somebody");
        let exclusive = LockOptions { kind: LockKind::Exclusive, owner: other.clone(), wait: Duration::ZERO };
        let pruner = right.open();
        let refused = Lock::acquire(&pruner, &exclusive).err();
        assert!(matches!(refused, Some(repo::Error::Locked { .. })), "a clock off by {hours} hours: {refused:?}");
        let removed = lock::remove_stale(&pruner, &other).unwrap();
        assert_eq!(removed, usize::from(hours < 0), "a clock off by {hours} hours");
        let outcome = writer.write_snapshot(&snapshot(root, "2026-11-22T12:00:00Z"));
        assert_eq!(matches!(outcome, Err(repo::Error::LockLost(_))), hours < 0, "{outcome:?}");
    }
}

/// What one repository's life removed and left.
fn life(touch: impl Fn(&Path)) -> Vec<(u64, u64, usize)> {
    let room = tempfile::tempdir().unwrap();
    let workshop = Workshop::on(Arc::new(Local::new(room.path().join("repo"), 2)), 2);
    let mut story = Vec::new();
    let mut note = |outcome: PruneOutcome| {
        touch(room.path());
        story.push((outcome.removed_packs, outcome.marked_packs, workshop.list(FileKind::Pack).len()));
    };
    let (old, kept) = (files(&[("a", &[1, 2])]), files(&[("b", &[3, 4])]));
    let gone = workshop.save(&old);
    touch(room.path());
    let stays = workshop.save(&kept);
    touch(room.path());
    note(workshop.prune(&TWO_DAYS));
    workshop.forget(gone);
    note(workshop.prune(&TWO_DAYS));
    workshop.wait(1);
    note(workshop.prune(&TWO_DAYS));
    workshop.wait(100);
    note(workshop.prune(&TWO_DAYS));
    note(workshop.prune(&PruneOptions { when: PruneWhen::Now, ..TWO_DAYS }));
    assert_eq!(load(&workshop.open(), stays).unwrap(), kept);
    assert_eq!(workshop.check(), Vec::<String>::new());
    story
}

/// Gives every file below a folder this time of reading and writing.
fn set_times(folder: &Path, time: SystemTime) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            set_times(&path, time);
        } else {
            let times = std::fs::FileTimes::new().set_accessed(time).set_modified(time);
            std::fs::File::open(&path).unwrap().set_times(times).unwrap();
        }
    }
}

/// F32: Proxmox' backup server took the time of last access for proof of use, on file systems that did not keep it. The
/// times of a repository's files decide nothing here.
#[test]
fn the_times_of_files_change_nothing() {
    let untouched = life(|_| {});
    assert!(untouched.iter().any(|(removed, ..)| *removed > 0), "something was swept: {untouched:?}");
    assert_eq!(life(|room| set_times(room, SystemTime::UNIX_EPOCH)), untouched);
    let far = SystemTime::UNIX_EPOCH + Duration::from_secs(200 * 365 * 86_400);
    assert_eq!(life(|room| set_times(room, far)), untouched);
}
