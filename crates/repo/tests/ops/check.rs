//! Whatever is cut, lost, flipped or swapped, a check finds it; what does no harm is a hint.

use std::time::Duration;

use backend::{FileKind, FileName, Id};
use repo::check::{self, Affected, CheckOptions, CheckReport, Problem, ReadData, Subset};
use repo::ledger::Ledger;
use repo::progress::Silent;

use crate::workshop::{Files, Workshop, files};

fn check(workshop: &Workshop, read_data: ReadData) -> CheckReport {
    let options = CheckOptions { read_data, ..CheckOptions::default() };
    check::check(&workshop.open(), &options, &Silent).unwrap()
}

fn two_snapshots() -> (Workshop, Vec<Files>) {
    let workshop = Workshop::new().with_cache();
    let all = vec![files(&[("a", &[1, 2]), ("d/b", &[3])]), files(&[("a", &[1, 5]), ("d/e/c", &[6, 7])])];
    for list in &all {
        workshop.save(list);
        workshop.wait(1);
    }
    (workshop, all)
}

/// Every file of these kinds, one after the other, is changed by `change` and put back.
fn spoil_each(kinds: &[FileKind], change: impl Fn(&[u8]) -> Option<Vec<u8>>, finds: impl Fn(&Workshop, FileName)) {
    let (workshop, _) = two_snapshots();
    for kind in kinds {
        for id in workshop.list(*kind) {
            let name = FileName::new(*kind, id);
            let good = workshop.bytes(name);
            workshop.storage.remove(&name).unwrap();
            if let Some(bad) = change(&good) {
                workshop.storage.write(&name, &bad).unwrap();
            }
            finds(&workshop, name);
            workshop.storage.remove(&name).unwrap();
            workshop.storage.write(&name, &good).unwrap();
        }
    }
    assert!(check(&workshop, ReadData::All).is_good());
}

const STORED: [FileKind; 3] = [FileKind::Pack, FileKind::Index, FileKind::Snapshot];

#[test]
fn a_good_repository_is_good_and_the_counts_say_what_was_done() {
    let (workshop, _) = two_snapshots();
    let report = check(&workshop, ReadData::All);
    assert!(report.is_good() && report.hints.is_empty(), "{report:?}");
    let counts = report.counts;
    assert_eq!((counts.snapshots, counts.packs, counts.packs_read, counts.trees), (2, 4, 4, 5));
    assert_eq!(counts.blobs_verified, 6 + 5);
}

/// F18: files cut to nearly nothing made restic panic.
#[test]
fn f18_whatever_is_truncated_is_found() {
    for keep in [0, 1, 16, 31, 32, 33, 64] {
        let cut = |good: &[u8]| Some(good[..keep.min(good.len() - 1)].to_vec());
        spoil_each(&STORED, cut, |workshop, name| {
            assert!(!check(workshop, ReadData::None).is_good(), "{name} cut to {keep} bytes");
        });
    }
}

#[test]
fn a_lost_pack_is_found_and_named() {
    spoil_each(
        &[FileKind::Pack],
        |_| None,
        |workshop, name| {
            let report = check(workshop, ReadData::None);
            assert!(
                report
                    .errors
                    .iter()
                    .any(|problem| matches!(problem, Problem::MissingPack { pack } if *pack == name.id))
            );
        },
    );
}

#[test]
fn a_lost_index_is_found() {
    spoil_each(
        &[FileKind::Index],
        |_| None,
        |workshop, name| {
            let report = check(workshop, ReadData::None);
            assert!(!report.is_good(), "without {name}");
            assert!(report.hints.iter().any(|problem| matches!(problem, Problem::OrphanedPack { .. })));
        },
    );
}

#[test]
fn a_flipped_bit_anywhere_in_a_pack_is_found_when_data_is_read() {
    for place in [0, 7, 20, 35, 50, 99] {
        let flip = |good: &[u8]| {
            let mut bad = good.to_vec();
            let at = (good.len() - 1) * place / 99;
            bad[at] ^= 0x10;
            Some(bad)
        };
        spoil_each(&[FileKind::Pack], flip, |workshop, name| {
            let report = check(workshop, ReadData::All);
            let is_it = |problem: &Problem| matches!(problem, Problem::PackContent { pack, .. } if *pack == name.id);
            assert!(report.errors.iter().any(is_it), "a bit at {place} % of {name}: {report:?}");
        });
    }
}

#[test]
fn a_pack_with_another_packs_content_is_found() {
    let (workshop, _) = two_snapshots();
    let packs = workshop.list(FileKind::Pack);
    let other = workshop.bytes(FileName::new(FileKind::Pack, packs[1]));
    workshop.overwrite(FileName::new(FileKind::Pack, packs[0]), &other);
    let report = check(&workshop, ReadData::All);
    assert!(report.errors.iter().any(|problem| problem.pack() == Some(packs[0])));
}

/// F24: an index that gives blobs another kind is found out.
#[test]
fn f24_a_tree_in_the_place_of_data_is_found() {
    let (workshop, _) = two_snapshots();
    let repo = workshop.open();
    let id = workshop.list(FileKind::Index)[0];
    let mut lies = repo.read_index_file(&id).unwrap();
    for entry in lies.packs.iter_mut().flat_map(|pack| &mut pack.blobs) {
        entry.blob.kind = match entry.blob.kind {
            repo::BlobKind::Data => repo::BlobKind::Tree,
            repo::BlobKind::Tree => repo::BlobKind::Data,
        };
    }
    repo.write_index_file(&lies).unwrap();
    workshop.storage.remove(&FileName::new(FileKind::Index, id)).unwrap();
    let report = check(&workshop, ReadData::All);
    let headers =
        report.errors.iter().filter(|problem| problem.to_string().contains("names other blobs than the index"));
    assert_eq!(headers.count(), 2, "{report:?}");
}

#[test]
fn an_index_that_lies_about_offsets_and_lengths_is_found() {
    for lie in 0..4 {
        let (workshop, _) = two_snapshots();
        let repo = workshop.open();
        let id = workshop.list(FileKind::Index)[0];
        let mut lies = repo.read_index_file(&id).unwrap();
        let blob = &mut lies.packs[0].blobs[0];
        match lie {
            0 => blob.offset = u32::MAX - blob.length,
            1 => blob.length = 31,
            2 => blob.uncompressed_length = std::num::NonZeroU32::new(u32::MAX),
            _ => blob.blob.id = Id::of(b"another"),
        }
        repo.write_index_file(&lies).unwrap();
        workshop.storage.remove(&FileName::new(FileKind::Index, id)).unwrap();
        assert!(!check(&workshop, ReadData::All).is_good(), "lie {lie}");
    }
}

#[test]
fn an_orphan_and_a_pack_listed_twice_are_hints() {
    let (workshop, _) = two_snapshots();
    workshop.storage.write(&FileName::new(FileKind::Pack, Id::of(b"x")), b"left behind").unwrap();
    let repo = workshop.open();
    let id = workshop.list(FileKind::Index)[0];
    let mut again = repo.read_index_file(&id).unwrap();
    again.packs.truncate(1);
    repo.write_index_file(&again).unwrap();
    let report = check(&workshop, ReadData::All);
    assert!(report.is_good(), "{report:?}");
    assert_eq!(report.hints.len(), 2);
}

#[test]
fn the_blast_radius_names_files_and_snapshots() {
    let (workshop, _) = two_snapshots();
    let snapshots = workshop.open().snapshots().unwrap().all;
    // Chunk 3 is in d/b of the first snapshot only, and alone in no pack: cut off everything but the first snapshot's trees.
    let repo = workshop.open();
    let blob = repo::BlobHandle { kind: repo::BlobKind::Data, id: Id::of(&crate::workshop::chunk(3)) };
    let place = repo.index().unwrap().find(&blob).unwrap();
    let name = FileName::new(FileKind::Pack, place.pack);
    let mut bytes = workshop.bytes(name);
    bytes[place.offset as usize + 20] ^= 1;
    workshop.overwrite(name, &bytes);
    let report = check(&workshop, ReadData::All);
    let affected = check::affected(&workshop.open(), &report, 10).unwrap();
    assert_eq!(affected, [Affected { snapshot: snapshots[0].0, path: b"/d/b".to_vec() }]);
}

#[test]
fn a_lost_pack_with_trees_affects_directories() {
    let (workshop, _) = two_snapshots();
    let repo = workshop.open();
    let (newest, snapshot) = repo.snapshots().unwrap().all.pop().unwrap();
    let root = repo::BlobHandle { kind: repo::BlobKind::Tree, id: snapshot.tree };
    let pack = repo.index().unwrap().find(&root).unwrap().pack;
    workshop.storage.remove(&FileName::new(FileKind::Pack, pack)).unwrap();
    let report = check(&workshop, ReadData::None);
    let affected = check::affected(&workshop.open(), &report, 10).unwrap();
    assert_eq!(affected, [Affected { snapshot: newest, path: b"/".to_vec() }]);
}

#[test]
fn a_check_of_one_snapshot_ignores_damage_elsewhere() {
    let (workshop, _) = two_snapshots();
    let repo = workshop.open();
    let snapshots = repo.snapshots().unwrap().all;
    let blob = repo::BlobHandle { kind: repo::BlobKind::Data, id: Id::of(&crate::workshop::chunk(6)) };
    let place = repo.index().unwrap().find(&blob).unwrap();
    let name = FileName::new(FileKind::Pack, place.pack);
    let mut bytes = workshop.bytes(name);
    bytes[place.offset as usize + 20] ^= 1;
    workshop.overwrite(name, &bytes);
    let of = |id: Id| {
        let options =
            CheckOptions { read_data: ReadData::All, snapshots: Some([id].into()), ..CheckOptions::default() };
        check::check(&workshop.open(), &options, &Silent).unwrap()
    };
    assert!(of(snapshots[0].0).is_good());
    assert!(!of(snapshots[1].0).is_good());
}

#[test]
fn unused_blobs_are_named_on_request() {
    let (workshop, _) = two_snapshots();
    workshop.forget(workshop.open().snapshots().unwrap().all[0].0);
    let options = CheckOptions { find_unused: true, ..CheckOptions::default() };
    let report = check::check(&workshop.open(), &options, &Silent).unwrap();
    assert!(report.is_good());
    assert_eq!(report.hints.len(), 2 + 2, "chunks 2 and 3; two trees");
}

#[test]
fn subsets_cover_everything_together() {
    let (workshop, _) = two_snapshots();
    let mut read = 0;
    for bucket in 1..=3 {
        read += check(&workshop, ReadData::Subset(Subset::Bucket { bucket, of: 3 })).counts.packs_read;
    }
    assert_eq!(read, 4);
    assert_eq!(check(&workshop, ReadData::Subset(Subset::Percent(50.0))).counts.packs_read, 2);
    assert_eq!(check(&workshop, ReadData::Subset(Subset::Percent(0.1))).counts.packs_read, 1);
    assert_eq!(check(&workshop, ReadData::Subset(Subset::Bytes(1))).counts.packs_read, 1);
    for wrong in [Subset::Bucket { bucket: 4, of: 3 }, Subset::Bucket { bucket: 0, of: 3 }, Subset::Percent(101.0)] {
        let options = CheckOptions { read_data: ReadData::Subset(wrong), ..CheckOptions::default() };
        assert!(check::check(&workshop.open(), &options, &Silent).is_err());
    }
}

#[test]
fn the_ledger_spares_what_was_verified_lately() {
    let (workshop, _) = two_snapshots();
    let week = ReadData::OlderThan(Duration::from_secs(7 * 24 * 3600));
    assert_eq!(check(&workshop, week).counts.packs_read, 4);
    assert_eq!(check(&workshop, week).counts.packs_read, 0);
    workshop.save(&files(&[("new", &[40])]));
    assert_eq!(check(&workshop, week).counts.packs_read, 2, "the new ones");
    workshop.wait(8 * 24);
    assert_eq!(check(&workshop, week).counts.packs_read, 6);
}

#[test]
fn a_damaged_pack_does_not_count_as_verified() {
    let (workshop, _) = two_snapshots();
    let pack = workshop.list(FileKind::Pack)[0];
    let name = FileName::new(FileKind::Pack, pack);
    let mut bytes = workshop.bytes(name);
    bytes[20] ^= 1;
    workshop.overwrite(name, &bytes);
    assert!(!check(&workshop, ReadData::All).is_good());
    let ledger = Ledger::open(&workshop.open()).unwrap();
    assert_eq!(ledger.last_verified(&pack), None);
    assert!(workshop.list(FileKind::Pack)[1..].iter().all(|id| ledger.last_verified(id).is_some()));
}

#[test]
fn a_blob_that_waits_for_deletion_is_a_hint() {
    use repo::prune::{PruneOptions, PruneWhen};
    let workshop = Workshop::new();
    let list = files(&[("a", &[1]), ("d/b", &[2])]);
    let old = workshop.save(&list);
    let writer = workshop.open();
    writer.load_index().unwrap();
    workshop.forget(old);
    workshop.prune(&PruneOptions { when: PruneWhen::Delayed(Duration::from_secs(3600)), ..PruneOptions::default() });
    workshop.save_with(&writer, &list);
    let report = check(&workshop, ReadData::None);
    assert!(report.is_good(), "{report:?}");
    assert_eq!(report.hints.len(), 4, "two chunks, two trees: {report:?}");
}
