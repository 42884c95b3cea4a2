//! Chunks: which logical addresses lie where on this device.

use std::collections::BTreeMap;
use std::ops::Range;

use super::super::fields::{byte, le16, le64};
use super::super::source::{Damage, wrong};
use super::item;
use crate::Extents;

const RAID0: u64 = 1 << 3;
const RAID10: u64 = 1 << 6;
const RAID5: u64 = 1 << 7;
const RAID6: u64 = 1 << 8;
const PROFILES: u64 = 0x7f8;
const REMAPPED: u64 = 1 << 11;

/// Bytes of a chunk item before its stripes, and of a stripe.
const HEAD: usize = 48;
const STRIPE: usize = 32;

/// More chunks than this: 10 PiB in chunks of 1 GiB.
const MOST: usize = 10 << 20;

struct Chunk {
    length: u64,
    /// Where each copy on this device begins; none if it is striped.
    copies: Vec<u64>,
}

/// The chunks of a filesystem, as far as they concern one of its devices.
pub(super) struct Chunks {
    device: u64,
    by_address: BTreeMap<u64, Chunk>,
    /// Parts of this device that are given out.
    given_out: Extents,
}

impl Chunks {
    pub(super) fn new(device: u64) -> Chunks {
        Chunks { device, by_address: BTreeMap::new(), given_out: Extents::new() }
    }

    /// Adds those in the superblock, which are enough to read the chunk tree.
    pub(super) fn add_first(&mut self, array: &[u8]) -> Result<(), Damage> {
        let mut rest = array;
        while rest.len() > 17 {
            if byte(rest, 8) != item::CHUNK {
                return wrong("the superblock's chunks are damaged");
            }
            let size = self.add(le64(rest, 9), &rest[17..])?;
            rest = &rest[17 + size..];
        }
        Ok(())
    }

    /// Adds a chunk item and returns its size in bytes.
    pub(super) fn add(&mut self, address: u64, data: &[u8]) -> Result<usize, Damage> {
        let (length, kind) = (le64(data, 0), le64(data, 24));
        let (stripes, sub) = (u64::from(le16(data, 44)), u64::from(le16(data, 46)));
        let size = HEAD + stripes as usize * STRIPE;
        let overlaps =
            self.by_address.range(..=address).next_back().is_some_and(|(at, chunk)| at + chunk.length > address);
        if size > data.len() || length == 0 || address.checked_add(length).is_none() || overlaps {
            return wrong("a chunk is damaged");
        }
        if self.by_address.len() >= MOST {
            return wrong("there are too many chunks");
        }
        let shares = match kind & PROFILES {
            RAID0 => stripes,
            RAID10 => stripes / sub.max(1),
            RAID5 => stripes.saturating_sub(1),
            RAID6 => stripes.saturating_sub(2),
            _ => 1,
        };
        if stripes == 0 || shares == 0 || kind & REMAPPED != 0 {
            return wrong("a chunk's layout is unknown");
        }
        let is_striped = kind & (RAID0 | RAID10 | RAID5 | RAID6) != 0;
        let here = (0..stripes as usize).map(|stripe| HEAD + stripe * STRIPE);
        let here: Vec<u64> = here.filter(|at| le64(data, *at) == self.device).map(|at| le64(data, at + 8)).collect();
        for start in &here {
            self.give_out(*start, length.div_ceil(shares))?;
        }
        let copies = if is_striped { Vec::new() } else { here };
        self.by_address.insert(address, Chunk { length, copies });
        Ok(size)
    }

    /// Two chunks in one place would make free in one what is used in the other.
    fn give_out(&mut self, start: u64, length: u64) -> Result<(), Damage> {
        let Some(end) = start.checked_add(length) else { return wrong("a chunk is damaged") };
        if self.given_out.touches(start..end) {
            return wrong("chunks overlap");
        }
        self.given_out.insert(start..end);
        Ok(())
    }

    /// The parts of the device that belong to no chunk.
    pub(super) fn unused_parts(&self, size: u64) -> Extents {
        self.given_out.complement(size)
    }

    /// Where a record lies, if it lies on this device in one piece.
    pub(super) fn places_of(&self, address: u64, length: u64) -> Vec<u64> {
        let Some((start, chunk)) = self.by_address.range(..=address).next_back() else { return Vec::new() };
        let within = address - start;
        if within.checked_add(length).is_none_or(|end| end > chunk.length) {
            return Vec::new();
        }
        chunk.copies.iter().map(|copy| copy + within).collect()
    }

    /// Calls `each` with every place on this device of a range of addresses.
    pub(super) fn places(&self, range: Range<u64>, each: &mut dyn FnMut(Range<u64>)) {
        let first = self.by_address.range(..=range.start).next_back().map_or(range.start, |(start, _)| *start);
        for (&start, chunk) in self.by_address.range(first..range.end.max(first)) {
            let from = range.start.max(start) - start;
            let to = (range.end - start).min(chunk.length);
            if from < to {
                chunk.copies.iter().for_each(|copy| each(copy + from..copy + to));
            }
        }
    }
}
