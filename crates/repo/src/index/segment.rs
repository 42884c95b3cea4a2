//! A cache file: the rows of many index files, sorted by blob, memory-mapped.
//!
//! `header ‖ ids of the index files ‖ ids of the packs, ascending ‖ rows ‖ fan-out ‖ sums of all blocks before`
//!
//! The header carries the hash of the sums, and each block of 4 KiB is compared with its sum before its first use, so a
//! damaged or foreign file is never believed; opening one costs the reading of header and sums only. Files are written whole
//! under another name, never changed, and private to their owner.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use backend::Id;
use memmap2::Mmap;

use super::row::{ROW, Row};
use crate::BlobHandle;
use crate::blob::BlobLocation;
use crate::pack::PackedBlob;

mod header;
mod merge;
mod write;

pub(super) use merge::merge;
pub(super) use write::SegmentWriter;

use header::Header;

/// Bytes under one sum.
const BLOCK: usize = 4096;

/// Bytes of a sum.
const SUM: usize = 8;

/// Something in the file is not as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damaged;

type Read<T> = Result<T, Damaged>;

/// An open cache file.
pub(super) struct Segment {
    path: PathBuf,
    map: Mmap,
    header: Header,
    checked: Box<[AtomicU64]>,
    retired: AtomicBool,
}

impl Segment {
    /// Opens a cache file of the repository; `None` if it is damaged, foreign, or of another version of this format.
    pub(super) fn open(path: &Path, repository: &Id) -> Option<Segment> {
        let file = File::open(path).ok()?;
        // SAFETY: the file is in a directory of ours, was renamed into place whole and is never written to again; what
        // somebody else does to it is found by the sums. Truncation by others is beyond us, as for every mapped program.
        let map = unsafe { Mmap::map(&file) }.ok()?;
        let header = Header::read(&map, repository)?;
        let blocks = header.sums_at().div_ceil(BLOCK);
        let checked = (0..blocks.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        let segment = Segment { path: path.to_owned(), map, header, checked, retired: AtomicBool::new(false) };
        segment.covered().is_ok().then_some(segment)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Rows.
    pub(super) fn len(&self) -> usize {
        self.header.rows
    }

    pub(super) fn packs(&self) -> usize {
        self.header.packs
    }

    /// True once its content was read from elsewhere: it must not be asked any more.
    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    /// The index files that it was made of.
    pub(super) fn covered(&self) -> Read<Vec<Id>> {
        (0..self.header.covered).map(|at| self.id(self.header.covered_at() + at * 32)).collect()
    }

    /// A pack's id.
    pub(super) fn pack(&self, number: usize) -> Read<Id> {
        if number >= self.header.packs {
            return Err(Damaged);
        }
        self.id(self.header.packs_at() + number * 32)
    }

    /// The row at a position in the order of blobs.
    pub(super) fn row(&self, at: usize) -> Read<Row> {
        let bytes = self.bytes(self.header.rows_at() + at * ROW, ROW)?;
        Ok(Row::from_bytes(bytes.try_into().map_err(|_| Damaged)?))
    }

    /// Where a blob is; the first place if there are several.
    pub(super) fn find(&self, blob: &BlobHandle) -> Read<Option<BlobLocation>> {
        self.rows_of(blob).next().transpose()
    }

    /// Every place that holds a blob.
    pub(super) fn rows_of(&self, blob: &BlobHandle) -> impl Iterator<Item = Read<BlobLocation>> {
        let (first, failed) = match self.first_row(&blob.id) {
            Ok(first) => (first, None),
            Err(damaged) => (self.len(), Some(Err(damaged))),
        };
        let rows = (first..self.len()).map(|at| self.row(at));
        let same_id = rows.take_while(|row| !matches!(row, Ok(row) if *row.id() != blob.id));
        let same_blob = same_id.filter(|row| !matches!(row, Ok(row) if !row.is(blob)));
        same_blob.map(|row| row.and_then(|row| Ok(row.location(self.pack(row.pack() as usize)?)))).chain(failed)
    }

    /// The first row whose id is not less than `id`: fan-out, then binary search.
    fn first_row(&self, id: &Id) -> Read<usize> {
        let bucket = self.header.bucket(id);
        let (mut low, mut high) = (self.fan_out(bucket)?, self.fan_out(bucket + 1)?);
        if low > high || high > self.len() {
            return Err(Damaged);
        }
        while low < high {
            let middle = low + (high - low) / 2;
            match self.bytes(self.header.rows_at() + middle * ROW, 32)? < id.as_bytes().as_slice() {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        Ok(low)
    }

    /// The first row of a bucket.
    fn fan_out(&self, bucket: usize) -> Read<usize> {
        let bytes = self.bytes(self.header.fan_out_at() + bucket * 4, 4)?;
        Ok(u32::from_le_bytes(bytes.try_into().map_err(|_| Damaged)?) as usize)
    }

    fn id(&self, at: usize) -> Read<Id> {
        Ok(Id::from_bytes(self.bytes(at, 32)?.try_into().map_err(|_| Damaged)?))
    }

    /// Bytes before the sums, checked.
    fn bytes(&self, at: usize, length: usize) -> Read<&[u8]> {
        let end = at.checked_add(length).filter(|end| *end <= self.header.sums_at()).ok_or(Damaged)?;
        for block in at / BLOCK..=(end - 1) / BLOCK {
            self.check(block)?;
        }
        Ok(&self.map[at..end])
    }

    fn check(&self, block: usize) -> Read<()> {
        let (word, bit) = (&self.checked[block / 64], 1 << (block % 64));
        if word.load(Ordering::Relaxed) & bit != 0 {
            return Ok(());
        }
        let sums_at = self.header.sums_at();
        let content = &self.map[block * BLOCK..((block + 1) * BLOCK).min(sums_at)];
        let sum = self.map.get(sums_at + block * SUM..sums_at + (block + 1) * SUM).ok_or(Damaged)?;
        if sum_of(content) != sum {
            return Err(Damaged);
        }
        word.fetch_or(bit, Ordering::Relaxed);
        Ok(())
    }

    /// Positions of all rows in the order of packs: those of pack `n` are `order[starts[n]..starts[n + 1]]`. Four bytes per
    /// row and pack.
    pub(super) fn by_pack(&self) -> Read<ByPack> {
        let mut starts = vec![0u32; self.packs() + 2];
        for at in 0..self.len() {
            *starts.get_mut(self.row(at)?.pack() as usize + 2).ok_or(Damaged)? += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let mut order = vec![0u32; self.len()];
        for at in 0..self.len() {
            let next = &mut starts[self.row(at)?.pack() as usize + 1];
            order[*next as usize] = at as u32;
            *next += 1;
        }
        Ok(ByPack { starts, order })
    }

    /// Appends a pack's blobs.
    pub(super) fn entries(&self, by_pack: &ByPack, pack: usize, into: &mut Vec<PackedBlob>) -> Read<()> {
        let (start, end) = (by_pack.starts[pack] as usize, by_pack.starts[pack + 1] as usize);
        for at in &by_pack.order[start..end] {
            into.push(self.row(*at as usize)?.entry());
        }
        Ok(())
    }
}

/// Rows in the order of packs.
pub(super) struct ByPack {
    starts: Vec<u32>,
    order: Vec<u32>,
}

fn sum_of(block: &[u8]) -> [u8; SUM] {
    Id::of(block).prefix().to_be_bytes()
}
