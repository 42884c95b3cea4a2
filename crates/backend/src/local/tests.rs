//! The local store's own promises; those of every backend are in the conformance suite.

use super::*;

fn repository() -> (tempfile::TempDir, Local) {
    let folder = tempfile::tempdir().unwrap();
    let local = Local::new(folder.path().join("repo"), 2);
    local.create().unwrap();
    (folder, local)
}

fn pack(content: &[u8]) -> FileName {
    FileName::new(FileKind::Pack, Id::of(content))
}

#[cfg(unix)]
#[test]
fn files_are_read_only_and_directories_private_as_restic_leaves_them() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, local) = repository();
    let file = pack(b"content");
    local.write(&file, b"content").unwrap();
    let path = local.path(&file);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o400);
    assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_directory_that_went_missing_is_made_again() {
    let (_folder, local) = repository();
    let file = pack(b"content");
    fs::remove_dir(local.path(&file).parent().unwrap()).unwrap();
    assert_eq!(local.list(FileKind::Pack).unwrap(), []);
    local.write(&file, b"content").unwrap();
    assert_eq!(local.size(&file).unwrap(), 7);
}

#[test]
fn nothing_is_written_where_a_disk_is_not_mounted() {
    let folder = tempfile::tempdir().unwrap();
    let local = Local::new(folder.path(), 2);
    assert_eq!(local.write(&pack(b"x"), b"x").unwrap_err().class, Class::NotFound);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn packs_in_a_directory_of_another_prefix_are_passed_over() {
    let (folder, local) = repository();
    let id = Id::of(b"x").to_string();
    let wrong = if id.starts_with("00") { "01" } else { "00" };
    fs::write(folder.path().join(format!("repo/data/{wrong}/{id}")), b"x").unwrap();
    assert_eq!(local.list(FileKind::Pack).unwrap(), []);
}

/// F4: what could not be written is not there, under no name.
#[test]
fn a_failed_write_leaves_no_temporary_file() {
    let (_folder, local) = repository();
    let file = pack(b"content");
    fs::create_dir(local.path(&file)).unwrap();
    assert!(local.write(&file, b"content").is_err());
    assert_eq!(fs::read_dir(local.path(&file).parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn a_file_system_without_exclusive_rename_still_never_replaces() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    fs::write(&from, b"new").unwrap();
    place::link_new(&from, &to).unwrap();
    fs::write(&from, b"other").unwrap();
    assert_eq!(place::link_new(&from, &to).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(fs::read(&to).unwrap(), b"new");
}
