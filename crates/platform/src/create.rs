//! Making and changing files beneath a directory, and nowhere else.
//!
//! Every call takes an open directory and one name in it, never a path, and never follows a symbolic link: whatever
//! stands in the tree, or is planted there while we work, nothing outside of it is opened, made, changed or removed.
//! What was made is reached again through the same open directory.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{self, AtFlags, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use crate::{FileType, Stat, Time};

mod attributes;

pub use attributes::{Attribute, Attributes, Decide, attributes_at};

/// How an existing file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To read, without changing its access time where the system lets us.
    Read,
    /// To write in place.
    Write,
}

/// An open directory: the only way to reach what is in it.
#[derive(Debug)]
pub struct Directory(OwnedFd);

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Directory {
    /// Opens a directory by a path that the user named; links in it are followed, as the user means them.
    pub fn at_path(path: &Path) -> io::Result<Directory> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Directory(fs::open(path, flags, Mode::empty())?))
    }

    /// Opens the directory `name`; an error if something else stands there, a link included.
    pub fn open(&self, name: &[u8]) -> io::Result<Directory> {
        open_beneath(self, name, OFlags::PATH | OFlags::DIRECTORY, 0).map(Directory)
    }

    /// Opens this directory itself for [`set_metadata`], which needs more than the way into it.
    pub fn readable(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(fs::openat(self, ".", flags, Mode::empty())?)
    }

    /// Makes a directory that only we can enter.
    pub fn make(&self, name: &[u8]) -> io::Result<()> {
        Ok(fs::mkdirat(self, component(name)?, Mode::RWXU)?)
    }

    /// What stands under `name`, if anything.
    pub fn look(&self, name: &[u8]) -> io::Result<Option<Stat>> {
        match fs::statat(self, component(name)?, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat.into())),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The names in this directory, unsorted.
    pub fn names(&self) -> io::Result<Vec<Vec<u8>>> {
        let mut names = Vec::new();
        for entry in fs::Dir::new(self.readable()?)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(name.to_vec());
            }
        }
        Ok(names)
    }

    /// True if what is made here gets more than it asks for: a group from the set-group-id bit, or a default ACL.
    pub fn bequeaths(&self) -> io::Result<bool> {
        let stat = fs::statat(self, "", AtFlags::EMPTY_PATH)?;
        if stat.st_mode & 0o2000 != 0 {
            return Ok(true);
        }
        let Ok(readable) = self.readable() else { return Ok(true) };
        match fs::fgetxattr(&readable, c"system.posix_acl_default", &mut [0_u8; 0][..]) {
            Ok(_) => Ok(true),
            Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(false),
            Err(_) => Ok(true),
        }
    }

    /// Makes a new regular file, open to write; `mode` is cut by the process's umask. An error if anything stands there.
    pub fn create(&self, name: &[u8], mode: u32) -> io::Result<File> {
        open_beneath(self, name, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL, mode & 0o777).map(File::from)
    }

    /// Opens an existing regular file; an error if something else stands there.
    pub fn open_file(&self, name: &[u8], access: Access) -> io::Result<File> {
        let file = match access {
            Access::Write => open_beneath(self, name, OFlags::WRONLY | OFlags::NONBLOCK, 0)?,
            Access::Read => self.open_quietly(name)?,
        };
        match Stat::of_open(&file)?.is_file() {
            true => Ok(File::from(file)),
            false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")),
        }
    }

    /// Only the owner may read without touching the access time; everybody else is told so and reads as usual.
    fn open_quietly(&self, name: &[u8]) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        match open_beneath(self, name, flags | OFlags::NOATIME, 0) {
            Err(error) if Errno::from_io_error(&error) == Some(Errno::PERM) => open_beneath(self, name, flags, 0),
            result => result,
        }
    }

    /// Makes a symbolic link.
    pub fn symlink(&self, name: &[u8], target: &[u8]) -> io::Result<()> {
        Ok(fs::symlinkat(target, self, component(name)?)?)
    }

    /// Where the symbolic link `name` points.
    pub fn read_link(&self, name: &[u8]) -> io::Result<Vec<u8>> {
        Ok(fs::readlinkat(self, component(name)?, Vec::new())?.into_bytes())
    }

    /// Makes a device, a named pipe or a socket with mode 0600; `represents` is the device number.
    pub fn make_special(&self, name: &[u8], file_type: FileType, represents: u64) -> io::Result<()> {
        let file_type = match file_type {
            FileType::BlockDevice => fs::FileType::BlockDevice,
            FileType::CharDevice => fs::FileType::CharacterDevice,
            FileType::Fifo => fs::FileType::Fifo,
            FileType::Socket => fs::FileType::Socket,
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        };
        Ok(fs::mknodat(self, component(name)?, file_type, Mode::RUSR | Mode::WUSR, represents)?)
    }

    /// Makes `name` another name of the file `of` in the directory `from`; a symbolic link is linked, not followed.
    pub fn link(&self, name: &[u8], from: &Directory, of: &[u8]) -> io::Result<()> {
        Ok(fs::linkat(from, component(of)?, self, component(name)?, AtFlags::empty())?)
    }

    /// Removes anything but a directory; success where nothing stands.
    pub fn remove(&self, name: &[u8]) -> io::Result<()> {
        gone(fs::unlinkat(self, component(name)?, AtFlags::empty()))
    }

    /// Removes an empty directory; success where nothing stands.
    pub fn remove_directory(&self, name: &[u8]) -> io::Result<()> {
        gone(fs::unlinkat(self, component(name)?, AtFlags::REMOVEDIR))
    }

    /// Sets metadata of what stands under `name`, in the order and with the leniency of [`set_metadata`]; a link gets
    /// its own, its target stays untouched.
    pub fn set_metadata(&self, name: &[u8], metadata: &Metadata<'_>) -> io::Result<()> {
        let name = component(name)?;
        let chown = |uid, gid| fs::chownat(self, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW);
        let given = give_away(metadata.owner, chown)?;
        if let Some(wanted) = metadata.attributes {
            attributes::set_at(self, name, wanted)?;
        }
        if let Some(mode) = metadata.mode {
            set_mode_at(self, name, given.cut(mode))?;
        }
        let Some((atime, mtime)) = metadata.times else { return Ok(()) };
        Ok(fs::utimensat(self, name, &timestamps(atime, mtime), AtFlags::SYMLINK_NOFOLLOW)?)
    }
}

/// What to set; `None` leaves as it is.
#[derive(Clone, Copy, Default)]
pub struct Metadata<'a> {
    /// User and group.
    pub owner: Option<(u32, u32)>,
    /// Extended attributes (ACLs among them).
    pub attributes: Option<&'a Attributes<'a>>,
    /// Permission bits with set-uid, set-gid and sticky. Links have none.
    pub mode: Option<u32>,
    /// Access and modification.
    pub times: Option<(Time, Time)>,
}

/// Sets metadata of an open file. The owner comes first, because changing it takes set-uid bits and capabilities away;
/// attributes before the mode, because a read-only file takes none; times last.
///
/// Only root may give files away: for anybody else a foreign owner is no error, but then the file gets no set-uid and
/// set-gid bits either, which were meant for that owner.
pub fn set_metadata(file: impl AsFd, metadata: &Metadata<'_>) -> io::Result<()> {
    let given = give_away(metadata.owner, |uid, gid| fs::fchown(&file, uid, gid))?;
    if let Some(wanted) = metadata.attributes {
        attributes::set(&file, wanted)?;
    }
    if let Some(mode) = metadata.mode {
        fs::fchmod(&file, Mode::from_raw_mode(given.cut(mode)))?;
    }
    let Some((atime, mtime)) = metadata.times else { return Ok(()) };
    Ok(fs::futimens(&file, &timestamps(atime, mtime))?)
}

/// Whether a file got the owner that it is to have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Given {
    Yes,
    No,
}

impl Given {
    fn cut(self, mode: u32) -> u32 {
        match self {
            Given::Yes => mode & 0o7777,
            Given::No => mode & 0o1777,
        }
    }
}

fn give_away(
    owner: Option<(u32, u32)>,
    chown: impl Fn(Option<Uid>, Option<Gid>) -> Result<(), Errno>,
) -> io::Result<Given> {
    let Some((uid, gid)) = owner else { return Ok(Given::Yes) };
    match chown(Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))) {
        Ok(()) => Ok(Given::Yes),
        Err(Errno::PERM) if !rustix::process::geteuid().is_root() => Ok(Given::No),
        Err(error) => Err(error.into()),
    }
}

/// Closes a file and tells what the system could not write, as network file systems and quotas do only here.
pub fn close(file: File) -> io::Result<()> {
    let raw = OwnedFd::from(file).into_raw_fd();
    // SAFETY: `raw` was owned by `file`, which is gone; nobody else closes it.
    match unsafe { rustix::io::try_close(raw) } {
        // The descriptor is closed even when the call was interrupted.
        Ok(()) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Who this process is for the file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Effective user; 0 may give files away.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
    /// Mode bits that new files do not get.
    pub umask: u32,
}

/// Asks the system who this process is. Where the umask cannot be told, all bits count as taken.
pub fn identity() -> Identity {
    Identity { uid: rustix::process::geteuid().as_raw(), gid: rustix::process::getegid().as_raw(), umask: umask() }
}

/// Reading the umask by setting it would change it for other threads, so it is read from the process's status.
fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    line.and_then(|octal| u32::from_str_radix(octal.trim(), 8).ok()).unwrap_or(0o777)
}

/// Opens one name in a directory. `openat2` lets the kernel hold the promise of this module; where it is missing, one
/// name that is no link comes to the same.
fn open_beneath(directory: &Directory, name: &[u8], flags: OFlags, mode: u32) -> io::Result<OwnedFd> {
    static MISSING: AtomicBool = AtomicBool::new(false);
    let name = component(name)?;
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(mode);
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    if !MISSING.load(Ordering::Relaxed) {
        loop {
            match fs::openat2(directory, name, flags, mode, resolve) {
                Err(Errno::NOSYS) => break,
                // EAGAIN: something was renamed meanwhile, so the kernel could not tell; it asks to try again.
                Err(Errno::INTR | Errno::AGAIN) => {}
                result => return Ok(result?),
            }
        }
        MISSING.store(true, Ordering::Relaxed);
    }
    Ok(fs::openat(directory, name, flags, mode)?)
}

/// Lets only the name of one entry pass.
fn component(name: &[u8]) -> io::Result<&[u8]> {
    let hostile = matches!(name, b"" | b"." | b"..") || name.iter().any(|byte| matches!(byte, b'/' | 0));
    match hostile {
        true => Err(io::Error::new(io::ErrorKind::InvalidInput, "this is not the name of a file")),
        false => Ok(name),
    }
}

fn gone(result: Result<(), Errno>) -> io::Result<()> {
    match result {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// `fchmodat` follows links, so the file is pinned first and its mode set through the pin.
fn set_mode_at(directory: &Directory, name: &[u8], mode: u32) -> io::Result<()> {
    let pin = open_beneath(directory, name, OFlags::PATH, 0)?;
    if Stat::of_open(&pin)?.file_type == FileType::Symlink {
        return Ok(());
    }
    Ok(fs::chmod(attributes::proc_path(&pin), Mode::from_raw_mode(mode))?)
}

fn timestamps(atime: Time, mtime: Time) -> Timestamps {
    let convert = |time: Time| Timespec { tv_sec: time.seconds, tv_nsec: time.nanoseconds.min(999_999_999).into() };
    Timestamps { last_access: convert(atime), last_modification: convert(mtime) }
}

#[cfg(test)]
mod tests;
