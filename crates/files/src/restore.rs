//! Restore: a snapshot's tree becomes files beneath a directory.
//!
//! Nothing outside the target is touched, whatever the snapshot names and whatever stands in the target. Only what
//! differs is written, so that a restore that was interrupted goes on where it ended when it is run again. What fails is
//! reported by path and counted, and everything else is restored; a full disk alone ends it.
//!
//! What will be removed is a [`Plan`] first. A walk of the trees ([`walk`], for which they are fetched [`ahead`]) makes directories and everything that is no file, and collects files in slices
//! ([`slice`]) of bounded memory; of each slice, existing files are compared ([`compare`]), missing blobs are fetched
//! pack by pack, each once, and written to all their places ([`write`]). Hard links come last ([`links`]).

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use backend::Id;
use repo::Repository;
use repo::node::Node;

mod ahead;
mod compare;
mod extra;
mod filter;
mod folder;
mod links;
mod metadata;
mod open;
mod plan;
mod run;
mod slice;
mod special;
mod walk;
mod write;

pub use filter::Filter;
pub(crate) use metadata::unix_mode;
pub use plan::{Deletion, Plan, plan};

/// What happens to a file that exists already and differs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overwrite {
    /// It becomes what the snapshot has; its content is read to find what differs.
    #[default]
    Always,
    /// As `Always`, but equal size and modification time are taken for equal content, unread.
    IfChanged,
    /// As `Always` if the snapshot's is newer, else it stays.
    IfNewer,
    /// It stays.
    Never,
}

/// Whether a path is to be restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The path itself.
    pub itself: bool,
    /// Perhaps something below it, if it is a directory.
    pub below: bool,
}

impl Selection {
    /// The path and all below it.
    pub const ALL: Selection = Selection { itself: true, below: true };
}

/// Tells user and group for a node's file.
pub type Owner<'a> = &'a (dyn Fn(&Node) -> (u32, u32) + Sync);

/// How to restore.
pub struct Options<'a> {
    /// What happens to existing files.
    pub overwrite: Overwrite,
    /// Removes what the snapshot's directories do not have, unless `select` spares it: only what the [`Plan`] lists.
    pub delete: bool,
    /// Changes nothing, only tells what would be done.
    pub dry_run: bool,
    /// Reads every restored file back and compares it with the snapshot.
    pub verify: bool,
    /// Leaves holes where content is zero.
    pub sparse: bool,
    /// Decides about paths (absolute within the snapshot or subfolder) and whether they are directories.
    pub select: &'a (dyn Fn(&[u8], bool) -> Selection + Sync),
    /// Decides about extended attributes, by name.
    pub attributes: &'a (dyn Fn(&str) -> bool + Sync),
    /// Whom a node's file shall belong to; `None` takes the numbers of the snapshot.
    pub owner: Option<Owner<'a>>,
    /// How many threads fetch and write; `None` chooses by machine and storage.
    pub threads: Option<usize>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Options {
            overwrite: Overwrite::default(),
            delete: false,
            dry_run: false,
            verify: false,
            sparse: false,
            select: &|_, _| Selection::ALL,
            attributes: &|_| true,
            owner: None,
            threads: None,
        }
    }
}

/// What was done with an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It was not there and is now.
    Restored,
    /// It was there and became what the snapshot has.
    Updated,
    /// It was right already, or stays by [`Overwrite`].
    Unchanged,
    /// It was removed because the snapshot does not have it.
    Deleted,
}

/// Is told what happens, from many threads at once.
pub trait Observer: Sync {
    /// Something was done; `path` is the path within the snapshot. Only called if [`Observer::wants_items`].
    fn item(&self, path: &[u8], action: Action, size: u64) {
        let _ = (path, action, size);
    }

    /// Whether paths are worth making.
    fn wants_items(&self) -> bool {
        false
    }

    /// Something could not be restored as the snapshot has it.
    fn failed(&self, error: &ItemError);
}

/// One thing that could not be restored as the snapshot has it.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}", Shown(.path))]
pub struct ItemError {
    /// Path within the snapshot.
    pub path: Vec<u8>,
    /// What was being done, as a verb.
    pub action: &'static str,
    /// Why it failed.
    #[source]
    pub cause: Cause,
}

/// Why one thing could not be restored.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The target's file system refused.
    #[error(transparent)]
    File(#[from] io::Error),
    /// The repository does not have it, or not whole.
    #[error(transparent)]
    Repository(#[from] repo::Error),
    /// What was found does not fit.
    #[error("{0}")]
    Other(String),
}

/// A path for people: bytes that are no text are shown as `\u{fffd}`.
struct Shown<'a>(&'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.0))
    }
}

/// A restore that ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The target directory cannot be made or opened.
    #[error("cannot restore to {}", .path.display())]
    Target {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The disk is full. What is complete so far is right, and a later run goes on from there.
    #[error(
        "no space left for {}: {missing_files} items with {missing_bytes} bytes of content are missing",
        Shown(.path)
    )]
    NoSpace {
        /// What was being written first when space ran out.
        path: Vec<u8>,
        /// How many selected items are not restored.
        missing_files: u64,
        /// How many bytes these have.
        missing_bytes: u64,
        /// What was done.
        summary: Summary,
    },
    /// The repository failed, or somebody asked to stop.
    #[error(transparent)]
    Repository(#[from] repo::Error),
}

/// Figures of a restore, under restic's names. What exists already as it should counts as skipped only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Items to restore, directories included.
    pub total_files: u64,
    /// Items restored.
    pub files_restored: u64,
    /// Items that were right already or had to stay.
    pub files_skipped: u64,
    /// Items removed.
    pub files_deleted: u64,
    /// Content to restore, in bytes.
    pub total_bytes: u64,
    /// Content restored, in bytes.
    pub bytes_restored: u64,
    /// Content that was there already, in bytes.
    pub bytes_skipped: u64,
    /// Files read back and found right.
    pub files_verified: u64,
    /// Items that failed.
    pub errors: u64,
}

/// The figures while they grow, for whoever shows progress. The totals grow, too, until the walk is done.
#[derive(Debug, Default)]
pub struct Progress {
    total_files: AtomicU64,
    files_restored: AtomicU64,
    files_skipped: AtomicU64,
    files_deleted: AtomicU64,
    total_bytes: AtomicU64,
    bytes_restored: AtomicU64,
    bytes_skipped: AtomicU64,
    files_verified: AtomicU64,
    errors: AtomicU64,
    walked: std::sync::atomic::AtomicBool,
}

impl Progress {
    /// The figures now.
    pub fn summary(&self) -> Summary {
        let get = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        Summary {
            total_files: get(&self.total_files),
            files_restored: get(&self.files_restored),
            files_skipped: get(&self.files_skipped),
            files_deleted: get(&self.files_deleted),
            total_bytes: get(&self.total_bytes),
            bytes_restored: get(&self.bytes_restored),
            bytes_skipped: get(&self.bytes_skipped),
            files_verified: get(&self.files_verified),
            errors: get(&self.errors),
        }
    }

    /// True once the totals are final.
    pub fn is_total_known(&self) -> bool {
        self.walked.load(Ordering::Relaxed)
    }
}

fn add(figure: &AtomicU64, amount: u64) {
    figure.fetch_add(amount, Ordering::Relaxed);
}

/// Plans and at once executes the restore of what `options` select of the tree `root` into the directory `target`, which is
/// made if it is missing: for whoever need not show the plan.
pub fn restore(
    repo: &Repository,
    root: &Id,
    target: &Path,
    options: &Options<'_>,
    progress: &Progress,
    observer: &dyn Observer,
) -> Result<Summary, Error> {
    plan(repo, root, target, options)?.execute(progress, observer)
}
