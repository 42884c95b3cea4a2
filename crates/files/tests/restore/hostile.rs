//! I1: nothing is written outside of the target, whatever the snapshot says and whatever is planted in the target.

use std::path::{Path, PathBuf};

use files::restore::Options;
use repo::BlobKind;
use repo::node::NodeKind;
use testkit::Picture;

use crate::world::{World, link, linked, node};

/// A folder with a target in it, and beside it something that must not change.
struct Room {
    folder: tempfile::TempDir,
    before: Picture,
}

impl Room {
    fn new() -> Room {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("target")).unwrap();
        std::fs::create_dir_all(folder.path().join("outside/folder")).unwrap();
        std::fs::write(folder.path().join("outside/file"), "precious").unwrap();
        let before = Picture::of(&folder.path().join("outside"));
        Room { folder, before }
    }

    fn target(&self) -> PathBuf {
        self.folder.path().join("target")
    }

    fn outside(&self) -> String {
        self.folder.path().join("outside").to_str().unwrap().to_owned()
    }

    #[track_caller]
    fn is_untouched(&self) {
        self.before.assert_same(&Picture::of(Path::new(&self.outside())));
        let names: Vec<_> =
            std::fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names.len(), 2, "{names:?}");
    }
}

#[test]
fn trees_with_names_that_lead_elsewhere_are_refused() {
    let world = World::new();
    let room = Room::new();
    let content = world.blob(BlobKind::Data, b"evil");
    for name in ["../evil", "..", ".", "/evil", "a/b", "", "a\\u0000b"] {
        let json = format!(
            r#"{{"nodes":[{{"name":"{name}","type":"file","mode":420,"mtime":"2001-09-09T01:46:40Z","atime":"2001-09-09T01:46:40Z","ctime":"2001-09-09T01:46:40Z","uid":0,"gid":0,"size":4,"links":1,"content":["{content}"]}}]}}"#
        );
        let evil = world.blob(BlobKind::Tree, (json + "\n").as_bytes());
        let mut dir = node("dir", NodeKind::Dir, 1 << 31 | 0o755);
        dir.subtree = Some(evil);
        let root = world.tree(vec![dir, world.file("good", b"good", 10)]);
        let (summary, errors) = world.restore(root, &room.target(), &Options::default());
        assert_eq!(summary.errors, 1, "{name:?}: {errors:?}");
        assert!(errors[0].contains("/dir"), "{errors:?}");
        assert_eq!(std::fs::read(room.target().join("good")).unwrap(), b"good");
        assert_eq!(std::fs::read_dir(room.target().join("dir")).unwrap().count(), 0);
        room.is_untouched();
    }
}

#[test]
fn a_link_in_the_snapshot_is_no_way_out() {
    // Two nodes of one name, a link and a folder, would be a way out if the second were put through the first.
    let world = World::new();
    let room = Room::new();
    let time = r#""mtime":"2001-09-09T01:46:40Z","atime":"2001-09-09T01:46:40Z","ctime":"2001-09-09T01:46:40Z""#;
    let below = world.tree(vec![world.file("file", b"evil", 10)]);
    let outside = room.outside();
    let json = format!(
        r#"{{"nodes":[{{"name":"x","type":"symlink","mode":134218239,{time},"uid":0,"gid":0,"links":1,"linktarget":"{outside}","content":null}},{{"name":"x","type":"dir","mode":2147484141,{time},"uid":0,"gid":0,"content":null,"subtree":"{below}"}}]}}"#
    );
    let root = world.blob(BlobKind::Tree, (json + "\n").as_bytes());
    let (result, errors) = world.try_restore(root, &room.target(), &Options::default());
    assert!(result.is_err() || !errors.is_empty());
    room.is_untouched();
}

#[test]
fn links_planted_in_the_target_are_replaced_and_never_followed() {
    let world = World::new();
    let room = Room::new();
    let outside = room.outside();
    let plant = |to: &str, at: &str| std::os::unix::fs::symlink(to, room.target().join(at)).unwrap();
    plant(&format!("{outside}/file"), "file");
    plant(&outside, "folder");
    plant("folder", "chain");
    plant("/dev/null", "fifo");
    let root = world.tree(vec![
        world.file("file", b"mine", 10),
        world.dir("folder", vec![world.file("file", b"mine", 10), world.dir("folder", Vec::new())]),
        world.dir("chain", vec![world.file("file", b"mine", 10)]),
        node("fifo", NodeKind::Fifo, 1 << 25 | 0o600),
    ]);
    for options in [Options::default(), Options { delete: true, sparse: true, verify: true, ..Options::default() }] {
        world.restores(root, &room.target(), &options);
        for file in ["file", "folder/file", "chain/file"] {
            assert_eq!(std::fs::read(room.target().join(file)).unwrap(), b"mine");
        }
        room.is_untouched();
    }
}

#[test]
fn deleting_goes_around_links_and_does_not_go_through_them() {
    let world = World::new();
    let room = Room::new();
    std::os::unix::fs::symlink(room.outside(), room.target().join("extra")).unwrap();
    std::fs::create_dir(room.target().join("folder")).unwrap();
    std::os::unix::fs::symlink(room.outside(), room.target().join("folder/way")).unwrap();
    let root = world.tree(Vec::new());
    let summary = world.restores(root, &room.target(), &Options { delete: true, ..Options::default() });
    assert_eq!(summary.files_deleted, 3);
    assert_eq!(std::fs::read_dir(room.target()).unwrap().count(), 0);
    room.is_untouched();
}

#[test]
fn a_file_that_has_another_name_outside_is_not_written_through() {
    let world = World::new();
    let room = Room::new();
    std::fs::hard_link(Path::new(&room.outside()).join("file"), room.target().join("one")).unwrap();
    std::fs::hard_link(Path::new(&room.outside()).join("file"), room.target().join("two")).unwrap();
    std::fs::write(room.target().join("content"), "").unwrap();
    let root = world.tree(vec![
        world.file("one", b"something else", 4),
        linked(world.file("three", b"twice", 10), 9),
        linked(world.file("two", b"twice", 10), 9),
    ]);
    world.restores(root, &room.target(), &Options::default());
    assert_eq!(std::fs::read(room.target().join("one")).unwrap(), b"something else");
    assert_eq!(std::fs::read(room.target().join("two")).unwrap(), b"twice");
    assert_eq!(std::fs::read(Path::new(&room.outside()).join("file")).unwrap(), b"precious");
}

#[test]
fn a_link_that_points_outside_is_restored_as_it_is_and_nothing_else() {
    let world = World::new();
    let room = Room::new();
    let root = world.tree(vec![link("out", &room.outside()), link("up", "../../../etc")]);
    world.restores(root, &room.target(), &Options::default());
    assert_eq!(std::fs::read_link(room.target().join("out")).unwrap().to_str().unwrap(), room.outside());
    assert_eq!(std::fs::read_link(room.target().join("up")).unwrap(), Path::new("../../../etc"));
    room.is_untouched();
}

/// F20: a size is a claim.
#[test]
fn a_file_that_claims_to_be_enormous_takes_no_more_than_its_content() {
    let world = World::new();
    let room = Room::new();
    let mut file = world.file("file", b"small", 10);
    file.size = 1 << 60;
    let root = world.tree(vec![file]);
    world.restore(root, &room.target(), &Options::default());
    assert_eq!(std::fs::read(room.target().join("file")).unwrap(), b"small");
}

#[test]
fn what_is_no_file_of_any_kind_is_reported_and_the_rest_restored() {
    let world = World::new();
    let room = Room::new();
    let mut orphan = node("orphan", NodeKind::Dir, 1 << 31 | 0o755);
    orphan.subtree = Some(world.blob(BlobKind::Data, b"a data blob where a tree belongs"));
    let root = world.tree(vec![orphan, world.file("good", b"good", 10)]);
    let (summary, errors) = world.restore(root, &room.target(), &Options::default());
    assert_eq!(summary.errors, 1, "{errors:?}");
    assert_eq!(std::fs::read(room.target().join("good")).unwrap(), b"good");
}
