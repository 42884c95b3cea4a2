//! Nothing outside the directory is ever reached.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::*;

fn place() -> (tempfile::TempDir, Directory) {
    let folder = tempfile::tempdir().unwrap();
    let directory = Directory::at_path(folder.path()).unwrap();
    (folder, directory)
}

#[test]
fn names_that_lead_elsewhere_are_refused_by_every_call() {
    let (_folder, directory) = place();
    for hostile in [&b""[..], b".", b"..", b"a/b", b"/etc", b"a\0b", b"../x"] {
        let refused = |result: io::Result<()>| assert_eq!(result.unwrap_err().kind(), io::ErrorKind::InvalidInput);
        refused(directory.create(hostile, 0o600).map(drop));
        refused(directory.open(hostile).map(drop));
        refused(directory.make(hostile));
        refused(directory.look(hostile).map(drop));
        refused(directory.symlink(hostile, b"x"));
        refused(directory.remove(hostile));
        refused(directory.remove_directory(hostile));
        refused(directory.link(hostile, &directory, b"x"));
        refused(directory.link(b"x", &directory, hostile));
        refused(directory.set_metadata(hostile, &Metadata::default()));
        refused(directory.make_special(hostile, FileType::Fifo, 0));
    }
}

#[test]
fn a_link_is_never_followed() {
    let (folder, directory) = place();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("file"), "precious").unwrap();
    symlink(outside.path(), folder.path().join("dir")).unwrap();
    symlink(outside.path().join("file"), folder.path().join("file")).unwrap();
    symlink(outside.path().join("new"), folder.path().join("new")).unwrap();
    assert!(directory.open(b"dir").is_err());
    assert!(directory.open_file(b"file", Access::Write).is_err());
    assert!(directory.open_file(b"file", Access::Read).is_err());
    assert!(directory.create(b"new", 0o600).is_err());
    let time = Time { seconds: 5, nanoseconds: 0 };
    let metadata = Metadata { mode: Some(0o777), times: Some((time, time)), ..Metadata::default() };
    directory.set_metadata(b"file", &metadata).unwrap();
    let untouched = std::fs::metadata(outside.path().join("file")).unwrap();
    assert_ne!(untouched.mtime(), 5);
    assert_ne!(untouched.mode() & 0o777, 0o777);
    assert_eq!(std::fs::symlink_metadata(folder.path().join("file")).unwrap().mtime(), 5);
    directory.link(b"second", &directory, b"file").unwrap();
    assert!(std::fs::symlink_metadata(folder.path().join("second")).unwrap().is_symlink());
    directory.remove(b"file").unwrap();
    assert_eq!(std::fs::read(outside.path().join("file")).unwrap(), b"precious");
}

#[test]
fn a_pipe_in_the_place_of_a_file_is_not_waited_for() {
    let (_folder, directory) = place();
    directory.make_special(b"pipe", FileType::Fifo, 0).unwrap();
    assert!(directory.open_file(b"pipe", Access::Read).is_err());
    assert!(directory.open_file(b"pipe", Access::Write).is_err());
    assert_eq!(directory.look(b"pipe").unwrap().unwrap().file_type, FileType::Fifo);
}

#[test]
fn metadata_is_set_as_asked() {
    let (folder, directory) = place();
    let file = directory.create(b"file", 0o600).unwrap();
    let times = (Time { seconds: -7, nanoseconds: 3 }, Time { seconds: 1_700_000_000, nanoseconds: 123_456_789 });
    set_metadata(&file, &Metadata { mode: Some(0o4711), times: Some(times), ..Metadata::default() }).unwrap();
    close(file).unwrap();
    let found = directory.look(b"file").unwrap().unwrap();
    assert_eq!((found.permissions, found.modified), (0o4711, times.1));
    assert_eq!(std::fs::metadata(folder.path().join("file")).unwrap().atime(), -7);
    directory.set_metadata(b"file", &Metadata { mode: Some(0o640), ..Metadata::default() }).unwrap();
    assert_eq!(std::fs::metadata(folder.path().join("file")).unwrap().permissions().mode() & 0o7777, 0o640);
}

#[test]
fn attributes_become_exactly_what_was_wanted() {
    let (_folder, directory) = place();
    let file = directory.create(b"file", 0o600).unwrap();
    let give = |wanted: &[(&[u8], &[u8])], remove| {
        let attributes = Attributes { wanted, remove };
        set_metadata(&file, &Metadata { attributes: Some(&attributes), ..Metadata::default() }).unwrap();
    };
    give(&[(b"user.old", b"1"), (b"user.kept", b"")], None);
    give(&[(b"user.new", b"2"), (b"user.kept", b"3")], Some(&|_| true));
    let mut all = attributes_at(&directory, b"file").unwrap();
    all.retain(|(name, _)| name.starts_with(b"user."));
    all.sort();
    // A temporary folder may be on a file system without attributes: then there is nothing to compare.
    if rustix::fs::fsetxattr(&file, c"user.probe", b"", rustix::fs::XattrFlags::empty()).is_ok() {
        assert_eq!(all, [(b"user.kept".to_vec(), b"3".to_vec()), (b"user.new".to_vec(), b"2".to_vec())]);
    }
}

#[test]
fn a_directory_tells_whether_it_bequeaths_its_group() {
    let (_folder, directory) = place();
    directory.make(b"plain").unwrap();
    assert!(!directory.open(b"plain").unwrap().bequeaths().unwrap());
    directory.set_metadata(b"plain", &Metadata { mode: Some(0o2755), ..Metadata::default() }).unwrap();
    assert!(directory.open(b"plain").unwrap().bequeaths().unwrap());
}
