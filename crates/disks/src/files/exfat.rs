//! Files of exFAT: a set of entries for each, in directories that are chains of clusters or follow one another.

use platform::{FileType, Time};

use super::fat::chains::Chains;
use super::fat::time;
use super::ntfs::wtf8;
use super::{Bytes, Clusters, Each, Entry, FilesError, Filesystem, Handle, Result, Take};
use crate::used;
use crate::used::fields::{byte, le16, le32, le64, part};
use crate::used::source::Source;

const ENTRY: usize = 32;

/// Bytes of a directory, by the format.
const LONGEST_DIRECTORY: u64 = 256 << 20;

/// Kinds of entries.
const FILE: u8 = 0x85;
const STREAM: u8 = 0xc0;
const NAME: u8 = 0xc1;

/// Entries of one file: itself, its stream, its name, and what may be added to them.
const MOST_IN_SET: usize = 19;

pub(super) struct Exfat {
    chains: Chains,
    root: u32,
}

impl Exfat {
    pub(super) fn open(volume: Bytes) -> Result<Exfat> {
        let source = Source::new(volume);
        let boot = source.record("the exFAT boot sector", 0, 512)?;
        let found = used::exfat::Exfat::parse(&source, &boot)?;
        let used::exfat::Exfat { cluster, clusters, heap, fat, root, .. } = found;
        Ok(Exfat { chains: Chains { source, cluster, clusters, heap, table: fat, bits: 32 }, root })
    }
}

impl Filesystem for Exfat {
    fn root(&self) -> Result<Entry> {
        let (first, length) = (self.root, LONGEST_DIRECTORY);
        let clusters = Clusters { first, length, valid: length, is_contiguous: false };
        Ok(Entry::new(Vec::new(), FileType::Directory, Handle::Clusters(clusters)))
    }

    fn list(&self, directory: &Entry, each: Each<'_>) -> Result<()> {
        let Handle::Clusters(clusters) = directory.handle else {
            return Err(FilesError::NotADirectory(super::shown(&directory.name)));
        };
        let mut set: Vec<u8> = Vec::new();
        let mut take = |piece: &[u8]| {
            for record in piece.chunks_exact(ENTRY) {
                match byte(record, 0) {
                    0 => return Ok(false),
                    FILE => set = record.to_vec(),
                    kind if kind & 0xc0 == 0xc0 && !set.is_empty() => set.extend_from_slice(record),
                    _ => set.clear(),
                }
                let wanted = (1 + usize::from(byte(&set, 1))).min(MOST_IN_SET) * ENTRY;
                if !set.is_empty() && set.len() == wanted {
                    each(entry(&set))?;
                    set.clear();
                }
            }
            Ok(true)
        };
        let most = clusters.length.min(LONGEST_DIRECTORY);
        self.chains.follow(clusters.first, clusters.is_contiguous, most, &mut take)?;
        Ok(())
    }

    fn read(&self, file: &Entry, each: Take<'_>) -> Result<()> {
        self.chains.read(file, each)
    }

    fn is_named(&self, entry: &Entry, name: &[u8]) -> bool {
        super::is_same_but_case(&entry.name, name)
    }
}

/// A file from its set of entries.
fn entry(set: &[u8]) -> Entry {
    let stream = part(set, ENTRY, ENTRY);
    let characters = usize::from(byte(stream, 3));
    let names = set.chunks_exact(ENTRY).skip(2).filter(|record| byte(record, 0) == NAME);
    let units: Vec<u8> = names.flat_map(|record| part(record, 2, 30)).copied().take(characters * 2).collect();
    let (length, valid) = (le64(stream, 24), le64(stream, 8));
    let (first, is_contiguous) = (le32(stream, 20), byte(stream, 1) & 2 != 0);
    let attributes = le16(set, 4);
    let file_type = if attributes & 0x10 == 0 { FileType::Regular } else { FileType::Directory };
    let handle = Handle::Clusters(Clusters { first, length, valid, is_contiguous });
    let mut entry = Entry::new(wtf8(&units), file_type, handle);
    if file_type == FileType::Regular {
        entry.size = length;
    }
    if attributes & 1 != 0 {
        entry.mode &= !0o222;
    }
    (entry.modified, entry.accessed) = (stamp(set, 12, 23), stamp(set, 16, 24));
    entry.changed = entry.modified;
    if byte(stream, 0) != STREAM || units.len() != characters * 2 || units.is_empty() || checksum(set) != le16(set, 2) {
        return entry.troubled("its entries are damaged");
    }
    entry
}

/// Of all bytes but those of the checksum itself.
fn checksum(set: &[u8]) -> u16 {
    let others = set.iter().enumerate().filter(|(at, _)| !matches!(at, 2 | 3));
    others.fold(0_u16, |sum, (_, byte)| sum.rotate_right(1).wrapping_add(u16::from(*byte)))
}

/// A time and, in quarters of an hour, where it was told.
fn stamp(set: &[u8], at: usize, zone: usize) -> Time {
    let (clock, date, zone) = (le16(set, at), le16(set, at + 2), byte(set, zone));
    // Seven bits with a sign; the eighth tells that they mean something.
    let quarters = if zone & 0x80 == 0 { 0 } else { i64::from((zone << 1) as i8 >> 1) };
    time(date, clock, quarters * 15)
}
