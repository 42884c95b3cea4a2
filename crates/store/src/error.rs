//! What can go wrong. What lies outside a scope is told like what does not exist.

use continuity::Act;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database cannot be opened.
    #[error("cannot open the database {address}")]
    Open {
        /// Where, without a password.
        address: String,
        /// Why.
        source: sea_orm::DbErr,
    },
    /// The address is no database's.
    #[error("{0:?} is no database: give sqlite:PATH or postgres://USER@HOST/NAME")]
    Address(String),
    /// A newer program made it.
    #[error(
        "the database is of version {found}, and this program knows {known}: use the newer program again, or restore \
         a backup of the database"
    )]
    Newer {
        /// Its version.
        found: i64,
        /// The newest version that is known here.
        known: i64,
    },
    /// It was migrated with other words than ours.
    #[error("the database was migrated to version {0} by another program: it is not touched")]
    Foreign(i64),
    /// A migration did not work; nothing of it is left.
    #[error("cannot migrate the database to version {version}; it is as it was")]
    Migrate {
        /// To which.
        version: i64,
        /// Why.
        source: sea_orm::DbErr,
    },
    /// There is no such thing, as far as whoever asks may know.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// It may be seen, but not that.
    #[error("you may not do this here: {}", .0.word())]
    NotAllowed(Act),
    /// It cannot be now; why, in a sentence.
    #[error("{0}")]
    Conflict(String),
    /// Something stored cannot be read.
    #[error("cannot read {what} in the database")]
    Stored {
        /// What.
        what: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The database did not do it.
    #[error("the database did not answer as it should")]
    Database(#[from] sea_orm::DbErr),
}

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Something stored that cannot be read.
    pub(crate) fn stored(what: &'static str) -> impl FnOnce(Box<dyn std::error::Error + Send + Sync>) -> Error {
        move |source| Error::Stored { what, source }
    }
}
