//! A table written for another disk: partitions that grow or shrink, the backup at the new end, checksums made again.
//!
//! Order, numbers, types, ids and names stay. A partition stays where it is if it can; it is moved towards the end to make
//! room for one that grows before it, and towards the beginning if the disk is too small otherwise.

use std::collections::BTreeMap;

use super::mbr::{Mbr, Record};
use super::{Inner, Partition, Scheme, Table, gpt::Gpt};

/// Partitions that move begin at multiples of this.
const ALIGNMENT: u64 = 1 << 20;

/// Bytes to be written at a place of the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// Where.
    pub offset: u64,
    /// What.
    pub bytes: Vec<u8>,
}

/// Where a partition was and where it will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Its number, which stays.
    pub number: u32,
    /// Where it began.
    pub from: u64,
    /// Where it begins.
    pub to: u64,
    /// How many bytes it had.
    pub old_size: u64,
    /// How many bytes it has.
    pub size: u64,
}

/// A table for another disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Every partition, in the order in which they lie.
    pub partitions: Vec<Moved>,
    /// The table's bytes. They are written after everything else was copied: a copied disk has its old table in it.
    pub patches: Vec<Patch>,
}

/// Why a table cannot be written so.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LayoutError {
    /// There is no table to be changed.
    #[error("the disk has no partition table that could be changed")]
    NoTable,

    /// There is no such partition.
    #[error("there is no partition {0}")]
    NoPartition(u32),

    /// It does not fit.
    #[error("the partitions need {needs} bytes, the disk has {has}")]
    TooSmall {
        /// Bytes that a disk must have at least.
        needs: u64,
        /// Bytes that it has.
        has: u64,
    },

    /// A boot record counts sectors in 32 bits.
    #[error("partition {0} would go beyond what a boot record can name (2^32 sectors)")]
    BeyondMbr(u32),

    /// Partitions lie in one another, or logical ones out of order.
    #[error("partitions {0} and {1} overlap or are out of order, so they cannot be moved")]
    OutOfOrder(u32, u32),

    /// A hybrid boot record names places too.
    #[error("a hybrid boot record names partitions too; they cannot be moved or resized")]
    Hybrid,
}

impl Table {
    /// The table for a disk of `size` bytes, with other sizes in bytes for some partitions by number. A size is rounded up to
    /// whole sectors. With no other sizes and a disk that is large enough, only the backup moves.
    pub fn lay_out(&self, size: u64, sizes: &BTreeMap<u32, u64>) -> Result<Layout, LayoutError> {
        if self.scheme == Scheme::None || matches!(self.inner, Inner::None) {
            return Err(LayoutError::NoTable);
        }
        if let Some(number) = sizes.keys().find(|number| self.partition(**number).is_none()) {
            return Err(LayoutError::NoPartition(*number));
        }
        let room = self.room(size);
        let partitions = match self.placed(sizes, false)? {
            placed if end(&placed) <= room => placed,
            _ => self.placed(sizes, true)?,
        };
        if end(&partitions) > room {
            return Err(LayoutError::TooSmall { needs: end(&partitions) + (size - room), has: size });
        }
        let is_changed = partitions.iter().any(|moved| moved.from != moved.to || moved.old_size != moved.size);
        if self.is_hybrid && is_changed {
            return Err(LayoutError::Hybrid);
        }
        let patches = match &self.inner {
            Inner::Gpt(gpt) => gpt.patches(self, size, &partitions),
            Inner::Mbr(mbr) => mbr.patches(self, &partitions)?,
            Inner::None => return Err(LayoutError::NoTable),
        };
        Ok(Layout { partitions, patches })
    }

    /// How many bytes a partition could have at most on a disk of `size` bytes, if all others keep theirs and those before it
    /// stay where they are; zero if they do not fit anyway.
    pub fn most(&self, number: u32, size: u64) -> Result<u64, LayoutError> {
        self.most_of(number, size, &BTreeMap::new(), &[false])
    }

    /// As [`Table::most`], with other sizes for some partitions, which may all be moved towards the beginning.
    pub fn most_beside(&self, number: u32, size: u64, sizes: &BTreeMap<u32, u64>) -> Result<u64, LayoutError> {
        self.most_of(number, size, sizes, &[false, true])
    }

    fn most_of(
        &self,
        number: u32,
        size: u64,
        sizes: &BTreeMap<u32, u64>,
        tightness: &[bool],
    ) -> Result<u64, LayoutError> {
        self.partition(number).ok_or(LayoutError::NoPartition(number))?;
        let room = self.room(size);
        let mut sizes = sizes.clone();
        let (mut most, mut too_much) = (0, room / self.sector + 1);
        while too_much - most > 1 {
            let middle = most + (too_much - most) / 2;
            sizes.insert(number, middle * self.sector);
            let mut fits = false;
            for is_tight in tightness {
                fits = fits || end(&self.placed(&sizes, *is_tight)?) <= room;
            }
            if fits { most = middle } else { too_much = middle }
        }
        Ok(most * self.sector)
    }

    /// Where partitions must end.
    fn room(&self, size: u64) -> u64 {
        match &self.inner {
            Inner::Gpt(gpt) => {
                let array = (gpt.entries.len() as u64).div_ceil(self.sector);
                (size / self.sector).saturating_sub(1 + array) * self.sector
            }
            _ => size / self.sector * self.sector,
        }
    }

    /// Every partition in its new place; `is_tight` moves them as far to the beginning as they go.
    fn placed(&self, sizes: &BTreeMap<u32, u64>, is_tight: bool) -> Result<Vec<Moved>, LayoutError> {
        let mut old: Vec<&Partition> = self.partitions.iter().collect();
        old.sort_by_key(|partition| partition.start);
        for pair in old.windows(2) {
            let is_backward = pair[0].is_logical && pair[1].is_logical && pair[0].number > pair[1].number;
            if pair[0].range().end > pair[1].start || is_backward {
                return Err(LayoutError::OutOfOrder(pair[0].number, pair[1].number));
            }
        }
        let mut placed: Vec<Moved> = Vec::with_capacity(old.len());
        for partition in old {
            let size = sizes.get(&partition.number).copied().unwrap_or(partition.size);
            let lowest = match placed.last() {
                None => partition.start,
                Some(before) => (before.to + before.size + self.lead(partition.number)).next_multiple_of(ALIGNMENT),
            };
            let fits = placed
                .last()
                .is_none_or(|before| before.to + before.size + self.lead(partition.number) <= partition.start);
            // A place that is not at a multiple is kept if nothing forces a move.
            let to = if fits && !(is_tight && lowest < partition.start) { partition.start } else { lowest };
            let size = size.max(1).next_multiple_of(self.sector);
            placed.push(Moved { number: partition.number, from: partition.start, to, old_size: partition.size, size });
        }
        Ok(placed)
    }

    /// Bytes before a logical partition for the record that describes it.
    fn lead(&self, number: u32) -> u64 {
        let Inner::Mbr(mbr) = &self.inner else { return 0 };
        let own = mbr.logical.iter().find(|logical| logical.number == number);
        own.map_or(0, |logical| u64::from(logical.record.entries[logical.own].start) * self.sector)
    }
}

fn end(placed: &[Moved]) -> u64 {
    placed.iter().map(|moved| moved.to + moved.size).max().unwrap_or(0)
}

impl Gpt {
    fn patches(&self, table: &Table, size: u64, partitions: &[Moved]) -> Vec<Patch> {
        let sector = table.sector;
        let mut entries = self.entries.clone();
        for moved in partitions {
            let at = (moved.number as usize - 1) * self.entry_size;
            let (first, last) = (moved.to / sector, (moved.to + moved.size) / sector - 1);
            entries[at + 32..at + 40].copy_from_slice(&first.to_le_bytes());
            entries[at + 40..at + 48].copy_from_slice(&last.to_le_bytes());
        }
        let array = (entries.len() as u64).div_ceil(sector);
        let last = size / sector - 1;
        let usable = last - array - 1;
        let primary = self.header.written(1, last, usable, self.primary_array, &entries);
        let backup = self.header.written(last, 1, usable, last - array, &entries);
        let mut patches = self.erased(table, size, partitions);
        if let Some(record) = &self.record {
            patches.push(Patch { offset: 0, bytes: protective(record, last) });
        }
        for (place, bytes) in
            [(1, primary), (self.primary_array, entries.clone()), (last - array, entries), (last, backup)]
        {
            patches.push(Patch { offset: place * sector, bytes });
        }
        patches
    }

    /// An old backup header that would stay in the middle of a larger disk misleads those who look for one.
    fn erased(&self, table: &Table, size: u64, partitions: &[Moved]) -> Vec<Patch> {
        let sector = table.sector;
        let old = (if self.header.own() == 1 { self.header.other() } else { self.header.own() }).saturating_mul(sector);
        // What a partition was copied to is not touched; what it grew into is.
        let is_copied =
            partitions.iter().any(|moved| old >= moved.to && old < moved.to + moved.size.min(moved.old_size));
        if old <= sector || old.saturating_add(sector) > size / sector * sector - sector || is_copied {
            return Vec::new();
        }
        vec![Patch { offset: old, bytes: vec![0; sector as usize] }]
    }
}

/// The boot record with its protective entry as long as the disk.
fn protective(record: &Record, last: u64) -> Vec<u8> {
    let mut record = record.clone();
    let number = record.entries.iter().position(|entry| entry.kind == super::mbr::PROTECTIVE);
    let others = record.entries.iter().filter(|entry| entry.kind != 0).count();
    if let Some(number) = number.filter(|_| others == 1) {
        let start = record.entries[number].start;
        record.put(number, start, u32::try_from(last.saturating_sub(u64::from(start)) + 1).unwrap_or(u32::MAX));
    }
    record.bytes
}

impl Mbr {
    fn patches(&self, table: &Table, partitions: &[Moved]) -> Result<Vec<Patch>, LayoutError> {
        let sectors =
            |number: u32, bytes: u64| u32::try_from(bytes / table.sector).map_err(|_| LayoutError::BeyondMbr(number));
        let place = |moved: &Moved| -> Result<(u32, u32), LayoutError> {
            sectors(moved.number, moved.to + moved.size)?;
            Ok((sectors(moved.number, moved.to)?, sectors(moved.number, moved.size)?))
        };
        let mut main = self.record.clone();
        for moved in partitions.iter().filter(|moved| moved.number <= 4) {
            let (start, count) = place(moved)?;
            main.put(moved.number as usize - 1, start, count);
        }
        let mut chain = Vec::new();
        for logical in &self.logical {
            let Some(moved) = partitions.iter().find(|moved| moved.number == logical.number) else { continue };
            let (start, count) = place(moved)?;
            let lead = logical.record.entries[logical.own].start;
            chain.push((logical, start.saturating_sub(lead), lead, count));
        }
        let mut patches = Vec::new();
        if let (Some(number), Some((_, first, ..)), Some((_, last, lead, count))) =
            (self.extended, chain.first(), chain.last())
        {
            // It keeps its end if that is further and nothing else needs the room.
            let old = self.record.entries[number];
            let is_same = *first == old.start && partitions.iter().all(|m| m.from == m.to && m.old_size == m.size);
            let end = last + lead + count;
            let length = if is_same { old.count.max(end - first) } else { end - first };
            main.put(number, *first, length);
            patches = self.chain(table, *first, &chain);
        }
        patches.push(Patch { offset: 0, bytes: main.bytes });
        Ok(patches)
    }

    /// Each record names its partition from its own place, and the next record from the extended partition's beginning.
    fn chain(&self, table: &Table, first: u32, chain: &[(&super::mbr::Logical, u32, u32, u32)]) -> Vec<Patch> {
        let after = chain.iter().skip(1).map(Some).chain([None]);
        chain
            .iter()
            .zip(after)
            .map(|((logical, place, lead, count), after)| {
                let mut record = logical.record.clone();
                record.put(logical.own, *lead, *count);
                if let (Some(next), Some((_, next_place, next_lead, next_count))) = (logical.next, after) {
                    record.put(next, next_place - first, next_lead + next_count);
                }
                Patch { offset: u64::from(*place) * table.sector, bytes: record.bytes }
            })
            .collect()
    }
}
