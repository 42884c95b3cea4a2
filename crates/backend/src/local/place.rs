//! Putting a file in its place: temporary name, flush, rename, flush of the directory.

use super::*;

/// From this size on, space is asked for before writing, so that a full disk is known early and files lie in one piece.
const PREALLOCATE: usize = 1 << 20;

/// Where the system shows our open files, through which a nameless one gets its name.
#[cfg(target_os = "linux")]
const OPEN_FILES: &str = "/proc/self/fd";

/// What happens to a file that has the name already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Existing {
    /// It stays, and the write fails with `AlreadyExists`.
    Keep,
    /// It is replaced in one step.
    Replace,
}

/// Writes `content` to `path` in `directory`. On failure nothing is left behind.
pub(super) fn file(path: &Path, directory: &Path, content: &[u8], how: Existing) -> io::Result<()> {
    let temporary = temporary_name(path);
    let result = write_flushed(&temporary, content).and_then(|()| rename(&temporary, path, how));
    if result.is_err() {
        // Best effort: a stray temporary file is harmless, the cause is what matters.
        let _ = fs::remove_file(&temporary);
        return result;
    }
    flush_directory(directory).inspect_err(|_| {
        // Whether the name is durable is unknown, and flushing again would lie: the next attempt starts over.
        if how == Existing::Keep {
            let _ = fs::remove_file(path);
        }
    })
}

pub(super) fn temporary_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!("-tmp-{:016x}", rand::random::<u64>()));
    PathBuf::from(name)
}

fn write_flushed(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = create(path)?;
    preallocate(&file, content.len())?;
    file.write_all(content)?;
    flush(&file, content.len() as u64)
}

/// Flushes a file that has `written` bytes. The system may say that it wrote more than it did; then the file is shorter.
pub(super) fn flush(file: &File, written: u64) -> io::Result<()> {
    match file.sync_all() {
        Err(error) if cannot_flush(&error) => {}
        result => result?,
    }
    let length = file.metadata()?.len();
    if length == written {
        return Ok(());
    }
    Err(io::Error::other(format!("{written} bytes were written, but the file holds {length}")))
}

/// Flushes the names in a directory.
pub(super) fn flush_directory(path: &Path) -> io::Result<()> {
    match File::open(path)?.sync_all() {
        Err(error) if cannot_flush(&error) => Ok(()),
        result => result,
    }
}

/// Some network file systems have no flush and say so; what they promise on close has to do.
fn cannot_flush(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput)
}

#[cfg(unix)]
pub(super) fn create(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    // Read-only for everyone else from the first moment, as restic leaves its files.
    fs::OpenOptions::new().read(true).write(true).create_new(true).mode(0o400).open(path)
}

#[cfg(not(unix))]
pub(super) fn create(path: &Path) -> io::Result<File> {
    fs::OpenOptions::new().read(true).write(true).create_new(true).open(path)
}

/// A file in `directory` that has no name; `None` where the file system knows no such thing.
#[cfg(target_os = "linux")]
pub(super) fn create_nameless(directory: &Path) -> io::Result<Option<File>> {
    use rustix::fs::{Mode, OFlags};
    use rustix::io::Errno;
    if !Path::new(OPEN_FILES).exists() {
        return Ok(None);
    }
    match rustix::fs::open(directory, OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, Mode::RUSR) {
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOSYS) => Ok(None),
        opened => Ok(Some(opened?.into())),
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn create_nameless(_: &Path) -> io::Result<Option<File>> {
    Ok(None)
}

/// Gives a nameless file its name, unless another has it.
#[cfg(target_os = "linux")]
pub(super) fn link_nameless(file: &File, path: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD};
    use std::os::fd::AsRawFd;
    let open = format!("{OPEN_FILES}/{}", file.as_raw_fd());
    Ok(rustix::fs::linkat(CWD, open, CWD, path, AtFlags::SYMLINK_FOLLOW)?)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn link_nameless(_: &File, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Makes one directory that only its owner may use; one that exists is success.
pub(super) fn new_directory(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        result => result,
    }
}

#[cfg(target_os = "linux")]
pub(super) fn preallocate(file: &File, length: usize) -> io::Result<()> {
    use rustix::fs::FallocateFlags;
    if length < PREALLOCATE {
        return Ok(());
    }
    match rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, 0, length as u64) {
        Err(error @ (rustix::io::Errno::NOSPC | rustix::io::Errno::DQUOT)) => Err(error.into()),
        _ => Ok(()), // a wish that the file system need not know
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn preallocate(_: &File, _: usize) -> io::Result<()> {
    Ok(())
}

pub(super) fn rename(from: &Path, to: &Path, how: Existing) -> io::Result<()> {
    match how {
        Existing::Replace => fs::rename(from, to),
        Existing::Keep => rename_new(from, to),
    }
}

#[cfg(target_os = "linux")]
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags};
    use rustix::io::Errno;
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => link_new(from, to),
        result => Ok(result?),
    }
}

#[cfg(not(target_os = "linux"))]
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    link_new(from, to)
}

/// For file systems without an exclusive rename: a second name, or at the very least a look before the rename.
pub(super) fn link_new(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Ok(()) => fs::remove_file(from),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        Err(_) if to.try_exists()? => Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => fs::rename(from, to),
    }
}
