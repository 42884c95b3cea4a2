//! Storage whose listings show less than there is: that never decides what is deleted, nor what is called missing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use backend::{Backend, Class, Error, FileInfo, FileKind, FileName, Id, Part};
use repo::check::{CheckOptions, Problem, check};
use repo::progress::Silent;
use repo::prune::{MaxUnused, PruneOptions, PruneWhen};

use crate::workshop::{Files, Workshop, files, load};

const WAYS: [PruneWhen; 2] = [PruneWhen::Now, PruneWhen::Delayed(Duration::from_secs(48 * 3600))];

fn thorough(when: PruneWhen) -> PruneOptions {
    PruneOptions { max_unused: MaxUnused::Bytes(0), when, ..PruneOptions::default() }
}

/// How storage lies.
#[derive(Clone)]
enum Lie {
    /// Listings leave these out; asked for by name they are there.
    Hidden(BTreeSet<(FileKind, Id)>),
    /// "Not found" is the answer to everything but a look at keys and locks, and listings are empty.
    NothingThere,
    /// Reading these is answered with "not found".
    Denied(BTreeSet<(FileKind, Id)>),
    /// Listings of this kind fail.
    NoListing(FileKind),
}

/// Storage that tells the truth until it is told to lie.
struct Lying {
    inner: Arc<dyn Backend>,
    lie: Lie,
    is_lying: AtomicBool,
}

impl Lying {
    fn lies(&self) -> bool {
        self.is_lying.load(Ordering::SeqCst)
    }

    fn denies(&self, file: &FileName) -> bool {
        match &self.lie {
            Lie::Denied(denied) => self.lies() && denied.contains(&(file.kind, file.id)),
            Lie::NothingThere => self.lies() && !matches!(file.kind, FileKind::Lock | FileKind::Key),
            _ => false,
        }
    }
}

impl Backend for Lying {
    fn location(&self) -> String {
        "lying".into()
    }
    fn connections(&self) -> usize {
        3
    }
    fn create(&self) -> backend::Result<()> {
        self.inner.create()
    }
    fn list(&self, kind: FileKind) -> backend::Result<Vec<FileInfo>> {
        let mut listed = self.inner.list(kind)?;
        match &self.lie {
            _ if !self.lies() => {}
            Lie::Hidden(hidden) => listed.retain(|file| !hidden.contains(&(kind, file.id))),
            Lie::NothingThere if !matches!(kind, FileKind::Lock | FileKind::Key) => listed.clear(),
            Lie::NoListing(which) if *which == kind => {
                return Err(Error::new(Class::Permanent, "list", kind.directory(), "no answer"));
            }
            _ => {}
        }
        Ok(listed)
    }
    fn size(&self, file: &FileName) -> backend::Result<u64> {
        if self.denies(file) { Err(Error::not_found("read", file)) } else { self.inner.size(file) }
    }
    fn read(&self, file: &FileName, part: Part, into: &mut Vec<u8>) -> backend::Result<()> {
        if self.denies(file) { Err(Error::not_found("read", file)) } else { self.inner.read(file, part, into) }
    }
    fn write(&self, file: &FileName, content: &[u8]) -> backend::Result<()> {
        self.inner.write(file, content)
    }
    fn remove(&self, file: &FileName) -> backend::Result<()> {
        self.inner.remove(file)
    }
}

/// Three snapshots with something of their own each, and what they hold.
fn three_snapshots() -> (Workshop, Vec<(Id, Files)>) {
    let workshop = Workshop::new().with_cache();
    let save = |number: u32| {
        workshop.wait(1);
        let files = files(&[("a", &[1, 2, 10 + number]), ("d/b", &[20 + number])]);
        (workshop.save(&files), files)
    };
    let saved = (0..3).map(save).collect();
    (workshop, saved)
}

/// The repository is opened while the storage still tells the truth; then it is pruned.
fn prune_while_lying(workshop: &Workshop, lie: Lie, when: PruneWhen) -> repo::Result<()> {
    let lying = Arc::new(Lying { inner: Arc::clone(&workshop.storage), lie, is_lying: AtomicBool::new(false) });
    let repo = workshop.open_through(Arc::clone(&lying) as Arc<dyn Backend>)?;
    lying.is_lying.store(true, Ordering::SeqCst);
    let plan = repo::prune::plan_prune(&repo, &thorough(when), &Silent)?;
    repo::prune::execute(&repo, plan, &Silent).map(drop)
}

fn everything(workshop: &Workshop) -> Vec<Vec<Id>> {
    [FileKind::Snapshot, FileKind::Index, FileKind::Pack].map(|kind| workshop.list(kind)).to_vec()
}

fn assert_whole(workshop: &Workshop, saved: &[(Id, Files)]) {
    let repo = workshop.open();
    saved.iter().for_each(|(id, files)| assert_eq!(&load(&repo, *id).unwrap(), files));
    assert_eq!(workshop.check(), Vec::<String>::new());
}

/// F6: rclone once answered a failed listing of a bucket with "not found", which restic took for "no snapshots". Whichever
/// of the snapshots that this machine wrote is left out of the listing, nothing is pruned.
#[test]
fn a_listing_that_leaves_out_known_snapshots_prunes_nothing() {
    let (workshop, saved) = three_snapshots();
    let before = everything(&workshop);
    for when in WAYS {
        for which in 1..8u32 {
            let hidden = (0..3).filter(|at| which & (1 << at) != 0);
            let hidden = hidden.map(|at: usize| (FileKind::Snapshot, saved[at].0)).collect();
            let error = prune_while_lying(&workshop, Lie::Hidden(hidden), when).unwrap_err().to_string();
            assert!(error.contains("does not list it"), "{error}");
            assert_eq!(everything(&workshop), before);
        }
    }
    assert_whole(&workshop, &saved);
}

/// F6: also snapshots that another machine wrote are known once this one has pruned with them in sight.
#[test]
fn a_snapshot_that_an_earlier_prune_saw_is_missed() {
    let (writer, saved) = three_snapshots();
    let pruner = Workshop::sharing(&writer).with_cache();
    pruner.prune(&thorough(PruneWhen::Now));
    let before = everything(&pruner);
    let hidden = saved.iter().map(|(id, _)| (FileKind::Snapshot, *id)).collect();
    assert!(prune_while_lying(&pruner, Lie::Hidden(hidden), PruneWhen::Now).is_err());
    assert_eq!(everything(&pruner), before);
}

/// F6: storage that knows nothing of anything is broken, not empty.
#[test]
fn storage_that_denies_everything_prunes_nothing() {
    let (workshop, saved) = three_snapshots();
    for when in WAYS {
        let error = prune_while_lying(&workshop, Lie::NothingThere, when).unwrap_err().to_string();
        assert!(error.contains("but also the config"), "{error}");
    }
    assert_whole(&workshop, &saved);
}

/// F6: a snapshot that is listed, but "not found" when it is read, was not forgotten.
#[test]
fn a_snapshot_that_is_listed_and_then_denied_prunes_nothing() {
    let (workshop, saved) = three_snapshots();
    let stranger = Workshop::sharing(&workshop);
    let before = everything(&workshop);
    for when in WAYS {
        let denied = BTreeSet::from([(FileKind::Snapshot, saved[1].0)]);
        let error = prune_while_lying(&stranger, Lie::Denied(denied), when).unwrap_err().to_string();
        assert!(error.contains("vanished meanwhile"), "{error}");
        assert_eq!(everything(&workshop), before);
    }
    assert_whole(&workshop, &saved);
}

/// F6: a listing that fails is an error, of whatever kind of file.
#[test]
fn a_listing_that_fails_prunes_nothing() {
    let (workshop, saved) = three_snapshots();
    workshop.forget(saved[0].0);
    let before = everything(&workshop);
    for when in WAYS {
        for kind in [FileKind::Snapshot, FileKind::Index, FileKind::Pack] {
            assert!(prune_while_lying(&workshop, Lie::NoListing(kind), when).is_err());
            assert_eq!(everything(&workshop), before);
        }
    }
    assert_whole(&workshop, &saved[1..]);
}

#[test]
fn snapshots_that_somebody_else_forgot_do_not_stop_a_prune() {
    let (workshop, saved) = three_snapshots();
    workshop.forget(saved[0].0);
    workshop.prune(&thorough(PruneWhen::Now));
    workshop.forget(saved[1].0);
    workshop.prune(&thorough(PruneWhen::Now));
    assert_whole(&workshop, &saved[2..]);
}

/// F11: restic once built an index from a listing that showed files late, and dropped packs that were needed. A check asks
/// for a pack by name before it calls it missing.
#[test]
fn a_pack_that_a_listing_leaves_out_is_not_called_missing() {
    let (workshop, _) = three_snapshots();
    for pack in workshop.list(FileKind::Pack) {
        let inner = Arc::clone(&workshop.storage);
        let lie = Lie::Hidden(BTreeSet::from([(FileKind::Pack, pack)]));
        let lying = Arc::new(Lying { inner, lie, is_lying: AtomicBool::new(true) });
        let report = check(&workshop.open_through(lying).unwrap(), &CheckOptions::default(), &Silent).unwrap();
        assert!(report.is_good(), "{report:?}");
        assert!(
            report.hints.iter().any(|hint| matches!(hint, Problem::UnlistedPack { pack: named } if *named == pack))
        );
    }
}

/// F11: whatever pack or index file a listing leaves out, needed or not, a prune loses nothing by it.
#[test]
fn a_prune_by_stale_listings_loses_nothing() {
    for when in WAYS {
        let (workshop, saved) = three_snapshots();
        workshop.forget(saved[1].0);
        let all =
            [FileKind::Pack, FileKind::Index].map(|kind| workshop.list(kind).into_iter().map(move |id| (kind, id)));
        for stale in all.into_iter().flatten() {
            let outcome = prune_while_lying(&workshop, Lie::Hidden(BTreeSet::from([stale])), when);
            assert!(outcome.is_err(), "{stale:?} is there, and was called missing");
            assert_whole(&workshop, &[saved[0].clone(), saved[2].clone()]);
            workshop.wait(100);
        }
        workshop.prune(&thorough(when));
        assert_whole(&workshop, &[saved[0].clone(), saved[2].clone()]);
    }
}
