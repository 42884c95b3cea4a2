//! The power goes off at every single operation of a prune, a forget and a copy: nothing is lost, and the next run finishes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use backend::{Backend, FileInfo, FileKind, FileName, Id, Memory, Part};
use repo::forget::{ForgetOptions, ForgetPlan};
use repo::progress::Silent;
use repo::prune::{self, MaxUnused, PruneOptions, PruneWhen};
use repo::retention::{Policy, Quota};
use testkit::faulty_backend::{Counted, Fault, FaultyBackend};

use crate::workshop::{Files, Workshop, files, load};

/// Every file of a storage, to begin again from.
struct Picture(Vec<(FileName, Vec<u8>)>);

const KINDS: [FileKind; 5] = [FileKind::Key, FileKind::Lock, FileKind::Snapshot, FileKind::Index, FileKind::Pack];

impl Picture {
    fn of(storage: &dyn Backend) -> Picture {
        let named = KINDS.into_iter().flat_map(|kind| {
            let list: Vec<FileInfo> = storage.list(kind).unwrap();
            list.into_iter().map(move |file| FileName::new(kind, file.id))
        });
        let read = |name: FileName| {
            let mut bytes = Vec::new();
            storage.read(&name, Part::Whole, &mut bytes).unwrap();
            (name, bytes)
        };
        Picture(named.chain([FileName::CONFIG]).map(read).collect())
    }

    fn restored(&self) -> Arc<dyn Backend> {
        let storage = Memory::new();
        storage.create().unwrap();
        self.0.iter().for_each(|(name, bytes)| storage.write(name, bytes).unwrap());
        Arc::new(storage)
    }
}

/// A repository with used, unused, duplicate and orphaned things in it, and what must read back.
fn well_used() -> (Workshop, BTreeMap<Id, Files>) {
    let workshop = Workshop::new().with_cache();
    let mut live = BTreeMap::new();
    for number in 0..6u32 {
        let files =
            files(&[("a", &[number, number + 1]), ("d/b", &[10 + number % 3, 20 + number]), ("d/e/c", &[30 + number])]);
        let id = workshop.save(&files);
        workshop.wait(1);
        match number % 3 {
            0 => workshop.forget(id),
            _ => drop(live.insert(id, files)),
        }
    }
    let orphan = workshop.bytes(FileName::new(FileKind::Pack, workshop.list(FileKind::Pack)[0]));
    let cut = &orphan[..orphan.len() / 2];
    workshop.storage.write(&FileName::new(FileKind::Pack, Id::of(cut)), cut).unwrap();
    (workshop, live)
}

fn options(when: PruneWhen) -> PruneOptions {
    PruneOptions { max_unused: MaxUnused::Bytes(0), when, ..PruneOptions::default() }
}

fn prune_through(workshop: &Workshop, backend: Arc<dyn Backend>, options: &PruneOptions) -> repo::Result<()> {
    let repo = workshop.open_through(backend)?;
    let plan = prune::plan_prune(&repo, options, &Silent)?;
    let outcome = prune::execute(&repo, plan, &Silent)?;
    match outcome.not_removed.into_iter().next() {
        Some((_, error)) => Err(error.into()),
        None => Ok(()),
    }
}

/// Cuts the power after 0, 1, 2 … operations until a run gets through.
fn interrupt_everywhere(when: PruneWhen, hours_before: i64) {
    for (counted, fault) in [(Counted::All, Fault::NotDone), (Counted::Changes, Fault::AnswerLost)] {
        let (mut workshop, live) = well_used();
        if hours_before > 0 {
            workshop.prune(&options(when));
            workshop.wait(hours_before);
        }
        let picture = Picture::of(&*workshop.storage);
        let mut interrupted = 0;
        for good in 0.. {
            workshop.storage = picture.restored();
            let faulty = Arc::new(FaultyBackend::new(Arc::clone(&workshop.storage), counted, fault, good));
            let outcome = prune_through(&workshop, faulty, &options(when));
            everything_is_there(&workshop, &live, good);
            if outcome.is_ok() {
                break;
            }
            interrupted += 1;
            workshop.prune(&options(when));
            everything_is_there(&workshop, &live, good);
        }
        assert!(interrupted > 4, "only {interrupted} operations were interrupted");
    }
}

fn everything_is_there(workshop: &Workshop, live: &BTreeMap<Id, Files>, good: u64) {
    assert_eq!(workshop.check(), Vec::<String>::new(), "power off after {good} operations");
    let repo = workshop.open();
    for (id, files) in live {
        assert_eq!(&load(&repo, *id).unwrap(), files, "power off after {good} operations");
    }
}

/// F26: Borg's interrupted compaction left a cache that named what was deleted. This machine has a cache all the time.
#[test]
fn a_prune_may_be_interrupted_anywhere() {
    interrupt_everywhere(PruneWhen::Now, 0);
}

#[test]
fn marking_may_be_interrupted_anywhere() {
    interrupt_everywhere(PruneWhen::Delayed(Duration::from_secs(3600)), 0);
}

#[test]
fn sweeping_may_be_interrupted_anywhere() {
    interrupt_everywhere(PruneWhen::Delayed(Duration::from_secs(3600)), 2);
}

/// Keeps two; forgets nothing if there are no more.
fn forget_through(workshop: &Workshop, backend: Arc<dyn Backend>) -> repo::Result<()> {
    let repo = workshop.open_through(backend)?;
    let options =
        ForgetOptions { policy: Policy { last: Quota::Count(2), ..Policy::default() }, ..ForgetOptions::default() };
    let all = repo.snapshots()?;
    match all.damaged.into_iter().next() {
        Some((_, error)) => Err(error),
        None => ForgetPlan::by_policy(all.all, &options, repo.clock().now())?.execute(&repo, &|_| {}),
    }
}

#[test]
fn a_forget_may_be_interrupted_anywhere() {
    for (counted, fault) in [(Counted::All, Fault::NotDone), (Counted::Changes, Fault::AnswerLost)] {
        let (mut workshop, mut live) = well_used();
        let picture = Picture::of(&*workshop.storage);
        let newest_two: Vec<Id> =
            workshop.open().snapshots().unwrap().all.into_iter().rev().take(2).map(|(id, _)| id).collect();
        let goes = live.len() - 2;
        live.retain(|id, _| newest_two.contains(id));
        let mut interrupted = 0;
        for good in 0.. {
            workshop.storage = picture.restored();
            let faulty = Arc::new(FaultyBackend::new(Arc::clone(&workshop.storage), counted, fault, good));
            let outcome = forget_through(&workshop, faulty);
            // Those that were to go are there as a whole or not at all; those that were to stay are there.
            everything_is_there(&workshop, &live, good);
            if outcome.is_ok() {
                break;
            }
            interrupted += 1;
            forget_through(&workshop, Arc::clone(&workshop.storage)).unwrap();
            assert_eq!(workshop.list(FileKind::Snapshot).len(), 2, "power off after {good} operations");
            everything_is_there(&workshop, &live, good);
        }
        assert!(interrupted >= goes, "only {interrupted} operations were interrupted");
        workshop.prune(&options(PruneWhen::Now));
        everything_is_there(&workshop, &live, u64::MAX);
    }
}

#[test]
fn a_copy_may_be_interrupted_anywhere_and_goes_on_from_there() {
    let (source, live) = well_used();
    let from = source.open();
    for good in 0.. {
        let target = Workshop::new();
        let faulty = FaultyBackend::new(Arc::clone(&target.storage), Counted::All, Fault::NotDone, good);
        let outcome = target
            .open_through(Arc::new(faulty))
            .and_then(|to| repo::copy::copy(&from, &to, from.snapshots()?.all, &mut |_, _| {}, &Silent));
        assert_eq!(target.check(), Vec::<String>::new(), "power off after {good} operations");
        let rest = repo::copy::copy(&from, &target.open(), from.snapshots().unwrap().all, &mut |_, _| {}, &Silent);
        let rest = rest.unwrap();
        assert_eq!(rest.snapshots + rest.skipped, live.len() as u64);
        assert_eq!(target.open().snapshots().unwrap().all.len(), live.len(), "no snapshot twice");
        assert_eq!(target.check(), Vec::<String>::new());
        if outcome.is_ok() {
            assert!(good > 5);
            break;
        }
    }
}
