//! A lock that we hold: its file, its age, and the proof that it is still there.
//!
//! Age is the larger of what the wall clock and the monotonic clock say: one counts sleep, the other cannot jump.

use std::sync::Arc;
use std::time::Duration;

use backend::{Clock, FileKind, FileName, Id};
use jiff::Timestamp;
use parking_lot::{Condvar, Mutex};

use super::{LockContent, LockKind, LockOptions, SETTLE, present};
use crate::unpacked::Unpacked;
use crate::{Cancel, Error, Repository, Result};

/// After this a lock is refreshed.
const REFRESH: Duration = Duration::from_secs(5 * 60);

/// After this others may soon take the lock for stale (30 minutes), so that it must be proved before it counts.
const DOUBTFUL: Duration = Duration::from_secs(22 * 60 + 30);

/// How often the background thread looks at the clock: a machine that wakes from sleep renews its lock this soon.
const TICK: Duration = Duration::from_secs(20);

/// A lock that we hold. Shared by its holder, its refresher and the repository.
pub(crate) struct Held {
    files: Arc<Unpacked>,
    clock: Arc<dyn Clock>,
    cancel: Cancel,
    kind: LockKind,
    state: Mutex<State>,
    stopping: Mutex<bool>,
    stop: Condvar,
}

struct State {
    content: LockContent,
    id: Id,
    refreshed: Duration,
    lost: Option<String>,
}

impl Held {
    /// Writes the lock file.
    pub(super) fn new(repo: &Repository, options: &LockOptions) -> Result<Held> {
        let content = LockContent::new(&options.owner, options.kind, repo.clock().now());
        let id = write(repo.files(), &content)?;
        let state = State { content, id, refreshed: repo.clock().monotonic(), lost: None };
        Ok(Held {
            files: Arc::clone(repo.files()),
            clock: Arc::clone(&repo.options().clock),
            cancel: repo.cancel().clone(),
            kind: options.kind,
            state: Mutex::new(state),
            stopping: Mutex::new(false),
            stop: Condvar::new(),
        })
    }

    /// An error if somebody else's lock does not allow ours.
    pub(super) fn require_no_conflict(&self) -> Result<()> {
        let id = self.state.lock().id;
        present::require_no_conflict(&self.files, &*self.clock, self.kind, Some(&id))
    }

    /// Removes the lock file.
    pub(super) fn remove(&self) -> Result<()> {
        let id = self.state.lock().id;
        Ok(self.files.backend.remove(&FileName::new(FileKind::Lock, id))?)
    }

    /// The lock file as it is named now.
    pub(super) fn file(&self) -> Id {
        self.state.lock().id
    }

    /// An error unless the lock file is still there and fresh; an old one is renewed first.
    pub(crate) fn prove(&self) -> Result<()> {
        let mut state = self.state.lock();
        if let Some(reason) = &state.lost {
            return Err(Error::LockLost(reason.clone()));
        }
        if !self.exists(&state.id)? {
            return Err(self.lose(&mut state, "somebody removed it"));
        }
        match self.age(&state) > DOUBTFUL {
            true => self.renew(&mut state),
            false => Ok(()),
        }
    }

    /// Replaces the lock file by a new one. What was doubtful must have existed until the new one had settled.
    fn renew(&self, state: &mut State) -> Result<()> {
        let doubtful = self.age(state) > DOUBTFUL;
        if !self.exists(&state.id)? {
            return Err(self.lose(state, "somebody removed it"));
        }
        let content = LockContent { time: self.clock.now(), ..state.content.clone() };
        let refreshed = self.clock.monotonic();
        let id = write(&self.files, &content)?;
        let old = FileName::new(FileKind::Lock, state.id);
        if doubtful {
            self.clock.sleep(SETTLE);
            if !self.exists(&state.id)? {
                self.files.backend.remove(&FileName::new(FileKind::Lock, id))?;
                return Err(self.lose(state, "somebody removed it while this machine slept"));
            }
        }
        (state.id, state.content, state.refreshed) = (id, content, refreshed);
        Ok(self.files.backend.remove(&old)?)
    }

    fn lose(&self, state: &mut State, reason: &str) -> Error {
        state.lost = Some(reason.to_owned());
        self.cancel.cancel();
        Error::LockLost(reason.to_owned())
    }

    fn age(&self, state: &State) -> Duration {
        let since = |time: Timestamp| self.clock.now().duration_since(time).unsigned_abs();
        since(state.content.time).max(self.clock.monotonic().saturating_sub(state.refreshed))
    }

    /// Whether a lock file is there. One look that denies it is not believed.
    fn exists(&self, id: &Id) -> Result<bool> {
        let backend = &self.files.backend;
        match backend.size(&FileName::new(FileKind::Lock, *id)) {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => {
                self.clock.sleep(SETTLE);
                Ok(backend.list(FileKind::Lock)?.iter().any(|file| file.id == *id))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The refresher's work, until [`Held::stop`].
    pub(super) fn keep_fresh(&self) {
        if self.pause(SETTLE) {
            return;
        }
        self.look_again();
        while !self.pause(TICK) {
            self.refresh_if_due();
        }
    }

    /// A second look for locks that storage showed late.
    fn look_again(&self) {
        if let Err(Error::Locked { holder, .. }) = self.require_no_conflict() {
            self.lose(&mut self.state.lock(), &format!("{holder} locked at the same moment"));
        }
    }

    /// Refreshes a lock that is older than five minutes. Failure is no loss: it is tried again, and proved before anything
    /// depends on it.
    pub(super) fn refresh_if_due(&self) {
        let mut state = self.state.lock();
        if state.lost.is_none() && self.age(&state) >= REFRESH {
            let _ = self.renew(&mut state);
        }
    }

    /// Waits, in real time whatever the clock says; true if the holder is done.
    fn pause(&self, time: Duration) -> bool {
        let mut stopping = self.stopping.lock();
        if !*stopping {
            self.stop.wait_for(&mut stopping, time);
        }
        *stopping
    }

    /// Ends the refresher.
    pub(super) fn stop(&self) {
        *self.stopping.lock() = true;
        self.stop.notify_all();
    }
}

fn write(files: &Unpacked, content: &LockContent) -> Result<Id> {
    let json = serde_json::to_vec(content).map_err(|error| Error::Invalid(format!("cannot write a lock: {error}")))?;
    files.write(FileKind::Lock, &json)
}
