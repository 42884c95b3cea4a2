//! Repositories that lost something, and images that contradict themselves.

use backend::{Backend, FileKind, FileName, Id};
use disks::image::{FinishedImage, ImageError, SnapshotSaved, StoredImages};
use disks::manifest::Manifest;
use disks::progress::Progress;
use disks::restore::{Consent, Options, execute, plan};
use disks::{CHUNK, Extents};
use repo::node::Node;
use repo::tree::TreeBuilder;
use repo::writer::BlobWriter;
use repo::{BlobHandle, BlobKind, Cancel};

use crate::world::{World, alone, finish, name, noise, wish};

#[test]
fn a_lost_pack_costs_its_chunks_and_nothing_else() {
    let (world, room) = (World::new(), tempfile::tempdir().unwrap());
    let disk = noise(1, 24 << 20);
    let saved = world.image(&disk, &Extents::all(24 << 20));
    let blob = BlobHandle { kind: BlobKind::Data, id: Id::of(&disk[5 << 20..6 << 20]) };
    let pack = world.repo.index().unwrap().find(&blob).unwrap().pack;
    world.memory.remove(&FileName::new(FileKind::Pack, pack)).unwrap();
    let world = world.again();
    let (images, around, target) = (world.open(&saved), alone(), room.path().join("disk"));
    let how = Options { verify: true, ..Options::default() };
    let plan = plan(&world.repo, &images, &wish(None, &target, how), &around).unwrap();
    let progress = Progress::default();
    let report = execute(&world.repo, &images, &plan, &Consent::None, &around, &progress, &Cancel::default()).unwrap();
    assert!(report.failures.iter().any(|failure| failure.offset == 5 << 20), "{:?}", report.failures);
    let back = std::fs::read(&target).unwrap();
    for number in 0..24 {
        let range = (number * CHUNK) as usize..((number + 1) * CHUNK) as usize;
        let is_lost = report.failures.iter().any(|failure| failure.offset == number * CHUNK);
        assert!(is_lost || back[range.clone()] == disk[range], "chunk {number}");
    }
    assert!(report.failures.len() < 12 && report.verified == (24 << 20) - report.failures.len() as u64 * CHUNK);
}

/// Replaces the nodes of a snapshot's root, and the nodes of the disk.
fn changed(world: &World, saved: &SnapshotSaved, change: impl Fn(&str, &mut Vec<Node>)) -> Id {
    let writer = BlobWriter::new(&world.repo);
    let mut scratch = writer.scratch();
    let mut save = |nodes: &[Node]| {
        let mut builder = TreeBuilder::default();
        nodes.iter().for_each(|node| builder.push(node).unwrap());
        writer.save(BlobKind::Tree, &builder.finish(), &mut scratch).unwrap().id
    };
    let mut root = world.repo.read_tree(&saved.tree).unwrap().nodes;
    let image = root.iter_mut().find(|node| node.subtree.is_some()).unwrap();
    let mut segments = world.repo.read_tree(&image.subtree.unwrap()).unwrap().nodes;
    change("image", &mut segments);
    image.subtree = Some(save(&segments));
    change("root", &mut root);
    let tree = save(&root);
    writer.finish().unwrap();
    tree
}

#[test]
fn an_image_that_contradicts_its_manifest_is_damage_in_words() {
    let world = World::new();
    let disk = noise(1, 2 << 20);
    let saved = world.image(&disk, &Extents::all(2 << 20));
    let says = |change: &dyn Fn(&str, &mut Vec<Node>)| {
        let tree = changed(&world, &saved, change);
        let opened = StoredImages::open(&world.repo, saved.id, &tree);
        opened.and_then(|images| images.disks[0].chunks(&world.repo, 0).map(drop)).unwrap_err().to_string()
    };
    let at = |place: &'static str, change: fn(&mut Vec<Node>)| {
        says(&move |where_, nodes| {
            if where_ == place {
                change(nodes);
            }
        })
    };
    assert!(at("image", Vec::clear).contains("0 segments"));
    assert!(at("image", |nodes| nodes[0].name = b"000001".to_vec()).contains("\"000001\" as segment 0"));
    assert!(at("image", |nodes| nodes[0].subtree = None).contains("as segment 0"));
    assert!(at("root", |nodes| nodes.truncate(1)).contains("no directory sda.img"));
    assert!(at("root", |nodes| nodes[1].name = b"sdb.img".to_vec()).contains("does not know the disk sdb"));
    assert!(at("root", |nodes| nodes[0].size += 1).contains("shorter than its node says"));
    assert!(at("root", |nodes| nodes[0].size = u64::MAX).contains("too long"));
    assert!(at("root", |nodes| drop(nodes.remove(0))).contains("no disk image"));
}

#[test]
fn a_manifest_that_claims_a_larger_disk_is_found_out() {
    let world = World::new();
    let saved = world.image(&noise(1, 2 << 20), &Extents::all(2 << 20));
    let root = world.repo.read_tree(&saved.tree).unwrap();
    let tree = root.find(b"sda.img").unwrap().subtree.unwrap();
    for size in [3 << 20, 5 << 30, (2 << 20) - 512] {
        let image = FinishedImage { name: name("sda"), size, tree, figures: Default::default() };
        let lying = finish(&world.store(), image, &Extents::new(), None);
        let opened = StoredImages::open(&world.repo, lying.id, &lying.tree);
        let read = opened.and_then(|images| images.disks[0].chunks(&world.repo, 0).map(drop));
        assert!(matches!(read, Err(ImageError::Damaged { .. })), "{size}: {read:?}");
    }
}

#[test]
fn a_snapshot_of_files_holds_no_image() {
    let world = World::new();
    let writer = BlobWriter::new(&world.repo);
    let tree = writer.save(BlobKind::Tree, &TreeBuilder::default().finish(), &mut writer.scratch()).unwrap().id;
    writer.finish().unwrap();
    let opened = StoredImages::open(&world.repo, tree, &tree);
    assert!(matches!(opened, Err(ImageError::NoImage(_))));
    assert!(!StoredImages::is_image(&world.repo, &tree).unwrap());
    assert!(Manifest::parse(b"{}").is_err());
}
