//! Master boot records: four entries, and a chain of further records inside an extended partition.

use std::io;

use super::{Inner, Partition, Scheme, Table, names};
use crate::ReadAt;
use crate::used::fields::{byte, le16, le32};

/// Logical partitions that are followed; Linux stops there too.
const MOST: usize = 256;

pub(super) const PROTECTIVE: u8 = 0xee;
const ENTRIES: usize = 446;

/// One of four entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) flag: u8,
    pub(super) kind: u8,
    /// In sectors.
    pub(super) start: u32,
    pub(super) count: u32,
}

impl Entry {
    fn parse(bytes: &[u8]) -> Entry {
        Entry { flag: byte(bytes, 0), kind: byte(bytes, 4), start: le32(bytes, 8), count: le32(bytes, 12) }
    }

    fn is_empty(&self) -> bool {
        self.kind == 0 || self.count == 0
    }

    fn is_extended(&self) -> bool {
        matches!(self.kind, 0x05 | 0x0f | 0x85)
    }
}

/// A boot record's first 512 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) bytes: Vec<u8>,
    pub(super) entries: [Entry; 4],
}

impl Record {
    /// None if there is none: no signature, or entries with flags that none has.
    pub(super) fn read(disk: &dyn ReadAt, number: u64, sector: u64) -> io::Result<Option<Record>> {
        let mut bytes = vec![0; 512];
        disk.read_at(number * sector, &mut bytes)?;
        Ok(Record::parse(bytes))
    }

    fn parse(bytes: Vec<u8>) -> Option<Record> {
        let entries = [0, 1, 2, 3].map(|number| Entry::parse(&bytes[ENTRIES + number * 16..]));
        let has_flags = entries.iter().all(|entry| matches!(entry.flag, 0 | 0x80));
        (le16(&bytes, 510) == 0xaa55 && has_flags).then_some(Record { bytes, entries })
    }

    pub(super) fn is_protective(&self) -> bool {
        self.entries.iter().any(|entry| entry.kind == PROTECTIVE)
    }

    fn disk_id(&self) -> u32 {
        le32(&self.bytes, 440)
    }

    /// Writes an entry's place into the record; `sector` is needed for the old way of counting.
    pub(super) fn put(&mut self, number: usize, start: u32, count: u32) {
        let at = ENTRIES + number * 16;
        let entry = &mut self.bytes[at..at + 16];
        entry[1..4].copy_from_slice(&old_address(u64::from(start)));
        entry[5..8].copy_from_slice(&old_address(u64::from(start) + u64::from(count).saturating_sub(1)));
        entry[8..12].copy_from_slice(&start.to_le_bytes());
        entry[12..16].copy_from_slice(&count.to_le_bytes());
        self.entries[number] = Entry::parse(&self.bytes[at..]);
    }
}

/// Head, sector and cylinder for 255 heads and 63 sectors; the last address where it does not fit.
fn old_address(sector: u64) -> [u8; 3] {
    let (cylinder, head, within) = (sector / (255 * 63), sector / 63 % 255, sector % 63 + 1);
    if cylinder > 1023 {
        return [0xfe, 0xff, 0xff];
    }
    [head as u8, within as u8 | (cylinder >> 8 << 6) as u8, cylinder as u8]
}

/// A logical partition and the record that describes it, whose entries are relative.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Logical {
    pub(super) number: u32,
    /// Where the record is, in sectors.
    pub(super) place: u32,
    pub(super) record: Record,
    /// Which of the record's entries is the partition, and which points to the next record.
    pub(super) own: usize,
    pub(super) next: Option<usize>,
}

/// What is needed to write the table again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mbr {
    pub(super) record: Record,
    /// Which entry of the record is the extended partition.
    pub(super) extended: Option<usize>,
    pub(super) logical: Vec<Logical>,
}

pub(super) fn read(disk: &dyn ReadAt, record: &Record, table: &mut Table) -> io::Result<()> {
    if record.entries.iter().all(Entry::is_empty) {
        return Ok(());
    }
    table.scheme = Scheme::Mbr;
    table.id = Some(format!("{:08x}", record.disk_id()));
    let mut mbr = Mbr { record: record.clone(), extended: None, logical: Vec::new() };
    for (number, entry) in record.entries.iter().enumerate().filter(|(_, entry)| !entry.is_empty()) {
        if u64::from(entry.start) * table.sector >= table.size || entry.start == 0 {
            table.damaged(format!("entry {} of the boot record lies beyond the disk", number + 1));
            return Ok(());
        }
        if !entry.is_extended() {
            add(table, number as u32 + 1, *entry, 0, record.disk_id());
        } else if mbr.extended.is_some() {
            table.damaged("the boot record has two extended partitions");
            return Ok(());
        } else {
            mbr.extended = Some(number);
        }
    }
    let first = mbr.extended.map(|number| record.entries[number]);
    if let Some(extended) = first
        && let Err(why) = follow(disk, extended, table, &mut mbr)?
    {
        table.damaged(why);
        return Ok(());
    }
    table.inner = Inner::Mbr(mbr);
    table.keep_head(table.sector);
    Ok(())
}

/// Follows the chain of records in an extended partition. Damage is text; errors are of reading.
fn follow(
    disk: &dyn ReadAt,
    extended: Entry,
    table: &mut Table,
    mbr: &mut Mbr,
) -> io::Result<Result<(), &'static str>> {
    let mut place = extended.start;
    for number in 5.. {
        let offset = u64::from(place) * table.sector;
        let is_seen = mbr.logical.iter().any(|logical| logical.place == place);
        if is_seen || mbr.logical.len() >= MOST || offset + 512 > table.size {
            return Ok(Err("the chain of logical partitions does not end"));
        }
        let Some(record) = Record::read(disk, u64::from(place), table.sector)? else {
            return Ok(Err("the chain of logical partitions is broken"));
        };
        table.fixed.insert(offset..offset + table.sector);
        let next = record.entries[..2].iter().position(|entry| entry.is_extended() && entry.count > 0);
        let own = record.entries[..2].iter().position(|entry| !entry.is_empty() && !entry.is_extended());
        if let Some(own) = own {
            if (u64::from(place) + u64::from(record.entries[own].start)) * table.sector >= table.size {
                return Ok(Err("a logical partition lies beyond the disk"));
            }
            add(table, number, record.entries[own], place, mbr.record.disk_id());
            mbr.logical.push(Logical { number, place, record: record.clone(), own, next });
        } else if next.is_some() {
            return Ok(Err("the chain of logical partitions is broken"));
        }
        let Some(next) = next else { break };
        let Some(after) = extended.start.checked_add(record.entries[next].start) else {
            return Ok(Err("the chain of logical partitions is broken"));
        };
        place = after;
    }
    Ok(Ok(()))
}

fn add(table: &mut Table, number: u32, entry: Entry, base: u32, disk: u32) {
    let start = (u64::from(base) + u64::from(entry.start)) * table.sector;
    let mut size = u64::from(entry.count) * table.sector;
    if start + size > table.size {
        table.warn(format!("partition {number} goes beyond the end of the disk"));
        size = table.size.saturating_sub(start);
    }
    table.partitions.push(Partition {
        number,
        start,
        size,
        kind: format!("{:#04x}", entry.kind),
        kind_name: names::of_byte(entry.kind),
        id: format!("{disk:08x}-{number:02x}"),
        name: None,
        flags: u64::from(entry.flag),
        is_logical: number > 4,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_addresses_count_heads_and_stop_at_eight_gigabytes() {
        assert_eq!(old_address(0), [0, 1, 0]);
        assert_eq!(old_address(2048), [32, 33, 0]);
        assert_eq!(old_address(255 * 63 * 256), [0, 1 | 1 << 6, 0]);
        assert_eq!(old_address(1 << 30), [0xfe, 0xff, 0xff]);
    }
}
