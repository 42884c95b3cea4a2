//! Checking a repository: is everything there that snapshots need, and does it read back as it was written?
//!
//! A check changes nothing in the repository. It collects what it finds instead of stopping at the first problem: only
//! being cancelled, and storage that cannot even be listed, end it early.

mod blast;
mod indexes;
mod problem;
mod read;
mod select;
mod structure;

use std::collections::HashSet;
use std::time::Duration;

use backend::FileKind;

use crate::ledger::Ledger;
use crate::progress::Progress;
use crate::used::BlobSet;
use crate::{Error, Id, Repository, Result};

pub use blast::{Affected, affected};
pub use problem::Problem;
pub use select::Subset;

/// Which packs to read and verify.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum ReadData {
    /// None: structure only.
    #[default]
    None,
    /// All.
    All,
    /// A part of them.
    Subset(Subset),
    /// Those that were not verified (on this machine) for so long, or never; the longest ago first.
    OlderThan(Duration),
}

/// What to check.
#[derive(Clone, Debug, Default)]
pub struct CheckOptions {
    /// Which packs to read.
    pub read_data: ReadData,
    /// Only these snapshots, and only packs that they use; `None` means all.
    pub snapshots: Option<HashSet<Id>>,
    /// Also report blobs that no snapshot uses.
    pub find_unused: bool,
}

/// How much was checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckCounts {
    /// Index files.
    pub indexes: u64,
    /// Packs that the index names.
    pub packs: u64,
    /// Snapshots.
    pub snapshots: u64,
    /// Distinct trees.
    pub trees: u64,
    /// Packs that were read.
    pub packs_read: u64,
    /// Their bytes.
    pub bytes_read: u64,
    /// Blobs in them that are good.
    pub blobs_verified: u64,
    /// Packs that wait for deletion after a two-phase prune.
    pub packs_to_delete: u64,
}

/// What a check found.
#[derive(Debug, Default)]
pub struct CheckReport {
    /// Damage.
    pub errors: Vec<Problem>,
    /// Oddities that do no harm.
    pub hints: Vec<Problem>,
    /// How much was checked.
    pub counts: CheckCounts,
}

impl CheckReport {
    /// True if nothing is damaged.
    pub fn is_good(&self) -> bool {
        self.errors.is_empty()
    }

    fn add(&mut self, problems: Vec<Problem>) {
        for problem in problems {
            match problem.is_hint() {
                true => self.hints.push(problem),
                false => self.errors.push(problem),
            }
        }
    }
}

/// Checks, and keeps in the ledger of this machine which packs were verified.
///
/// # Errors
/// Only what keeps the check itself from going on; damage is in the report.
pub fn check(repo: &Repository, options: &CheckOptions, progress: &dyn Progress) -> Result<CheckReport> {
    let mut report = CheckReport::default();
    let roots = structure::roots(repo, options, &mut report)?;
    let indexes = indexes::check_index_files(repo)?;
    report.counts.indexes = indexes.files;
    report.add(indexes.problems);
    if indexes.is_unusable {
        // Without a whole index everything else would be called missing.
        return Ok(report);
    }
    let index = repo.index()?;
    let stored = repo.backend().list(FileKind::Pack)?;
    let of_packs = structure::check_packs(repo, &stored, &mut report.counts)?;
    report.add(of_packs);
    let wants_use = options.snapshots.is_some() || options.find_unused;
    let used = wants_use.then(BlobSet::default);
    let of_trees = structure::check_trees(repo, &roots, used.as_ref(), progress, &mut report.counts)?;
    report.add(of_trees);
    if let Some(used) = used.as_ref().filter(|_| options.find_unused) {
        report.add(structure::unused(index, used)?);
    }
    let only = used.as_ref().filter(|_| options.snapshots.is_some());
    read_data(repo, options.read_data, &stored, only, progress, &mut report)?;
    index.health()?;
    Ok(report)
}

fn read_data(
    repo: &Repository,
    which: ReadData,
    stored: &[backend::FileInfo],
    only: Option<&BlobSet>,
    progress: &dyn Progress,
    report: &mut CheckReport,
) -> Result<()> {
    if which == ReadData::None {
        return Ok(());
    }
    let mut ledger = Ledger::open(repo)?;
    let now = repo.clock().now();
    let packs = select::select(repo.index()?, which, only, &ledger, now)?;
    let (outcome, problems) = read::read_packs(repo, packs, progress, &mut report.counts);
    report.add(problems);
    let (verified, outcome) = match outcome {
        Ok(verified) => (verified, Ok(())),
        Err((verified, error)) => (verified, Err(error)),
    };
    ledger.verified(verified, now);
    ledger.keep_only(stored.iter().map(|file| file.id).collect());
    // What was found is worth more than a note of it on this machine, whose disk may be full.
    report.add(ledger.save().err().map(|error| Problem::NotNoted { error }).into_iter().collect());
    outcome
}

/// True if the error ends a check instead of being a finding.
fn ends_check(error: &Error) -> bool {
    matches!(error, Error::Cancelled | Error::LockLost(_))
}
