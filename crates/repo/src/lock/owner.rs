//! Who holds a lock, and whether that process still lives.
//!
//! A PID means something only within one boot and one PID namespace, and containers often share a host's name: so our locks
//! also say in which boot, namespace and at which tick the process began, and without that nobody is taken for dead.

/// Who we are, for lock files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockOwner {
    /// This host.
    pub hostname: String,
    /// Who runs the program.
    pub username: String,
    /// This process.
    pub pid: u32,
    /// That user's number.
    pub uid: u32,
    /// That user's group.
    pub gid: u32,
    /// What tells this process from all others, where the system knows it.
    pub process: Option<Process>,
}

/// What tells a process from every other that had or will have its PID.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Process {
    /// The machine's id.
    pub machine: String,
    /// The boot's id.
    pub boot: String,
    /// The PID namespace.
    pub space: String,
    /// When it began, in clock ticks since boot.
    pub started: u64,
}

impl LockOwner {
    /// This process, on a host and by a user with these names.
    pub fn this_process(hostname: impl Into<String>, username: impl Into<String>) -> LockOwner {
        let (uid, gid) = user_and_group();
        LockOwner {
            hostname: hostname.into(),
            username: username.into(),
            pid: std::process::id(),
            uid,
            gid,
            process: Process::this(),
        }
    }
}

impl Process {
    /// This process; nothing where `/proc` does not tell.
    fn this() -> Option<Process> {
        let line = |path: &str| Some(std::fs::read_to_string(path).ok()?.trim().to_owned());
        Some(Process {
            machine: line("/etc/machine-id").unwrap_or_default(),
            boot: line("/proc/sys/kernel/random/boot_id")?,
            space: std::fs::read_link("/proc/self/ns/pid").ok()?.to_string_lossy().into_owned(),
            started: started(std::process::id())?,
        })
    }
}

/// When a process began, in clock ticks since boot.
fn started(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses and may hold anything.
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// False if no process has this PID, or the one that has it began at another time than `began`.
pub(super) fn is_alive(pid: u32, began: Option<u64>) -> bool {
    let other = || matches!((began, started(pid)), (Some(began), Some(started)) if began != started);
    exists(pid) && !other()
}

#[cfg(unix)]
fn exists(pid: u32) -> bool {
    use rustix::io::Errno;
    use rustix::process::{Pid, test_kill_process};
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| test_kill_process(pid) != Err(Errno::SRCH))
}

#[cfg(not(unix))]
fn exists(_pid: u32) -> bool {
    true
}

#[cfg(unix)]
fn user_and_group() -> (u32, u32) {
    (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw())
}

#[cfg(not(unix))]
fn user_and_group() -> (u32, u32) {
    (0, 0)
}
