//! Names of repository files.

use std::fmt;

use crate::Id;

/// The six kinds of files in a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FileKind {
    /// The one configuration; it has no id.
    Config,
    /// A password's way to the master key.
    Key,
    /// Somebody is at work.
    Lock,
    /// A root tree plus who, when, what.
    Snapshot,
    /// Which blob lies in which pack where.
    Index,
    /// Many encrypted blobs.
    Pack,
}

impl FileKind {
    /// The kinds that are named by an id: all but the config.
    pub const NAMED: [FileKind; 5] =
        [FileKind::Key, FileKind::Lock, FileKind::Snapshot, FileKind::Index, FileKind::Pack];

    /// The directory that holds files of this kind; for the config its file name.
    pub const fn directory(self) -> &'static str {
        match self {
            FileKind::Config => "config",
            FileKind::Key => "keys",
            FileKind::Lock => "locks",
            FileKind::Snapshot => "snapshots",
            FileKind::Index => "index",
            FileKind::Pack => "data",
        }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FileKind::Config => "config",
            FileKind::Key => "key",
            FileKind::Lock => "lock",
            FileKind::Snapshot => "snapshot",
            FileKind::Index => "index",
            FileKind::Pack => "pack",
        })
    }
}

/// One file of a repository. The config's id is null.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileName {
    /// What kind of file.
    pub kind: FileKind,
    /// SHA-256 of the stored bytes (null for the config).
    pub id: Id,
}

impl FileName {
    /// The config.
    pub const CONFIG: FileName = FileName { kind: FileKind::Config, id: Id::from_bytes([0; 32]) };

    /// A file that is named by an id.
    pub const fn new(kind: FileKind, id: Id) -> FileName {
        FileName { kind, id }
    }

    /// Path below the repository's root, as restic lays files out: packs are spread over 256 directories.
    pub fn path(&self) -> String {
        match self.kind {
            FileKind::Config => "config".into(),
            FileKind::Pack => {
                let id = self.id.to_string();
                format!("data/{}/{id}", &id[..2])
            }
            kind => format!("{}/{}", kind.directory(), self.id),
        }
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            FileKind::Config => f.write_str("config"),
            kind => write!(f, "{kind} {}", self.id.short()),
        }
    }
}

impl fmt::Debug for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.path())
    }
}
