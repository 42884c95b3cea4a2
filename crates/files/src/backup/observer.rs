//! What a backup tells whoever watches it. Everything may be called from many threads at once, and must be quick.

use std::fmt;
use std::io;
use std::path::PathBuf;

use backend::Id;

/// An item of the snapshot: the path within it, in two parts so that nothing is put together unless somebody looks.
#[derive(Clone, Copy, Debug)]
pub struct ItemPath<'p> {
    /// The directory, absolute within the snapshot.
    pub dir: &'p [u8],
    /// The name in it; empty for the snapshot's root.
    pub name: &'p [u8],
}

impl ItemPath<'_> {
    /// The whole path, raw.
    pub fn to_bytes(self) -> Vec<u8> {
        crate::path::child(self.dir, self.name)
    }
}

impl fmt::Display for ItemPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.to_bytes()))
    }
}

/// How an item stands to the parent snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was not there.
    New,
    /// It differs.
    Changed,
    /// It is the same.
    Unmodified,
}

/// What an item that was finished is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemKind {
    /// A file.
    File,
    /// A directory with everything in it.
    Dir,
}

/// A file or a directory that is finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// What it is.
    pub kind: ItemKind,
    /// How it stands to the parent snapshot.
    pub change: Change,
    /// Bytes of a file.
    pub size: u64,
    /// Plain bytes of its new blobs: content of a file, the tree of a directory itself.
    pub added: u64,
    /// Stored bytes of those.
    pub added_packed: u64,
}

/// Sums over what there is to back up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Files.
    pub files: u64,
    /// Directories.
    pub dirs: u64,
    /// Links, devices, pipes.
    pub others: u64,
    /// Bytes of files.
    pub bytes: u64,
}

/// Something that could not be backed up, wholly or in part. The backup goes on and is incomplete.
#[derive(Debug, thiserror::Error)]
pub enum ItemError {
    /// A path that was named is not there or cannot be reached.
    #[error("{path} is not there or cannot be reached and is left out", path = .path.display())]
    Missing {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A call failed.
    #[error("cannot {action} {path}", path = .path.display())]
    Io {
        /// What was being done: "open", "read", "list", "examine".
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Extended attributes could not be read; the rest was stored.
    #[error("cannot read the extended attributes of {path}", path = .path.display())]
    Attributes {
        /// Whose.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It was replaced by something else while it was being backed up.
    #[error("{path} changed its type while it was being backed up", path = .path.display())]
    ChangedType {
        /// What.
        path: PathBuf,
    },
    /// It is nothing that restic's format knows.
    #[error("{path} is of an unknown type", path = .path.display())]
    UnknownType {
        /// What.
        path: PathBuf,
    },
    /// The parent snapshot's tree could not be read; everything in the directory is read again.
    #[error("cannot read what the parent snapshot has at {path}; the repository could be damaged", path = .path.display())]
    ParentTree {
        /// Which directory.
        path: PathBuf,
        /// Why.
        source: repo::Error,
    },
}

impl ItemError {
    /// What it is about.
    pub fn path(&self) -> &std::path::Path {
        match self {
            ItemError::Missing { path, .. }
            | ItemError::Io { path, .. }
            | ItemError::Attributes { path, .. }
            | ItemError::ChangedType { path }
            | ItemError::UnknownType { path }
            | ItemError::ParentTree { path, .. } => path,
        }
    }

    /// What was being done, in restic's words for its JSON messages.
    pub fn during(&self) -> &'static str {
        match self {
            ItemError::Missing { .. } => "scan",
            _ => "archival",
        }
    }
}

/// Something worth telling that leaves the backup complete.
#[derive(Debug)]
pub enum Notice {
    /// A directory of our own (repository, cache, state) was left out.
    SkippedOwn {
        /// Which.
        path: PathBuf,
    },
    /// A file's size changed while it was read; what was read is stored, with its true size.
    ChangedWhileRead {
        /// Which.
        path: PathBuf,
        /// Bytes it had when it was opened.
        expected: u64,
        /// Bytes that were read.
        read: u64,
    },
    /// The repository had lost content of an unchanged file; the file was stored again.
    ContentWasMissing {
        /// Which.
        path: PathBuf,
    },
    /// A file has the name of a marker but not its content.
    NotAMarker {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A checkpoint could not be removed (append-only storage); retention does not count it.
    CheckpointStays {
        /// Which.
        id: Id,
    },
}

/// Watches a backup.
#[expect(unused_variables, reason = "the default is to look away")]
pub trait Observer: Send + Sync {
    /// The snapshot that unchanged files are taken from; `None` if all are read.
    fn parent(&self, parent: Option<&Id>) {}

    /// What has been found so far by the scan that runs ahead; `finished` with the last one.
    fn scanned(&self, totals: Totals, finished: bool) {}

    /// A file is being read.
    fn started(&self, item: ItemPath<'_>) {}

    /// So many bytes of files are done, read or found unchanged.
    fn done(&self, bytes: u64) {}

    /// An item is finished.
    fn finished(&self, item: ItemPath<'_>, how: Finished) {}

    /// An item was excluded.
    fn excluded(&self, item: ItemPath<'_>) {}

    /// An item could not be backed up.
    fn failed(&self, error: &ItemError) {}

    /// Something worth telling.
    fn noticed(&self, notice: &Notice) {}

    /// A checkpoint was written.
    fn checkpoint(&self, id: &Id) {}
}

/// Looks away.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unobserved;

impl Observer for Unobserved {}
