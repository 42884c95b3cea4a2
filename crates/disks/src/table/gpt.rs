//! GUID partition tables: a header and an array of entries at the disk's beginning, and both again at its end.

use std::io;

use super::mbr::{PROTECTIVE, Record};
use super::{Inner, Partition, Scheme, Table, names};
use crate::used::fields::{le32, le64, part, wide_text};
use crate::{Extent, ReadAt};

/// The largest array that is read: 32 Ki entries of 128 bytes.
const LARGEST: u64 = 4 << 20;

/// A header, found whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// As many bytes as it says that it has.
    bytes: Vec<u8>,
}

impl Header {
    pub(super) fn own(&self) -> u64 {
        le64(&self.bytes, 24)
    }

    pub(super) fn other(&self) -> u64 {
        le64(&self.bytes, 32)
    }

    pub(super) fn first_usable(&self) -> u64 {
        le64(&self.bytes, 40)
    }

    fn last_usable(&self) -> u64 {
        le64(&self.bytes, 48)
    }

    pub(super) fn array(&self) -> u64 {
        le64(&self.bytes, 72)
    }

    fn entries(&self) -> u64 {
        u64::from(le32(&self.bytes, 80))
    }

    fn entry_size(&self) -> u64 {
        u64::from(le32(&self.bytes, 84))
    }

    fn array_size(&self) -> u64 {
        self.entries() * self.entry_size()
    }

    /// The header for another place, its checksums made again.
    pub(super) fn written(&self, own: u64, other: u64, last_usable: u64, array: u64, entries: &[u8]) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        for (at, value) in [(24, own), (32, other), (48, last_usable), (72, array)] {
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        bytes[88..92].copy_from_slice(&crc32fast::hash(entries).to_le_bytes());
        bytes[16..20].fill(0);
        let sum = crc32fast::hash(&bytes);
        bytes[16..20].copy_from_slice(&sum.to_le_bytes());
        bytes
    }
}

/// What is needed to write the table again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gpt {
    /// The boot record; none if it was overwritten.
    pub(super) record: Option<Record>,
    pub(super) header: Header,
    /// The array of entries, exactly.
    pub(super) entries: Vec<u8>,
    pub(super) entry_size: usize,
    /// Where the primary array begins, in sectors.
    pub(super) primary_array: u64,
}

impl Gpt {
    /// Where the copy at the end of the disk belongs, to the disk's end.
    pub(super) fn backup(&self, table: &Table) -> Extent {
        let array = (self.entries.len() as u64).div_ceil(table.sector);
        (table.size / table.sector).saturating_sub(1 + array) * table.sector..table.size
    }
}

pub(super) fn read(disk: &dyn ReadAt, record: &Record, table: &mut Table) -> io::Result<()> {
    let others = record.entries.iter().filter(|entry| entry.kind != 0 && entry.kind != PROTECTIVE);
    table.is_hybrid = others.count() > 0;
    if table.is_hybrid {
        table.warn("a hybrid boot record: some systems see its partitions instead of GPT's");
    }
    let found = find(disk, table)?;
    accept(found, Some(record.clone()), table);
    Ok(())
}

/// A disk whose boot record was overwritten may still have its tables; a disk with neither has none.
pub(super) fn read_without_record(disk: &dyn ReadAt, table: &mut Table) -> io::Result<()> {
    let sector = table.sector;
    if let Ok(found) = find(disk, table)? {
        table.warn("the protective boot record is missing or damaged");
        accept(Ok(found), None, table);
        return Ok(());
    }
    table.sector = sector;
    table.warnings.clear();
    Ok(())
}

type Both = (Header, Vec<u8>);

/// The primary table, or the backup at the end; first with the device's sectors, then with the other size.
fn find(disk: &dyn ReadAt, table: &mut Table) -> io::Result<Result<Both, String>> {
    let device = table.sector;
    let mut damage = String::new();
    for sector in [device, if device == 512 { 4096 } else { 512 }] {
        if table.size < sector * 6 {
            continue;
        }
        let last = table.size / sector - 1;
        let primary = at(disk, 1, sector)?;
        let backup = match &primary {
            Ok((header, _)) => header.other().min(last),
            Err(_) => last,
        };
        let copy = at(disk, backup, sector)?;
        let found = match (primary, copy) {
            (Ok(primary), copy) => {
                warn_of_copy(table, &primary, copy, backup != last);
                primary
            }
            (Err(why), Ok(copy)) => {
                table.warn(format!(
                    "the backup table at the end of the disk is used: the primary one is damaged ({why})"
                ));
                copy
            }
            (Err(one), Err(two)) => {
                damage = format!("the primary table is damaged ({one}), its backup too ({two})");
                continue;
            }
        };
        if sector != device {
            table.warn(format!("the table counts in sectors of {sector} bytes, the disk in {device}"));
        }
        table.sector = sector;
        return Ok(Ok(found));
    }
    Ok(Err(damage))
}

fn warn_of_copy(table: &mut Table, primary: &Both, copy: Result<Both, String>, is_elsewhere: bool) {
    match copy {
        Err(why) => table.warn(format!("the backup table at the end of the disk is damaged: {why}")),
        Ok((_, entries)) if entries != primary.1 => table.warn("the backup table differs from the primary one"),
        Ok(_) if is_elsewhere => table.warn("the backup table is not at the end of the disk"),
        Ok(_) => {}
    }
}

/// A header and its entries, both with right checksums; otherwise what is wrong.
fn at(disk: &dyn ReadAt, place: u64, sector: u64) -> io::Result<Result<Both, String>> {
    let mut bytes = vec![0; sector as usize];
    disk.read_at(place * sector, &mut bytes)?;
    if part(&bytes, 0, 8) != b"EFI PART" {
        return Ok(Err("no header".into()));
    }
    let length = le32(&bytes, 12) as usize;
    if !(92..=bytes.len()).contains(&length) {
        return Ok(Err("the header's size makes no sense".into()));
    }
    bytes.truncate(length);
    let said = le32(&bytes, 16);
    let mut blank = bytes.clone();
    blank[16..20].fill(0);
    if crc32fast::hash(&blank) != said {
        return Ok(Err("the header's checksum is wrong".into()));
    }
    let header = Header { bytes };
    let size = header.entry_size();
    let end = header.array().checked_mul(sector).and_then(|start| start.checked_add(header.array_size()));
    let is_sane = size.is_power_of_two()
        && size >= 128
        && header.own() == place
        && header.array_size() <= LARGEST
        && header.first_usable() <= header.last_usable()
        && end.is_some_and(|end| end <= disk.size());
    if !is_sane {
        return Ok(Err("the header makes no sense".into()));
    }
    let mut entries = vec![0; header.array_size() as usize];
    disk.read_at(header.array() * sector, &mut entries)?;
    if crc32fast::hash(&entries) != le32(&header.bytes, 88) {
        return Ok(Err("the entries' checksum is wrong".into()));
    }
    Ok(Ok((header, entries)))
}

fn accept(found: Result<Both, String>, record: Option<Record>, table: &mut Table) {
    let (header, entries) = match found {
        Ok(found) => found,
        Err(why) => return table.damaged(why),
    };
    table.scheme = Scheme::Gpt;
    table.id = Some(guid(&header.bytes, 56));
    let size = header.entry_size() as usize;
    for (number, entry) in entries.chunks_exact(size).enumerate() {
        if let Some(partition) = partition(number as u32 + 1, entry, table) {
            table.partitions.push(partition);
        }
    }
    let array = entries.len() as u64;
    let (sector, last) = (table.sector, table.size / table.sector);
    // The backup's array lies just before its header, at the end or where the primary header says.
    let copy = if header.own() == 1 { header.other() } else { header.own() };
    let backup = |header: u64| header.saturating_mul(sector).saturating_sub(array)..header.saturating_add(1) * sector;
    for place in [copy.min(last - 1), last - 1] {
        let range = backup(place);
        table.fixed.insert(range.start..range.end.min(table.size));
    }
    let primary_array = if header.own() == 1 { header.array() } else { 2 };
    table
        .fixed
        .insert(primary_array.saturating_mul(sector).min(table.size)..(primary_array * sector + array).min(table.size));
    table.fixed.insert(last * sector..table.size);
    table.keep_head(2 * sector + array);
    let entry_size = size;
    table.inner = Inner::Gpt(Gpt { record, header, entries, entry_size, primary_array });
}

fn partition(number: u32, entry: &[u8], table: &mut Table) -> Option<Partition> {
    if part(entry, 0, 16) == [0; 16] {
        return None;
    }
    let (first, last) = (le64(entry, 32), le64(entry, 40));
    let start = first.checked_mul(table.sector).filter(|start| *start < table.size && first <= last);
    let Some(start) = start else {
        table.warn(format!("partition {number} lies beyond the disk and is left out"));
        return None;
    };
    let mut size = (last - first).saturating_add(1).saturating_mul(table.sector);
    if size > table.size - start {
        table.warn(format!("partition {number} goes beyond the end of the disk"));
        size = table.size - start;
    }
    let kind = guid(entry, 0);
    Some(Partition {
        number,
        start,
        size,
        kind_name: names::of_guid(&kind),
        kind,
        id: guid(entry, 16),
        name: wide_text(entry, 56, 36),
        flags: le64(entry, 48),
        is_logical: false,
    })
}

/// A GUID whose first three parts are stored with the least significant byte first.
fn guid(bytes: &[u8], at: usize) -> String {
    let mut id = [0; 16];
    id.copy_from_slice(&bytes[at..at + 16]);
    uuid::Uuid::from_bytes_le(id).to_string().to_uppercase()
}
