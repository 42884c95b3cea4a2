//! What a keeper does, for whoever asks on its machine: a file that it writes while it runs.

use std::fs::{File, TryLockError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::home::{self, Home};
use crate::{Dial, Error, Result};

/// What a keeper does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// When that was.
    pub at: Timestamp,
    /// Whether it was on the line with its server, and if not, why.
    pub contact: Contact,
    /// Tasks that wait.
    pub waiting: usize,
    /// What is worked at: the machine's name and the work's word.
    pub busy: Vec<(String, String)>,
}

/// Whether there is a line to the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Contact {
    /// It was not called yet.
    Calling,
    /// There is one.
    Connected,
    /// There is none, for this reason.
    Apart(String),
}

/// Held by a keeper that runs: no other runs in its directory.
pub struct Running(#[expect(dead_code, reason = "it is locked as long as it is open")] File);

impl Running {
    /// Takes the directory.
    ///
    /// # Errors
    /// [`Error::Refused`] if another keeper runs there.
    pub fn begin(home: &Home) -> Result<Running> {
        let file = File::create(home.running()).map_err(Error::file("make", home.running()))?;
        match file.try_lock() {
            Ok(()) => Ok(Running(file)),
            Err(TryLockError::WouldBlock) => Err(Error::Refused("a keeper runs already in this directory".into())),
            Err(TryLockError::Error(error)) => Err(Error::file("lock", home.running())(error)),
        }
    }
}

/// True if a keeper runs in the directory.
pub fn is_running(home: &Home) -> bool {
    File::open(home.running()).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// What a keeper said of itself last; none if it never ran.
pub fn read(home: &Home) -> Result<Option<Status>> {
    match std::fs::read(home.status()) {
        Ok(text) => Ok(serde_json::from_slice(&text).ok()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::file("read", home.status())(error)),
    }
}

/// Writes what it does.
pub(crate) fn write(home: &Home, status: &Status) -> Result<()> {
    let text = serde_json::to_vec(status).map_err(|error| Error::Refused(error.to_string()))?;
    home::write_private(&home.status(), &text)
}

/// Notes which server a keeper belongs to.
pub fn join(home: &Home, dial: &Dial) -> Result<()> {
    let text = serde_json::to_vec_pretty(dial).map_err(|error| Error::Refused(error.to_string()))?;
    home::write_private(&home.server(), &text)
}

/// Which server a keeper belongs to; none if it was not told yet.
pub fn server_of(home: &Home) -> Result<Option<Dial>> {
    match std::fs::read(home.server()) {
        Ok(text) => {
            let path = home.server();
            let damaged = |_| Error::Refused(format!("{} is damaged: name the server again", path.display()));
            serde_json::from_slice(&text).map(Some).map_err(damaged)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::file("read", home.server())(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_keeper_runs_in_a_directory_at_a_time() {
        let room = tempfile::tempdir().unwrap();
        let home = Home::at(room.path()).unwrap();
        assert!(!is_running(&home));
        let first = Running::begin(&home).unwrap();
        assert!(is_running(&home) && Running::begin(&home).is_err());
        drop(first);
        assert!(!is_running(&home) && Running::begin(&home).is_ok());
    }
}
