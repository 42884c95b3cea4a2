//! A clock for this crate's tests: time passes only by sleeping, and sleeping takes no time.

use std::time::Duration;

use parking_lot::Mutex;

use super::Clock;

/// Begins at the Unix epoch.
#[derive(Default)]
pub(crate) struct Jumping(Mutex<Duration>);

impl Clock for Jumping {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::UNIX_EPOCH + self.monotonic()
    }
    fn monotonic(&self) -> Duration {
        *self.0.lock()
    }
    fn sleep(&self, time: Duration) {
        *self.0.lock() += time;
    }
}
