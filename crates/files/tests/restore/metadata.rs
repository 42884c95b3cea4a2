//! Modes, owners, times, attributes, links and devices come back.

use std::os::unix::fs::{FileTypeExt, MetadataExt};

use files::restore::Options;
use repo::node::{ExtendedAttribute, NodeKind, NodeTime};
use testkit::Picture;

use crate::world::{THEN, World, link, linked, node};

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn every_kind_of_node_comes_back_with_its_metadata() {
    let world = World::new();
    let target = tempfile::tempdir().unwrap();
    let mut program = world.file("program", b"#!", 10);
    program.mode = 0o755 | 1 << 23 | 1 << 22;
    let mut secret = world.file("secret", &[7; 100_000], 9000);
    secret.mode = 0;
    secret.mtime = NodeTime { seconds: -1_000, nanoseconds: 1, offset: 0 };
    let mut tagged = world.file("tagged", b"tagged", 10);
    tagged.mode = 0o400;
    tagged.extended_attributes = vec![
        ExtendedAttribute { name: "user.empty".into(), value: None },
        ExtendedAttribute { name: "user.text".into(), value: Some(b"value".to_vec()) },
    ];
    let mut sticky = world.dir("sticky", vec![world.file("inside", b"x", 10), link("link", "nowhere")]);
    sticky.mode |= 1 << 20 | 0o777;
    let mut closed = world.dir("closed", vec![world.file("inside", b"x", 10)]);
    closed.mode = 1 << 31 | 0o500;
    let mut nodes = vec![program, secret, tagged, sticky, closed, node("pipe", NodeKind::Fifo, 1 << 25 | 0o622)];
    if is_root() {
        let mut null = node("null", NodeKind::CharDevice, 1 << 26 | 1 << 21 | 0o666);
        null.device = 0x103;
        let mut owned = world.file("owned", b"theirs", 10);
        (owned.uid, owned.gid, owned.mode) = (1234, 4321, 0o644 | 1 << 23);
        nodes.extend([null, owned]);
    }
    let root = world.tree(nodes);
    world.restores(root, target.path(), &Options::default());
    let look = |name: &str| std::fs::symlink_metadata(target.path().join(name)).unwrap();
    assert_eq!(look("program").mode() & 0o7777, 0o6755);
    assert_eq!((look("secret").mode() & 0o7777, look("secret").mtime()), (0, -1000));
    assert_eq!(look("tagged").mode() & 0o7777, 0o400);
    assert_eq!(look("sticky").mode() & 0o7777, 0o1777);
    assert_eq!(look("closed").mode() & 0o7777, 0o500);
    assert_eq!(look("pipe").mode() & 0o7777, 0o622);
    for name in ["program", "tagged", "sticky", "sticky/inside", "sticky/link", "closed", "pipe"] {
        assert_eq!((look(name).mtime(), look(name).mtime_nsec()), (THEN, 123_456_789), "{name}");
    }
    let mut value = [0; 10];
    assert_eq!(rustix::fs::lgetxattr(target.path().join("tagged"), "user.text", &mut value).unwrap(), 5);
    assert_eq!(rustix::fs::lgetxattr(target.path().join("tagged"), "user.empty", &mut value).unwrap(), 0);
    if is_root() {
        assert!(look("null").file_type().is_char_device());
        assert_eq!(look("null").rdev(), 0x103);
        let owned = look("owned");
        assert_eq!((owned.uid(), owned.gid(), owned.mode() & 0o7777), (1234, 4321, 0o4644));
    }
    let before = Picture::of(target.path());
    world.restores(root, target.path(), &Options::default());
    before.assert_same(&Picture::of(target.path()));
}

#[test]
fn what_existed_loses_attributes_and_modes_that_the_snapshot_does_not_have() {
    let world = World::new();
    let target = tempfile::tempdir().unwrap();
    let path = target.path().join("file");
    std::fs::write(&path, "same").unwrap();
    rustix::fs::lsetxattr(&path, "user.old", b"x", rustix::fs::XattrFlags::empty()).unwrap();
    rustix::fs::lsetxattr(&path, "user.spared", b"x", rustix::fs::XattrFlags::empty()).unwrap();
    let root = world.tree(vec![world.file("file", b"same", 10)]);
    let options = Options { attributes: &|name| name != "user.spared", ..Options::default() };
    world.restores(root, target.path(), &options);
    assert!(rustix::fs::lgetxattr(&path, "user.old", &mut [0; 9]).is_err());
    assert!(rustix::fs::lgetxattr(&path, "user.spared", &mut [0; 9]).is_ok());
    assert_eq!(std::fs::metadata(&path).unwrap().mtime(), THEN);
}

#[test]
fn a_default_acl_of_the_target_does_not_stay_on_restored_files() {
    let world = World::new();
    let target = tempfile::tempdir().unwrap();
    // user::rwx, user:1000:rwx, group::r-x, mask::rwx, other::r-x
    let acl: &[u8] = &[
        2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255, 2, 0, 7, 0, 232, 3, 0, 0, 4, 0, 5, 0, 255, 255, 255, 255, 16, 0, 7,
        0, 255, 255, 255, 255, 32, 0, 5, 0, 255, 255, 255, 255,
    ];
    if rustix::fs::setxattr(target.path(), "system.posix_acl_default", acl, rustix::fs::XattrFlags::empty()).is_err() {
        return testkit::peer::skip("no ACLs on this file system");
    }
    let root = world.tree(vec![world.dir("dir", vec![world.file("file", b"x", 10)]), world.file("file", b"x", 10)]);
    world.restores(root, target.path(), &Options::default());
    for name in ["dir", "dir/file", "file"] {
        let path = target.path().join(name);
        assert!(rustix::fs::lgetxattr(&path, "system.posix_acl_access", &mut [0; 99]).is_err(), "{name}");
        assert!(rustix::fs::lgetxattr(&path, "system.posix_acl_default", &mut [0; 99]).is_err(), "{name}");
    }
    assert_eq!(std::fs::metadata(target.path().join("dir/file")).unwrap().mode() & 0o7777, 0o644);
    assert_eq!(std::fs::metadata(target.path().join("dir")).unwrap().mode() & 0o7777, 0o755);
}

#[test]
fn hard_links_are_one_file_again_wherever_their_names_are() {
    let world = World::new();
    let target = tempfile::tempdir().unwrap();
    let name = |name: &str| linked(world.file(name, b"one content", 4), 77);
    let root = world.tree(vec![
        name("a"),
        world.dir("deep", vec![world.dir("er", vec![name("b")]), name("c")]),
        // The same numbers, but other content: the file was replaced while it was backed up.
        linked(world.file("other", b"another content", 4), 77),
    ]);
    std::fs::write(target.path().join("a"), "one content").unwrap();
    let summary = world.restores(root, target.path(), &Options { verify: true, ..Options::default() });
    let inode = |name: &str| std::fs::metadata(target.path().join(name)).unwrap().ino();
    assert_eq!(inode("a"), inode("deep/er/b"));
    assert_eq!(inode("a"), inode("deep/c"));
    assert_ne!(inode("a"), inode("other"));
    assert_eq!(std::fs::read(target.path().join("other")).unwrap(), b"another content");
    assert_eq!(std::fs::metadata(target.path().join("deep/er")).unwrap().mtime(), THEN);
    assert_eq!(summary.total_files, summary.files_restored);
    world.restores(root, target.path(), &Options { delete: true, ..Options::default() });
    assert_eq!(inode("a"), inode("deep/er/b"));
}

#[test]
fn owners_can_be_chosen_by_the_caller() {
    if !is_root() {
        return testkit::peer::skip("only root gives files away");
    }
    let world = World::new();
    let target = tempfile::tempdir().unwrap();
    let root = world.tree(vec![world.dir("dir", vec![world.file("file", b"x", 10)])]);
    world.restores(root, target.path(), &Options { owner: Some(&|_| (77, 88)), ..Options::default() });
    for name in ["dir", "dir/file"] {
        let metadata = std::fs::metadata(target.path().join(name)).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (77, 88));
    }
}
