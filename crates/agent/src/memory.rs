//! Memory: what an agent knows after a crash. Every change is durable when it returns; one process at a time has it.
//!
//! What happened and what is to be told about it are written in one step ([`outbox`]), so that nothing is told that did not
//! happen, and nothing happens untold.

mod orders;
mod outbox;
mod runs;

use std::path::{Path, PathBuf};

use api::wire::duties::Duties;
use jiff::Timestamp;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::membership::Membership;
use crate::place::Place;

pub(crate) use orders::Reply;
pub(crate) use runs::{Ending, Ongoing, kind_of};

/// Single facts, by name, as JSON.
const FACTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("facts");

const MEMBERSHIP: &str = "membership";
const COUNTER: &str = "counter";
const DUTIES: &str = "duties";
const HANDLED: &str = "handled";
const CONTACT: &str = "contact";
const SEALED_TO: &str = "sealed_to";
const LAST_BACKUP: &str = "last_backup";
const SPENT: &str = "spent";

/// Why something is not remembered.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// Another process has it.
    #[error("{} is in use: an agent is running here", .0.display())]
    InUse(PathBuf),
    /// The database failed.
    #[error("cannot {doing} in the agent's memory")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// Why not.
        source: Box<redb::Error>,
    },
    /// What is in it makes no sense.
    #[error("the agent's memory of {what} is damaged")]
    Damaged {
        /// What was read.
        what: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

type Result<T> = std::result::Result<T, MemoryError>;

/// The memory of an agent.
pub(crate) struct Memory {
    database: Database,
}

/// Bytes that were sent on a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Spent {
    /// Which day, by the client's wall clock.
    pub(crate) day: Option<jiff::civil::Date>,
    /// How much.
    pub(crate) bytes: u64,
}

/// Turns any of the database's errors into ours.
fn failed<E: Into<redb::Error>>(doing: &'static str) -> impl FnOnce(E) -> MemoryError {
    move |error| MemoryError::Database { doing, source: Box::new(error.into()) }
}

fn parsed<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|source| MemoryError::Damaged { what: what.to_owned(), source })
}

fn json<T: Serialize>(what: &str, value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|source| MemoryError::Damaged { what: what.to_owned(), source })
}

/// A change that is made as a whole.
pub(crate) struct Change {
    doing: &'static str,
    transaction: WriteTransaction,
}

impl Change {
    fn fact<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let table = self.transaction.open_table(FACTS).map_err(failed(self.doing))?;
        let found = table.get(name).map_err(failed(self.doing))?;
        found.map(|bytes| parsed(name, bytes.value())).transpose()
    }

    fn set<T: Serialize>(&self, name: &str, value: &T) -> Result<()> {
        let mut table = self.transaction.open_table(FACTS).map_err(failed(self.doing))?;
        table.insert(name, json(name, value)?.as_slice()).map_err(failed(self.doing))?;
        Ok(())
    }
}

impl Memory {
    /// Opens the memory in a directory, made if it is not there.
    pub(crate) fn open(place: &Place) -> Result<Memory> {
        let path = place.memory();
        let database = match Database::create(&path) {
            Err(redb::DatabaseError::DatabaseAlreadyOpen) => return Err(MemoryError::InUse(path)),
            opened => opened.map_err(failed("open the database"))?,
        };
        keep_private(&path);
        let memory = Memory { database };
        memory.change("make tables", |change| {
            change.transaction.open_table(FACTS).map_err(failed("make tables"))?;
            orders::prepare(change)?;
            outbox::prepare(change)?;
            runs::prepare(change)
        })?;
        Ok(memory)
    }

    fn change<T>(&self, doing: &'static str, make: impl FnOnce(&Change) -> Result<T>) -> Result<T> {
        let transaction = self.database.begin_write().map_err(failed(doing))?;
        let change = Change { doing, transaction };
        let made = make(&change)?;
        change.transaction.commit().map_err(failed(doing))?;
        Ok(made)
    }

    fn fact<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let transaction = self.database.begin_read().map_err(failed("look something up"))?;
        let table = transaction.open_table(FACTS).map_err(failed("look something up"))?;
        let found = table.get(name).map_err(failed("look something up"))?;
        found.map(|bytes| parsed(name, bytes.value())).transpose()
    }

    fn set<T: Serialize>(&self, name: &'static str, value: &T) -> Result<()> {
        self.change(name, |change| change.set(name, value))
    }

    /// Which server this machine has joined.
    pub(crate) fn membership(&self) -> Result<Option<Membership>> {
        self.fact(MEMBERSHIP)
    }

    /// It has joined one.
    pub(crate) fn join(&self, membership: &Membership) -> Result<()> {
        self.set(MEMBERSHIP, membership)
    }

    /// The next number of an introduction; it is durable when it is returned.
    pub(crate) fn count(&self) -> Result<u64> {
        self.change("count an introduction", |change| {
            let next = change.fact::<u64>(COUNTER)?.unwrap_or(0) + 1;
            change.set(COUNTER, &next)?;
            Ok(next)
        })
    }

    /// What it does until it is told otherwise.
    pub(crate) fn duties(&self) -> Result<Option<Duties>> {
        self.fact(DUTIES)
    }

    /// It was told what to do.
    pub(crate) fn learn(&self, duties: &Duties) -> Result<()> {
        self.set(DUTIES, duties)
    }

    /// Up to when everything due was done, or stood for by something later.
    pub(crate) fn handled(&self) -> Result<Option<Timestamp>> {
        self.fact(HANDLED)
    }

    /// Nothing before this moment is due any more.
    pub(crate) fn handle(&self, until: Timestamp) -> Result<()> {
        self.set(HANDLED, &until)
    }

    /// When the server was heard last.
    pub(crate) fn contact(&self) -> Result<Option<Timestamp>> {
        self.fact(CONTACT)
    }

    /// The server was heard.
    pub(crate) fn note_contact(&self, at: Timestamp) -> Result<()> {
        self.set(CONTACT, &at)
    }

    /// Whom the repository's key was sealed to.
    pub(crate) fn sealed_to(&self) -> Result<Option<String>> {
        self.fact(SEALED_TO)
    }

    /// The key was sealed: that is told, and remembered.
    pub(crate) fn seal_to(&self, keeper: &str, key: String) -> Result<()> {
        self.change("remember a sealed key", |change| {
            let event = api::wire::agent::Event::Sealed { keeper: keeper.to_owned(), key };
            outbox::say(change, &event)?;
            change.set(SEALED_TO, &keeper)
        })
    }

    /// When the last backup that was good began.
    pub(crate) fn last_backup(&self) -> Result<Option<Timestamp>> {
        self.fact(LAST_BACKUP)
    }

    /// What was sent today.
    pub(crate) fn spent(&self) -> Result<Spent> {
        Ok(self.fact(SPENT)?.unwrap_or_default())
    }

    /// More was sent.
    pub(crate) fn spend(&self, spent: Spent) -> Result<()> {
        self.set(SPENT, &spent)
    }
}

#[cfg(unix)]
fn keep_private(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    // The directory keeps others out anyway.
    _ = std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600));
}

#[cfg(not(unix))]
fn keep_private(_: &Path) {}

#[cfg(test)]
mod tests;
