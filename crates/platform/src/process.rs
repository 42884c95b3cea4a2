//! This process, its user and machine, and whether others live.

use std::io;

use rustix::process::{Pid, Resource, Rlimit};

/// The machine's name.
pub fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// The user that this process acts for when it opens files.
pub fn effective_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The user that started this process.
pub fn current_uid() -> u32 {
    rustix::process::getuid().as_raw()
}

/// The group of the user that started this process.
pub fn current_gid() -> u32 {
    rustix::process::getgid().as_raw()
}

/// The name of the user that started this process; empty where it has none.
pub fn username() -> String {
    crate::Accounts::load().user(current_uid()).to_string()
}

/// True if a process of that number lives on this machine (and in this process namespace), whoever owns it.
pub fn is_process_alive(pid: u32) -> bool {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return false };
    match rustix::process::test_kill_process(pid) {
        Ok(()) => true,
        Err(error) => error == rustix::io::Errno::PERM,
    }
}

/// Kills all processes of the group that a process leads; success if none is left.
pub fn kill_group(leader: u32) -> std::io::Result<()> {
    let group = i32::try_from(leader).ok().and_then(Pid::from_raw).ok_or(std::io::ErrorKind::InvalidInput)?;
    match rustix::process::kill_process_group(group, rustix::process::Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A process that cannot be mistaken for a later one of the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessIdentity {
    /// Its number.
    pub pid: u32,
    /// When it started, in ticks since the machine did.
    pub started: u64,
}

impl ProcessIdentity {
    /// The process of that number; `None` if there is none, or it has ended and nobody has waited for it yet.
    pub fn of(pid: u32) -> Option<ProcessIdentity> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, after_name) = stat.rsplit_once(')')?;
        let mut fields = after_name.split_ascii_whitespace();
        let has_ended = matches!(fields.next()?, "Z" | "X");
        let started = fields.nth(18)?.parse().ok()?;
        (!has_ended).then_some(ProcessIdentity { pid, started })
    }

    /// True if it still lives.
    pub fn is_alive(&self) -> bool {
        ProcessIdentity::of(self.pid) == Some(*self)
    }
}

/// Lets this process open as many files as the system lets it, and returns how many that are.
pub fn raise_open_files_limit() -> io::Result<u64> {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    rustix::process::setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_live_and_an_ended_child_does_not() {
        assert!(is_process_alive(std::process::id()));
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        assert!(!is_process_alive(pid));
        assert!(!is_process_alive(0));
        let us = ProcessIdentity::of(std::process::id()).unwrap();
        assert!(us.is_alive() && !ProcessIdentity { started: us.started + 1, ..us }.is_alive());
    }
}
