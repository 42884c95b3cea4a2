//! Reads what is stored and hashes it again, without keys: names are hashes. What was read and when is in a journal of its
//! own, so that a scrub that was interrupted goes on where it was.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use backend::{Backend, Clock, FileInfo, FileKind, FileName, Id, IdHasher, Part};
use jiff::{SignedDuration, Timestamp};

use crate::journal::Journal;
use crate::{Act, Ledger, LedgerError, RepositoryName, meter};

/// Read at once.
const PIECE: u64 = 4 << 20;

/// What a scrub does.
#[derive(Clone, Copy, Debug)]
pub struct ScrubOptions {
    /// Bytes per second; `None` is as fast as the storage.
    pub rate: Option<u64>,
    /// What was found good less long ago is passed over.
    pub again_after: Duration,
}

/// What a look at a file came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The bytes have the hash that is their name; a config has the one that it had when it was received.
    Good,
    /// They do not.
    Bad,
    /// They cannot be read.
    Unreadable,
}

/// A file that is not good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which one.
    pub file: FileName,
    /// When it was looked at.
    pub at: Timestamp,
    /// What it came to.
    pub verdict: Verdict,
}

/// What a scrub of one repository came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Files that were read.
    pub read: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that were good lately and passed over.
    pub passed_over: u64,
    /// Files that are not good, those of earlier scrubs too.
    pub bad: Vec<Finding>,
    /// Whether everything was looked at; a scrub that was stopped goes on the next time.
    pub is_complete: bool,
}

/// A scrub cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ScrubError {
    /// The storage cannot be listed.
    #[error("cannot scrub {repository}")]
    Storage {
        /// Of which repository.
        repository: RepositoryName,
        /// Why.
        source: backend::Error,
    },
    /// What was found cannot be written down.
    #[error("cannot write down what the scrub of {repository} found")]
    Journal {
        /// Of which repository.
        repository: RepositoryName,
        /// Why.
        source: std::io::Error,
    },
    /// Receipts cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Scrubs repositories; their journals are in one directory.
pub struct Scrub {
    directory: PathBuf,
    options: ScrubOptions,
}

/// A line of the journal.
#[derive(Clone, Copy, serde::Serialize, serde::Deserialize)]
struct Line {
    at: Timestamp,
    verdict: Verdict,
    #[serde(rename = "file")]
    name: Name,
}

/// A file by the number of its kind and its id.
#[derive(Clone, Copy, serde::Serialize, serde::Deserialize)]
struct Name(u8, Id);

type Seen = HashMap<FileName, (Timestamp, Verdict)>;

impl Scrub {
    /// A scrub whose journals are in `directory`, which is made.
    pub fn new(directory: impl Into<PathBuf>, options: ScrubOptions) -> std::io::Result<Scrub> {
        let directory = directory.into();
        std::fs::create_dir_all(&directory)?;
        Ok(Scrub { directory, options })
    }

    /// Looks at everything that was not good lately, until all is seen or `go_on` says no. Every look is told to `tell`.
    pub fn run(
        &self,
        repository: &RepositoryName,
        backend: &dyn Backend,
        ledger: &dyn Ledger,
        clock: &dyn Clock,
        tell: &mut dyn FnMut(&Finding, u64),
        go_on: &dyn Fn() -> bool,
    ) -> Result<Tally, ScrubError> {
        let journal = self.journal(repository);
        let fail = |source| ScrubError::Journal { repository: repository.clone(), source };
        let mut seen = read(&journal).map_err(fail)?;
        let files = list(backend).map_err(|source| ScrubError::Storage { repository: repository.clone(), source })?;
        let config = config_hash(repository, ledger)?;
        let mut tally = Tally { is_complete: true, ..Tally::default() };
        let mut pace = Pace::new(self.options.rate, clock);
        for (file, size) in &files {
            let last = seen.get(file).copied();
            if last.is_some_and(|(at, verdict)| verdict == Verdict::Good && self.is_fresh(at, clock.now())) {
                tally.passed_over += 1;
                continue;
            }
            if !go_on() {
                tally.is_complete = false;
                break;
            }
            let Some(verdict) = look(backend, file, config, &mut |bytes| pace.pass(bytes)) else {
                continue; // removed meanwhile
            };
            let at = clock.now();
            seen.insert(*file, (at, verdict));
            journal.append(&line(file, at, verdict)).map_err(fail)?;
            tally.read += 1;
            tally.bytes += size;
            meter::scrubbed(*size, verdict == Verdict::Good);
            tell(&Finding { file: *file, at, verdict }, *size);
        }
        self.tidy(&journal, &mut seen, &files, tally.is_complete).map_err(fail)?;
        tally.bad = bad(&seen);
        Ok(tally)
    }

    /// What earlier scrubs found that is not good.
    pub fn findings(&self, repository: &RepositoryName) -> Result<Vec<Finding>, ScrubError> {
        let seen = read(&self.journal(repository));
        let seen = seen.map_err(|source| ScrubError::Journal { repository: repository.clone(), source })?;
        Ok(bad(&seen))
    }

    fn journal(&self, repository: &RepositoryName) -> Journal {
        Journal::new(self.directory.join(format!("{repository}.scrub")))
    }

    fn is_fresh(&self, at: Timestamp, now: Timestamp) -> bool {
        let again = SignedDuration::try_from(self.options.again_after).unwrap_or(SignedDuration::MAX);
        at <= now && now.duration_since(at) < again
    }

    /// Forgets files that are gone, and lines that later ones replaced.
    fn tidy(
        &self,
        journal: &Journal,
        seen: &mut Seen,
        files: &[(FileName, u64)],
        is_complete: bool,
    ) -> std::io::Result<()> {
        if !is_complete {
            return Ok(());
        }
        let there: std::collections::HashSet<FileName> = files.iter().map(|(file, _)| *file).collect();
        seen.retain(|file, _| there.contains(file));
        journal.rewrite(seen.iter().map(|(file, (at, verdict))| line(file, *at, *verdict)))
    }
}

/// What bytes per second allow.
struct Pace<'c> {
    rate: Option<u64>,
    clock: &'c dyn Clock,
    begin: Duration,
    passed: u64,
}

impl<'c> Pace<'c> {
    fn new(rate: Option<u64>, clock: &'c dyn Clock) -> Pace<'c> {
        Pace { rate, clock, begin: clock.monotonic(), passed: 0 }
    }

    fn pass(&mut self, bytes: u64) {
        let Some(rate) = self.rate else { return };
        self.passed += bytes;
        let due = Duration::from_secs_f64(self.passed as f64 / rate.max(1) as f64);
        let early = due.saturating_sub(self.clock.monotonic().saturating_sub(self.begin));
        if !early.is_zero() {
            self.clock.sleep(early);
        }
    }
}

/// Everything that has a name that can be checked, what the repository cannot be opened without first.
fn list(backend: &dyn Backend) -> backend::Result<Vec<(FileName, u64)>> {
    let kinds = [FileKind::Config, FileKind::Key, FileKind::Snapshot, FileKind::Index, FileKind::Pack];
    let mut all = Vec::new();
    for kind in kinds {
        let mut files: Vec<FileInfo> = backend.list(kind)?;
        files.sort_unstable_by_key(|file| file.id);
        all.extend(files.iter().map(|file| (FileName::new(kind, file.id), file.size)));
    }
    Ok(all)
}

/// What the config hashed to when it was received; `None` if that was not through a gateway.
fn config_hash(repository: &RepositoryName, ledger: &dyn Ledger) -> Result<Option<Id>, LedgerError> {
    let receipt = ledger.receipt(repository, &FileName::CONFIG)?;
    Ok(receipt.filter(|receipt| receipt.act == Act::Received).map(|receipt| receipt.sha256))
}

/// `None` if the file is not there any more.
fn look(backend: &dyn Backend, file: &FileName, config: Option<Id>, passed: &mut dyn FnMut(u64)) -> Option<Verdict> {
    let hash = match hash(backend, file, passed) {
        Err(error) if error.is_not_found() => return None,
        Err(_) => return Some(Verdict::Unreadable),
        Ok(hash) => hash,
    };
    let expected = if file.kind == FileKind::Config { config.unwrap_or(hash) } else { file.id };
    Some(if hash == expected { Verdict::Good } else { Verdict::Bad })
}

fn hash(backend: &dyn Backend, file: &FileName, passed: &mut dyn FnMut(u64)) -> backend::Result<Id> {
    let size = backend.size(file)?;
    let (mut hasher, mut piece, mut offset) = (IdHasher::new(), Vec::new(), 0);
    while offset < size {
        let length = PIECE.min(size - offset);
        backend.read(file, Part::Range { offset, length }, &mut piece)?;
        hasher.update(&piece);
        passed(length);
        offset += length;
    }
    Ok(hasher.finish())
}

fn bad(seen: &Seen) -> Vec<Finding> {
    let bad = seen.iter().filter(|(_, (_, verdict))| *verdict != Verdict::Good);
    let mut bad: Vec<Finding> =
        bad.map(|(file, (at, verdict))| Finding { file: *file, at: *at, verdict: *verdict }).collect();
    bad.sort_by_key(|finding| finding.file);
    bad
}

const KINDS: [FileKind; 6] =
    [FileKind::Config, FileKind::Key, FileKind::Lock, FileKind::Snapshot, FileKind::Index, FileKind::Pack];

fn line(file: &FileName, at: Timestamp, verdict: Verdict) -> Vec<u8> {
    let kind = KINDS.iter().position(|kind| *kind == file.kind).unwrap_or_default();
    serde_json::to_vec(&Line { at, verdict, name: Name(kind as u8, file.id) }).unwrap_or_default()
}

fn read(journal: &Journal) -> std::io::Result<Seen> {
    let mut seen = Seen::new();
    journal.read(|text| {
        if let Ok(Line { at, verdict, name: Name(kind, id) }) = serde_json::from_slice(text)
            && let Some(kind) = KINDS.get(usize::from(kind))
        {
            seen.insert(FileName::new(*kind, id), (at, verdict));
        }
    })?;
    Ok(seen)
}
