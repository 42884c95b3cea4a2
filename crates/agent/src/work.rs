//! Work: what a run does, from opening the repository to its outcome. One thread works at a run; the engine has more.

mod backup;
mod disks;
mod drill;
mod restore;

use std::sync::Arc;
use std::time::{Duration, Instant};

use api::wire::agent::Order;
use api::wire::duties::Duties;
use backend::Class;
use fleet::{Cause, Outcome};

use crate::agent::Core;
use crate::memory::{Ending, Ongoing};
use crate::refusal;
use crate::running::{Stop, Worked};
use crate::watch::{Waiter, Watch};

pub(crate) use drill::impossible;
pub(crate) use restore::forbidden;

/// A run and what it needs.
pub(crate) struct Task {
    pub(crate) core: Arc<Core>,
    pub(crate) ongoing: Ongoing,
    pub(crate) duties: Duties,
    pub(crate) watch: Arc<Watch>,
    pub(crate) stop: Stop,
}

/// Why a run does not go on.
#[derive(Debug)]
pub(crate) enum Halt {
    /// Somebody asked to stop.
    Stopped,
    /// Our lock was lost, as after a long sleep: what was sent stays, and it is begun again.
    LockLost,
    /// Whoever answers is not whom we know: somebody else's network does that until one has signed in to it.
    Untrusted(String),
    /// This, as a clause.
    Failed(String),
}

impl Halt {
    /// From any error, in all its words.
    pub(crate) fn failed(error: impl std::error::Error + 'static) -> Halt {
        Halt::Failed(refusal::words(&error))
    }
}

impl From<repo::Error> for Halt {
    fn from(error: repo::Error) -> Halt {
        match error.root() {
            repo::Error::Cancelled => Halt::Stopped,
            repo::Error::LockLost(_) => Halt::LockLost,
            repo::Error::Backend(storage) if storage.class == Class::Untrusted => Halt::Untrusted(storage.to_string()),
            _ => Halt::failed(error),
        }
    }
}

/// What was done.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// The snapshots that were made.
    pub(crate) snapshots: Vec<String>,
    /// What a drill found, in a sentence.
    pub(crate) evidence: Option<String>,
}

/// How often a run is begun again because its lock was lost.
const MOST_LOST_LOCKS: u32 = 20;

/// How long somebody has to sign in to a network before it is tried again.
const ASK_AGAIN: Duration = Duration::from_secs(30);

impl Task {
    /// Works until the run is over or interrupted.
    pub(crate) fn work(&self) -> Worked {
        let mut lost = 0;
        loop {
            if matches!(self.ongoing.order, Order::Backup { .. }) {
                self.core.latch.pass(&self.watch, &self.stop);
            }
            self.watch.begin_anew(lost > 0);
            match self.once() {
                Ok(done) => return Worked::Ended(self.ending(Ok(done))),
                Err(_) if self.stop.is_asked() => return self.stopped(),
                Err(Halt::LockLost) if lost < MOST_LOST_LOCKS => lost += 1,
                Err(Halt::Stopped) => return Worked::Ended(self.ending(Err("it was stopped".into()))),
                Err(Halt::LockLost) => {
                    let why = "its lock on the repository was lost again and again";
                    return Worked::Ended(self.ending(Err(why.into())));
                }
                Err(Halt::Untrusted(_)) if self.was_believed() => self.wait_for_sign_in(),
                Err(Halt::Failed(why) | Halt::Untrusted(why)) => return Worked::Ended(self.ending(Err(why))),
            }
        }
    }

    /// Whether the storage was what it should be before.
    fn was_believed(&self) -> bool {
        self.core.is_captive() || self.core.memory.last_backup().is_ok_and(|at| at.is_some())
    }

    fn wait_for_sign_in(&self) {
        self.watch.wait_for(Waiter::Storage, Cause::CaptivePortal);
        let end = Instant::now() + ASK_AGAIN;
        while Instant::now() < end && !self.stop.is_asked() {
            std::thread::sleep(Duration::from_millis(200));
        }
        self.watch.go_on(Waiter::Storage);
    }

    fn once(&self) -> Result<Done, Halt> {
        match &self.ongoing.order {
            Order::Backup { what } => backup::backup(self, what.as_deref()),
            Order::Restore { snapshot, paths, to } => {
                restore::restore(self, &restore::Wanted { snapshot, paths, to: *to })
            }
            Order::Drill(drill) => drill::drill(self, *drill),
        }
    }

    /// Somebody asked to stop: for good, or because the agent ends.
    fn stopped(&self) -> Worked {
        match self.stop.reason() {
            Some(why) => Worked::Ended(self.ending(Err(why))),
            None => Worked::Interrupted,
        }
    }

    fn ending(&self, done: Result<Done, String>) -> Ending {
        let at = self.core.setup.clock.now();
        match done {
            Ok(Done { snapshots, evidence }) => {
                let (missed, count) = self.watch.missed();
                Ending { at, outcome: Outcome::missing(missed, count), snapshots, evidence }
            }
            Err(why) => {
                let evidence = matches!(self.ongoing.order, Order::Drill(_)).then(|| format!("It failed: {why}."));
                Ending { at, outcome: Outcome::Failed { why }, snapshots: Vec::new(), evidence }
            }
        }
    }
}
