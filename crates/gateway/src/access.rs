//! Who may come in, and what for. The server's database fills this trait in a fleet, a file where a gateway stands alone.

use std::fmt;

use crate::{RepositoryName, SecretHash};

mod file;

pub use file::{FileAccess, NewAccount};

/// Knows accounts and repositories. Asked for every request, from threads that may wait.
pub trait Access: Send + Sync {
    /// The account of that name, if there is one.
    fn account(&self, name: &str) -> Result<Option<Account>, AccessError>;

    /// What holds for a repository; `None` if there is none of that name.
    fn rules(&self, repository: &RepositoryName) -> Result<Option<Rules>, AccessError>;

    /// All repositories, for a scrub.
    fn repositories(&self) -> Result<Vec<RepositoryName>, AccessError>;
}

/// A credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The hash of its secret.
    pub secret: SecretHash,
    /// Who has it.
    pub holder: Holder,
}

/// Who has a credential, which decides what it is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A protected machine: adds to and reads one repository, removes nothing but its own locks.
    Machine(RepositoryName),
    /// A keeper: may also remove what the repositories within its reach have.
    Keeper(Reach),
}

/// Which repositories a keeper tends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Every one.
    All,
    /// These.
    Only(Vec<RepositoryName>),
}

/// Whether a machine may still set up its repository.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Enrolment {
    /// It may create the repository, write the config and add keys.
    #[default]
    Open,
    /// Only a keeper may.
    Sealed,
}

/// How much a repository may take. `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Limits {
    /// Bytes stored at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored_bytes: Option<u64>,
    /// Bytes received on one day (UTC, by the gateway's clock).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daily_bytes: Option<u64>,
    /// Snapshots received on one day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daily_snapshots: Option<u64>,
}

/// What holds for a repository.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Whether its machine may still set it up.
    pub enrolment: Enrolment,
    /// How much it may take.
    pub limits: Limits,
}

/// Accounts cannot be looked up.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {what}")]
pub struct AccessError {
    /// What was being done, as a verb.
    pub action: &'static str,
    /// To what.
    pub what: String,
    /// Why it failed.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl Holder {
    /// Whether this credential has anything to do with a repository.
    pub(crate) fn reaches(&self, repository: &RepositoryName) -> bool {
        match self {
            Holder::Machine(own) => own == repository,
            Holder::Keeper(Reach::All) => true,
            Holder::Keeper(Reach::Only(tended)) => tended.contains(repository),
        }
    }
}

impl fmt::Display for Enrolment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Enrolment::Open => "open",
            Enrolment::Sealed => "sealed",
        })
    }
}
