//! Running: a run that somebody works at, and how it is asked to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use fleet::{JobKind, RunId};
use parking_lot::Mutex;
use repo::Cancel;

use crate::memory::Ending;
use crate::memory::Ongoing;
use crate::watch::Watch;

/// A request to stop a run.
#[derive(Clone, Default)]
pub(crate) struct Stop {
    /// Heard by the engine, which still writes down what it has.
    pub(crate) gently: Cancel,
    /// Heard by the repository: nothing more is written.
    pub(crate) firmly: Cancel,
    /// Heard by storage that waits.
    pub(crate) waiting: Arc<AtomicBool>,
    why: Arc<Mutex<Option<String>>>,
}

impl Stop {
    /// Asks the run to stop. With a reason it is over; without one it goes on when the agent does.
    pub(crate) fn ask(&self, why: Option<String>) {
        if why.is_some() {
            *self.why.lock() = why;
        }
        self.gently.cancel();
    }

    /// Does not wait any more for what it still wanted to write.
    pub(crate) fn insist(&self) {
        self.gently.cancel();
        self.firmly.cancel();
        self.waiting.store(true, Ordering::SeqCst);
    }

    /// Whether somebody asked.
    pub(crate) fn is_asked(&self) -> bool {
        self.gently.is_cancelled()
    }

    /// Why it is over, if it was called back.
    pub(crate) fn reason(&self) -> Option<String> {
        self.why.lock().clone()
    }
}

/// How the work at a run ended.
#[derive(Debug)]
pub(crate) enum Worked {
    /// It is over.
    Ended(Ending),
    /// It was interrupted, and goes on when the agent does.
    Interrupted,
}

/// A run that somebody works at.
pub(crate) struct Running {
    pub(crate) ongoing: Ongoing,
    pub(crate) kind: JobKind,
    pub(crate) watch: Arc<Watch>,
    pub(crate) stop: Stop,
    pub(crate) worker: JoinHandle<Worked>,
}

impl Running {
    /// Which it is.
    pub(crate) fn run(&self) -> RunId {
        self.ongoing.run
    }
}
