//! Group descriptors, read block by block from wherever the features say that they are.

use super::super::fields::{crc32c_raw, le16, le32};
use super::super::source::{Damage, Source};
use super::{Super, ro_compat};

const BLOCK_UNINITIALISED: u16 = 0x2;

/// What is known of one group.
#[derive(Clone, Copy)]
pub(super) struct Descriptor {
    /// False if its checksum is wrong.
    pub(super) is_right: bool,
    /// True if the bitmap was never written, and everything but the filesystem's own is free.
    pub(super) is_uninitialised: bool,
    pub(super) block_bitmap: u64,
    pub(super) inode_bitmap: u64,
    pub(super) inode_table: u64,
    /// Clusters that are free.
    pub(super) free: u64,
    pub(super) bitmap_checksum: u32,
}

/// Reads descriptors in order of their groups.
pub(super) struct Descriptors<'a> {
    sb: &'a Super,
    source: &'a Source<'a>,
    loaded: Option<u64>,
    block: Vec<u8>,
}

impl<'a> Descriptors<'a> {
    pub(super) fn new(sb: &'a Super, source: &'a Source<'a>) -> Descriptors<'a> {
        Descriptors { sb, source, loaded: None, block: Vec::new() }
    }

    pub(super) fn get(&mut self, group: u64) -> Result<Descriptor, Damage> {
        let number = group / self.sb.descriptors_per_block();
        if self.loaded != Some(number) {
            let place = self.place(number);
            self.source.fill("group descriptors", place, self.sb.block as usize, &mut self.block)?;
            self.loaded = Some(number);
        }
        let size = self.sb.descriptor_size as usize;
        let at = (group % self.sb.descriptors_per_block()) as usize * size;
        Ok(self.parse(group, &self.block[at..at + size]))
    }

    fn place(&self, number: u64) -> u64 {
        let sb = self.sb;
        // The superblock is block 1 where blocks have 1 KiB, even if clusters make block 0 the first.
        let super_block = 1024 / sb.block;
        if !sb.is_meta(number) {
            return (super_block + 1 + number).saturating_mul(sb.block);
        }
        let group = number.saturating_mul(sb.descriptors_per_block());
        let mut block = sb.first.saturating_add(group.saturating_mul(sb.per_group)) + u64::from(sb.has_super(group));
        if number == 0 && sb.first < super_block {
            block += 1;
        }
        block.saturating_mul(sb.block)
    }

    fn parse(&self, group: u64, record: &[u8]) -> Descriptor {
        let is_wide = record.len() >= 0x40;
        let wide = |low: usize, high: usize| {
            u64::from(le32(record, low)) | u64::from(if is_wide { le32(record, high) } else { 0 }) << 32
        };
        let half = |low: usize, high: usize| {
            u32::from(le16(record, low)) | u32::from(if is_wide { le16(record, high) } else { 0 }) << 16
        };
        let has_checksum = self.sb.ro_compat & (ro_compat::GROUP_CHECKSUM | ro_compat::METADATA_CHECKSUM) != 0;
        Descriptor {
            is_right: !has_checksum || self.checksum(group, record) == le16(record, 0x1e),
            is_uninitialised: has_checksum && le16(record, 0x12) & BLOCK_UNINITIALISED != 0,
            block_bitmap: wide(0, 0x20),
            inode_bitmap: wide(4, 0x24),
            inode_table: wide(8, 0x28),
            free: u64::from(half(0xc, 0x2c)),
            bitmap_checksum: half(0x18, 0x38),
        }
    }

    fn checksum(&self, group: u64, record: &[u8]) -> u16 {
        let number = (group as u32).to_le_bytes();
        let rest = record.get(0x20..).unwrap_or_default();
        if self.sb.ro_compat & ro_compat::METADATA_CHECKSUM != 0 {
            let parts: [&[u8]; 4] = [&number, &record[..0x1e], &[0, 0], rest];
            return parts.into_iter().fold(self.sb.seed, crc32c_raw) as u16;
        }
        let parts: [&[u8]; 4] = [&self.sb.uuid, &number, &record[..0x1e], rest];
        parts.into_iter().fold(u16::MAX, crc16)
    }
}

/// CRC-16 as in ext4's first descriptor checksums: polynomial 0x8005, reflected, no inversion at the end.
fn crc16(start: u16, bytes: &[u8]) -> u16 {
    bytes.iter().fold(start, |sum, byte| {
        (0..8).fold(sum ^ u16::from(*byte), |sum, _| if sum & 1 == 0 { sum >> 1 } else { sum >> 1 ^ 0xa001 })
    })
}
