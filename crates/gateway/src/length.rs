//! How long files of each kind may be.

use backend::FileKind;

/// The longest file of each kind, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lengths {
    /// Packs; restic's end at 128 MiB and a little, rustic's grow with the repository.
    pub pack: u64,
    /// Index files.
    pub index: u64,
    /// Snapshots.
    pub snapshot: u64,
    /// Configs, keys and locks each.
    pub other: u64,
}

impl Default for Lengths {
    fn default() -> Lengths {
        Lengths { pack: 256 << 20, index: 128 << 20, snapshot: 64 << 20, other: 256 << 10 }
    }
}

impl Lengths {
    /// The longest file of a kind.
    pub fn of(&self, kind: FileKind) -> u64 {
        match kind {
            FileKind::Pack => self.pack,
            FileKind::Index => self.index,
            FileKind::Snapshot => self.snapshot,
            FileKind::Config | FileKind::Key | FileKind::Lock => self.other,
        }
    }
}
