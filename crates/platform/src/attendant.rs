//! Processes of ours that stay behind when we are killed: they thaw what we froze, or keep a descriptor open.
//!
//! They are forked, not started from a file, so that nothing on a disk is needed for it. After the fork they make system
//! calls only: no memory is taken, no lock, no file. They have their own session, so that no terminal's signal reaches them,
//! close what they do not need, and block signals that can be blocked.

use std::ffi::CStr;
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use crate::ProcessIdentity;
use crate::freeze::{HeldFilesystem, thaw_descriptor};

const ARM: u8 = b'A';
const DISARM: u8 = b'D';

/// How often a thaw is tried once it is due: a freeze may still be on its way.
const RETRY_MS: i64 = 10;

/// A process that thaws filesystems when we do not do so in time, or die.
#[derive(Debug)]
pub struct ThawGuard {
    pid: libc::pid_t,
    channel: UnixStream,
    group: Option<PathBuf>,
}

impl ThawGuard {
    /// Starts it, before anything is frozen. It has the filesystems in its hands, in the order in which they will be frozen,
    /// and thaws them in the other one, `limit` after [`ThawGuard::arm`].
    pub fn spawn(filesystems: &[HeldFilesystem], limit: Duration) -> io::Result<ThawGuard> {
        let descriptors: Vec<RawFd> = filesystems.iter().map(HeldFilesystem::descriptor).collect();
        let (channel, its_end) = UnixStream::pair()?;
        let limit_ms = i64::try_from(limit.as_millis()).unwrap_or(i64::MAX);
        let keep: Vec<RawFd> = descriptors.iter().copied().chain([its_end.as_raw_fd()]).collect();
        let pid = fork_apart(&keep, c"stead-thaw", || guard(its_end.as_raw_fd(), &descriptors, limit_ms))?;
        let mut guard = ThawGuard { pid, channel, group: None };
        guard.wait_until_ready()?;
        guard.set_apart();
        Ok(guard)
    }

    fn wait_until_ready(&mut self) -> io::Result<()> {
        self.channel.set_read_timeout(Some(Duration::from_secs(5)))?;
        self.channel.read_exact(&mut [0])
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.pid.unsigned_abs()
    }

    /// From now on it counts the time. Fails if it is gone, and then nothing must be frozen.
    pub fn arm(&mut self) -> io::Result<()> {
        self.tell(ARM)
    }

    /// All is thawed again, by us.
    pub fn disarm(&mut self) -> io::Result<()> {
        self.tell(DISARM)
    }

    /// Says it, and waits for the answer, so that it is known that it lives.
    fn tell(&mut self, what: u8) -> io::Result<()> {
        self.channel.write_all(&[what])?;
        self.channel.read_exact(&mut [0])
    }

    /// Where it can be: out of our control group, which may be killed as a whole, and out of the sight of the memory killer.
    fn set_apart(&mut self) {
        let _ = fs::write(format!("/proc/{}/oom_score_adj", self.pid), "-1000");
        let mounts = crate::mounts().unwrap_or_default();
        let Some(groups) = mounts.into_iter().find(|mount| mount.kind == "cgroup2") else { return };
        let group = groups.mount_point.join(format!("stead-thaw-{}", self.pid));
        if fs::create_dir(&group).is_ok() {
            let _ = fs::write(group.join("cgroup.procs"), self.pid.to_string());
            self.group = Some(group);
        }
        remove_abandoned_groups(&groups.mount_point);
    }
}

/// Those whose guard ended after we had been killed.
fn remove_abandoned_groups(groups: &std::path::Path) {
    let Ok(entries) = fs::read_dir(groups) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix("stead-thaw-").and_then(|pid| pid.parse::<u32>().ok());
        if pid.is_some_and(|pid| !crate::is_process_alive(pid)) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

impl Drop for ThawGuard {
    /// It thaws what is still frozen, and ends.
    fn drop(&mut self) {
        let _ = self.channel.shutdown(std::net::Shutdown::Both);
        // SAFETY: our own child, which nobody else waits for.
        unsafe { libc::waitpid(self.pid, std::ptr::null_mut(), 0) };
        if let Some(group) = &self.group {
            let _ = fs::remove_dir(group);
        }
    }
}

/// What the guard does until it is told that we are gone.
fn guard(channel: RawFd, filesystems: &[RawFd], limit_ms: i64) -> ! {
    let mut due: Option<i64> = None;
    answer(channel);
    loop {
        let wait = due.map_or(-1, |due| (due - now_ms()).clamp(0, i32::MAX.into()) as i32);
        match hear(channel, wait) {
            Heard::Word(ARM) => due = Some(now_ms().saturating_add(limit_ms)),
            Heard::Word(_) => due = None,
            Heard::Nothing => {}
            Heard::End => break,
        }
        if due.is_some_and(|due| now_ms() >= due) {
            thaw_all(filesystems);
            due = Some(now_ms() + RETRY_MS);
        }
    }
    // No freeze of ours can be on its way any more: the channel ends when our last thread has left the kernel. So once is
    // enough, and more would thaw what others freeze next.
    if due.is_some() {
        thaw_all(filesystems);
    }
    // SAFETY: ends this process without running anything of ours.
    unsafe { libc::_exit(0) }
}

fn thaw_all(filesystems: &[RawFd]) {
    for &descriptor in filesystems.iter().rev() {
        thaw_descriptor(descriptor);
    }
}

enum Heard {
    Word(u8),
    Nothing,
    End,
}

fn hear(channel: RawFd, wait_ms: i32) -> Heard {
    let mut poll = libc::pollfd { fd: channel, events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, which lives for the call.
    if unsafe { libc::poll(&raw mut poll, 1, wait_ms) } <= 0 {
        return Heard::Nothing;
    }
    let mut word = 0_u8;
    // SAFETY: one byte into one byte.
    match unsafe { libc::read(channel, (&raw mut word).cast(), 1) } {
        1 => {
            answer(channel);
            Heard::Word(word)
        }
        _ => Heard::End,
    }
}

fn answer(channel: RawFd) {
    // SAFETY: one byte from one byte; if nobody hears it, the next read says so (signals are blocked).
    unsafe { libc::write(channel, c"y".as_ptr().cast(), 1) };
}

/// Time that goes on while the machine sleeps.
fn now_ms() -> i64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes the struct.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut now) };
    now.tv_sec * 1000 + now.tv_nsec / 1_000_000
}

/// A process that does nothing but keep a descriptor open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    process: ProcessIdentity,
}

impl Holder {
    /// Starts it; it lives until [`Holder::end`] or the machine's end, whatever becomes of us.
    pub fn spawn(descriptor: &OwnedFd) -> io::Result<Holder> {
        let (mut ours, theirs) = UnixStream::pair()?;
        let keep = [descriptor.as_raw_fd(), theirs.as_raw_fd()];
        // Forked twice, so that nobody has to wait for the one that stays.
        let first = fork_apart(&keep, c"stead-holder", || stay(theirs.as_raw_fd()))?;
        drop(theirs);
        let mut pid = [0; 4];
        let heard = ours.read_exact(&mut pid);
        // SAFETY: our own child, which ends at once.
        unsafe { libc::waitpid(first, std::ptr::null_mut(), 0) };
        heard?;
        let process = ProcessIdentity::of(i32::from_ne_bytes(pid).unsigned_abs()).ok_or(io::ErrorKind::NotFound)?;
        Ok(Holder { process })
    }

    /// One that was started earlier, maybe by a process that is gone.
    pub fn known(process: ProcessIdentity) -> Holder {
        Holder { process }
    }

    /// Which process it is.
    pub fn process(&self) -> ProcessIdentity {
        self.process
    }

    /// Ends it, if it is there, and waits until the descriptor is closed.
    pub fn end(&self) -> io::Result<()> {
        let Some(pid) = i32::try_from(self.process.pid).ok().and_then(rustix::process::Pid::from_raw) else {
            return Ok(());
        };
        for _ in 0..500 {
            if !self.process.is_alive() {
                return Ok(());
            }
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            std::thread::sleep(Duration::from_millis(10));
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "the holder does not end"))
    }
}

fn stay(channel: RawFd) -> ! {
    // SAFETY: system calls only, on plain numbers.
    unsafe {
        match libc::fork() {
            0 => {
                let pid = libc::getpid().to_ne_bytes();
                libc::write(channel, pid.as_ptr().cast(), pid.len());
                libc::close(channel);
                loop {
                    libc::pause();
                }
            }
            _ => libc::_exit(0),
        }
    }
}

/// Forks. The child is in its own session, has only the descriptors it keeps, and runs `work`, which must not return, take
/// memory or a lock.
fn fork_apart(keep: &[RawFd], name: &CStr, work: impl FnOnce()) -> io::Result<libc::pid_t> {
    let mut kept = keep.to_vec();
    kept.sort_unstable();
    // SAFETY: the child runs only what is safe after a fork: system calls on values that were made before it.
    unsafe {
        let (mut all, mut before): (libc::sigset_t, libc::sigset_t) = (std::mem::zeroed(), std::mem::zeroed());
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        let pid = libc::fork();
        let error = io::Error::last_os_error();
        if pid == 0 {
            go_apart(&kept, name);
            work();
            libc::_exit(1);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut());
        if pid < 0 { Err(error) } else { Ok(pid) }
    }
}

/// # Safety
/// Only in a process that was just forked.
unsafe fn go_apart(kept: &[RawFd], name: &CStr) {
    const MCL_ONFAULT: libc::c_int = 4;
    // SAFETY: system calls on plain numbers and on memory that was made before the fork.
    unsafe {
        libc::setsid();
        libc::prctl(libc::PR_SET_NAME, name.as_ptr(), 0, 0, 0);
        let mut next = 0;
        for &descriptor in kept {
            close_range(next, descriptor - 1);
            next = descriptor + 1;
        }
        close_range(next, libc::c_int::MAX);
        // Pages stay once they are there; none is fetched for this alone, as that would double our memory.
        libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE | MCL_ONFAULT);
    }
}

/// # Safety
/// Nobody may use these descriptors any more.
unsafe fn close_range(first: libc::c_int, last: libc::c_int) {
    const HIGHEST_BY_HAND: libc::c_int = 65_536;
    if first > last {
        return;
    }
    // SAFETY: as the caller says.
    unsafe {
        if libc::syscall(libc::SYS_close_range, first, last, 0) != 0 {
            for descriptor in first..=last.min(HIGHEST_BY_HAND) {
                libc::close(descriptor);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_keeps_a_descriptor_open_until_it_is_ended() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let writer = OwnedFd::from(writer);
        let holder = Holder::spawn(&writer).unwrap();
        drop(writer);
        rustix::io::ioctl_fionbio(&reader, true).unwrap();
        assert_eq!(reader.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert!(holder.process().is_alive());
        holder.end().unwrap();
        assert!(!holder.process().is_alive());
        assert_eq!(reader.read(&mut [0]).unwrap(), 0, "the pipe's last writer is gone");
    }

    #[test]
    fn a_guard_without_filesystems_answers_and_ends() {
        let mut guard = ThawGuard::spawn(&[], Duration::from_millis(50)).unwrap();
        let pid = guard.pid();
        guard.arm().unwrap();
        std::thread::sleep(Duration::from_millis(100));
        guard.disarm().unwrap();
        drop(guard);
        assert!(!crate::is_process_alive(pid));
    }
}
