//! FAT12, FAT16 and FAT32: a table with an entry for each cluster, zero where it is free.
//!
//! The table is the only truth there is, so it is believed of a volume that was not unmounted too. Copies of the table that
//! disagree prove nothing where they do.

use super::fields::{byte, le16, le32, part, text};
use super::free_list::FreeList;
use super::source::{Damage, Source, wrong};
use super::{Found, Kind, State, Usage};

/// Clusters below which entries have 12 and 16 bits.
const FAT16: u64 = 4085;

/// Bytes of the table read at once: whole entries of every width.
const PIECE: u64 = 3 * (256 << 10);

/// What the boot sector says.
pub(crate) struct Fat {
    pub(crate) kind: Kind,
    sector: u64,
    /// Bytes of a cluster.
    pub(crate) cluster: u64,
    /// How many there are.
    pub(crate) clusters: u64,
    /// Where cluster 2 begins.
    pub(crate) heap: u64,
    size: u64,
    /// Where the first table begins.
    pub(crate) table: u64,
    /// Bytes of each.
    pub(crate) table_size: u64,
    /// Tables that must agree.
    pub(crate) copies: Vec<u64>,
}

pub(super) fn examine(source: &Source<'_>) -> Found {
    let record = source.record("the FAT boot sector", 0, 512)?;
    let Some(fat) = Fat::parse(&record) else { return Ok(None) };
    let is_32 = fat.kind == Kind::Fat32;
    let mut usage = Usage::of(fat.kind, source.size());
    let (serial, label) = if is_32 { (67, 71) } else { (39, 43) };
    if matches!(byte(&record, serial - 1), 0x28 | 0x29) {
        let id = le32(&record, serial);
        usage.uuid = Some(format!("{:04X}-{:04X}", id >> 16, id & 0xffff));
        usage.label = text(&record, label, 11).filter(|label| label != "NO NAME");
    }
    usage.block = fat.cluster;
    usage.size = fat.size;
    match fat.state(source) {
        Ok(state) => usage.state = state,
        Err(damage) => usage.warn(damage.to_string()),
    }
    let found = fat.free(source);
    usage.prove(found);
    if is_32 {
        fat.compare(source, u64::from(le16(&record, 48)), &mut usage);
    }
    Ok(Some(usage))
}

impl Fat {
    /// A FAT boot sector has no name; it is one if its numbers can be true.
    pub(crate) fn parse(record: &[u8]) -> Option<Fat> {
        let (sector, per_cluster) = (u64::from(le16(record, 11)), u64::from(byte(record, 13)));
        let (reserved, tables) = (u64::from(le16(record, 14)), u64::from(byte(record, 16)));
        let roots = u64::from(le16(record, 17));
        let total = either(le16(record, 19), le32(record, 32));
        let table = either(le16(record, 22), le32(record, 36));
        let starts = matches!(byte(record, 0), 0xeb | 0xe9) && le16(record, 510) == 0xaa55;
        let is_fat = starts
            && matches!(sector, 512 | 1024 | 2048 | 4096)
            && per_cluster.is_power_of_two()
            && (1..=4).contains(&tables)
            && (byte(record, 21) == 0xf0 || byte(record, 21) >= 0xf8)
            && reserved > 0
            && table > 0;
        if !is_fat {
            return None;
        }
        let heap = reserved + tables * table + (roots * 32).div_ceil(sector);
        let clusters = total.checked_sub(heap)? / per_cluster;
        let kind = match (le16(record, 22), clusters) {
            (0, _) => Kind::Fat32,
            (_, ..FAT16) => Kind::Fat12,
            _ => Kind::Fat16,
        };
        let flags = if kind == Kind::Fat32 { le16(record, 40) } else { 0 };
        // Bit 7: only the table named by the lowest four bits is kept up to date.
        let copies = if flags & 0x80 == 0 { (0..tables).collect() } else { vec![u64::from(flags & 0xf)] };
        Some(Fat {
            kind,
            sector,
            cluster: per_cluster * sector,
            clusters,
            heap: heap * sector,
            size: total * sector,
            table: reserved * sector,
            table_size: table * sector,
            copies: if copies.iter().all(|copy| *copy < tables) { copies } else { Vec::new() },
        })
    }

    /// Bits of the second entry tell how it was left.
    fn state(&self, source: &Source<'_>) -> Result<State, Damage> {
        let entries = source.record("the FAT", self.table, 8)?;
        let is_clean = match self.kind {
            Kind::Fat32 => le32(&entries, 4) & 0x0800_0000 != 0,
            Kind::Fat16 => le16(&entries, 2) & 0x8000 != 0,
            _ => return Ok(State::Unknown),
        };
        Ok(if is_clean { State::Clean } else { State::Dirty("it was not unmounted".into()) })
    }

    fn bits(&self) -> u64 {
        match self.kind {
            Kind::Fat12 => 12,
            Kind::Fat16 => 16,
            _ => 32,
        }
    }

    fn free(&self, source: &Source<'_>) -> Result<FreeList, Damage> {
        if self.size > source.size() {
            return wrong(format!("{} bytes are more than the volume has", self.size));
        }
        let needs = ((self.clusters + 2) * self.bits()).div_ceil(8);
        if self.copies.is_empty() || needs > self.table_size || self.clusters == 0 {
            return wrong("the table is too small for its clusters");
        }
        let mut free = FreeList::new(self.size);
        let (mut tables, mut bytes) = (Vec::new(), Vec::new());
        for start in (0..needs).step_by(PIECE as usize) {
            let length = PIECE.min(needs - start);
            tables.clear();
            for copy in &self.copies {
                let offset = self.table + copy * self.table_size + start;
                source.fill("the FAT", offset, length as usize, &mut bytes)?;
                merge(&mut tables, &bytes);
            }
            self.free_in_piece(&tables, start * 8 / self.bits(), &mut free);
        }
        Ok(free)
    }

    /// Where `first` is the number of the piece's first entry.
    fn free_in_piece(&self, table: &[u8], first: u64, free: &mut FreeList) {
        let entries = table.len() as u64 * 8 / self.bits();
        for number in 0..entries {
            let entry = first + number;
            if (2..self.clusters + 2).contains(&entry) && self.entry(table, number as usize) == 0 {
                let start = self.heap + (entry - 2) * self.cluster;
                free.add(start..start + self.cluster);
            }
        }
    }

    fn entry(&self, table: &[u8], number: usize) -> u32 {
        match self.kind {
            Kind::Fat12 => u32::from(le16_or_byte(table, number * 3 / 2) >> (number % 2 * 4) & 0xfff),
            Kind::Fat16 => u32::from(le16(table, number * 2)),
            _ => le32(table, number * 4) & 0x0fff_ffff,
        }
    }

    /// The information sector counts lazily and is often wrong: worth a warning at most.
    fn compare(&self, source: &Source<'_>, sector: u64, usage: &mut Usage) {
        let Ok(info) = source.record("the information sector", sector * self.sector, 512) else { return };
        let said = le32(&info, 488);
        let is_info = part(&info, 0, 4) == b"RRaA" && said != u32::MAX;
        let found = usage.free.bytes() / self.cluster;
        if is_info && found.abs_diff(u64::from(said)) > self.clusters / 100 {
            usage.warn(format!("{found} clusters are free; its information sector says {said}"));
        }
    }
}

fn either(short: u16, long: u32) -> u64 {
    if short == 0 { u64::from(long) } else { u64::from(short) }
}

/// The last entry of a table of 12-bit entries may end with the table.
fn le16_or_byte(table: &[u8], at: usize) -> u16 {
    u16::from(byte(table, at)) | u16::from(byte(table, at + 1)) << 8
}

/// An entry is zero only if it is in all copies.
fn merge(into: &mut Vec<u8>, from: &[u8]) {
    if into.is_empty() {
        into.extend_from_slice(from);
    } else {
        into.iter_mut().zip(from).for_each(|(into, from)| *into |= from);
    }
}
