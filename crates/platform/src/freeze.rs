//! Filesystems that stand still: everything written out, and whoever writes waits.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::mounts::Mount;

const FIFREEZE: libc::c_ulong = 0xc004_5877;
const FITHAW: libc::c_ulong = 0xc004_5878;

/// How often a claim is tried.
const CLAIM_PAUSE: Duration = Duration::from_millis(5);

/// A mounted filesystem that is held open, so that it can be written out, frozen and thawed without looking for it.
#[derive(Debug)]
pub struct HeldFilesystem {
    folder: File,
}

impl HeldFilesystem {
    /// Opens where it is mounted. `NotFound` if something else is mounted over it by now.
    pub fn open(mount: &Mount) -> io::Result<HeldFilesystem> {
        let held = HeldFilesystem::open_folder(&mount.mount_point)?;
        let flags = rustix::fs::AtFlags::EMPTY_PATH;
        let mask = rustix::fs::StatxFlags::MNT_ID;
        let said = rustix::fs::statx(&held.folder, c"", flags, mask)?;
        let knows_mounts = said.stx_mask & mask.bits() != 0;
        if knows_mounts && said.stx_mnt_id != mount.id {
            return Err(io::Error::new(io::ErrorKind::NotFound, "another filesystem is mounted over it"));
        }
        Ok(held)
    }

    /// Opens a folder of the filesystem, or a file of it that can be read.
    pub fn open_folder(folder: &Path) -> io::Result<HeldFilesystem> {
        let folder = OpenOptions::new().read(true).custom_flags(libc::O_CLOEXEC | libc::O_NONBLOCK).open(folder)?;
        Ok(HeldFilesystem { folder })
    }

    /// Writes everything out that waits to be written (`syncfs(2)`).
    pub fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(&self.folder)?)
    }

    /// Stops it: what waits is written out, and whoever writes from now on waits. `Unsupported` where the filesystem cannot;
    /// `ResourceBusy` if it is frozen already.
    pub fn freeze(&self) -> io::Result<()> {
        self.control(FIFREEZE)
    }

    /// Claims the filesystem for one who freezes it, until this is closed here *and* in the guard that was forked with it: so
    /// that no late guard of one who died thaws what the next one froze. Waits that long; `TimedOut` if another has it.
    ///
    /// It is an advisory lock (`flock(2)`) on the folder.
    pub fn claim(&self, patience: Duration) -> io::Result<()> {
        let end = Instant::now() + patience;
        loop {
            match rustix::fs::flock(&self.folder, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(()),
                Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < end => std::thread::sleep(CLAIM_PAUSE),
                Err(rustix::io::Errno::WOULDBLOCK) => return Err(io::ErrorKind::TimedOut.into()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Lets it go on. `InvalidInput` if it is not frozen.
    pub fn thaw(&self) -> io::Result<()> {
        self.control(FITHAW)
    }

    fn control(&self, request: libc::c_ulong) -> io::Result<()> {
        let mut unused: libc::c_int = 0;
        // SAFETY: the requests' argument is an int that the kernel does not use.
        let answer = unsafe { libc::ioctl(self.folder.as_raw_fd(), request as _, &raw mut unused) };
        match answer {
            0.. => Ok(()),
            _ => Err(match io::Error::last_os_error() {
                error if error.raw_os_error() == Some(libc::EOPNOTSUPP) => io::ErrorKind::Unsupported.into(),
                error => error,
            }),
        }
    }

    pub(crate) fn descriptor(&self) -> libc::c_int {
        self.folder.as_raw_fd()
    }
}

/// Thaws by a bare number: for a process that may do nothing else. True if it was frozen.
pub(crate) fn thaw_descriptor(descriptor: libc::c_int) -> bool {
    // SAFETY: the argument is not used; a null address is what util-linux passes too.
    unsafe { libc::ioctl(descriptor, FITHAW as _, std::ptr::null_mut::<libc::c_int>()) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filesystem_is_claimed_by_one_until_its_guard_is_gone_too() {
        let folder = tempfile::tempdir().unwrap();
        let open = || HeldFilesystem::open_folder(folder.path()).unwrap();
        let (first, second) = (open(), open());
        first.claim(Duration::ZERO).unwrap();
        let guard = crate::ThawGuard::spawn(std::slice::from_ref(&first), Duration::from_secs(60)).unwrap();
        drop(first);
        assert_eq!(second.claim(Duration::from_millis(30)).unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(guard);
        second.claim(Duration::ZERO).unwrap();
    }
}
