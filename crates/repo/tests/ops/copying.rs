//! Copying between repositories, and counting what is in them.

use backend::FileKind;
use repo::copy::{self, Copied};
use repo::progress::Silent;
use repo::stats::{self, StatsMode};

use crate::workshop::{Workshop, files, load};

#[test]
fn a_copy_reads_back_and_remembers_what_it_is_of() {
    let (from, to) = (Workshop::new(), Workshop::new());
    let list = files(&[("a", &[1, 2]), ("d/b", &[3])]);
    let id = from.save(&list);
    let source = from.open();
    let mut copies = Vec::new();
    let all = source.snapshots().unwrap().all;
    let outcome = copy::copy(&source, &to.open(), all.clone(), &mut |_, copied| copies.push(copied), &Silent).unwrap();
    assert_eq!((outcome.snapshots, outcome.blobs), (1, 5));
    let Copied::New(new) = copies[0] else { panic!("not copied") };
    assert_eq!(load(&to.open(), new).unwrap(), list);
    let copy = to.open().read_snapshot(&new).unwrap();
    assert_eq!((copy.original, copy.parent), (Some(id), None));
    assert_eq!(to.check(), Vec::<String>::new());
    // A second time nothing happens, and a copy of the copy is known as one.
    let again = copy::copy(&source, &to.open(), all, &mut |_, copied| copies.push(copied), &Silent).unwrap();
    assert_eq!((again.snapshots, again.skipped, again.blobs), (0, 1, 0));
    assert_eq!(copies[1], Copied::Already(new));
    let target = to.open();
    let back = copy::copy(&target, &from.open(), target.snapshots().unwrap().all, &mut |_, _| {}, &Silent).unwrap();
    assert_eq!((back.snapshots, back.skipped), (0, 1));
}

#[test]
fn what_the_other_repository_has_is_not_copied_again() {
    let (from, to) = (Workshop::new(), Workshop::new());
    from.save(&files(&[("a", &[1, 2, 3])]));
    to.save(&files(&[("b", &[2, 3])]));
    let packs = to.list(FileKind::Pack).len();
    let source = from.open();
    let outcome = copy::copy(&source, &to.open(), source.snapshots().unwrap().all, &mut |_, _| {}, &Silent).unwrap();
    assert_eq!(outcome.blobs, 2, "chunk 1 and the tree");
    assert_eq!(to.list(FileKind::Pack).len(), packs + 2);
}

#[test]
fn a_copy_of_something_incomplete_writes_no_snapshot() {
    let (from, to) = (Workshop::new(), Workshop::new());
    from.save(&files(&[("a", &[1, 2, 3])]));
    let pack = from.list(FileKind::Pack)[0];
    from.storage.remove(&backend::FileName::new(FileKind::Pack, pack)).unwrap();
    let source = from.open();
    assert!(copy::copy(&source, &to.open(), source.snapshots().unwrap().all, &mut |_, _| {}, &Silent).is_err());
    assert_eq!(to.list(FileKind::Snapshot), []);
}

#[test]
fn raw_data_counts_every_blob_once() {
    let workshop = Workshop::new();
    workshop.save(&files(&[("a", &[1, 2]), ("b", &[2, 2])]));
    workshop.save(&files(&[("a", &[1, 2]), ("b", &[2, 2])]));
    let repo = workshop.open();
    let all = repo.snapshots().unwrap().all;
    let raw = stats::stats(&repo, &all, StatsMode::RawData, &Silent).unwrap();
    assert_eq!((raw.total_blob_count, raw.snapshots_count), (3, all.len() as u64));
    assert!(raw.compression_ratio > 1.0 && raw.compression_space_saving > 0.0);
}
