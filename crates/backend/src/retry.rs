//! Tries again what may help: a wrapper that knows error classes.
//!
//! A storage that cannot be reached is a state, not an error: calls wait until it is back, which an observer is told
//! and a cancel flag ends. Passing faults are tried again for a while with growing waits; what came back damaged is
//! read once more; everything else is returned at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::{Backend, Class, Clock, Error, FileInfo, FileKind, FileName, Hint, Part, Result};

/// The longest uninterrupted sleep, so that cancelling is felt at once.
const NAP: Duration = Duration::from_millis(100);

/// How long and how often to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryOptions {
    /// How long passing faults of one call are borne.
    pub patience: Duration,
    /// How long a storage that cannot be reached is waited for; none means for ever.
    pub offline_patience: Option<Duration>,
    /// The first wait; each further one is twice as long.
    pub first_wait: Duration,
    /// The longest wait between attempts.
    pub longest_wait: Duration,
    /// The longest wait between attempts to reach the storage.
    pub longest_offline_wait: Duration,
}

impl Default for RetryOptions {
    fn default() -> RetryOptions {
        RetryOptions {
            patience: Duration::from_secs(15 * 60),
            offline_patience: None,
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(60),
            longest_offline_wait: Duration::from_secs(15),
        }
    }
}

/// Something that whoever watches should know.
#[derive(Clone, Copy, Debug)]
pub enum RetryEvent<'a> {
    /// A call failed and is tried again after a wait.
    Retrying {
        /// What went wrong.
        error: &'a Error,
        /// Until the next attempt.
        wait: Duration,
    },
    /// The storage cannot be reached; calls wait for it.
    Offline {
        /// Since when.
        since: jiff::Timestamp,
        /// What went wrong first.
        error: &'a Error,
    },
    /// The storage answers again.
    Online {
        /// Since when it could not be reached.
        since: jiff::Timestamp,
    },
}

/// Who is told about retries; called from the thread that waits.
pub type RetryObserver = Arc<dyn Fn(&RetryEvent<'_>) + Send + Sync>;

/// A backend that tries again.
pub struct Retry<B> {
    inner: B,
    options: RetryOptions,
    clock: Arc<dyn Clock>,
    cancel: Arc<AtomicBool>,
    observer: RetryObserver,
    offline: Mutex<Option<jiff::Timestamp>>,
}

/// The attempts of one call.
struct Attempts {
    started: Duration,
    wait: Duration,
    read_again: bool,
}

impl<B: Backend> Retry<B> {
    /// Wraps `inner`. Setting `cancel` makes calls that wait return their last error.
    pub fn new(
        inner: B,
        options: RetryOptions,
        clock: Arc<dyn Clock>,
        cancel: Arc<AtomicBool>,
        observer: RetryObserver,
    ) -> Retry<B> {
        Retry { inner, options, clock, cancel, observer, offline: Mutex::new(None) }
    }

    /// Since when the storage could not be reached, if so.
    pub fn offline_since(&self) -> Option<jiff::Timestamp> {
        *self.offline.lock()
    }

    fn run<T>(&self, mut call: impl FnMut() -> Result<T>) -> Result<T> {
        let mut attempts: Option<Attempts> = None;
        loop {
            let error = match call() {
                Ok(value) => {
                    self.answered();
                    return Ok(value);
                }
                Err(error) => error,
            };
            if error.class != Class::Offline {
                self.answered();
            }
            let attempts = attempts.get_or_insert_with(|| Attempts {
                started: self.clock.monotonic(),
                wait: self.options.first_wait,
                read_again: false,
            });
            let Some(wait) = self.next_wait(attempts, &error) else { return Err(error) };
            self.tell(&error, wait);
            if !self.sleep(wait) {
                return Err(error);
            }
        }
    }

    /// How long to wait before the next attempt, or nothing if another one does not help.
    fn next_wait(&self, attempts: &mut Attempts, error: &Error) -> Option<Duration> {
        let spent = self.clock.monotonic().saturating_sub(attempts.started);
        let (patience, longest) = match error.class {
            Class::Offline => (self.options.offline_patience, self.options.longest_offline_wait),
            Class::Transient | Class::Throttled => (Some(self.options.patience), self.options.longest_wait),
            Class::Corrupt => {
                let first = !std::mem::replace(&mut attempts.read_again, true);
                return first.then_some(Duration::ZERO);
            }
            Class::NotFound | Class::Rejected | Class::Untrusted | Class::Full | Class::Permanent => return None,
        };
        if patience.is_some_and(|patience| spent >= patience) || self.cancel.load(Ordering::Relaxed) {
            return None;
        }
        // Many writers that failed together should not come back together.
        let wait = attempts.wait.min(longest).mul_f64(0.5 + rand::random::<f64>() / 2.0);
        attempts.wait = (attempts.wait * 2).min(longest);
        let asked = error.retry_after.unwrap_or_default().min(self.options.patience);
        Some(wait.max(asked))
    }

    fn tell(&self, error: &Error, wait: Duration) {
        if error.class != Class::Offline {
            return (self.observer)(&RetryEvent::Retrying { error, wait });
        }
        let mut offline = self.offline.lock();
        if offline.is_none() {
            let since = *offline.insert(self.clock.now());
            drop(offline);
            (self.observer)(&RetryEvent::Offline { since, error });
        }
    }

    fn answered(&self) {
        let since = self.offline.lock().take();
        if let Some(since) = since {
            (self.observer)(&RetryEvent::Online { since });
        }
    }

    /// Waits; false if that was cancelled.
    fn sleep(&self, wait: Duration) -> bool {
        let end = self.clock.monotonic() + wait;
        loop {
            if self.cancel.load(Ordering::Relaxed) {
                return false;
            }
            let left = end.saturating_sub(self.clock.monotonic());
            if left.is_zero() {
                return true;
            }
            self.clock.sleep(left.min(NAP));
        }
    }
}

impl<B: Backend> Backend for Retry<B> {
    fn location(&self) -> String {
        self.inner.location()
    }
    fn connections(&self) -> usize {
        self.inner.connections()
    }
    fn create(&self) -> Result<()> {
        self.run(|| self.inner.create())
    }
    fn list(&self, kind: FileKind) -> Result<Vec<FileInfo>> {
        self.run(|| self.inner.list(kind))
    }
    fn size(&self, file: &FileName) -> Result<u64> {
        self.run(|| self.inner.size(file))
    }
    fn read(&self, file: &FileName, part: Part, into: &mut Vec<u8>) -> Result<()> {
        self.run(|| self.inner.read(file, part, into))
    }
    fn write(&self, file: &FileName, content: &[u8]) -> Result<()> {
        self.run(|| self.inner.write(file, content))
    }
    fn remove(&self, file: &FileName) -> Result<()> {
        self.run(|| self.inner.remove(file))
    }
    fn replace_config(&self, content: &[u8]) -> Result<()> {
        self.run(|| self.inner.replace_config(content))
    }
    fn hint(&self, hint: Hint<'_>) {
        self.inner.hint(hint);
    }
}

#[cfg(test)]
mod tests;
