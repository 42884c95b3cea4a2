//! What is stored, and what an increment costs.

use std::time::Instant;

use backend::Id;
use disks::image::{Base, CHUNKS_PER_SEGMENT, Geometry, ImageWriter, StoredImages};
use disks::{CHUNK, Extents, SEGMENT, Sink};
use repo::BlobKind;
use repo::node::{Node, NodeKind};
use repo::tree::TreeBuilder;
use repo::writer::BlobWriter;

use crate::world::{World, finish, manifest, name, noise, read};

#[test]
fn a_disk_is_directories_of_segments_that_restic_can_read() {
    let world = World::new();
    let disk = noise(1, (3 << 20) + 512);
    let saved = world.image(&disk, &Extents::all(disk.len() as u64));
    let root = world.repo.read_tree(&saved.tree).unwrap();
    let names: Vec<_> = root.nodes.iter().map(|node| node.display_name().into_owned()).collect();
    assert_eq!(names, ["manifest.json", "sda.img"]);
    let image = world.repo.read_tree(&root.nodes[1].subtree.unwrap()).unwrap();
    let names: Vec<_> = image.nodes.iter().map(|node| node.display_name().into_owned()).collect();
    assert_eq!(names, ["000000"]);
    let segment = world.repo.read_tree(&image.nodes[0].subtree.unwrap()).unwrap();
    let data = &segment.nodes[0];
    assert_eq!((data.name.as_slice(), data.size), (&b"data"[..], disk.len() as u64));
    let ids: Vec<Id> = disk.chunks(CHUNK as usize).map(Id::of).collect();
    assert_eq!(data.content.as_deref(), Some(&ids[..]));
    let snapshot = world.repo.read_snapshot(&saved.id).unwrap();
    assert_eq!(snapshot.paths, ["/dev/sda"]);
    assert_eq!(snapshot.summary.unwrap().total_bytes_processed, disk.len() as u64 + root.nodes[0].size);
}

#[test]
fn what_is_not_in_use_costs_nothing() {
    let world = World::new();
    let disk = noise(1, 8 << 20);
    let used = Extents::from_iter([0..4096, 5 << 20..6 << 20]);
    let before = world.stored();
    let saved = world.image(&disk, &used);
    assert!(world.stored() - before < (1 << 20) + (64 << 10), "{}", world.stored() - before);
    let images = world.open(&saved);
    let (_, said) = images.disk("sda").unwrap();
    assert_eq!(said.used.extents(8 << 20), used);
    assert_eq!(
        saved.summary.data_added_packed,
        world.repo.read_snapshot(&saved.id).unwrap().summary.unwrap().data_added_packed
    );
}

#[test]
fn the_same_disk_again_adds_a_manifest_and_a_root() {
    let world = World::new();
    let disk = noise(1, 8 << 20);
    let all = Extents::all(8 << 20);
    let first = world.image(&disk, &all);
    let before = world.stored();
    let second = world.again().image(&disk, &all);
    assert_eq!(first.tree, second.tree, "time and owner are in no tree");
    assert!(world.stored() - before < 4096, "{}", world.stored() - before);
}

#[test]
fn an_increment_stores_what_differs_and_keeps_what_was_never_put() {
    let world = World::new();
    let mut disk = noise(1, 8 << 20);
    let first = world.image(&disk, &Extents::all(8 << 20));
    disk[3 << 20..][..100].fill(1);
    disk[5 << 20..6 << 20].fill(0);
    let changed = Extents::from_iter([3 << 20..4 << 20, 5 << 20..6 << 20]);
    let before = world.stored();
    let again = world.again();
    let second = again.image_onto(&disk, &changed, again.base(&first), Some(first.id));
    let added = world.stored() - before;
    assert!((1 << 20..(1 << 20) + (16 << 10)).contains(&added), "{added}");
    assert_eq!(again.repo.read_snapshot(&second.id).unwrap().parent, Some(first.id));
    let chunks = again.open(&second).disks[0].chunks(&again.repo, 0).unwrap();
    let ids: Vec<Id> = disk.chunks(CHUNK as usize).map(Id::of).collect();
    assert_eq!(chunks, ids);
}

#[test]
fn a_parent_of_another_size_is_refused() {
    let world = World::new();
    let first = world.image(&noise(1, 2 << 20), &Extents::all(2 << 20));
    let store = world.store();
    let refused = ImageWriter::new(&store, name("sda"), 3 << 20, world.base(&first), 1).err().expect("refused");
    assert!(refused.to_string().contains("2097152 bytes, the disk 3145728"), "{refused}");
}

#[test]
fn a_chunk_that_is_put_again_counts_as_it_was_put_last() {
    let world = World::new();
    let store = world.store();
    let writer = ImageWriter::new(&store, name("sda"), 4 << 20, Base::Zeros, 3).unwrap();
    for round in 0..20u8 {
        for number in 0..4 {
            writer.put(number, vec![if number == 3 && round == 19 { 0 } else { round + 1 }; 1 << 20]).unwrap();
        }
    }
    assert!(writer.put(4, vec![1; 1 << 20]).is_err() && writer.put(0, vec![1; 5]).is_err());
    let used = Extents::all(4 << 20);
    let saved = finish(&store, writer.finish().unwrap(), &used, None);
    let ids = world.open(&saved).disks[0].chunks(&world.repo, 0).unwrap();
    let expected = [20u8, 20, 20, 0].map(|byte| Id::of(&vec![byte; 1 << 20]));
    assert_eq!(ids, expected);
}

#[test]
fn several_disks_are_one_snapshot() {
    let world = World::new();
    let store = world.store();
    let mut images = Vec::new();
    for (number, disk) in ["sdb", "sda"].iter().enumerate() {
        let writer = ImageWriter::new(&store, name(disk), 1 << 20, Base::Zeros, 1).unwrap();
        read(&noise(number as u64, 1 << 20), &Extents::all(1 << 20), &writer);
        images.push(writer.finish().unwrap());
    }
    let mut all = manifest(&images[0], &Extents::new());
    all.disks.extend(manifest(&images[1], &Extents::new()).disks);
    let details = disks::image::SnapshotDetails {
        host: "host".into(),
        tags: vec!["night".into()],
        paths: vec!["/dev/sda".into(), "/dev/sdb".into()],
        time: jiff::Timestamp::UNIX_EPOCH.to_zoned(jiff::tz::TimeZone::UTC),
        program_version: "stead test".into(),
        parent: None,
    };
    let saved = store.finish(&images, &all, &details).unwrap();
    let opened = world.open(&saved);
    assert!(opened.disk("sda").is_some() && opened.disk("sdb").is_some() && opened.disk("sdc").is_none());
}

/// A snapshot of a disk of 1 TiB with every chunk in use and different, of which only the trees are stored.
fn terabyte(world: &World, size: u64) -> disks::image::SnapshotSaved {
    let (writer, geometry) = (BlobWriter::new(&world.repo), Geometry::new(size).unwrap());
    let mut scratch = writer.scratch();
    let mut tree = |nodes: &[Node]| {
        let mut builder = TreeBuilder::default();
        nodes.iter().for_each(|node| builder.push(node).unwrap());
        writer.save(BlobKind::Tree, &builder.finish(), &mut scratch).unwrap().id
    };
    let mut segments = Vec::new();
    for segment in 0..geometry.segments() {
        let content = geometry.chunks_of(segment).map(|chunk| Id::of(&chunk.to_le_bytes())).collect();
        let data =
            Node { mode: 0o600, links: 1, size: SEGMENT, content: Some(content), ..Node::new("data", NodeKind::File) };
        let subtree = Some(tree(&[data]));
        segments.push(Node {
            mode: 1 << 31 | 0o700,
            subtree,
            ..Node::new(Geometry::directory(segment), NodeKind::Dir)
        });
    }
    let disk = tree(&segments);
    writer.finish().unwrap();
    let image = disks::image::FinishedImage { name: name("sda"), size, tree: disk, figures: Default::default() };
    finish(&world.store(), image, &Extents::all(size), None)
}

/// The largest resident set in KiB since it was last forgotten.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
#[expect(clippy::print_stdout, reason = "the figures belong into the test run's output")]
fn ten_changed_chunks_of_a_full_terabyte_cost_a_mebibyte_and_seconds() {
    const SIZE: u64 = 1 << 40;
    let world = World::new();
    let parent = terabyte(&world, SIZE);
    let again = world.again();
    again.repo.index().unwrap();
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let (before, memory_before, start) = (world.stored(), peak_memory(), Instant::now());

    let store = again.store();
    let images = StoredImages::open(&again.repo, parent.id, &parent.tree).unwrap();
    let writer = ImageWriter::new(&store, name("sda"), SIZE, Base::Parent(images.disks[0].clone()), 2).unwrap();
    for number in 0..10 {
        // Zeros shrink to nothing: what is measured is metadata.
        let mut content = vec![0; CHUNK as usize];
        content[..8].copy_from_slice(&(number + 1u64).to_le_bytes());
        writer.put(number * 97 * CHUNKS_PER_SEGMENT + 5, content).unwrap();
    }
    let saved = finish(&store, writer.finish().unwrap(), &Extents::all(SIZE), Some(parent.id));

    let (added, took) = (world.stored() - before, start.elapsed());
    let memory = peak_memory() - memory_before;
    println!("1 TiB, 10 chunks changed: {added} bytes added, {took:?}, {memory} KiB more memory");
    assert!(added <= 1 << 20, "{added} bytes");
    assert!(took.as_secs_f64() <= 5.0, "{took:?}");
    assert!(memory <= 256 << 10, "{memory} KiB");
    let (first, second) = (&images.disks[0], &again.open(&saved).disks[0]);
    let kept = first.segments.iter().zip(&second.segments).filter(|(a, b)| a == b).count();
    assert_eq!(kept, 1024 - 10);
}

#[test]
fn segments_that_were_settled_are_opened_again_where_something_changes() {
    let world = World::new();
    let store = world.store();
    let writer = ImageWriter::new(&store, name("sda"), 2 * SEGMENT, Base::Zeros, 2).unwrap();
    let chunk = |byte: u8| vec![byte; CHUNK as usize];
    let numbers = [0, 5, CHUNKS_PER_SEGMENT];
    for number in numbers {
        writer.put(number, chunk(1)).unwrap();
    }
    writer.drain().unwrap();
    writer.settle().unwrap();
    assert_eq!(writer.open_segments(), 0);
    writer.put(5, chunk(2)).unwrap();
    let saved = finish(&store, writer.finish().unwrap(), &Extents::new(), None);
    let disk = &world.open(&saved).disks[0];
    let (first, second) = (disk.chunks(&world.repo, 0).unwrap(), disk.chunks(&world.repo, 1).unwrap());
    let ids = [1, 2, 0].map(|byte| Id::of(&chunk(byte)));
    assert_eq!([first[0], first[5], first[6], second[0], second[1]], [ids[0], ids[1], ids[2], ids[0], ids[2]]);
}
