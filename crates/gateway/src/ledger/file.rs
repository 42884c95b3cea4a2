//! A ledger in files, one per repository: checksummed lines of JSON that are only ever added to.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::tz::TimeZone;
use parking_lot::Mutex;

use super::*;
use crate::journal::Journal;

/// Ledgers in a directory.
pub struct FileLedger {
    directory: PathBuf,
    books: Mutex<HashMap<RepositoryName, Arc<Book>>>,
}

/// The ledger of one repository with what is asked for often.
struct Book {
    journal: Journal,
    /// `None` until the file was read.
    known: Mutex<Option<Known>>,
}

#[derive(Clone, Default)]
struct Known {
    last: Timestamp,
    day: Date,
    today: Today,
    locks: HashMap<Id, LockHolder>,
}

/// A line as it is written.
#[derive(serde::Serialize, serde::Deserialize)]
struct Line {
    at: Timestamp,
    act: Act,
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Id>,
    size: u64,
    sha256: Id,
    by: String,
}

impl FileLedger {
    /// The ledgers in that directory, which is made.
    pub fn open(directory: impl Into<PathBuf>) -> std::io::Result<FileLedger> {
        let directory = directory.into();
        std::fs::create_dir_all(&directory)?;
        Ok(FileLedger { directory, books: Mutex::default() })
    }

    fn book(&self, repository: &RepositoryName) -> Arc<Book> {
        let mut books = self.books.lock();
        if let Some(book) = books.get(repository) {
            return Arc::clone(book);
        }
        let path = self.directory.join(format!("{repository}.ledger"));
        let book = Arc::new(Book { journal: Journal::new(path), known: Mutex::default() });
        books.insert(repository.clone(), Arc::clone(&book));
        book
    }

    fn with<T>(
        &self,
        action: &'static str,
        repository: &RepositoryName,
        use_it: impl FnOnce(&mut Known) -> T,
    ) -> Result<T, LedgerError> {
        let book = self.book(repository);
        let mut known = book.known.lock();
        if known.is_none() {
            let read = book.read().map_err(|error| fail(action, repository, error))?;
            *known = Some(read);
        }
        Ok(use_it(known.get_or_insert_default()))
    }
}

impl Ledger for FileLedger {
    fn record(&self, repository: &RepositoryName, receipt: &Receipt) -> Result<(), LedgerError> {
        let last = self.with("write", repository, |known| known.last)?;
        let receipt = Receipt { at: receipt.at.max(last), ..receipt.clone() };
        let line = serde_json::to_vec(&Line::from(&receipt)).map_err(|error| fail("write", repository, error))?;
        let journal = &self.book(repository).journal;
        journal.append(&line).map_err(|error| fail("write", repository, error))?;
        self.with("write", repository, |known| known.take(&receipt))
    }

    fn today(&self, repository: &RepositoryName, day: Date) -> Result<Today, LedgerError> {
        self.with("read", repository, |known| if known.day >= day { known.today } else { Today::default() })
    }

    fn locks(&self, repository: &RepositoryName) -> Result<HashMap<Id, LockHolder>, LedgerError> {
        self.with("read", repository, |known| known.locks.clone())
    }

    fn receipt(&self, repository: &RepositoryName, file: &FileName) -> Result<Option<Receipt>, LedgerError> {
        let mut found = None;
        self.receipts(repository, &mut |receipt| match receipt.act {
            _ if receipt.file != *file => {}
            Act::Received => found = found.take().or(Some(receipt)),
            Act::Removed | Act::Expired => found = None,
        })?;
        Ok(found)
    }

    fn receipts(&self, repository: &RepositoryName, visit: &mut dyn FnMut(Receipt)) -> Result<(), LedgerError> {
        let read = self.book(repository).journal.read(|line| {
            if let Some(receipt) = parse(line) {
                visit(receipt);
            }
        });
        read.map(drop).map_err(|error| fail("read", repository, error))
    }
}

impl Book {
    fn read(&self) -> std::io::Result<Known> {
        let mut known = Known::default();
        self.journal.read(|line| {
            if let Some(receipt) = parse(line) {
                known.take(&receipt);
            }
        })?;
        Ok(known)
    }
}

impl Known {
    fn take(&mut self, receipt: &Receipt) {
        self.last = self.last.max(receipt.at);
        let day = day_of(self.last);
        if self.day != day {
            (self.day, self.today) = (day, Today::default());
        }
        if receipt.act == Act::Received {
            self.today.add(receipt.file.kind, receipt.size);
        }
        match (receipt.file.kind, receipt.act) {
            (FileKind::Lock, Act::Received) => {
                let holder = LockHolder { by: receipt.by.clone(), at: receipt.at };
                self.locks.entry(receipt.file.id).or_insert(holder);
            }
            (FileKind::Lock, _) => drop(self.locks.remove(&receipt.file.id)),
            _ => {}
        }
    }
}

impl From<&Receipt> for Line {
    fn from(receipt: &Receipt) -> Line {
        let Receipt { at, act, file, size, sha256, by } = receipt.clone();
        let id = (file.kind != FileKind::Config).then_some(file.id);
        Line { at, act, kind: file.kind.directory().to_owned(), id, size, sha256, by }
    }
}

fn parse(line: &[u8]) -> Option<Receipt> {
    let Line { at, act, kind, id, size, sha256, by } = serde_json::from_slice(line).ok()?;
    let file = match (FileKind::NAMED.into_iter().find(|named| named.directory() == kind), id) {
        (Some(kind), Some(id)) => FileName::new(kind, id),
        (None, None) if kind == FileKind::Config.directory() => FileName::CONFIG,
        _ => return None,
    };
    Some(Receipt { at, act, file, size, sha256, by })
}

/// The day of an instant in UTC.
pub(crate) fn day_of(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

fn fail(
    action: &'static str,
    repository: &RepositoryName,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> LedgerError {
    LedgerError { action, repository: repository.clone(), source: source.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(at: &str, act: Act, kind: FileKind, name: &str) -> Receipt {
        let (at, sha256) = (at.parse().unwrap(), Id::of(name.as_bytes()));
        Receipt { at, act, file: FileName::new(kind, sha256), size: 100, sha256, by: "pc".into() }
    }

    fn office() -> RepositoryName {
        "office".parse().unwrap()
    }

    #[test]
    fn what_was_recorded_is_known_after_a_restart() {
        let room = tempfile::tempdir().unwrap();
        let snapshot = receipt("2026-03-01T10:00:00Z", Act::Received, FileKind::Snapshot, "s");
        let lock = receipt("2026-03-01T10:01:00Z", Act::Received, FileKind::Lock, "l");
        let config =
            Receipt { file: FileName::CONFIG, ..receipt("2026-03-01T10:02:00Z", Act::Received, FileKind::Key, "c") };
        let ledger = FileLedger::open(room.path()).unwrap();
        [&snapshot, &lock, &config].iter().for_each(|receipt| ledger.record(&office(), receipt).unwrap());
        for ledger in [ledger, FileLedger::open(room.path()).unwrap()] {
            assert_eq!(ledger.receipt(&office(), &snapshot.file).unwrap().as_ref(), Some(&snapshot));
            assert_eq!(ledger.receipt(&office(), &FileName::CONFIG).unwrap().as_ref(), Some(&config));
            assert_eq!(ledger.locks(&office()).unwrap()[&lock.file.id].at, lock.at);
            let day = day_of(snapshot.at);
            assert_eq!(ledger.today(&office(), day).unwrap(), Today { bytes: 300, snapshots: 1 });
            assert_eq!(ledger.today(&office(), day.tomorrow().unwrap()).unwrap(), Today::default());
        }
    }

    #[test]
    fn a_clock_that_goes_back_does_not_take_receipts_with_it() {
        let room = tempfile::tempdir().unwrap();
        let ledger = FileLedger::open(room.path()).unwrap();
        ledger.record(&office(), &receipt("2026-03-02T10:00:00Z", Act::Received, FileKind::Pack, "a")).unwrap();
        let early = receipt("2020-01-01T00:00:00Z", Act::Received, FileKind::Snapshot, "b");
        ledger.record(&office(), &early).unwrap();
        let found = ledger.receipt(&office(), &early.file).unwrap().unwrap();
        assert_eq!(found.at.to_string(), "2026-03-02T10:00:00Z");
    }

    #[test]
    fn sending_again_changes_no_receipt_but_removing_does() {
        let room = tempfile::tempdir().unwrap();
        let ledger = FileLedger::open(room.path()).unwrap();
        let at = |day: u8, act| receipt(&format!("2026-03-{day:02}T10:00:00Z"), act, FileKind::Snapshot, "s");
        let file = at(1, Act::Received).file;
        let first =
            |ledger: &FileLedger| ledger.receipt(&office(), &file).unwrap().map(|receipt| day_of(receipt.at).day());
        ledger.record(&office(), &at(1, Act::Received)).unwrap();
        ledger.record(&office(), &at(5, Act::Received)).unwrap();
        assert_eq!(first(&ledger), Some(1));
        ledger.record(&office(), &at(6, Act::Removed)).unwrap();
        assert_eq!(first(&ledger), None);
        ledger.record(&office(), &at(7, Act::Received)).unwrap();
        assert_eq!(first(&ledger), Some(7));
    }
}
