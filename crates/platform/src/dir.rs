//! An open directory: everything below it is reached by name from here, never through a path that others could change.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, RawDir, ResolveFlags};
use rustix::io::Errno;

use crate::{NameList, Stat};

/// An open directory.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A named pipe or a device that took a file's place must not make us wait: hence `O_NONBLOCK`.
const FILE: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

impl Dir {
    /// Opens a directory by path; a link at its end is not followed.
    pub fn open(path: &[u8]) -> io::Result<Dir> {
        open_quietly(CWD, path, DIRECTORY).map(|fd| Dir { fd })
    }

    /// Opens a directory by path, links followed, only to reach what is in it by name: needs no permission to list it, and
    /// [`Dir::names`] is not possible.
    pub fn open_to_reach(path: &[u8]) -> io::Result<Dir> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Dir { fd: rustix::fs::openat(CWD, path, flags, Mode::empty())? })
    }

    /// Opens a directory in this one; a link is not followed.
    pub fn open_dir(&self, name: &CStr) -> io::Result<Dir> {
        open_quietly(self.fd.as_fd(), name, DIRECTORY).map(|fd| Dir { fd })
    }

    /// Opens a directory that lies below this one, at whatever depth: never through a link, never out of here.
    pub fn open_beneath(&self, path: &[u8]) -> io::Result<Dir> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let fd = rustix::fs::openat2(&self.fd, path, DIRECTORY, Mode::empty(), resolve)?;
        Ok(Dir { fd })
    }

    /// Opens a file in this directory for reading, without changing its time of access where that is allowed. Does not
    /// wait, whatever it is: ask the file's own `fstat` ([`Stat`] of [`crate::Stat`]) what was opened.
    pub fn open_file(&self, name: &CStr) -> io::Result<File> {
        open_quietly(self.fd.as_fd(), name, FILE).map(File::from)
    }

    /// What this directory is.
    pub fn stat(&self) -> io::Result<Stat> {
        Stat::of_open(&self.fd)
    }

    /// What an entry is; a link is not followed.
    pub fn stat_entry(&self, name: &CStr) -> io::Result<Stat> {
        Ok(rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)?.into())
    }

    /// Where an entry that is a symbolic link points to, as raw bytes.
    pub fn read_link(&self, name: &CStr) -> io::Result<Vec<u8>> {
        Ok(rustix::fs::readlinkat(&self.fd, name, Vec::new())?.into_bytes())
    }

    /// All names in this directory; `buffer` is working space of a few ten KiB that can be used again. Must not be called
    /// by two threads at once for the same open directory: they would share its position.
    pub fn names(&self, buffer: &mut Vec<u8>) -> io::Result<NameList> {
        rustix::fs::seek(&self.fd, rustix::fs::SeekFrom::Start(0))?;
        buffer.clear();
        buffer.reserve(NAMES_BUFFER);
        let space: &mut [MaybeUninit<u8>] = buffer.spare_capacity_mut();
        let mut entries = RawDir::new(&self.fd, space);
        let mut names = NameList::default();
        while let Some(entry) = entries.next() {
            names.push(entry?.file_name())?;
        }
        names.sort();
        Ok(names)
    }
}

/// Room for some thousand names per system call.
const NAMES_BUFFER: usize = 64 << 10;

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Stat {
    /// What an open file is.
    pub fn of_open(file: impl AsFd) -> io::Result<Stat> {
        Ok(rustix::fs::fstat(file)?.into())
    }

    /// What the file at a path is; a link at its end is not followed.
    pub fn of_path(path: &[u8]) -> io::Result<Stat> {
        Ok(rustix::fs::lstat(path)?.into())
    }

    /// What the file at a path is; links are followed.
    pub fn of_target(path: &[u8]) -> io::Result<Stat> {
        Ok(rustix::fs::stat(path)?.into())
    }
}

/// Opens with `O_NOATIME`, which only the owner and root may ask for, or else without.
fn open_quietly<P: rustix::path::Arg + Copy>(at: BorrowedFd<'_>, path: P, flags: OFlags) -> io::Result<OwnedFd> {
    match rustix::fs::openat(at, path, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => Ok(rustix::fs::openat(at, path, flags, Mode::empty())?),
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;

    use super::*;

    #[test]
    fn names_come_in_order_of_their_bytes_and_twice_the_same() {
        let temp = tempfile::tempdir().unwrap();
        for name in ["b", "a", "a.b", "Z", "ä", "a-b"] {
            std::fs::write(temp.path().join(name), name).unwrap();
        }
        let dir = Dir::open(temp.path().as_os_str().as_encoded_bytes()).unwrap();
        let mut buffer = Vec::new();
        for _ in 0..2 {
            let names = dir.names(&mut buffer).unwrap();
            let names: Vec<_> = names.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
            assert_eq!(names, ["Z", "a", "a-b", "a.b", "b", "ä"]);
        }
    }

    #[test]
    fn a_link_is_never_followed() {
        let temp = tempfile::tempdir().unwrap();
        std::fs::create_dir(temp.path().join("real")).unwrap();
        std::os::unix::fs::symlink("real", temp.path().join("link")).unwrap();
        let dir = Dir::open(temp.path().as_os_str().as_encoded_bytes()).unwrap();
        let link = CString::new("link").unwrap();
        assert!(dir.open_dir(&link).is_err());
        assert!(dir.open_file(&link).is_err());
        assert!(dir.open_beneath(b"link").is_err());
        assert!(dir.open_beneath(b"../").is_err());
        assert!(dir.open_beneath(b"real").is_ok());
        assert_eq!(dir.read_link(&link).unwrap(), b"real");
    }
}
