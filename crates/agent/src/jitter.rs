//! Waits between attempts to reach a server: anywhere up to a bound that doubles, so that many who failed together do not
//! come back together.

use std::time::Duration;

/// The first bound.
const FIRST: Duration = Duration::from_secs(1);

/// The last bound.
const LAST: Duration = Duration::from_secs(300);

/// The bounds, as attempts fail.
#[derive(Debug)]
pub(crate) struct Jitter {
    bound: Duration,
}

impl Default for Jitter {
    fn default() -> Jitter {
        Jitter { bound: FIRST }
    }
}

impl Jitter {
    /// The next wait; `share` is drawn between 0 and 1.
    pub(crate) fn next(&mut self, share: f64) -> Duration {
        let wait = self.bound.mul_f64(share.clamp(0.0, 1.0));
        self.bound = (self.bound * 2).min(LAST);
        // Never none at all: what fails at once would be asked without a pause.
        wait.max(Duration::from_millis(100))
    }

    /// Something worked.
    pub(crate) fn reset(&mut self) {
        self.bound = FIRST;
    }

    /// Coming again soon does not help.
    pub(crate) fn be_patient(&mut self) {
        self.bound = LAST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_from_a_second_to_five_minutes_and_begin_anew_after_success() {
        let mut jitter = Jitter::default();
        let bounds: Vec<u64> = (0..11).map(|_| jitter.next(1.0).as_secs()).collect();
        assert_eq!(bounds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(jitter.next(0.5).as_secs(), 150);
        jitter.reset();
        assert_eq!(jitter.next(1.0).as_secs(), 1);
        assert!(jitter.next(0.0) >= Duration::from_millis(100));
    }
}
