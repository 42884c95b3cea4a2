//! The first block of a cache file: whose it is, how much it holds, and the hash of its sums.

use backend::Id;

use super::{BLOCK, SUM, sum_of};
use crate::index::row::{MAX_PACKS, ROW};

/// Name and version of this format.
const MAGIC: [u8; 8] = *b"stead\0i1";

/// Bytes of the header's content, its own sum included.
const LENGTH: usize = 112;

/// About so many rows share a bucket.
const ROWS_PER_BUCKET: usize = 32;

/// Where everything is in a cache file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) covered: usize,
    pub(super) packs: usize,
    pub(super) rows: usize,
    /// Buckets are told apart by so many leading bits of an id.
    pub(super) bits: u32,
}

impl Header {
    pub(super) fn new(covered: usize, packs: usize, rows: usize) -> Header {
        let buckets = (rows / ROWS_PER_BUCKET).max(1);
        Header { covered, packs, rows, bits: buckets.next_power_of_two().trailing_zeros().min(24) }
    }

    pub(super) fn covered_at(&self) -> usize {
        BLOCK
    }

    pub(super) fn packs_at(&self) -> usize {
        self.covered_at() + self.covered * 32
    }

    pub(super) fn rows_at(&self) -> usize {
        self.packs_at() + self.packs * 32
    }

    pub(super) fn fan_out_at(&self) -> usize {
        self.rows_at() + self.rows * ROW
    }

    pub(super) fn sums_at(&self) -> usize {
        self.fan_out_at() + (self.buckets() + 1) * 4
    }

    fn file_size(&self) -> usize {
        self.sums_at() + self.sums_at().div_ceil(BLOCK) * SUM
    }

    pub(super) fn buckets(&self) -> usize {
        1 << self.bits
    }

    /// The bucket of a blob.
    pub(super) fn bucket(&self, id: &Id) -> usize {
        id.prefix().checked_shr(64 - self.bits).unwrap_or(0) as usize
    }

    /// The header's block. The sums are of all blocks but this one, whose place among them is left zero.
    pub(super) fn write(&self, repository: &Id, sums: &[u8]) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        block[..8].copy_from_slice(&MAGIC);
        block[8..40].copy_from_slice(repository.as_bytes());
        for (at, number) in [self.covered, self.packs, self.rows, self.bits as usize].into_iter().enumerate() {
            block[40 + at * 8..48 + at * 8].copy_from_slice(&(number as u64).to_le_bytes());
        }
        block[72..104].copy_from_slice(Id::of(sums).as_bytes());
        let sum = sum_of(&block[..LENGTH - SUM]);
        block[LENGTH - SUM..LENGTH].copy_from_slice(&sum);
        block
    }

    /// Reads the header of a whole file, if it is a cache file of the repository and neither it nor its sums are damaged.
    pub(super) fn read(file: &[u8], repository: &Id) -> Option<Header> {
        let block = file.get(..LENGTH)?;
        let ours = block[..8] == MAGIC && block[8..40] == *repository.as_bytes();
        if !ours || sum_of(&block[..LENGTH - SUM]) != block[LENGTH - SUM..] {
            return None;
        }
        let number = |at: usize| -> Option<usize> {
            let bytes = block[40 + at * 8..48 + at * 8].try_into().ok()?;
            usize::try_from(u64::from_le_bytes(bytes)).ok().filter(|number| *number < u32::MAX as usize)
        };
        let header = Header { covered: number(0)?, packs: number(1)?, rows: number(2)?, bits: number(3)? as u32 };
        if header.bits > 24 || header.packs > MAX_PACKS || header.file_size() != file.len() {
            return None;
        }
        (*Id::of(&file[header.sums_at()..]).as_bytes() == block[72..104]).then_some(header)
    }
}
