//! In a repository that restic also uses, our trees are restic's trees, to the byte.

use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use backend::Id;
use files::backup::BackupOptions;
use repo::chunk::ChunkerKind;

use crate::files;
use crate::world::World;

fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {}\n{stderr}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// The root tree of the newest snapshot, as restic tells it.
fn restics_root(world: &World) -> Option<Id> {
    let json = succeeds(world.restic()?.args(["snapshots", "--json", "latest", "--no-lock"]));
    let snapshots: serde_json::Value = serde_json::from_str(&json).unwrap();
    Some(snapshots[0]["tree"].as_str()?.parse().unwrap())
}

fn attributes(world: &World) {
    let set = |program: &str, args: &[&str]| succeeds(Command::new(program).args(args).current_dir(world.work()));
    for (args, path) in [(&["-n", "user.b", "-v", "2"], "attributes"), (&["-n", "user.a", "-v", "1"], "attributes")] {
        set("setfattr", &[&args[..], &[path]].concat());
    }
    set("setfattr", &["-n", "user.on-dir", "-v", "x", "empty folder"]);
    set("setfattr", &["-h", "-n", "trusted.on-link", "-v", "x", "link"]);
    set("setfacl", &["-m", "u:daemon:r", "plain-acl"]);
    set("setfacl", &["-d", "-m", "u:daemon:rwx", "empty folder"]);
    set("touch", &["-d", "1901-02-03 04:05:06.789", "old"]);
    set("touch", &["-d", "2024-07-01 12:00:00.000000001", "summer"]);
    set("touch", &["-h", "-d", "1970-01-01 00:00:00 UTC", "dangling"]);
}

fn awkward() -> World {
    let world = World::with(ChunkerKind::Rabin);
    testkit::sample::awkward(&world.work());
    std::fs::write(world.work().join("plain-acl"), "x").unwrap();
    std::os::unix::net::UnixListener::bind(world.work().join("socket")).unwrap();
    if rustix::process::geteuid().is_root() {
        attributes(&world);
    }
    world
}

fn zone(world: &World, name: &str) -> BackupOptions {
    let mut options = world.options();
    options.time = options.time.timestamp().in_tz(name).unwrap();
    options
}

/// Backs `paths` up by restic and by us, and compares the roots.
fn same(world: &World, paths: &[&str], options: BackupOptions) {
    let mut difference = String::new();
    // Directories above the paths are other programs' too, and may change between the two.
    for _ in 0..5 {
        match differ(world, paths, &options) {
            None => return,
            Some(first) => difference = first,
        }
    }
    panic!("{difference}");
}

fn differ(world: &World, paths: &[&str], options: &BackupOptions) -> Option<String> {
    let zone = options.time.time_zone().iana_name().unwrap_or("UTC").to_owned();
    succeeds(world.restic()?.env("TZ", zone).arg("backup").args(paths).args(["--force", "--quiet"]));
    let theirs = restics_root(world)?;
    let paths: Vec<&[u8]> = paths.iter().map(|path| path.as_bytes()).collect();
    let ours = world.backup_of(&paths, options.clone()).unwrap().tree;
    assert_eq!(world.errors(), Vec::<String>::new());
    if ours == theirs {
        return None;
    }
    let (ours, theirs) = (show(world, &ours), show(world, &theirs));
    let first = ours.iter().zip(&theirs).find(|(ours, theirs)| ours != theirs);
    Some(format!("{paths:?}: {} and {} nodes, {first:#?}", ours.len(), theirs.len()))
}

/// All nodes of a tree in words.
fn show(world: &World, root: &Id) -> Vec<String> {
    let repo = world.fresh();
    let mut lines = Vec::new();
    let mut todo = vec![(Vec::new(), *root)];
    while let Some((dir, id)) = todo.pop() {
        for mut node in repo.read_tree(&id).unwrap().nodes {
            let path = [&dir[..], b"/", &node.name].concat();
            if let Some(subtree) = node.subtree.take() {
                todo.push((path.clone(), subtree));
            }
            lines.push(format!("{} {node:?}", String::from_utf8_lossy(&path)));
        }
    }
    lines
}

#[test]
fn restic_and_we_make_the_same_tree_of_every_awkward_thing() {
    let world = awkward();
    let work = world.work();
    let work = work.to_str().unwrap();
    same(&world, &[work], zone(&world, "Europe/Berlin"));
    same(&world, &[work], zone(&world, "Asia/Kolkata"));
    same(&world, &[work], zone(&world, "UTC"));
}

#[test]
fn restic_and_we_put_paths_into_the_tree_alike() {
    let world = awkward();
    let work = world.work();
    let work = work.to_str().unwrap();
    let names = format!("{work}/names");
    for paths in [
        &["."][..],
        &["names", "link", "fifo"],
        &["names", &names],
        &["../work/names", "names/plain"],
        &["deep/deep/deep", "deep"],
        &["names/plain", "names/...", "./names/plain"],
    ] {
        same(&world, paths, world.options());
    }
}

#[test]
fn restic_goes_on_from_our_snapshot_without_reading() {
    let world = awkward();
    let ours = world.backup_here();
    let Some(mut restic) = world.restic() else { return };
    let said = succeeds(restic.args(["backup", "--host", "desk", "--json", "."]));
    let summary = said.lines().find(|line| line.contains("\"summary\"")).unwrap();
    let summary: serde_json::Value = serde_json::from_str(summary).unwrap();
    assert_eq!((&summary["files_new"], &summary["files_changed"]), (&0.into(), &0.into()), "{summary}");
    assert_eq!((&summary["dirs_changed"], &summary["data_added"]), (&0.into(), &0.into()), "{summary}");
    assert_eq!(summary["files_unmodified"], ours.summary.files_new);
    succeeds(world.restic().unwrap().args(["check", "--read-data"]));
}

#[test]
fn our_summary_counts_as_restic_does() {
    let world = awkward();
    let other = awkward();
    let (Some(mut restic), paths) = (other.restic(), world.work()) else { return };
    let said = succeeds(restic.args(["backup", "--json"]).arg(&paths));
    let summary = said.lines().find(|line| line.contains("\"summary\"")).unwrap();
    let theirs: serde_json::Value = serde_json::from_str(summary).unwrap();
    let ours = serde_json::to_value(world.backup().summary).unwrap();
    for figure in ["files_new", "files_changed", "files_unmodified", "dirs_new", "dirs_changed", "dirs_unmodified"] {
        assert_eq!(ours[figure], theirs[figure], "{figure}");
    }
    assert_eq!(ours["tree_blobs"], theirs["tree_blobs"]);
    for figure in ["total_files_processed", "total_bytes_processed"] {
        assert_eq!(ours[figure], theirs[figure], "{figure}");
    }
    assert_eq!(world.work().as_os_str().as_bytes().first(), Some(&b'/'));
}
