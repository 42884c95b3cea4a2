//! What is selected, overwritten, deleted, and what a dry run does.

use files::pattern::{Case, PatternList};
use files::restore::{Filter, Options, Overwrite, Summary};
use testkit::Picture;

use crate::world::{THEN, World, link, node};

#[test]
fn a_dry_run_touches_nothing_and_tells_what_would_be() {
    let world = World::new();
    let target = tempfile::tempdir().unwrap();
    std::fs::write(target.path().join("changed"), "old").unwrap();
    std::fs::write(target.path().join("extra"), "extra").unwrap();
    std::os::unix::fs::symlink("x", target.path().join("dir")).unwrap();
    let before = Picture::of(target.path());
    let root = world.tree(vec![
        world.file("changed", b"new", 10),
        world.dir("dir", vec![world.file("new", b"new", 10), link("link", "x")]),
        node("pipe", repo::node::NodeKind::Fifo, 0o600),
    ]);
    let options = || Options { delete: true, sparse: true, ..Options::default() };
    let dry = world.restores(root, target.path(), &Options { dry_run: true, ..options() });
    before.assert_same(&Picture::of(target.path()));
    let real = world.restores(root, target.path(), &options());
    assert_eq!(dry, real);
    assert_eq!(
        real,
        Summary { total_files: 5, files_restored: 5, files_deleted: 1, total_bytes: 6, bytes_restored: 6, ..real }
    );
    let missing = target.path().join("not/there");
    let dry = world.restores(root, &missing, &Options { dry_run: true, ..options() });
    assert_eq!(dry.total_files, 5);
    assert!(!missing.exists());
}

#[test]
fn delete_spares_what_is_not_selected() {
    let world = World::new();
    let target = tempfile::tempdir().unwrap();
    for path in
        ["keep/me.txt", "keep/deep/also.txt", "keep/deep/not.tmp", "gone/file.tmp", "dir/extra.tmp", "dir/mine.txt"]
    {
        let path = target.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "x").unwrap();
    }
    let root = world.tree(vec![world.dir("dir", vec![world.file("new", b"new", 10)])]);
    let filter = Filter::Exclude(vec![PatternList::new(["*.txt"], Case::Sensitive).unwrap()]);
    let select = |path: &[u8], _| filter.select(path);
    let summary = world.restores(root, target.path(), &Options { delete: true, select: &select, ..Options::default() });
    assert_eq!(summary.files_deleted, 4);
    let exists = |path: &str| target.path().join(path).exists();
    assert!(exists("keep/me.txt") && exists("keep/deep/also.txt") && exists("dir/mine.txt") && exists("dir/new"));
    assert!(!exists("keep/deep/not.tmp") && !exists("gone") && !exists("dir/extra.tmp"));
}

#[test]
fn included_files_bring_only_their_own_folders() {
    let world = World::new();
    let target = tempfile::tempdir().unwrap();
    let root = world.tree(vec![
        world.dir("a", vec![world.dir("b", vec![world.file("wanted", b"x", 10), world.file("other", b"x", 10)])]),
        world.dir("c", vec![world.file("other", b"x", 10)]),
        world.dir("d", vec![world.file("other", b"x", 10)]),
    ]);
    std::fs::create_dir(target.path().join("c")).unwrap();
    let untouched = std::fs::metadata(target.path().join("c")).unwrap().modified().unwrap();
    let filter = Filter::Include(vec![
        PatternList::new(["/a/b/wanted", "/c/nothing", "/d/nothing"], Case::Sensitive).unwrap(),
        PatternList::new(["WANTED"], Case::Insensitive).unwrap(),
    ]);
    let select = |path: &[u8], _| filter.select(path);
    // With `delete`, every folder on the way is looked at; that leaves no trace on those that are not restored.
    let options = Options { select: &select, delete: true, ..Options::default() };
    let summary = world.restores(root, target.path(), &options);
    assert_eq!((summary.total_files, summary.files_restored), (1, 1));
    assert!(target.path().join("a/b/wanted").exists());
    assert!(!target.path().join("a/b/other").exists() && !target.path().join("c/other").exists());
    assert!(!target.path().join("d").exists());
    assert_eq!(std::fs::metadata(target.path().join("c")).unwrap().modified().unwrap(), untouched);
    let time = std::fs::metadata(target.path().join("a/b")).unwrap().modified().unwrap();
    assert_eq!(time.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64, THEN);
}

#[test]
fn existing_files_stay_or_go_as_asked() {
    let world = World::new();
    let root = world.tree(vec![world.file("newer", b"snapshot", 10), world.file("older", b"snapshot", 10)]);
    let outcome = |overwrite| {
        let target = tempfile::tempdir().unwrap();
        for (name, seconds) in [("newer", THEN + 100), ("older", THEN - 100)] {
            std::fs::write(target.path().join(name), "disk").unwrap();
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds.unsigned_abs());
            let file = std::fs::File::options().write(true).open(target.path().join(name)).unwrap();
            file.set_modified(time).unwrap();
        }
        let summary = world.restores(root, target.path(), &Options { overwrite, ..Options::default() });
        let read = |name| std::fs::read_to_string(target.path().join(name)).unwrap();
        (read("newer"), read("older"), summary.files_skipped)
    };
    let all = |newer: &str, older: &str, skipped| (newer.to_owned(), older.to_owned(), skipped);
    assert_eq!(outcome(Overwrite::Always), all("snapshot", "snapshot", 0));
    assert_eq!(outcome(Overwrite::IfChanged), all("snapshot", "snapshot", 0));
    assert_eq!(outcome(Overwrite::IfNewer), all("disk", "snapshot", 1));
    assert_eq!(outcome(Overwrite::Never), all("disk", "disk", 2));
}

#[test]
fn a_folder_in_the_way_of_a_file_goes_only_if_it_is_empty_or_all_else_is_deleted() {
    let world = World::new();
    let target = tempfile::tempdir().unwrap();
    std::fs::create_dir(target.path().join("file")).unwrap();
    std::fs::write(target.path().join("file/inside"), "x").unwrap();
    let root = world.tree(vec![world.file("file", b"x", 10)]);
    let (summary, errors) = world.restore(root, target.path(), &Options::default());
    assert_eq!((summary.errors, errors.len()), (1, 1));
    assert!(target.path().join("file/inside").exists());
    world.restores(root, target.path(), &Options { delete: true, ..Options::default() });
    assert_eq!(std::fs::read(target.path().join("file")).unwrap(), b"x");
}

#[test]
fn with_never_a_file_in_the_way_of_a_folder_stays() {
    let world = World::new();
    let target = tempfile::tempdir().unwrap();
    std::fs::write(target.path().join("dir"), "mine").unwrap();
    let root = world.tree(vec![world.dir("dir", vec![world.file("file", b"x", 10)]), world.file("other", b"x", 10)]);
    let (summary, _) =
        world.restore(root, target.path(), &Options { overwrite: Overwrite::Never, ..Options::default() });
    assert_eq!(summary.errors, 1);
    assert_eq!(std::fs::read(target.path().join("dir")).unwrap(), b"mine");
    assert!(target.path().join("other").exists());
}
