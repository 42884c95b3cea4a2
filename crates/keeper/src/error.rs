//! What can go wrong at a keeper. Keys and passwords are in none of it.

use std::path::PathBuf;

/// Something that a keeper could not do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The keeper's own files.
    #[error("cannot {action} {}", .path.display())]
    File {
        /// What was being done, as a verb.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The keeper's keys cannot be made, sealed or opened.
    #[error("{0}")]
    Keys(String),
    /// The TPM does not seal or open them.
    #[error(transparent)]
    Tpm(#[from] crate::keys::TpmError),
    /// What is sealed cannot be opened.
    #[error(transparent)]
    Sealed(#[from] agent::sealed::SealError),
    /// The keeper's memory.
    #[error("cannot {action} the keeper's memory")]
    Memory {
        /// What was being done, as a verb.
        action: &'static str,
        /// Why it failed.
        source: Box<redb::Error>,
    },
    /// A repository.
    #[error(transparent)]
    Repository(#[from] repo::Error),
    /// Storage.
    #[error(transparent)]
    Backend(#[from] backend::Error),
    /// A disk image, or the files in it.
    #[error(transparent)]
    Files(#[from] disks::files::FilesError),
    /// A disk image.
    #[error(transparent)]
    Image(#[from] disks::image::ImageError),
    /// Something that cannot be done, as a sentence.
    #[error("{0}")]
    Refused(String),
    /// Somebody asked to stop.
    #[error("stopped on request")]
    Cancelled,
}

/// What a keeper's work returns.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A failure of one of the keeper's own files.
    pub fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| Error::File { action, path, source }
    }

    /// A failure of the keeper's memory.
    pub(crate) fn memory<E: Into<redb::Error>>(action: &'static str) -> impl FnOnce(E) -> Error {
        move |source| Error::Memory { action, source: Box::new(source.into()) }
    }

    /// True if the same may well work later: storage that is away, somebody's lock.
    pub fn passes(&self) -> bool {
        use backend::Class;
        match self {
            Error::Repository(error) => match error.root() {
                repo::Error::Locked { .. } | repo::Error::LockLost(_) => true,
                repo::Error::Backend(error) => matches!(error.class, Class::Offline | Class::Throttled),
                _ => false,
            },
            Error::Backend(error) => matches!(error.class, Class::Offline | Class::Throttled),
            _ => false,
        }
    }

    /// True if somebody asked to stop.
    pub fn is_cancelled(&self) -> bool {
        match self {
            Error::Cancelled => true,
            Error::Repository(error) => matches!(error.root(), repo::Error::Cancelled),
            _ => false,
        }
    }

    /// What happened and why, in one line.
    pub fn words(&self) -> String {
        words(self)
    }
}

/// An error and its causes, in one line.
pub fn words(error: &(dyn std::error::Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !words.contains(&text) {
            words = format!("{words}: {text}");
        }
        cause = error.source();
    }
    words
}
