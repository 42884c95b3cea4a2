//! XFS, versions 4 and 5: for each allocation group a tree of free extents, ordered by block, and a list of blocks kept for
//! that tree.
//!
//! A group whose tree does not add up is used as a whole. Nothing is free while the log waits, unless the volume was frozen.

mod group;
mod log;

use super::fields::{be16, be32, be64, byte, crc32c_raw, le32, part, text, uuid};
use super::free_list::FreeList;
use super::source::{Damage, Source, wrong};
use super::{Found, Kind, State, Taken, Usage};
use group::Group;

const NEEDS_REPAIR: u32 = 0x10;
const META_UUID: u32 = 0x4;
/// File types, sparse inodes, metadata UUID, big times, repair, large extent counts, exchange range, parent pointers,
/// metadata directory: none changes how free extents are kept.
const KNOWN: u32 = 0x1ff;

/// What the superblock says, checked.
struct Super {
    block: u64,
    blocks: u64,
    group_blocks: u64,
    groups: u64,
    sector: u64,
    log_start: u64,
    log_blocks: u64,
    /// Bits of a block number within a group, in block numbers of the whole.
    group_bits: u32,
    /// Version 5: what every record carries.
    checked: Option<[u8; 16]>,
}

pub(super) fn examine(source: &Source<'_>, taken: Taken) -> Found {
    let record = source.record("the XFS superblock", 0, 512)?;
    if part(&record, 0, 4) != b"XFSB" {
        return Ok(None);
    }
    let mut usage = Usage::of(Kind::Xfs, source.size());
    usage.label = text(&record, 108, 12);
    usage.uuid = uuid(&record, 32);
    usage.block = u64::from(be32(&record, 4));
    usage.size = be64(&record, 8).saturating_mul(usage.block);
    let found = Super::parse(&record).and_then(|sb| {
        usage.state = log::state(&sb, source)?;
        match &usage.state {
            State::NeedsRecovery(why) if taken == Taken::AsFound => wrong(why.clone()),
            _ => Ok(sb.free(source, &mut usage.warnings)?),
        }
    });
    if taken == Taken::Frozen && matches!(usage.state, State::NeedsRecovery(_)) {
        usage.state = State::Clean;
    }
    usage.prove(found);
    if !usage.free.is_empty() {
        usage.compare_free(be64(&record, 144).saturating_mul(usage.block));
    }
    Ok(Some(usage))
}

impl Super {
    fn parse(record: &[u8]) -> Result<Super, Damage> {
        let version = be16(record, 100) & 0xf;
        let checked = match version {
            4 => None,
            5 => Some(Super::check(record)?),
            _ => return wrong(format!("version {version} is unknown")),
        };
        let sb = Super {
            block: u64::from(be32(record, 4)),
            blocks: be64(record, 8),
            group_blocks: u64::from(be32(record, 84)),
            groups: u64::from(be32(record, 88)),
            sector: u64::from(be16(record, 102)),
            log_start: be64(record, 48),
            log_blocks: u64::from(be32(record, 96)),
            group_bits: u32::from(byte(record, 124)),
            checked,
        };
        sb.sizes_make_sense()?;
        if byte(record, 126) != 0 {
            return wrong("it was never completely made");
        }
        if be64(record, 16) != 0 {
            return wrong("it has a realtime section on another device");
        }
        if sb.log_start == 0 {
            return wrong("its log is on another device");
        }
        Ok(sb)
    }

    /// The UUID that the records of a version 5 filesystem carry.
    fn check(record: &[u8]) -> Result<[u8; 16], Damage> {
        // The sum covers the superblock's whole sector, of which what follows the first 512 bytes is zero.
        let incompat = be32(record, 216);
        if incompat & !KNOWN != 0 {
            return wrong(format!("unknown features (incompat {incompat:#x})"));
        }
        if incompat & NEEDS_REPAIR != 0 {
            return wrong("it is marked as needing repair");
        }
        let mut id = [0; 16];
        id.copy_from_slice(part(record, if incompat & META_UUID == 0 { 32 } else { 248 }, 16));
        Ok(id)
    }

    fn sizes_make_sense(&self) -> Result<(), Damage> {
        let is_size = |size: u64, range: std::ops::RangeInclusive<u64>| size.is_power_of_two() && range.contains(&size);
        let sizes = is_size(self.block, 512..=65536) && is_size(self.sector, 512..=32768) && self.sector <= self.block;
        let groups = self.group_blocks >= 64
            && self.group_bits < 32
            && 1 << self.group_bits >= self.group_blocks
            && self.blocks.div_ceil(self.group_blocks) == self.groups;
        if sizes && groups { Ok(()) } else { wrong("the superblock's sizes make no sense") }
    }

    fn free(&self, source: &Source<'_>, warnings: &mut Vec<String>) -> Result<FreeList, Damage> {
        if self.blocks.saturating_mul(self.block) > source.size() {
            return wrong(format!("{} blocks are more than the volume has", self.blocks));
        }
        self.check_sector(source, 0, 224)?;
        let mut free = FreeList::new(self.blocks * self.block);
        let mut bad = Vec::new();
        for number in 0..self.groups {
            let group = Group::read(self, source, number);
            if let Err(damage) = group.and_then(|group| group.free(&mut free)) {
                let start = number * self.group_blocks * self.block;
                free.remove(start..start + self.group_blocks * self.block);
                bad.push((number, damage));
            }
        }
        if let Some((group, damage)) = bad.first() {
            let count = bad.len();
            warnings.push(format!("{count} of {} groups count as used; group {group}: {damage}", self.groups));
        }
        Ok(free)
    }

    /// A sector's bytes, its checksum verified where the version has one; `sum` is where it lies.
    fn check_sector(&self, source: &Source<'_>, offset: u64, sum: usize) -> Result<Vec<u8>, Damage> {
        let mut record = source.record("a sector of metadata", offset, self.sector)?;
        if self.checked.is_some() {
            check_sum(&mut record, sum)?;
        }
        Ok(record)
    }
}

/// Verifies a record's checksum, which counts as zero in itself.
fn check_sum(record: &mut [u8], at: usize) -> Result<(), Damage> {
    let said = le32(record, at);
    if let Some(field) = record.get_mut(at..at + 4) {
        field.fill(0);
    }
    if !crc32c_raw(!0, record) == said { Ok(()) } else { wrong("a checksum of its metadata is wrong") }
}
