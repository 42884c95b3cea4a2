//! A thread's own current directory.
//!
//! Some calls (extended attributes) know no "relative to that open directory". A thread that has a current directory of its
//! own steps into the directory instead: cheaper than a long path, right for names at any depth.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags};

/// The calling thread's own current directory. Cannot leave its thread.
pub struct ThreadDir {
    /// Where the thread was at first.
    home: OwnedFd,
    not_send: PhantomData<*const ()>,
}

impl ThreadDir {
    /// Separates this thread's current directory from the process's. An error where the system forbids that.
    ///
    /// While it is in another directory, relative paths mean something else in this thread than in others: use it only in
    /// threads of your own, and go home before other people's code runs.
    pub fn separate() -> io::Result<ThreadDir> {
        // SAFETY: only the current directory, root and umask are unshared, no descriptors.
        unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::FS)? };
        let home = rustix::fs::openat(CWD, ".", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(ThreadDir { home, not_send: PhantomData })
    }

    /// Steps into an open directory.
    pub fn enter(&self, dir: impl AsFd) -> io::Result<()> {
        Ok(rustix::process::fchdir(dir)?)
    }

    /// Goes back to where the thread was at first.
    pub fn go_home(&self) -> io::Result<()> {
        self.enter(&self.home)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dir;

    #[test]
    fn other_threads_stay_where_they_are() {
        let before = std::env::current_dir().unwrap();
        std::thread::spawn(|| {
            let here = ThreadDir::separate().unwrap();
            here.enter(Dir::open(b"/proc").unwrap()).unwrap();
            assert_eq!(std::env::current_dir().unwrap(), std::path::Path::new("/proc"));
            here.go_home().unwrap();
            assert_ne!(std::env::current_dir().unwrap(), std::path::Path::new("/proc"));
        })
        .join()
        .unwrap();
        assert_eq!(std::env::current_dir().unwrap(), before);
    }
}
