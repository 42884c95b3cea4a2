//! ext2, ext3 and ext4: a bitmap for each group of blocks.
//!
//! A group whose descriptor, bitmap or count is wrong is used as a whole. Nothing is free while the journal waits.

mod descriptor;

use super::fields::{byte, crc32c_raw, le16, le32, part, text, uuid};
use super::free_list::FreeList;
use super::source::{Damage, Source, wrong};
use super::{Found, Kind, State, Usage, bitmap};
use descriptor::{Descriptor, Descriptors};

const MAGIC: u16 = 0xef53;

mod compat {
    pub(super) const JOURNAL: u32 = 0x4;
    pub(super) const SPARSE_SUPER2: u32 = 0x200;
}

mod incompat {
    pub(super) const RECOVER: u32 = 0x4;
    pub(super) const JOURNAL_DEVICE: u32 = 0x8;
    pub(super) const META_BG: u32 = 0x10;
    pub(super) const BITS_64: u32 = 0x80;
    pub(super) const CSUM_SEED: u32 = 0x2000;
    /// Of these, all leave the meaning of bitmaps alone: 0x1 (compression) and what came later are not among them.
    pub(super) const KNOWN: u32 = 0x3f7de;
    /// What ext3 did not have.
    pub(super) const EXT4: u32 = !0x16;
}

mod ro_compat {
    pub(super) const SPARSE_SUPER: u32 = 0x1;
    pub(super) const GROUP_CHECKSUM: u32 = 0x10;
    pub(super) const BIGALLOC: u32 = 0x200;
    pub(super) const METADATA_CHECKSUM: u32 = 0x400;
    pub(super) const KNOWN: u32 = 0x1fffb;
    pub(super) const EXT4: u32 = !0x3;
}

/// What the superblock says, checked.
struct Super {
    block: u64,
    /// Blocks in a cluster.
    ratio: u64,
    blocks: u64,
    first: u64,
    per_group: u64,
    groups: u64,
    inode_blocks: u64,
    descriptor_size: u64,
    reserved_descriptors: u64,
    first_meta_group: u64,
    backups: [u64; 2],
    compat: u32,
    incompat: u32,
    ro_compat: u32,
    seed: u32,
    uuid: [u8; 16],
}

pub(super) fn examine(source: &Source<'_>) -> Found {
    let record = source.record("the ext superblock", 1024, 1024)?;
    if le16(&record, 0x38) != MAGIC {
        return Ok(None);
    }
    let mut usage = header(&record, source.size());
    if usage.kind == Kind::ExtJournal {
        usage.warn("the journal of a filesystem elsewhere: both belong into one backup");
        return Ok(Some(usage));
    }
    let found = sanity(&record).and_then(|()| Super::parse(&record)).and_then(|sb| sb.free(source, &mut usage));
    usage.prove(found);
    if usage.free.is_empty() {
        return Ok(Some(usage));
    }
    let free = u64::from(le32(&record, 0xc)) | u64::from(le32(&record, 0x158) & wide(&record)) << 32;
    usage.compare_free(free.saturating_mul(block_size(&record)));
    Ok(Some(usage))
}

/// All ones where high halves count.
fn wide(record: &[u8]) -> u32 {
    if le32(record, 0x60) & incompat::BITS_64 == 0 { 0 } else { u32::MAX }
}

fn block_size(record: &[u8]) -> u64 {
    1024 << le32(record, 0x18).min(6)
}

fn header(record: &[u8], volume: u64) -> Usage {
    let blocks = u64::from(le32(record, 4)) | u64::from(le32(record, 0x150) & wide(record)) << 32;
    let mut usage = Usage::of(kind(record), volume);
    usage.label = text(record, 0x78, 16);
    usage.uuid = uuid(record, 0x68);
    usage.block = block_size(record);
    if usage.kind != Kind::ExtJournal {
        usage.size = blocks.saturating_mul(usage.block);
    }
    usage.state = state(record);
    if le32(record, 0xe4) != 0 && le32(record, 0x5c) & compat::JOURNAL != 0 {
        usage.warn("its journal is on another device, which belongs into the same backup");
    }
    usage
}

fn kind(record: &[u8]) -> Kind {
    let (compat, incompat, ro_compat) = (le32(record, 0x5c), le32(record, 0x60), le32(record, 0x64));
    if incompat & incompat::JOURNAL_DEVICE != 0 {
        Kind::ExtJournal
    } else if incompat & incompat::EXT4 != 0 || ro_compat & ro_compat::EXT4 != 0 {
        Kind::Ext4
    } else if compat & compat::JOURNAL != 0 {
        Kind::Ext3
    } else {
        Kind::Ext2
    }
}

fn state(record: &[u8]) -> State {
    let flags = le16(record, 0x3a);
    if le32(record, 0x60) & incompat::RECOVER != 0 {
        State::NeedsRecovery("its journal was not replayed".into())
    } else if flags & 2 != 0 {
        State::Dirty("it has recorded errors".into())
    } else if flags & 1 == 0 {
        State::Dirty("it was not unmounted".into())
    } else {
        State::Clean
    }
}

/// Whether its bitmaps are to be believed at all.
fn sanity(record: &[u8]) -> Result<(), Damage> {
    match state(record) {
        State::Clean => {}
        State::NeedsRecovery(why) | State::Dirty(why) => return wrong(why),
        State::Hibernated | State::Unknown => return wrong("its state is unknown"),
    }
    let (incompat, ro_compat) = (le32(record, 0x60), le32(record, 0x64));
    if incompat & !incompat::KNOWN != 0 || ro_compat & !ro_compat::KNOWN != 0 {
        return wrong(format!("unknown features (incompat {incompat:#x}, ro_compat {ro_compat:#x})"));
    }
    if ro_compat & ro_compat::METADATA_CHECKSUM != 0 {
        if byte(record, 0x175) != 1 {
            return wrong("unknown kind of checksums");
        }
        if crc32c_raw(!0, &record[..0x3fc]) != le32(record, 0x3fc) {
            return wrong("the superblock's checksum is wrong");
        }
    }
    Ok(())
}

impl Super {
    fn parse(record: &[u8]) -> Result<Super, Damage> {
        let block = block_size(record);
        let (incompat, ro_compat) = (le32(record, 0x60), le32(record, 0x64));
        let blocks = u64::from(le32(record, 4)) | u64::from(le32(record, 0x150) & wide(record)) << 32;
        let first = u64::from(le32(record, 0x14));
        let per_group = u64::from(le32(record, 0x20));
        let ratio = if ro_compat & ro_compat::BIGALLOC == 0 {
            1
        } else {
            1_u64.checked_shl(le32(record, 0x1c).saturating_sub(le32(record, 0x18))).unwrap_or(0)
        };
        // No mkfs makes groups of fewer than 256 blocks; it bounds how many there can be.
        let fits = per_group >= 256 && ratio > 0 && per_group % ratio == 0 && per_group / ratio <= block * 8;
        if le32(record, 0x18) > 6 || !fits || first > 1 || blocks <= first || blocks > u64::MAX >> 17 {
            return wrong("the superblock's sizes make no sense");
        }
        let descriptor_size = if wide(record) == 0 { 32 } else { u64::from(le16(record, 0xfe)) };
        if descriptor_size < 32 || descriptor_size > block || !descriptor_size.is_power_of_two() {
            return wrong("the superblock's descriptor size makes no sense");
        }
        let inode = if le32(record, 0x4c) == 0 { 128 } else { u64::from(le16(record, 0x58)) };
        let mut id = [0; 16];
        id.copy_from_slice(part(record, 0x68, 16));
        let seed = if incompat & incompat::CSUM_SEED == 0 { crc32c_raw(!0, &id) } else { le32(record, 0x270) };
        Ok(Super {
            block,
            ratio,
            blocks,
            first,
            per_group,
            groups: (blocks - first).div_ceil(per_group),
            inode_blocks: (u64::from(le32(record, 0x28)) * inode).div_ceil(block),
            descriptor_size,
            reserved_descriptors: u64::from(le16(record, 0xce)),
            first_meta_group: u64::from(le32(record, 0x104)),
            backups: [u64::from(le32(record, 0x24c)), u64::from(le32(record, 0x250))],
            compat: le32(record, 0x5c),
            incompat,
            ro_compat,
            seed,
            uuid: id,
        })
    }

    fn free(&self, source: &Source<'_>, usage: &mut Usage) -> Result<FreeList, Damage> {
        if self.blocks.saturating_mul(self.block) > source.size() {
            return wrong(format!("{} blocks are more than the volume has", self.blocks));
        }
        let mut free = FreeList::new(self.blocks * self.block);
        let mut descriptors = Descriptors::new(self, source);
        let mut bits = Vec::new();
        let mut bad = Vec::new();
        for group in 0..self.groups {
            let descriptor = descriptors.get(group)?;
            if let Err(damage) = self.free_in_group(source, group, &descriptor, &mut bits, &mut free) {
                bad.push((group, damage));
            }
        }
        if let Some((group, damage)) = bad.first() {
            usage.warn(format!("{} of {} groups count as used; group {group}: {damage}", bad.len(), self.groups));
        }
        self.keep_own(source, free)
    }

    fn free_in_group(
        &self,
        source: &Source<'_>,
        group: u64,
        descriptor: &Descriptor,
        bits: &mut Vec<u8>,
        free: &mut FreeList,
    ) -> Result<(), Damage> {
        if !descriptor.is_right {
            return wrong("the descriptor's checksum is wrong");
        }
        let start = self.first + group * self.per_group;
        let end = (start + self.per_group).min(self.blocks);
        if descriptor.is_uninitialised {
            free.add_blocks(start..end, self.block);
            return Ok(());
        }
        let bytes = (self.per_group / self.ratio).div_ceil(8) as usize;
        let place = self.place(descriptor.block_bitmap)?;
        source.fill("a block bitmap", place, bytes, bits)?;
        self.check_bitmap(descriptor, bits)?;
        let clusters = (end - start).div_ceil(self.ratio);
        let mut count = 0;
        bitmap::clear_runs(bits, clusters, |run| count += run.end - run.start);
        if count != descriptor.free {
            return wrong(format!("{count} blocks look free, its descriptor says {}", descriptor.free));
        }
        bitmap::clear_runs(bits, clusters, |run| {
            let last = (start + run.end * self.ratio).min(end);
            free.add_blocks(start + run.start * self.ratio..last, self.block);
        });
        Ok(())
    }

    fn check_bitmap(&self, descriptor: &Descriptor, bits: &[u8]) -> Result<(), Damage> {
        if self.ro_compat & ro_compat::METADATA_CHECKSUM == 0 {
            return Ok(());
        }
        let sum = crc32c_raw(self.seed, bits);
        let mask = if self.descriptor_size >= 0x40 { u32::MAX } else { 0xffff };
        if sum & mask == descriptor.bitmap_checksum & mask { Ok(()) } else { wrong("the bitmap's checksum is wrong") }
    }

    /// Where a block begins.
    fn place(&self, block: u64) -> Result<u64, Damage> {
        if block < self.first || block >= self.blocks {
            return wrong(format!("block {block} is not in the filesystem"));
        }
        Ok(block * self.block)
    }

    /// Takes back what belongs to the filesystem itself: bitmaps of uninitialised groups do not say it, and with flexible
    /// groups it lies anywhere.
    fn keep_own(&self, source: &Source<'_>, mut free: FreeList) -> Result<FreeList, Damage> {
        let mut keep = |start: u64, blocks: u64| {
            let start = start.min(self.blocks);
            let end = start.saturating_add(blocks).min(self.blocks);
            free.remove(start * self.block..end * self.block);
        };
        keep(0, 4096_u64.div_ceil(self.block));
        let mut descriptors = Descriptors::new(self, source);
        for group in 0..self.groups {
            let descriptor = descriptors.get(group)?;
            keep(descriptor.block_bitmap, 1);
            keep(descriptor.inode_bitmap, 1);
            keep(descriptor.inode_table, self.inode_blocks);
            keep(self.first + group * self.per_group, self.head_blocks(group));
        }
        Ok(free)
    }

    /// Blocks at a group's beginning for copies of superblock and descriptors.
    fn head_blocks(&self, group: u64) -> u64 {
        let has_super = self.has_super(group);
        let meta_group = group / self.descriptors_per_block();
        if !self.is_meta(meta_group) {
            let all = self.groups.div_ceil(self.descriptors_per_block());
            let old = if self.incompat & incompat::META_BG == 0 { all } else { all.min(self.first_meta_group) };
            return if has_super { 1 + old + self.reserved_descriptors } else { 0 };
        }
        let within = group % self.descriptors_per_block();
        let has_descriptors = within < 2 || within == self.descriptors_per_block() - 1;
        u64::from(has_super) + u64::from(has_descriptors)
    }

    fn descriptors_per_block(&self) -> u64 {
        self.block / self.descriptor_size
    }

    /// True if the descriptors of these groups lie within them.
    fn is_meta(&self, meta_group: u64) -> bool {
        self.incompat & incompat::META_BG != 0 && meta_group >= self.first_meta_group
    }

    fn has_super(&self, group: u64) -> bool {
        if group == 0 {
            return true;
        }
        if self.compat & compat::SPARSE_SUPER2 != 0 {
            return self.backups.contains(&group);
        }
        if group == 1 || self.ro_compat & ro_compat::SPARSE_SUPER == 0 {
            return true;
        }
        [3, 5, 7].into_iter().any(|base| is_power(group, base))
    }
}

fn is_power(mut number: u64, base: u64) -> bool {
    while number > 1 && number.is_multiple_of(base) {
        number /= base;
    }
    number == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backups_lie_in_groups_that_are_powers_of_three_five_and_seven() {
        let powers: Vec<u64> =
            (2..130).filter(|group| [3, 5, 7].into_iter().any(|base| is_power(*group, base))).collect();
        assert_eq!(powers, [3, 5, 7, 9, 25, 27, 49, 81, 125]);
    }
}
