//! What was received, by whom and when, by the gateway's own clock: what retention counts by, for a client's clock can lie.

use std::collections::HashMap;

use backend::{FileKind, FileName, Id};
use jiff::Timestamp;
use jiff::civil::Date;

use crate::RepositoryName;

mod file;

pub use file::FileLedger;
pub(crate) use file::day_of;

/// Remembers receipts. The server's database fills this trait in a fleet, files where a gateway stands alone.
pub trait Ledger: Send + Sync {
    /// Writes a receipt down, durably. Times of a repository never go back: an earlier one than the last is recorded as
    /// the last.
    fn record(&self, repository: &RepositoryName, receipt: &Receipt) -> Result<(), LedgerError>;

    /// What was received on a day (UTC).
    fn today(&self, repository: &RepositoryName, day: Date) -> Result<Today, LedgerError>;

    /// The locks that are held, and by whom.
    fn locks(&self, repository: &RepositoryName) -> Result<HashMap<Id, LockHolder>, LedgerError>;

    /// When a file that is stored was first received; a file that was removed and came again counts from then.
    fn receipt(&self, repository: &RepositoryName, file: &FileName) -> Result<Option<Receipt>, LedgerError>;

    /// Passes every receipt to `visit`, the oldest first.
    fn receipts(&self, repository: &RepositoryName, visit: &mut dyn FnMut(Receipt)) -> Result<(), LedgerError>;
}

/// What happened to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Act {
    /// It was stored, or was sent again and is stored.
    Received,
    /// It was removed.
    Removed,
    /// A lock that was held too long was removed by the gateway.
    Expired,
}

/// One line of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// When, by the gateway's clock.
    pub at: Timestamp,
    /// What happened.
    pub act: Act,
    /// To which file.
    pub file: FileName,
    /// Its bytes.
    pub size: u64,
    /// Their SHA-256: the file's name, but for the config.
    pub sha256: Id,
    /// The account that did it.
    pub by: String,
}

/// What was received on a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Today {
    /// Bytes of all files.
    pub bytes: u64,
    /// Snapshots.
    pub snapshots: u64,
}

/// Who holds a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockHolder {
    /// The account that sent it.
    pub by: String,
    /// When it was received, by the gateway's clock.
    pub at: Timestamp,
}

/// The ledger cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} the ledger of {repository}")]
pub struct LedgerError {
    /// What was being done, as a verb.
    pub action: &'static str,
    /// Of which repository.
    pub repository: RepositoryName,
    /// Why it failed.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl LedgerError {
    /// Whether there is no room for it.
    pub(crate) fn is_full(&self) -> bool {
        use std::io::ErrorKind as Kind;
        let kind = self.source.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        matches!(kind, Some(Kind::StorageFull | Kind::QuotaExceeded))
    }
}

impl Today {
    /// Counts a file that was received.
    pub(crate) fn add(&mut self, kind: FileKind, size: u64) {
        self.bytes = self.bytes.saturating_add(size);
        self.snapshots += u64::from(kind == FileKind::Snapshot);
    }
}
