//! Locks compatible with restic's: who is at work.
//!
//! A lock is a small file that says who holds it. It is refreshed every five minutes (a new file, then the old one is
//! removed), and nothing but packs is stored by a holder that could not prove for 22.5 minutes that its file still exists.
//! Locks of dead processes of this machine are removed by the next one; all others only when somebody asks.
//!
//! | beside → | read, restore | backup, copy | forget | prune | prune with delay | check |
//! |---|---|---|---|---|---|---|
//! | read, restore (shared) | yes | yes | no | no | yes | no |
//! | backup, copy (shared) | yes | yes | no | no | yes | no |
//! | forget (exclusive) | no | no | no | no | no | no |
//! | prune (exclusive) | no | no | no | no | no | no |
//! | prune with delay (shared) | yes | yes | no | no | no: one sweeper | no |
//! | check (exclusive) | no | no | no | no | no | no |

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use backend::Clock;

use crate::{Cancel, Error, Repository, Result};

mod content;
mod guard;
mod held;
mod owner;
mod present;

pub use content::LockContent;
pub use owner::LockOwner;
pub use present::{FoundLock, list, remove_all, remove_stale};

pub(crate) use guard::Guard;
pub(crate) use held::Held;

/// True if this system has a process with this PID.
pub(crate) fn is_process_alive(pid: u32) -> bool {
    owner::is_alive(pid, None)
}

/// Between writing a lock and looking again for others', as in restic: storage may show files late.
const SETTLE: Duration = Duration::from_millis(200);

/// Waits between attempts to lock grow from this to [`LONGEST_WAIT`].
const FIRST_WAIT: Duration = Duration::from_secs(5);

/// See [`FIRST_WAIT`].
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Whether others may work beside us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockKind {
    /// Others may read and add.
    Shared,
    /// Nobody else at all.
    Exclusive,
}

/// How to lock.
#[derive(Clone, Debug)]
pub struct LockOptions {
    /// Whether others may work beside us.
    pub kind: LockKind,
    /// Who we are.
    pub owner: LockOwner,
    /// How long to wait for others' locks to go; zero means that the first conflict is the answer.
    pub wait: Duration,
}

/// A held lock: refreshed in the background, removed when dropped. While it is held, the repository's index files and
/// snapshots are only written if it was not lost.
pub struct Lock {
    held: Arc<Held>,
    guard: Arc<Guard>,
    refresher: Option<JoinHandle<()>>,
}

impl Lock {
    /// Locks a repository. A conflicting lock is an error [`Error::Locked`], after `options.wait`.
    pub fn acquire(repo: &Repository, options: &LockOptions) -> Result<Lock> {
        let clock = repo.clock();
        let start = clock.monotonic();
        let mut pause = FIRST_WAIT;
        loop {
            match Lock::try_once(repo, options) {
                Err(Error::Locked { .. }) if clock.monotonic().saturating_sub(start) < options.wait => {
                    let left = options.wait.saturating_sub(clock.monotonic().saturating_sub(start));
                    sleep(clock, repo.cancel(), pause.min(left))?;
                    pause = (pause * 2).min(LONGEST_WAIT);
                }
                result => return result,
            }
        }
    }

    fn try_once(repo: &Repository, options: &LockOptions) -> Result<Lock> {
        let files = repo.files();
        present::remove_our_dead(files, repo.clock(), &options.owner)?;
        present::require_no_conflict(files, repo.clock(), options.kind, None)?;
        let held = Held::new(repo, options)?;
        // A writer of a shared lock that looks again at once, and later once more, is as safe as one that waits: of two that
        // wrote, the later one sees the other's file.
        if options.kind == LockKind::Exclusive {
            repo.clock().sleep(SETTLE);
        }
        if let Err(conflict) = held.require_no_conflict() {
            held.remove()?;
            return Err(conflict);
        }
        Ok(Lock::start(repo, held))
    }

    fn start(repo: &Repository, held: Held) -> Lock {
        let held = Arc::new(held);
        let guard = Arc::clone(repo.guard());
        guard.add(&held);
        let refresher = std::thread::Builder::new().name("lock".into()).spawn({
            let held = Arc::clone(&held);
            move || held.keep_fresh()
        });
        // Without a thread the lock is renewed when it must be proved.
        Lock { held, guard, refresher: refresher.ok() }
    }

    /// Removes the lock and says whether that worked; dropping does the same silently.
    pub fn release(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        self.held.stop();
        if let Some(refresher) = self.refresher.take() {
            // A refresher that panicked left the lock to be proved by whoever writes.
            let _ = refresher.join();
        }
        self.guard.remove(&self.held);
        self.held.remove()
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // There is nobody to tell: the file will be stale and is removed by the next run.
        let _ = self.end();
    }
}

/// Sleeps, but not past a request to stop.
fn sleep(clock: &dyn Clock, cancel: &Cancel, time: Duration) -> Result<()> {
    const STEP: Duration = Duration::from_millis(500);
    let mut left = time;
    while !left.is_zero() {
        cancel.check()?;
        let step = left.min(STEP);
        clock.sleep(step);
        left -= step;
    }
    cancel.check()
}
