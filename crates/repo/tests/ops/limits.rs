//! Limits that every writer keeps, and what a pack does not tell.

use std::collections::HashMap;
use std::sync::Arc;

use backend::{FileKind, FileName, Id};
use repo::index::{IndexFile, IndexPack};
use repo::node::{Node, NodeKind};
use repo::pack::PackedBlob;
use repo::progress::Silent;
use repo::prune::{MaxUnused, PruneOptions, PruneWhen};
use repo::tree::TreeBuilder;
use repo::writer::BlobWriter;
use repo::{BlobHandle, BlobKind, Repository};

use crate::workshop::{Workshop, files};

/// More than two index files' worth.
const MANY: u32 = 120_000;

/// A snapshot of one file whose chunks are tiny.
fn save_many(workshop: &Workshop) {
    let repo = workshop.open();
    let writer = BlobWriter::new(&repo);
    let mut scratch = writer.scratch();
    let mut node = Node::new("many", NodeKind::File);
    let save = |number: u32| writer.save(BlobKind::Data, &number.to_le_bytes(), &mut scratch).unwrap().id;
    node.content = Some((0..MANY).map(save).collect());
    node.size = u64::from(MANY) * 4;
    node.links = 1;
    let mut tree = TreeBuilder::default();
    tree.push(&node).unwrap();
    let root = writer.save(BlobKind::Tree, &tree.finish(), &mut scratch).unwrap().id;
    writer.finish().unwrap();
    workshop.write_snapshot(&repo, root, "2026-11-22T12:00:00Z");
}

fn index_files(workshop: &Workshop) -> Vec<IndexFile> {
    let repo = workshop.open();
    workshop.list(FileKind::Index).iter().map(|id| repo.read_index_file(id).unwrap()).collect()
}

/// Every index file keeps the limit; together they name everything.
fn assert_limits(workshop: &Workshop) {
    let counts: Vec<usize> =
        index_files(workshop).iter().map(|file| file.packs.iter().map(|pack| pack.blobs.len()).sum()).collect();
    assert!(counts.iter().all(|count| *count <= 50_000), "{counts:?}");
    assert!(counts.iter().sum::<usize>() > MANY as usize, "{counts:?}");
}

/// F19: restic since 0.17 and kopia wrote one index of everything in some situations, which took all memory to read. A
/// backup, a prune and a copy of many blobs keep the limit, also where a peer left a giant one.
#[test]
fn every_writer_splits_large_indexes() {
    let workshop = Workshop::new();
    save_many(&workshop);
    assert_limits(&workshop);
    let packs: Vec<IndexPack> = index_files(&workshop).into_iter().flat_map(|file| file.packs).collect();
    let giant = workshop.open().write_index_file(&IndexFile { packs, ..IndexFile::default() }).unwrap();
    for id in workshop.list(FileKind::Index).into_iter().filter(|id| *id != giant) {
        workshop.storage.remove(&FileName::new(FileKind::Index, id)).unwrap();
    }
    let other = Workshop::new();
    let (from, to) = (workshop.open(), other.open());
    repo::copy::copy(&from, &to, from.snapshots().unwrap().all, &mut |_, _| {}, &Silent).unwrap();
    assert_limits(&other);
    let old = workshop.save(&files(&[("a", &[1, 2])]));
    workshop.forget(old);
    workshop.prune(&PruneOptions { max_unused: MaxUnused::Bytes(0), when: PruneWhen::Now, ..PruneOptions::default() });
    assert_limits(&workshop);
    assert_eq!(workshop.check(), Vec::<String>::new());
}

/// Bytes that do not compress, of the sizes that chunks of text have: 2 to 10 KiB.
fn chunk(number: u32) -> Vec<u8> {
    let length = 2048 + (number as usize * 7919) % 8192;
    (0..).flat_map(|at: u32| *Id::of(&[number, at].map(u32::to_le_bytes).concat()).as_bytes()).take(length).collect()
}

fn save_in_order(repo: &Arc<Repository>, numbers: std::ops::Range<u32>) -> Vec<BlobHandle> {
    let writer = BlobWriter::new(repo);
    let mut scratch = writer.scratch();
    let save = |number| BlobHandle {
        kind: BlobKind::Data,
        id: writer.save(BlobKind::Data, &chunk(number), &mut scratch).unwrap().id,
    };
    let saved = numbers.map(save).collect();
    writer.finish().unwrap();
    saved
}

fn packs_of(repo: &Repository, blobs: &[BlobHandle]) -> Vec<Id> {
    blobs.iter().map(|blob| repo.index().unwrap().find(blob).unwrap().pack).collect()
}

/// F39: who sees packs must not learn the sizes of a file's chunks one after the other, from which the secret of chunking
/// can be computed. Each chunk goes to one of two open packs by chance: of neighbours, half lie together, in runs as
/// a thrown coin makes them, and differently each time.
#[test]
fn neighbours_are_in_one_pack_by_chance_alone() {
    const COUNT: u32 = 6000;
    let together: Vec<Vec<bool>> = (0..2)
        .map(|_| {
            let repo = Workshop::new().open();
            let packs = packs_of(&repo, &save_in_order(&repo, 0..COUNT));
            let distinct: std::collections::HashSet<&Id> = packs.iter().collect();
            assert!(distinct.len() >= 8, "{} packs", distinct.len());
            // What is left in the open packs at the end may be put together.
            packs[..4000].windows(2).map(|pair| pair[0] == pair[1]).collect()
        })
        .collect();
    // Six standard deviations of a thrown coin; a pack that gets full ends a few runs more.
    let fair = |count: usize, of: usize| (count as f64 - of as f64 / 2.0).abs() < 3.0 * (of as f64).sqrt() + 30.0;
    for coins in &together {
        let same = coins.iter().filter(|same| **same).count();
        assert!(fair(same, coins.len()), "{same} of {} neighbours lie together", coins.len());
        let twice = coins.windows(2).filter(|pair| pair[0] == pair[1]).count();
        assert!(fair(twice, coins.len()), "{twice} of {} repetitions", coins.len());
    }
    let alike = together[0].iter().zip(&together[1]).filter(|(a, b)| a == b).count();
    assert!(fair(alike, together[0].len()), "two runs agree {alike} times");
}

/// F39: a small file's only chunk does not get a pack of its own, whose size would tell the chunk's.
#[test]
fn small_files_share_a_pack() {
    for count in 2..40 {
        let repo = Workshop::new().open();
        save_in_order(&repo, 0..count);
        let mut sizes: HashMap<Id, usize> = HashMap::new();
        let mut add = |id: &Id, blobs: &[PackedBlob]| *sizes.entry(*id).or_default() += blobs.len();
        repo.index().unwrap().for_each_pack(&mut add).unwrap();
        assert_eq!(sizes.into_values().collect::<Vec<_>>(), [count as usize]);
    }
}
