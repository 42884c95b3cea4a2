//! How far the reading or restoring of disks has come: figures that many threads change and anybody may look at.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;

/// What is being done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Nothing was read yet.
    #[default]
    Preparing,
    /// What is in use is read for the first time.
    Reading,
    /// What was written meanwhile is read again.
    CatchingUp {
        /// Which pass this is; the first reading is pass 1.
        pass: u32,
    },
    /// File systems are frozen.
    Frozen {
        /// For so long.
        milliseconds: u64,
    },
    /// Everything is read; what is left is sent to the repository.
    Sending,
    /// Trees, manifest and snapshot are written.
    WritingSnapshot,
    /// A target is compared with the image.
    Comparing,
    /// A target is written.
    Restoring,
    /// A target is read back.
    Verifying,
    /// File systems become larger or smaller.
    Resizing,
    /// It is over.
    Finished,
}

impl Phase {
    /// One word for programs, the same in every version.
    pub fn name(&self) -> &'static str {
        match self {
            Phase::Preparing => "preparing",
            Phase::Reading => "reading",
            Phase::CatchingUp { .. } => "catching_up",
            Phase::Frozen { .. } => "frozen",
            Phase::Sending => "sending",
            Phase::WritingSnapshot => "writing_snapshot",
            Phase::Comparing => "comparing",
            Phase::Restoring => "restoring",
            Phase::Verifying => "verifying",
            Phase::Resizing => "resizing",
            Phase::Finished => "finished",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Phase::CatchingUp { pass } => write!(f, "catching up, pass {pass}"),
            Phase::Frozen { milliseconds } => write!(f, "frozen {:.1} s", *milliseconds as f64 / 1000.0),
            Phase::WritingSnapshot => f.write_str("writing snapshot"),
            phase => f.write_str(phase.name()),
        }
    }
}

/// The figures. Each phase counts its own bytes: entering one begins at zero.
#[derive(Debug, Default)]
pub struct Progress {
    phase: Mutex<Phase>,
    total: AtomicU64,
    done: AtomicU64,
    new: AtomicU64,
}

/// The figures at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// What is being done.
    pub phase: Phase,
    /// Bytes that the phase has to do with; 0 if nobody knows.
    pub total: u64,
    /// Of these, those that are done.
    pub done: u64,
    /// Bytes that the repository did not have, over all phases.
    pub new: u64,
}

impl Progress {
    /// Begins a phase with so many bytes to do.
    pub fn enter(&self, phase: Phase, total: u64) {
        let mut current = self.phase.lock();
        *current = phase;
        self.total.store(total, Relaxed);
        self.done.store(0, Relaxed);
    }

    /// Changes the words of the phase, not its figures: how long something has been frozen.
    pub fn say(&self, phase: Phase) {
        *self.phase.lock() = phase;
    }

    /// Some bytes are done.
    pub fn advance(&self, bytes: u64) {
        self.done.fetch_add(bytes, Relaxed);
    }

    /// Some bytes were new to the repository.
    pub fn stored(&self, bytes: u64) {
        self.new.fetch_add(bytes, Relaxed);
    }

    /// The figures now.
    pub fn reached(&self) -> Reached {
        let phase = self.phase.lock();
        Reached {
            phase: *phase,
            total: self.total.load(Relaxed),
            done: self.done.load(Relaxed),
            new: self.new.load(Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_told_in_words() {
        let words = |phase: Phase| phase.to_string();
        assert_eq!(words(Phase::CatchingUp { pass: 3 }), "catching up, pass 3");
        assert_eq!(words(Phase::Frozen { milliseconds: 210 }), "frozen 0.2 s");
        assert_eq!(words(Phase::WritingSnapshot), "writing snapshot");
        assert_eq!(words(Phase::Sending), "sending");
    }

    #[test]
    fn each_phase_counts_its_own_bytes_and_new_data_counts_over_all() {
        let progress = Progress::default();
        progress.enter(Phase::Reading, 100);
        progress.advance(60);
        progress.stored(50);
        progress.enter(Phase::CatchingUp { pass: 2 }, 10);
        progress.advance(5);
        let expected = Reached { phase: Phase::CatchingUp { pass: 2 }, total: 10, done: 5, new: 50 };
        assert_eq!(progress.reached(), expected);
    }
}
