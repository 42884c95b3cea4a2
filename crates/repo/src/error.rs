//! What can go wrong with a repository.

use backend::{FileName, Id};

use crate::BlobHandle;

/// An operation on a repository that failed. The cause is in `source`; hints are the caller's.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The storage failed.
    #[error(transparent)]
    Backend(#[from] backend::Error),
    /// There is no repository at the location.
    #[error("there is no repository at {location}")]
    NoRepository {
        /// Where it was looked for.
        location: String,
    },
    /// Keys or snapshots are at the location, but no config.
    #[error(
        "the config of the repository at {location} is missing, but keys or snapshots are there: half a repository"
    )]
    HalfRepository {
        /// Where.
        location: String,
    },
    /// A repository, or the rest of one, is at the location already.
    #[error("cannot make a repository at {location}: {found} exists there already")]
    AlreadyInitialised {
        /// Where.
        location: String,
        /// What was found: "a config", "a key", "a snapshot".
        found: &'static str,
    },
    /// No key opens with this password.
    #[error("wrong password or no key found")]
    WrongPassword,
    /// The repository needs a newer program, or is not one.
    #[error("cannot use the repository: {0}")]
    Unsupported(String),
    /// A file's content is not what it must be.
    #[error("{file} is damaged: {reason}")]
    Damaged {
        /// Which file.
        file: FileName,
        /// What is wrong with it.
        reason: String,
    },
    /// A blob's content is not what it must be.
    #[error("{kind:?} blob {id} in pack {pack} is damaged: {reason}", kind = .blob.kind, id = .blob.id.short(), pack = .pack.short())]
    DamagedBlob {
        /// Which blob.
        blob: BlobHandle,
        /// Where it was read.
        pack: Id,
        /// What is wrong with it.
        reason: String,
    },
    /// The index names no place for a blob.
    #[error("{kind:?} blob {id} is not in the index", kind = .0.kind, id = .0.id)]
    MissingBlob(BlobHandle),
    /// Content that was about to be stored did not survive decoding: a sign of bad memory or a broken library.
    #[error("{what} did not read back as it was written ({reason}); suspect this machine's memory")]
    SelfCheck {
        /// What was being written.
        what: String,
        /// What differed.
        reason: String,
    },
    /// Somebody holds a lock that conflicts with ours.
    #[error("the repository is locked {how}by {holder} since {since}")]
    Locked {
        /// "exclusively " or "".
        how: &'static str,
        /// PID and user on host.
        holder: String,
        /// When the lock was made or refreshed.
        since: jiff::Timestamp,
        /// The lock file.
        id: Id,
    },
    /// Our own lock was lost (removed by somebody, or not refreshed in time, as after a long sleep).
    #[error("our lock on the repository was lost: {0}; nothing more was written")]
    LockLost(String),
    /// No snapshot, or more than one, is meant by what the user wrote.
    #[error("{0}")]
    NoSuchSnapshot(String),
    /// No file of a kind other than snapshots, or more than one, is meant by what the user wrote.
    #[error("{reason}")]
    NoSuchFile {
        /// Which kind was looked for.
        kind: backend::FileKind,
        /// What does not fit.
        reason: String,
    },
    /// A file of this machine (cache, key file) failed.
    #[error("cannot {action} {path}")]
    Local {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The caller asked for something that cannot be done.
    #[error("{0}")]
    Invalid(String),
    /// Work that others share failed earlier; see [`Error::root`].
    #[error(transparent)]
    Earlier(std::sync::Arc<Error>),
    /// Somebody asked to stop.
    #[error("stopped on request")]
    Cancelled,
}

/// Result of a repository operation.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The failure itself: what [`Error::Earlier`] repeats. Decide by this one.
    pub fn root(&self) -> &Error {
        match self {
            Error::Earlier(first) => first.root(),
            error => error,
        }
    }

    /// A damaged file.
    pub fn damaged(file: FileName, reason: impl ToString) -> Error {
        Error::Damaged { file, reason: reason.to_string() }
    }
}
