//! Pruning beside other writers, and what it refuses.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use backend::{Backend, FileKind, FileName, Id};
use repo::index::{IndexFile, IndexPack};
use repo::lock::LockKind;
use repo::pack::PackedBlob;
use repo::progress::Silent;
use repo::prune::{self, MaxUnused, PruneOptions, PruneWhen};
use repo::{BlobKind, Repository};

use crate::workshop::{Workshop, files, load};

const TWO_DAYS: PruneWhen = PruneWhen::Delayed(Duration::from_secs(48 * 3600));

fn thorough(when: PruneWhen) -> PruneOptions {
    PruneOptions { max_unused: MaxUnused::Bytes(0), when, ..PruneOptions::default() }
}

#[test]
fn what_no_snapshot_uses_is_gone_and_the_rest_is_there() {
    let workshop = Workshop::new();
    let old = workshop.save(&files(&[("a", &[1, 2]), ("b", &[3])]));
    let kept_files = files(&[("a", &[1, 9])]);
    let kept = workshop.save(&kept_files);
    workshop.forget(old);
    let repo = workshop.open();
    let plan = prune::plan_prune(&repo, &thorough(PruneWhen::Now), &Silent).unwrap();
    assert_eq!(
        (plan.stats.blobs.used, plan.stats.blobs.unused),
        (3, 3),
        "two chunks and a tree; two chunks and a tree"
    );
    assert_eq!(plan.stats.blobs.remaining, 3);
    prune::execute(&repo, plan, &Silent).unwrap();
    assert_eq!(load(&workshop.open(), kept).unwrap(), kept_files);
    assert_eq!(workshop.check(), Vec::<String>::new());
    assert!(prune::plan_prune(&workshop.open(), &thorough(PruneWhen::Now), &Silent).unwrap().is_empty());
}

#[test]
fn five_percent_unused_is_tolerated_by_default() {
    let workshop = Workshop::new();
    let many: Vec<u32> = (0..55).collect();
    workshop.save(&files(&[("a", &many)]));
    let other = workshop.save(&files(&[("a", &many), ("b", &[57])]));
    workshop.forget(other);
    let plan = prune::plan_prune(&workshop.open(), &PruneOptions::default(), &Silent).unwrap();
    assert!(plan.repack.is_empty(), "the unused pack goes, nothing is copied: {plan:?}");
    assert_eq!(plan.remove.len(), 2);
}

#[test]
fn a_forgotten_snapshot_that_is_still_there_can_be_left_out_of_a_plan() {
    let workshop = Workshop::new();
    let old = workshop.save(&files(&[("a", &[1])]));
    workshop.save(&files(&[("a", &[2])]));
    let plan =
        prune::plan_without(&workshop.open(), &thorough(PruneWhen::Now), &HashSet::from([old]), &Silent).unwrap();
    assert_eq!(plan.remove.len(), 2);
}

#[test]
fn without_snapshots_everything_goes_and_the_plan_says_so() {
    let workshop = Workshop::new();
    let only = workshop.save(&files(&[("a", &[1])]));
    workshop.forget(only);
    let repo = workshop.open();
    let plan = prune::plan_prune(&repo, &thorough(PruneWhen::Now), &Silent).unwrap();
    assert_eq!(plan.snapshots, 0);
    prune::execute(&repo, plan, &Silent).unwrap();
    assert_eq!(workshop.list(FileKind::Pack), []);
    assert_eq!(workshop.list(FileKind::Index), []);
}

#[test]
fn a_snapshot_that_cannot_be_read_stops_a_prune() {
    let workshop = Workshop::new();
    let id = workshop.save(&files(&[("a", &[1])]));
    workshop.overwrite(FileName::new(FileKind::Snapshot, id), b"rubbish");
    assert!(workshop.try_prune(&thorough(PruneWhen::Now)).is_err());
    assert_eq!(workshop.list(FileKind::Pack).len(), 2);
}

#[test]
fn a_missing_or_cut_pack_that_is_needed_stops_a_prune() {
    for cut in [None, Some(10)] {
        let workshop = Workshop::new();
        workshop.save(&files(&[("a", &[1, 3, 5])]));
        for id in workshop.list(FileKind::Pack) {
            let name = FileName::new(FileKind::Pack, id);
            let bytes = workshop.bytes(name);
            match cut {
                None => workshop.storage.remove(&name).unwrap(),
                Some(cut) => workshop.overwrite(name, &bytes[..bytes.len() - cut]),
            }
            assert!(workshop.try_prune(&thorough(PruneWhen::Now)).is_err());
            workshop.storage.remove(&name).unwrap();
            workshop.storage.write(&name, &bytes).unwrap();
        }
        workshop.prune(&thorough(PruneWhen::Now));
    }
}

#[test]
fn a_missing_pack_that_nobody_needs_is_forgotten() {
    let workshop = Workshop::new();
    let old = workshop.save(&files(&[("a", &[1])]));
    let lost = workshop.list(FileKind::Pack);
    workshop.save(&files(&[("a", &[2])]));
    workshop.forget(old);
    lost.iter().for_each(|id| workshop.storage.remove(&FileName::new(FileKind::Pack, *id)).unwrap());
    workshop.prune(&thorough(PruneWhen::Now));
    assert_eq!(workshop.check(), Vec::<String>::new());
}

#[test]
fn a_snapshot_that_came_after_the_plan_stops_an_immediate_prune() {
    let workshop = Workshop::new();
    let old = workshop.save(&files(&[("a", &[1])]));
    workshop.forget(old);
    let repo = workshop.open();
    let plan = prune::plan_prune(&repo, &thorough(PruneWhen::Now), &Silent).unwrap();
    let new_files = files(&[("a", &[1])]);
    let new = workshop.save(&new_files);
    assert!(prune::execute(&repo, plan, &Silent).unwrap_err().to_string().contains("came since"));
    assert_eq!(load(&workshop.open(), new).unwrap(), new_files);
}

/// F1: rustic packed one blob several times, counted it as unused, and marked the pack that was needed.
#[test]
fn f1_a_pack_with_the_same_blob_many_times_keeps_it() {
    let workshop = Workshop::new();
    let repo = workshop.open();
    let tree = crate::workshop::store(&repo, &files(&[("a", &[4, 4, 4])]));
    let id = workshop.write_snapshot(&repo, tree, "2026-11-22T12:00:00Z");
    // The same sealed bytes three times in one pack, as rustic 0.4 wrote.
    let writer = repo::writer::BlobWriter::new(&repo);
    let mut scratch = writer.scratch();
    for _ in 0..3 {
        writer.store_again(BlobKind::Data, &crate::workshop::chunk(4), &mut scratch).unwrap();
    }
    writer.finish().unwrap();
    for when in [TWO_DAYS, PruneWhen::Now] {
        workshop.prune(&thorough(when));
        assert_eq!(load(&workshop.open(), id).unwrap(), files(&[("a", &[4, 4, 4])]));
        assert_eq!(workshop.check(), Vec::<String>::new());
    }
    assert_eq!(data_blobs(&workshop.open()), 1);
}

fn data_blobs(repo: &Repository) -> usize {
    let mut count = 0;
    let mut add =
        |_: &Id, blobs: &[PackedBlob]| count += blobs.iter().filter(|b| b.blob.kind == BlobKind::Data).count();
    repo.index().unwrap().for_each_pack(&mut add).unwrap();
    count
}

/// Replaces all index files by these.
fn set_index(workshop: &Workshop, files: Vec<IndexFile>) {
    let repo = workshop.open();
    let old = workshop.list(FileKind::Index);
    for file in &files {
        repo.write_index_file(file).unwrap();
    }
    let new: Vec<Id> = workshop.list(FileKind::Index).into_iter().filter(|id| !old.contains(id)).collect();
    assert_eq!(new.len(), files.len());
    old.iter().for_each(|id| workshop.storage.remove(&FileName::new(FileKind::Index, *id)).unwrap());
}

fn all_packs(workshop: &Workshop) -> Vec<IndexPack> {
    let repo = workshop.open();
    let ids = workshop.list(FileKind::Index);
    ids.iter().flat_map(|id| repo.read_index_file(id).unwrap().packs).collect()
}

fn index_of(packs: Vec<IndexPack>) -> IndexFile {
    IndexFile { packs, ..IndexFile::default() }
}

/// F13: restic took the second half of a pack's entries for a repetition of the first, and lost it.
#[test]
fn f13_a_pack_that_is_split_over_two_index_files_keeps_both_halves() {
    let workshop = Workshop::new();
    let kept_files = files(&[("a", &[1, 3, 5, 7])]);
    let kept = workshop.save(&kept_files);
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for pack in all_packs(&workshop) {
        let (head, tail) = pack.blobs.split_at(pack.blobs.len() / 2);
        first.push(IndexPack { blobs: tail.to_vec(), ..pack.clone() });
        second.push(IndexPack { blobs: head.to_vec(), ..pack.clone() });
    }
    first.retain(|pack| !pack.blobs.is_empty());
    second.retain(|pack| !pack.blobs.is_empty());
    set_index(&workshop, vec![index_of(first), index_of(second)]);
    assert_eq!(workshop.check(), Vec::<String>::new(), "the halves are complete together");
    let gone = workshop.save(&files(&[("b", &[8])]));
    workshop.forget(gone);
    for when in [TWO_DAYS, PruneWhen::Now] {
        workshop.prune(&thorough(when));
        assert_eq!(load(&workshop.open(), kept).unwrap(), kept_files);
    }
    assert_eq!(workshop.check(), Vec::<String>::new());
}

/// F13: what really is a repetition goes.
#[test]
fn f13_a_pack_that_is_listed_twice_is_listed_once_afterwards() {
    let workshop = Workshop::new();
    let kept_files = files(&[("a", &[1, 3, 5, 7])]);
    let kept = workshop.save(&kept_files);
    let packs = all_packs(&workshop);
    let once = packs.len();
    set_index(&workshop, vec![index_of([packs.clone(), packs.clone()].concat()), index_of(packs)]);
    let gone = workshop.save(&files(&[("b", &[8])]));
    workshop.forget(gone);
    workshop.prune(&thorough(PruneWhen::Now));
    assert_eq!(all_packs(&workshop).len(), once);
    assert_eq!(load(&workshop.open(), kept).unwrap(), kept_files);
}

#[test]
fn an_entry_with_blobs_that_the_pack_does_not_hold_stops_a_prune() {
    let workshop = Workshop::new();
    workshop.save(&files(&[("a", &[1, 3])]));
    let mut packs = all_packs(&workshop);
    let lies: Vec<IndexPack> = packs
        .iter_mut()
        .map(|pack| {
            let mut blob = pack.blobs[0];
            blob.blob.id = Id::of(b"not there");
            blob.offset += 1;
            IndexPack { blobs: vec![blob], ..pack.clone() }
        })
        .collect();
    set_index(&workshop, vec![index_of(packs), index_of(lies)]);
    assert!(workshop.try_prune(&thorough(PruneWhen::Now)).unwrap_err().to_string().contains("nothing was pruned"));
}

#[test]
fn a_delayed_prune_removes_nothing_before_its_time() {
    let workshop = Workshop::new().with_cache();
    let old = workshop.save(&files(&[("a", &[1])]));
    workshop.save(&files(&[("a", &[2])]));
    workshop.forget(old);
    let before = workshop.list(FileKind::Pack);
    assert_eq!(workshop.prune(&thorough(TWO_DAYS)).marked_packs, 2);
    assert_eq!(workshop.list(FileKind::Pack), before);
    workshop.wait(47);
    assert_eq!(workshop.prune(&thorough(TWO_DAYS)).removed_packs, 0);
    workshop.wait(2);
    assert_eq!(workshop.prune(&thorough(TWO_DAYS)).removed_packs, 2);
    assert_eq!(workshop.list(FileKind::Pack).len(), 2);
    assert_eq!(workshop.check(), Vec::<String>::new());
}

#[test]
fn an_immediate_prune_takes_what_a_delayed_one_marked() {
    let workshop = Workshop::new();
    let old = workshop.save(&files(&[("a", &[1])]));
    workshop.forget(old);
    workshop.prune(&thorough(TWO_DAYS));
    assert_eq!(workshop.prune(&thorough(PruneWhen::Now)).removed_packs, 2);
    assert_eq!(workshop.list(FileKind::Index), []);
}

/// A keeper pruned while a long backup went on, or one that was interrupted was taken up again: its snapshot named blobs that
/// no index knew, and a drill failed until the next day's run took them back.
#[test]
fn what_a_backup_that_goes_on_has_stored_stays_in_the_index() {
    let workshop = Workshop::new();
    workshop.save(&files(&[("a", &[1])]));
    let new = files(&[("a", &[1]), ("b", &[2, 3])]);
    let writer = workshop.open();
    let lock = workshop.lock(&writer, LockKind::Shared);
    let tree = crate::workshop::store(&writer, &new);
    let plan = prune::plan_prune(&workshop.open(), &thorough(TWO_DAYS), &Silent).unwrap();
    assert!(plan.is_empty() && plan.held_back > 0, "{plan:?}");
    assert_eq!(workshop.prune(&thorough(TWO_DAYS)).marked_packs, 0);
    workshop.write_snapshot(&writer, tree, "2026-11-23T12:00:00Z");
    drop(lock);
    assert_eq!(workshop.check(), Vec::<String>::new());
    assert_eq!(workshop.prune(&thorough(TWO_DAYS)).marked_packs, 0, "it is all in use now");
}

/// F3: somebody prunes beside a writer that stands still.
#[test]
fn f3_a_writer_that_slept_through_marking_and_delay_loses_nothing() {
    let workshop = Workshop::new();
    let shared = files(&[("a", &[1, 2]), ("d/b", &[3])]);
    let old = workshop.save(&shared);
    // The writer has its lock and the index, then its laptop is closed.
    let writer = workshop.open();
    let lock = workshop.lock(&writer, LockKind::Shared);
    writer.load_index().unwrap();
    workshop.forget(old);
    workshop.prune(&thorough(TWO_DAYS));
    workshop.wait(100);
    let outcome = workshop.prune(&thorough(TWO_DAYS));
    assert_eq!(outcome.removed_packs, 0, "its lock file is still there");
    // It wakes, finds everything in its index, and writes only the snapshot.
    let new = workshop.save_with(&writer, &shared);
    drop(lock);
    workshop.wait(100);
    let outcome = workshop.prune(&thorough(TWO_DAYS));
    assert_eq!(outcome.removed_packs, 0, "taken back");
    assert_eq!(load(&workshop.open(), new).unwrap(), shared);
    assert_eq!(workshop.check(), Vec::<String>::new());
}

/// F3: the same by force: the writer notices.
#[test]
fn f3_a_writer_whose_lock_was_removed_while_it_slept_writes_no_snapshot() {
    let workshop = Workshop::new();
    let shared = files(&[("a", &[1, 2])]);
    let old = workshop.save(&shared);
    let writer = workshop.open();
    let _lock = workshop.lock(&writer, LockKind::Shared);
    writer.load_index().unwrap();
    let root = writer.read_snapshot(&old).unwrap().tree;
    workshop.forget(old);
    repo::lock::remove_all(&workshop.open()).unwrap();
    workshop.prune(&thorough(PruneWhen::Now));
    let outcome = writer.write_snapshot(&crate::workshop::snapshot(root, "2026-11-22T12:00:00Z"));
    assert!(matches!(outcome, Err(repo::Error::LockLost(_))), "{outcome:?}");
}

/// F31, F35: packs that no index names may be those of a backup that is under way, however long that takes.
#[test]
fn f31_f35_packs_of_a_writer_that_has_not_stored_its_index_yet_stay() {
    let workshop = Workshop::new();
    let writer = workshop.open();
    let lock = workshop.lock(&writer, LockKind::Shared);
    let list = files(&[("a", &[1, 2])]);
    let tree = crate::workshop::store(&writer, &list);
    // As though its index were not written yet.
    let packs = all_packs(&workshop);
    workshop
        .list(FileKind::Index)
        .iter()
        .for_each(|id| workshop.storage.remove(&FileName::new(FileKind::Index, *id)).unwrap());
    workshop.prune(&thorough(TWO_DAYS));
    workshop.wait(100);
    assert_eq!(workshop.prune(&thorough(TWO_DAYS)).removed_packs, 0);
    writer.write_index_file(&index_of(packs)).unwrap();
    let id = workshop.write_snapshot(&writer, tree, "2026-11-22T12:00:00Z");
    drop(lock);
    workshop.wait(100);
    workshop.prune(&thorough(TWO_DAYS));
    assert_eq!(load(&workshop.open(), id).unwrap(), list);
    assert_eq!(workshop.check(), Vec::<String>::new());
}

/// Does something once, right after snapshots were listed for the first time.
struct AfterListing {
    inner: Arc<dyn Backend>,
    then: parking_lot::Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Backend for AfterListing {
    fn location(&self) -> String {
        self.inner.location()
    }
    fn connections(&self) -> usize {
        self.inner.connections()
    }
    fn create(&self) -> backend::Result<()> {
        self.inner.create()
    }
    fn list(&self, kind: FileKind) -> backend::Result<Vec<backend::FileInfo>> {
        let listed = self.inner.list(kind);
        let then = if kind == FileKind::Snapshot { self.then.lock().take() } else { None };
        then.into_iter().for_each(|then| then());
        listed
    }
    fn size(&self, file: &FileName) -> backend::Result<u64> {
        self.inner.size(file)
    }
    fn read(&self, file: &FileName, part: backend::Part, into: &mut Vec<u8>) -> backend::Result<()> {
        self.inner.read(file, part, into)
    }
    fn write(&self, file: &FileName, content: &[u8]) -> backend::Result<()> {
        self.inner.write(file, content)
    }
    fn remove(&self, file: &FileName) -> backend::Result<()> {
        self.inner.remove(file)
    }
}

/// F31: the sweeper's list of snapshots is old when it begins to sweep.
#[test]
fn f31_a_snapshot_that_appears_between_listing_and_sweeping_keeps_its_packs() {
    let workshop = Arc::new(Workshop::new());
    let shared = files(&[("a", &[1, 2]), ("d/b", &[3])]);
    let old = workshop.save(&shared);
    let writer = workshop.open();
    let lock = workshop.lock(&writer, LockKind::Shared);
    writer.load_index().unwrap();
    workshop.forget(old);
    workshop.prune(&thorough(TWO_DAYS));
    workshop.wait(100);
    // While the sweeper works on its list of snapshots, the writer writes one and releases its lock.
    let finish = {
        let (workshop, shared) = (Arc::clone(&workshop), shared.clone());
        move || {
            workshop.save_with(&writer, &shared);
            drop(lock);
        }
    };
    let then = parking_lot::Mutex::new(Some(Box::new(finish) as Box<dyn FnOnce() + Send>));
    let sweeper = workshop.open_through(Arc::new(AfterListing { inner: Arc::clone(&workshop.storage), then })).unwrap();
    let plan = prune::plan_prune(&sweeper, &thorough(TWO_DAYS), &Silent).unwrap();
    assert_eq!((plan.sweep.len(), plan.held_back), (0, 2));
    prune::execute(&sweeper, plan, &Silent).unwrap();
    workshop.prune(&thorough(TWO_DAYS));
    let new = workshop.list(FileKind::Snapshot)[0];
    assert_eq!(load(&workshop.open(), new).unwrap(), shared);
    assert_eq!(workshop.check(), Vec::<String>::new());
}

#[test]
fn a_pack_that_an_index_names_since_the_plan_was_made_is_not_removed() {
    for when in [PruneWhen::Now, TWO_DAYS] {
        let workshop = Workshop::new();
        let list = files(&[("a", &[1, 2])]);
        let id = workshop.save(&list);
        let entries = all_packs(&workshop);
        let snapshot = workshop.bytes(FileName::new(FileKind::Snapshot, id));
        workshop.forget(id);
        workshop
            .list(FileKind::Index)
            .iter()
            .for_each(|id| workshop.storage.remove(&FileName::new(FileKind::Index, *id)).unwrap());
        if when == TWO_DAYS {
            workshop.prune(&thorough(when));
            workshop.wait(100);
        }
        let repo = workshop.open();
        let plan = prune::plan_prune(&repo, &thorough(when), &Silent).unwrap();
        assert_eq!(plan.sweep.len() + plan.unreferenced.len(), 2);
        repo.write_index_file(&index_of(entries)).unwrap();
        prune::execute(&repo, plan, &Silent).unwrap();
        workshop.storage.write(&FileName::new(FileKind::Snapshot, id), &snapshot).unwrap();
        assert_eq!(load(&workshop.open(), id).unwrap(), list);
    }
}

#[test]
fn an_old_orphan_is_swept_when_nobody_is_at_work() {
    let workshop = Workshop::new();
    workshop.save(&files(&[("a", &[1])]));
    let orphan = FileName::new(FileKind::Pack, Id::of(b"orphan"));
    workshop.storage.write(&orphan, b"orphan").unwrap();
    assert_eq!(workshop.prune(&thorough(TWO_DAYS)).marked_packs, 1);
    workshop.wait(49);
    assert_eq!(workshop.prune(&thorough(TWO_DAYS)).removed_packs, 1);
    assert!(!workshop.list(FileKind::Pack).contains(&orphan.id));
}

#[test]
fn a_damaged_blob_is_not_copied_into_a_new_pack() {
    let workshop = Workshop::new().uncompressed();
    let old = workshop.save(&files(&[("a", &[1, 3, 5])]));
    workshop.save(&files(&[("a", &[1])]));
    workshop.forget(old);
    let index = all_packs(&workshop);
    let pack = index.iter().find(|pack| pack.blobs.len() == 3).unwrap();
    let name = FileName::new(FileKind::Pack, pack.id);
    let mut bytes = workshop.bytes(name);
    bytes.iter_mut().take(8000).for_each(|byte| *byte ^= 1);
    workshop.overwrite(name, &bytes);
    let packs = workshop.list(FileKind::Pack);
    assert!(workshop.try_prune(&thorough(PruneWhen::Now)).is_err());
    assert_eq!(workshop.list(FileKind::Pack), packs);
}

#[test]
fn data_that_was_stored_uncompressed_can_be_compressed() {
    let workshop = Workshop::new().uncompressed();
    let list = files(&[("a", &[2, 4, 6, 8])]);
    let id = workshop.save(&list);
    let compressing = Workshop::sharing(&workshop);
    let options = PruneOptions { repack_uncompressed: true, ..PruneOptions::default() };
    compressing.prune(&options);
    let mut compressed = 0;
    let mut count =
        |_: &Id, blobs: &[PackedBlob]| compressed += blobs.iter().filter(|b| b.uncompressed_length.is_some()).count();
    compressing.open().index().unwrap().for_each_pack(&mut count).unwrap();
    assert_eq!(compressed, 5, "four chunks and the tree");
    assert_eq!(load(&compressing.open(), id).unwrap(), list);
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let workshop = Workshop::on(Arc::new(backend::Memory::new()) as Arc<dyn Backend>, 1);
    let refuse = |options: PruneOptions| assert!(workshop.try_prune(&options).is_err(), "{options:?}");
    refuse(PruneOptions { repack_uncompressed: true, ..PruneOptions::default() });
    refuse(PruneOptions { repack_smaller_than: Some(100 << 20), ..PruneOptions::default() });
    refuse(PruneOptions { max_unused: MaxUnused::Percent(100.0), ..PruneOptions::default() });
    refuse(PruneOptions { max_unused: MaxUnused::Percent(f64::NAN), ..PruneOptions::default() });
}
