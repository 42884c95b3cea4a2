//! Disks that fail: the local store on a kernel that returns errors as told (by strace) and on a tiny file system.

use std::process::Command;

use stead_backend::{Backend, Class, FileKind, FileName, Id, Local, Part};

use crate::peer;

/// Set in the process that plays a scenario.
const SCENARIO: &str = "STEAD_DISK_SCENARIO";

/// Stores a pack and demands that it is there, whole and alone.
fn a_pack_is_stored(local: &Local) {
    let content = vec![7; 3 << 20];
    let file = FileName::new(FileKind::Pack, Id::of(&content));
    local.write(&file, &content).unwrap();
    let mut stored = Vec::new();
    local.read(&file, Part::Whole, &mut stored).unwrap();
    assert!(stored == content);
}

/// Plays a scenario in a process of its own whose system calls fail as `inject` says. The repository is made outside
/// of it, so that the calls that are counted are those of the scenario.
fn scenario(test: &str, inject: &str, play: impl Fn(&Local)) {
    if std::env::var_os(SCENARIO).is_some() {
        let root = std::env::var_os("STEAD_DISK_ROOT").expect("the parent names the repository");
        return play(&Local::new(root, 2));
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("repo");
    Local::new(&root, 2).create().unwrap();
    let Some(strace) = peer::need(test, "strace") else { return };
    let status = Command::new(strace)
        .args(["-f", "-q", "-o", "/dev/null", "-e", &format!("inject={inject}")])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &format!("disk::{test}"), "--nocapture"])
        .envs([(SCENARIO, test.as_ref()), ("STEAD_DISK_ROOT", root.as_os_str())])
        .status()
        .unwrap();
    assert!(status.success(), "under inject={inject}");
    let strays = walk(&root).into_iter().filter(|path| path.contains("-tmp-")).count();
    assert_eq!(strays, 0, "temporary files are left behind");
}

fn walk(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    entries
        .flat_map(|entry| match entry.path() {
            path if path.is_dir() => walk(&path),
            path => vec![path.display().to_string()],
        })
        .collect()
}

#[test]
fn a_failed_flush_of_a_file_is_written_again_from_the_source() {
    scenario("a_failed_flush_of_a_file_is_written_again_from_the_source", "fsync:error=EIO:when=1", a_pack_is_stored);
}

#[test]
fn a_failed_flush_of_the_directory_is_written_again_from_the_source() {
    let test = "a_failed_flush_of_the_directory_is_written_again_from_the_source";
    scenario(test, "fsync:error=EIO:when=2", a_pack_is_stored);
}

/// F4, F29: a file that could not be flushed does not have its name.
#[test]
fn a_disk_that_never_flushes_is_an_error_and_leaves_no_file() {
    scenario("a_disk_that_never_flushes_is_an_error_and_leaves_no_file", "fsync:error=EIO", |local| {
        let file = FileName::new(FileKind::Pack, Id::of(b"content"));
        assert_eq!(local.write(&file, b"content").unwrap_err().class, Class::Transient);
        assert_eq!(local.size(&file).unwrap_err().class, Class::NotFound);
    });
}

#[test]
fn interrupted_and_failing_writes_are_repeated() {
    let test = "interrupted_and_failing_writes_are_repeated";
    scenario(test, "fallocate:error=EOPNOTSUPP", a_pack_is_stored);
    scenario(test, "fsync:error=EINTR:when=1", a_pack_is_stored);
    scenario(test, "renameat2:error=EIO:when=1", a_pack_is_stored);
}

#[test]
fn a_file_system_that_cannot_rename_exclusively_links() {
    let test = "a_file_system_that_cannot_rename_exclusively_links";
    scenario(test, "renameat2:error=EINVAL", |local| {
        a_pack_is_stored(local);
        a_pack_is_stored(local);
    });
}

#[test]
fn a_full_disk_is_told_and_not_tried_again() {
    for inject in ["fallocate:error=ENOSPC", "fsync:error=ENOSPC"] {
        scenario("a_full_disk_is_told_and_not_tried_again", inject, |local| {
            let content = vec![1; 2 << 20];
            let file = FileName::new(FileKind::Pack, Id::of(&content));
            assert_eq!(local.write(&file, &content).unwrap_err().class, Class::Full);
            assert_eq!(local.size(&file).unwrap_err().class, Class::NotFound);
        });
    }
}

/// In a process of its own, because a working directory is the whole process's.
#[test]
fn a_relative_path_stays_the_same_place_when_the_working_directory_changes() {
    let test = "disk::a_relative_path_stays_the_same_place_when_the_working_directory_changes";
    if std::env::var_os(SCENARIO).is_some() {
        let local = Local::new("repo", 2);
        std::env::set_current_dir("elsewhere").unwrap();
        local.create().unwrap();
        a_pack_is_stored(&local);
        assert_eq!(local.location(), "repo", "people read what they wrote");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("elsewhere")).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    let status = command.args(["--exact", test]).env(SCENARIO, test).current_dir(folder.path()).status().unwrap();
    assert!(status.success());
    assert_eq!(walk(&folder.path().join("repo")).len(), 1);
    assert_eq!(walk(&folder.path().join("elsewhere")).len(), 0);
}
