//! What is on a volume, and which of its bytes are proven to be free. Everything else counts as used.
//!
//! Whatever cannot be followed to its end proves nothing: an unknown filesystem, one that waits for its journal to be
//! replayed, a checksum or a count that is wrong, an unreadable sector. The reason is given as a warning.

mod bitmap;
pub(crate) mod fields;
mod free_list;
pub(crate) mod source;

mod btrfs;
pub(crate) mod exfat;
mod ext;
pub(crate) mod fat;
mod foreign;
mod luks;
pub mod lvm;
pub(crate) mod ntfs;
mod swap;
mod xfs;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use luks::Luks;
pub use lvm::Lvm;
pub(crate) use source::Damage;
use source::Source;

use crate::{Extents, ReadAt};

/// What a volume holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Kind {
    /// ext2: no journal.
    Ext2,
    /// ext3: a journal and none of ext4's features.
    Ext3,
    /// ext4.
    Ext4,
    /// The journal of an ext filesystem that lies elsewhere.
    ExtJournal,
    /// XFS.
    Xfs,
    /// btrfs, or one device of it.
    Btrfs,
    /// NTFS.
    Ntfs,
    /// FAT with 12-bit entries.
    Fat12,
    /// FAT with 16-bit entries.
    Fat16,
    /// FAT with 32-bit entries.
    Fat32,
    /// exFAT.
    Exfat,
    /// Linux swap space.
    Swap,
    /// A physical volume of LVM.
    Lvm,
    /// LUKS, version 1 or 2.
    Luks,
    /// A member of a Linux software RAID.
    Raid,
    /// BitLocker.
    BitLocker,
    /// ZFS, bcachefs, F2FS or another that is recognised and not read.
    Other,
    /// Nothing that is recognised.
    Unknown,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Ext2 => "ext2",
            Kind::Ext3 => "ext3",
            Kind::Ext4 => "ext4",
            Kind::ExtJournal => "ext journal",
            Kind::Xfs => "XFS",
            Kind::Btrfs => "btrfs",
            Kind::Ntfs => "NTFS",
            Kind::Fat12 => "FAT12",
            Kind::Fat16 => "FAT16",
            Kind::Fat32 => "FAT32",
            Kind::Exfat => "exFAT",
            Kind::Swap => "swap",
            Kind::Lvm => "LVM physical volume",
            Kind::Luks => "LUKS",
            Kind::Raid => "RAID member",
            Kind::BitLocker => "BitLocker",
            Kind::Other => "other",
            Kind::Unknown => "unknown",
        })
    }
}

/// How a volume was left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", content = "why", rename_all = "snake_case")]
pub enum State {
    /// As a proper unmount or a freeze leaves it.
    Clean,
    /// Marked as needing a check; why.
    Dirty(String),
    /// A journal or log must be replayed before the filesystem is whole; why.
    NeedsRecovery(String),
    /// A sleeping system has parts of it in its memory.
    Hibernated,
    /// It does not say, or it cannot be read.
    Unknown,
}

/// What is known about how the bytes were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Nothing: an offline disk, a copy, a crashed machine's disk. A log that was not emptied makes everything used.
    AsFound,
    /// From a filesystem that its own driver had frozen (FIFREEZE, a device-mapper snapshot), so that all its records are in
    /// place. XFS keeps a log that looks in use then.
    Frozen,
}

/// What is inside a volume that holds other volumes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inside {
    /// Logical volumes.
    Lvm(Lvm),
    /// An encrypted volume.
    Luks(Luks),
}

/// A volume's content and what of it is free.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// What it holds.
    pub kind: Kind,
    /// Its label, if it has one; bytes that are not text are replaced.
    pub label: Option<String>,
    /// What identifies it: a UUID, or a serial number in hex.
    pub uuid: Option<String>,
    /// Bytes that it gives out at once: a block or cluster. Zero if it does not say.
    pub block: u64,
    /// Bytes that it thinks it has, from the volume's beginning; the volume's size where it does not say.
    pub size: u64,
    /// How it was left.
    pub state: State,
    /// Bytes that are proven to be free; none beyond the volume's end.
    pub free: Extents,
    /// Other volumes in it.
    pub inside: Option<Inside>,
    /// What a person should know; above all why something counts as used.
    pub warnings: Vec<String>,
}

/// What the warning begins with that nothing is known to be free.
const ALL_USED: &str = "everything counts as used: ";

impl Usage {
    /// Nothing known, everything used.
    fn unknown(size: u64) -> Usage {
        Usage::of(Kind::Unknown, size)
    }

    /// Of a kind, everything used.
    fn of(kind: Kind, size: u64) -> Usage {
        Usage {
            kind,
            label: None,
            uuid: None,
            block: 0,
            size,
            state: State::Unknown,
            free: Extents::new(),
            inside: None,
            warnings: Vec::new(),
        }
    }

    /// What of the volume is in use, which includes whatever follows the filesystem's end.
    pub fn used(&self, volume: u64) -> Extents {
        self.free.complement(volume)
    }

    /// Bytes in use below the filesystem's own end: it can never become smaller than this.
    pub fn bytes_used(&self) -> u64 {
        self.size.saturating_sub(self.free.within(0..self.size).map(|range| range.end - range.start).sum())
    }

    /// Just after the last byte in use below the filesystem's own end: everything up to a smaller size than this would have to
    /// be moved first.
    pub fn last_used(&self) -> u64 {
        match self.free.iter().next_back() {
            Some(last) if last.end >= self.size => last.start,
            _ => self.size,
        }
    }

    fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    /// Takes what a parser proved free, or says why nothing is.
    fn prove(&mut self, found: Result<free_list::FreeList, Damage>) {
        match found {
            Ok(list) => {
                let (free, warning) = list.finish();
                self.free = free;
                self.warnings.extend(warning);
            }
            Err(damage) => self.all_used(damage.to_string()),
        }
    }

    fn all_used(&mut self, why: impl fmt::Display) {
        self.free = Extents::new();
        self.warn(format!("{ALL_USED}{why}"));
    }

    /// Takes what a mounted filesystem itself calls free, which needs no proof; ranges beyond the volume's end do not count.
    pub(crate) fn told_free(&mut self, free: Extents) {
        self.free = free;
        self.warnings.retain(|warning| !warning.starts_with(ALL_USED));
    }

    /// Compares free bytes with what the filesystem itself counted. It may count lazily; a gross difference means that one of
    /// the two is not to be trusted.
    fn compare_free(&mut self, said: u64) {
        let found = self.free.bytes();
        let difference = found.abs_diff(said);
        if found > said && difference > self.size / 20 {
            self.all_used(format!("{found} bytes look free, but the {} says {said}", self.kind));
        } else if difference > self.size / 100 {
            self.warn(format!("{found} bytes are free; the {} itself says {said}", self.kind));
        }
    }
}

type Found = Result<Option<Usage>, Damage>;

/// Looks at a volume. Never fails: what cannot be read or followed counts as used, with a warning.
pub fn examine(volume: &dyn ReadAt, taken: Taken) -> Usage {
    let source = Source::new(volume);
    let mut found = recognise(&source, taken);
    match found.len() {
        0 => Usage::unknown(volume.size()),
        1 => checked(found.remove(0), volume.size()),
        _ => ambiguous(&found, volume.size()),
    }
}

/// What holds other volumes comes first: below it an older filesystem's records may still be seen.
fn recognise(source: &Source<'_>, taken: Taken) -> Vec<Usage> {
    let holders: [fn(&Source<'_>) -> Found; 3] = [luks::examine, foreign::raid, lvm::examine];
    if let Some(usage) = holders.iter().find_map(|examine| found(source, examine(source))) {
        return vec![usage];
    }
    let xfs = |source: &Source<'_>| xfs::examine(source, taken);
    let filesystems: [&dyn Fn(&Source<'_>) -> Found; 8] = [
        &ext::examine,
        &xfs,
        &btrfs::examine,
        &ntfs::examine,
        &exfat::examine,
        &fat::examine,
        &swap::examine,
        &foreign::examine,
    ];
    filesystems.iter().filter_map(|examine| found(source, examine(source))).collect()
}

fn found(source: &Source<'_>, found: Found) -> Option<Usage> {
    match found {
        Ok(usage) => usage,
        // Too small to hold this kind.
        Err(Damage::Beyond { .. }) => None,
        Err(damage) => {
            let mut usage = Usage::unknown(source.size());
            usage.all_used(damage);
            Some(usage)
        }
    }
}

fn checked(mut usage: Usage, volume: u64) -> Usage {
    if usage.size > volume {
        let why = format!("the {} has {} bytes, more than the {volume} of the volume", usage.kind, usage.size);
        usage.all_used(why);
    }
    usage
}

fn ambiguous(found: &[Usage], size: u64) -> Usage {
    let mut usage = Usage::unknown(size);
    let mut kinds: Vec<String> = found.iter().map(|usage| usage.kind.to_string()).collect();
    kinds.dedup();
    usage.all_used(format!("this looks like {} at once", kinds.join(" and ")));
    found.iter().for_each(|other| usage.warnings.extend(other.warnings.iter().cloned()));
    usage
}
