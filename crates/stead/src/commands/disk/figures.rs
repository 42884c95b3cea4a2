//! What a capture tells while it goes on, as the figures that are shown.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use disks::capture::{self, Observer};
use disks::progress::{Phase, Progress};
use parking_lot::Mutex;

/// Passes a capture's phases and bytes on.
pub(super) struct Figures<'p> {
    progress: &'p Progress,
    phase: Mutex<Phase>,
    /// Bytes of this phase that were passed on.
    told: AtomicU64,
}

impl Figures<'_> {
    /// For one capture.
    pub(super) fn new(progress: &Progress) -> Figures<'_> {
        Figures { progress, phase: Mutex::new(Phase::Reading), told: AtomicU64::new(0) }
    }
}

impl Observer for Figures<'_> {
    fn phase(&self, phase: capture::Phase) {
        let phase = match phase {
            capture::Phase::Reading => Phase::Reading,
            // There, the first reading is not counted.
            capture::Phase::CatchingUp { pass } => Phase::CatchingUp { pass: pass + 1 },
            capture::Phase::Freezing => Phase::Frozen { milliseconds: 0 },
            capture::Phase::Thawed { frozen_for } => Phase::Frozen { milliseconds: frozen_for.as_millis() as u64 },
            capture::Phase::Storing => Phase::Sending,
            capture::Phase::Comparing => Phase::Comparing,
        };
        *self.phase.lock() = phase;
        self.told.store(0, Relaxed);
        self.progress.enter(phase, 0);
    }

    fn progress(&self, done: u64, total: u64) {
        if done == 0 {
            self.told.store(0, Relaxed);
            return self.progress.enter(*self.phase.lock(), total);
        }
        if self.progress.reached().total == 0 {
            self.progress.enter(*self.phase.lock(), total);
        }
        // Threads may tell out of order.
        let before = self.told.fetch_max(done, Relaxed);
        self.progress.advance(done.saturating_sub(before));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_counted_once_though_threads_tell_out_of_order() {
        let progress = Progress::default();
        let figures = Figures::new(&progress);
        figures.phase(capture::Phase::CatchingUp { pass: 1 });
        [0, 10, 30, 20, 40].into_iter().for_each(|done| figures.progress(done, 40));
        let reached = progress.reached();
        assert_eq!((reached.phase, reached.done, reached.total), (Phase::CatchingUp { pass: 2 }, 40, 40));
        figures.phase(capture::Phase::Storing);
        figures.progress(5, 9);
        assert_eq!((progress.reached().done, progress.reached().total), (5, 9));
    }
}
