//! What is removed was planned before, and what changed since then stays.

use std::fs;

use files::restore::{Action, ItemError, Observer, Options, Overwrite, Progress, plan};
use parking_lot::Mutex;
use testkit::Picture;

use crate::world::World;

/// Hears what is deleted and what fails.
#[derive(Default)]
struct Heard {
    deleted: Mutex<Vec<String>>,
    failed: Mutex<Vec<String>>,
}

impl Observer for Heard {
    fn item(&self, path: &[u8], action: Action, _: u64) {
        if action == Action::Deleted {
            self.deleted.lock().push(String::from_utf8_lossy(path).into_owned());
        }
    }
    fn wants_items(&self) -> bool {
        true
    }
    fn failed(&self, error: &ItemError) {
        self.failed.lock().push(format!("{error}: {}", error.cause));
    }
}

impl Heard {
    fn deleted(&self) -> Vec<String> {
        let mut deleted = self.deleted.lock().clone();
        deleted.sort();
        deleted
    }
}

/// A target with more in it than the snapshot has, and in other places.
struct Room {
    world: World,
    target: tempfile::TempDir,
    root: backend::Id,
}

impl Room {
    fn new() -> Room {
        let (world, target) = (World::new(), tempfile::tempdir().unwrap());
        for path in ["extra", "dir/extra", "dir/kept", "gone/deep/file", "file/inside", "dir/below/extra"] {
            let path = target.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "0123456789").unwrap();
        }
        let dir = vec![world.file("kept", b"x", 10), world.dir("below", vec![])];
        let root = world.tree(vec![world.dir("dir", dir), world.file("file", b"x", 10), world.dir("new", vec![])]);
        world.flush();
        Room { world, target, root }
    }

    fn at(&self, path: &str) -> std::path::PathBuf {
        self.target.path().join(path)
    }
}

const ALL: [&str; 8] =
    ["/dir/below/extra", "/dir/extra", "/extra", "/file", "/file/inside", "/gone", "/gone/deep", "/gone/deep/file"];

#[test]
fn a_plan_lists_what_a_dry_run_shows_and_a_restore_removes() {
    let room = Room::new();
    let before = Picture::of(room.target.path());
    let options = |dry_run| Options { delete: true, dry_run, ..Options::default() };
    for dry_run in [true, false] {
        let options = options(dry_run);
        let plan = plan(&room.world.repo, &room.root, room.target.path(), &options).unwrap();
        before.assert_same(&Picture::of(room.target.path()));
        let listed: Vec<_> = plan.deletions().map(|d| String::from_utf8_lossy(d.path).into_owned()).collect();
        assert_eq!(listed, ALL);
        assert_eq!(plan.deletions().map(|deletion| deletion.size).sum::<u64>(), 50);
        let heard = Heard::default();
        let summary = plan.execute(&Progress::default(), &heard).unwrap();
        assert_eq!((heard.deleted(), heard.failed.lock().len()), (ALL.map(str::to_owned).to_vec(), 0));
        assert_eq!((summary.files_deleted, summary.errors), (8, 0));
    }
    assert!(!room.at("extra").exists() && !room.at("gone").exists() && room.at("file").is_file());
}

#[test]
fn what_came_or_changed_after_the_plan_stays_and_is_said() {
    let room = Room::new();
    let options = Options { delete: true, ..Options::default() };
    let plan = plan(&room.world.repo, &room.root, room.target.path(), &options).unwrap();
    fs::write(room.at("extra"), "changed meanwhile").unwrap();
    fs::write(room.at("gone/deep/new"), "new").unwrap();
    fs::remove_file(room.at("dir/extra")).unwrap();
    let heard = Heard::default();
    let summary = plan.execute(&Progress::default(), &heard).unwrap();
    assert_eq!(fs::read(room.at("extra")).unwrap(), b"changed meanwhile");
    assert_eq!(fs::read(room.at("gone/deep/new")).unwrap(), b"new");
    assert!(!room.at("gone/deep/file").exists());
    let mut said = heard.failed.lock().clone();
    said.sort();
    assert_eq!(
        said,
        [
            "cannot delete /extra: it was changed since the plan was made, and stays",
            "cannot delete /gone/deep/new: it is new since the plan was made, and stays",
        ]
    );
    assert_eq!((summary.files_deleted, summary.errors), (4, 2));
}

#[test]
fn nothing_is_planned_without_delete_or_into_a_folder_that_is_not_there() {
    let room = Room::new();
    let planned = |options: &Options<'_>, target: &std::path::Path| {
        plan(&room.world.repo, &room.root, target, options).unwrap().deletions().len()
    };
    assert_eq!(planned(&Options::default(), room.target.path()), 0);
    assert_eq!(planned(&Options { delete: true, ..Options::default() }, &room.at("not/there")), 0);
    // The folder in the place of a file stays, too, where nothing may be overwritten.
    let never = Options { delete: true, overwrite: Overwrite::Never, ..Options::default() };
    assert_eq!(planned(&never, room.target.path()), ALL.len() - 2);
}
