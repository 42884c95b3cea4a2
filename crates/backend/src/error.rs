//! What can go wrong with storage, sorted by what helps.

use std::io;
use std::time::Duration;

use crate::FileName;

/// What helps against an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The storage cannot be reached: wait, however long it takes.
    Offline,
    /// The storage wants us to slow down: back off and try again.
    Throttled,
    /// A passing fault of the storage (a 5xx answer, an I/O error): try again a few times.
    Transient,
    /// What came back is not what was stored: read again once, then report damage.
    Corrupt,
    /// There is no such file.
    NotFound,
    /// The storage refuses (credentials, permission, append-only): trying again does not help.
    Rejected,
    /// The server's certificate is not believed, or it does not believe ours: trying again does not help.
    Untrusted,
    /// Storage or quota is full: trying again does not help until somebody makes room.
    Full,
    /// Anything else that trying again does not help against.
    Permanent,
}

/// An operation on storage that failed: what was being done, to what, why.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {what}: {message}")]
pub struct Error {
    /// What helps against it.
    pub class: Class,
    /// What was being done, as a verb: "read", "write", "list", "remove", "open".
    pub action: &'static str,
    /// To what: a file of the repository or the repository's location.
    pub what: String,
    /// Why, in the storage's words.
    pub message: String,
    /// How long the storage asks us to wait before trying again.
    pub retry_after: Option<Duration>,
}

/// Result of a storage operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `class` while doing `action` to `what`.
    pub fn new(class: Class, action: &'static str, what: impl ToString, message: impl ToString) -> Error {
        Error { class, action, what: what.to_string(), message: message.to_string(), retry_after: None }
    }

    /// The same error with the time after which the storage wants to be asked again.
    pub fn after(mut self, wait: Option<Duration>) -> Error {
        self.retry_after = wait;
        self
    }

    /// The file is not there.
    pub fn not_found(action: &'static str, file: &FileName) -> Error {
        Error::new(Class::NotFound, action, file.path(), "it does not exist")
    }

    /// Other bytes are stored under that name.
    pub fn exists(file: &FileName) -> Error {
        Error::new(Class::Rejected, "write", file.path(), "a different file of that name exists")
    }

    /// The file ends before the bytes that were asked for.
    pub fn short(file: &FileName, wanted: u64, size: u64) -> Error {
        let message = format!("it has {size} bytes, {wanted} are needed");
        Error::new(Class::Corrupt, "read", file.path(), message)
    }

    /// An I/O error of the operating system, classified.
    pub fn io(action: &'static str, what: impl ToString, error: &io::Error) -> Error {
        use io::ErrorKind as Kind;
        let class = match error.kind() {
            Kind::NotFound => Class::NotFound,
            Kind::PermissionDenied | Kind::ReadOnlyFilesystem => Class::Rejected,
            Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge => Class::Full,
            Kind::InvalidInput | Kind::NotADirectory | Kind::IsADirectory => Class::Permanent,
            _ => Class::Transient,
        };
        Error::new(class, action, what, error)
    }

    /// True if there is no such file.
    pub fn is_not_found(&self) -> bool {
        self.class == Class::NotFound
    }

    /// True if trying again may help.
    pub fn is_retryable(&self) -> bool {
        matches!(self.class, Class::Offline | Class::Throttled | Class::Transient | Class::Corrupt)
    }
}
