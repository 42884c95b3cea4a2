//! Files of FAT12, FAT16 and FAT32, by their long names where they have one. Short names are in code page 437, times without a
//! zone are taken for UTC.

pub(super) mod chains;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use platform::{FileType, Time};

use super::ntfs::wtf8;
use super::{Bytes, Clusters, Each, Entry, FilesError, Filesystem, Handle, Result, Take};
use crate::used;
use crate::used::Kind;
use crate::used::fields::{byte, le16, le32, part};
use crate::used::source::Source;
use chains::Chains;

/// Bytes of an entry.
const ENTRY: usize = 32;

/// Bytes of a directory: 65,536 entries.
const LONGEST_DIRECTORY: u64 = 2 << 20;

/// Bits of an entry's attributes.
mod attribute {
    pub(super) const READ_ONLY: u8 = 0x01;
    pub(super) const VOLUME: u8 = 0x08;
    pub(super) const DIRECTORY: u8 = 0x10;
    /// All of the four lowest: a part of a long name.
    pub(super) const LONG_NAME: u8 = 0x0f;
}

pub(super) struct Fat {
    chains: Chains,
    root: Root,
}

/// Where the root directory is.
#[derive(Clone, Copy)]
enum Root {
    /// Before the clusters, in so many bytes.
    Area { start: u64, length: u64 },
    /// In a chain.
    Chain(u32),
}

impl Fat {
    pub(super) fn open(volume: Bytes) -> Result<Fat> {
        let source = Source::new(volume);
        let boot = source.record("the FAT boot sector", 0, 512)?;
        let found = used::fat::Fat::parse(&boot).ok_or_else(|| damaged("its boot sector makes no sense"))?;
        let table = found.copies.first().ok_or_else(|| damaged("it names a table that it does not have"))?;
        let area = u64::from(le16(&boot, 17)) * ENTRY as u64;
        let (root, bits) = match found.kind {
            Kind::Fat32 => (Root::Chain(le32(&boot, 44)), 28),
            kind => {
                let start = found.table + u64::from(byte(&boot, 16)) * found.table_size;
                (Root::Area { start, length: area }, if kind == Kind::Fat12 { 12 } else { 16 })
            }
        };
        let (cluster, clusters, heap) = (found.cluster, found.clusters, found.heap);
        let table = found.table + table * found.table_size;
        Ok(Fat { chains: Chains { source, cluster, clusters, heap, table, bits }, root })
    }

    /// Calls `each` with the directory's entries of 32 bytes, until it says false.
    fn entries(&self, directory: &Entry, each: &mut dyn FnMut(&[u8]) -> Result<bool>) -> Result<()> {
        let mut pieces = |piece: &[u8]| {
            for entry in piece.chunks_exact(ENTRY) {
                if !each(entry)? {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        let Handle::Clusters(clusters) = directory.handle else {
            return Err(FilesError::NotADirectory(super::shown(&directory.name)));
        };
        match self.root {
            Root::Area { start, length } if clusters.first == 0 => {
                pieces(&self.chains.source.record("the root directory", start, length)?)?;
            }
            Root::Chain(root) if clusters.first == 0 => {
                self.chains.follow(root, false, LONGEST_DIRECTORY, &mut pieces)?;
            }
            _ => {
                self.chains.follow(clusters.first, false, LONGEST_DIRECTORY, &mut pieces)?;
            }
        }
        Ok(())
    }

    fn entry(&self, name: Vec<u8>, record: &[u8]) -> Entry {
        let attributes = byte(record, 11);
        let high = if self.chains.bits == 28 { u32::from(le16(record, 20)) << 16 } else { 0 };
        let (first, size) = (high | u32::from(le16(record, 26)), u64::from(le32(record, 28)));
        let file_type = if attributes & attribute::DIRECTORY == 0 { FileType::Regular } else { FileType::Directory };
        let clusters = Clusters { first, length: size, valid: size, is_contiguous: false };
        let mut entry = Entry::new(name, file_type, Handle::Clusters(clusters));
        if file_type == FileType::Regular {
            entry.size = size;
        } else if first == 0 {
            entry.trouble = Some("it is a directory without clusters".into());
        }
        if attributes & attribute::READ_ONLY != 0 {
            entry.mode &= !0o222;
        }
        entry.modified = time(le16(record, 24), le16(record, 22), 0);
        entry.accessed = time(le16(record, 18), 0, 0);
        entry.changed = entry.modified;
        entry
    }
}

impl Filesystem for Fat {
    fn root(&self) -> Result<Entry> {
        let clusters = Clusters { first: 0, length: 0, valid: 0, is_contiguous: false };
        Ok(Entry::new(Vec::new(), FileType::Directory, Handle::Clusters(clusters)))
    }

    fn list(&self, directory: &Entry, each: Each<'_>) -> Result<()> {
        // An entry's cluster 0 would be taken for the root: a directory that contains itself.
        if directory.trouble.is_some() {
            return Err(damaged("it is a directory without clusters"));
        }
        let mut long = LongName::default();
        self.entries(directory, &mut |record| {
            let attributes = byte(record, 11);
            match byte(record, 0) {
                0 => return Ok(false),
                0xe5 => long.forget(),
                _ if attributes & 0x3f == attribute::LONG_NAME => long.add(record),
                _ if attributes & attribute::VOLUME != 0 => long.forget(),
                b'.' if attributes & attribute::DIRECTORY != 0 => long.forget(),
                _ => {
                    let name = long.take(record).unwrap_or_else(|| short_name(record));
                    each(self.entry(name, record))?;
                }
            }
            Ok(true)
        })
    }

    fn read(&self, file: &Entry, each: Take<'_>) -> Result<()> {
        self.chains.read(file, each)
    }

    /// DOS did not know small letters.
    fn is_named(&self, entry: &Entry, name: &[u8]) -> bool {
        super::is_same_but_case(&entry.name, name)
    }
}

/// A long name in the making: its parts stand before the entry, the last one first.
#[derive(Default)]
struct LongName {
    units: Vec<u8>,
    checksum: u8,
    /// The number that the next part must have; 0 if the name is whole.
    next: u8,
}

/// Characters in one part.
const PER_PART: usize = 13;

impl LongName {
    fn forget(&mut self) {
        self.units.clear();
    }

    fn add(&mut self, record: &[u8]) {
        let (order, checksum) = (byte(record, 0), byte(record, 13));
        let number = order & 0x3f;
        if order & 0x40 != 0 && (1..=20).contains(&number) {
            (self.next, self.checksum) = (number, checksum);
            self.units = vec![0; usize::from(number) * PER_PART * 2];
        }
        if number == 0 || number != self.next || checksum != self.checksum || self.units.is_empty() {
            return self.forget();
        }
        self.next = number - 1;
        let units = [part(record, 1, 10), part(record, 14, 12), part(record, 28, 4)].concat();
        let at = usize::from(number - 1) * PER_PART * 2;
        self.units[at..at + units.len()].copy_from_slice(&units);
    }

    /// The name, if it is whole and this entry's.
    fn take(&mut self, record: &[u8]) -> Option<Vec<u8>> {
        let units = std::mem::take(&mut self.units);
        let sum = part(record, 0, 11).iter().fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte));
        let end = units.chunks_exact(2).position(|unit| unit == [0, 0]).map_or(units.len(), |unit| unit * 2);
        (self.next == 0 && sum == self.checksum && end > 0).then(|| wtf8(&units[..end]))
    }
}

/// What the bytes from 0x80 on mean in code page 437.
const CODE_PAGE: &str = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}";

/// Eight characters, a dot and three; two bits tell that Windows saw small letters.
fn short_name(record: &[u8]) -> Vec<u8> {
    let flags = byte(record, 12);
    let mut first = part(record, 0, 8).to_vec();
    // The byte that stands for a deleted entry is written as another one.
    if first.first() == Some(&5) {
        first[0] = 0xe5;
    }
    let mut name = decoded(&first, flags & 0x08 != 0);
    let extension = decoded(part(record, 8, 3), flags & 0x10 != 0);
    if !extension.is_empty() {
        name.push('.');
        name.push_str(&extension);
    }
    name.into_bytes()
}

fn decoded(bytes: &[u8], is_small: bool) -> String {
    let end = bytes.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
    let character = |byte: &u8| match byte {
        0..=0x7f if is_small => char::from(byte.to_ascii_lowercase()),
        0..=0x7f => char::from(*byte),
        _ => CODE_PAGE.chars().nth(usize::from(byte - 0x80)).unwrap_or('\u{fffd}'),
    };
    bytes[..end].iter().map(character).collect()
}

/// A date and a time of DOS, `east` minutes east of UTC; 1970 where they make no sense.
pub(super) fn time(date: u16, clock: u16, east: i64) -> Time {
    let [year, month, day] = [1980 + (date >> 9) as i16, (date >> 5 & 0xf) as i16, (date & 0x1f) as i16];
    let [hour, minute, second] = [clock >> 11, clock >> 5 & 0x3f, (clock & 0x1f) * 2].map(|part| part as i8);
    let civil = DateTime::new(year, month as i8, day as i8, hour, minute, second, 0);
    let instant = civil.and_then(|civil| civil.to_zoned(TimeZone::UTC));
    instant.map_or_else(
        |_| Time::default(),
        |instant| Time { seconds: instant.timestamp().as_second() - east * 60, nanoseconds: 0 },
    )
}

fn damaged(what: impl Into<String>) -> FilesError {
    FilesError::Damaged(what.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_are_put_together() {
        let mut record = [0; 32];
        record[..11].copy_from_slice(b"README  TXT");
        assert_eq!(short_name(&record), b"README.TXT");
        record[12] = 0x18;
        assert_eq!(short_name(&record), b"readme.txt");
        record[..11].copy_from_slice(b"\x05\x81      \x20\x20\x20");
        record[12] = 0;
        assert_eq!(short_name(&record), "σü".as_bytes());
        assert_eq!(CODE_PAGE.chars().count(), 128);
    }

    #[test]
    fn a_long_name_that_is_not_the_entrys_is_forgotten() {
        let mut part = [0xff_u8; 32];
        (part[0], part[11], part[13]) = (0x41, 0x0f, 7);
        part[1..5].copy_from_slice(&[b'a', 0, 0, 0]);
        let mut long = LongName::default();
        long.add(&part);
        assert_eq!(long.take(&[b'A'; 32]), None, "the checksum is another");
        part[0] = 0x02;
        long.add(&part);
        assert_eq!(long.take(&[b'A'; 32]), None, "the first part is missing");
    }

    #[test]
    fn times_of_dos_begin_in_1980() {
        assert_eq!(time(0x21, 0, 0).seconds, 315_532_800);
        assert_eq!(time(0x21, 0, 60).seconds, 315_532_800 - 3600);
        assert_eq!(time(0, 0, 0), Time::default());
        assert_eq!(time(u16::MAX, u16::MAX, 0), Time::default());
    }
}
