//! The part of the index that is in memory: about 55 bytes per blob, no allocation per blob.

use backend::Id;
use hashbrown::HashTable;

use super::row::{MAX_PACKS, Row};
use crate::BlobHandle;
use crate::blob::BlobLocation;
use crate::pack::PackedBlob;

/// Rows per block: rows never move, so growing copies nothing.
const BLOCK: usize = 4096;

/// Packs and their blobs, found by hash. Nothing is ever removed, and row numbers stay.
#[derive(Default)]
pub(super) struct Learned {
    packs: Vec<Id>,
    pack_numbers: HashTable<u32>,
    blocks: Vec<Vec<Row>>,
    count: usize,
    runs: Vec<Run>,
    table: HashTable<u32>,
}

/// Neighbouring rows of one pack. A pack has several if it was listed in several index files with different blobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// The pack.
    pub(super) pack: Id,
    first: u32,
    count: u32,
}

impl Learned {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    fn row(&self, number: u32) -> &Row {
        let number = number as usize;
        &self.blocks[number / BLOCK][number % BLOCK]
    }

    pub(super) fn contains(&self, blob: &BlobHandle) -> bool {
        self.table.find(blob.id.prefix(), |number| self.row(*number).is(blob)).is_some()
    }

    pub(super) fn find(&self, blob: &BlobHandle) -> Option<BlobLocation> {
        let number = self.table.find(blob.id.prefix(), |number| self.row(*number).is(blob))?;
        Some(self.location(*number))
    }

    /// Appends every place that holds the blob.
    pub(super) fn locations(&self, blob: &BlobHandle, into: &mut Vec<BlobLocation>) {
        let same_hash = self.table.iter_hash(blob.id.prefix());
        into.extend(same_hash.filter(|number| self.row(**number).is(blob)).map(|number| self.location(*number)));
    }

    fn location(&self, number: u32) -> BlobLocation {
        let row = self.row(number);
        row.location(self.packs[row.pack() as usize])
    }

    /// Adds a pack's blobs; those that it has been given before for the same pack are passed over.
    pub(super) fn add_pack(&mut self, pack: Id, blobs: &[PackedBlob]) {
        let (number, known) = self.pack_number(pack);
        let first = self.count as u32;
        for entry in blobs {
            let row = Row::new(number, entry);
            if !known || !self.holds(&row) {
                self.push(row);
            }
        }
        let count = self.count as u32 - first;
        if count > 0 || !known {
            self.runs.push(Run { pack, first, count });
        }
    }

    /// The pack's number, and whether it had one.
    fn pack_number(&mut self, pack: Id) -> (u32, bool) {
        let packs = &mut self.packs;
        if let Some(number) = self.pack_numbers.find(pack.prefix(), |number| packs[*number as usize] == pack) {
            return (*number, true);
        }
        assert!(packs.len() < MAX_PACKS && self.count < u32::MAX as usize / 2, "an index of 100 GiB");
        let number = packs.len() as u32;
        packs.push(pack);
        self.pack_numbers.insert_unique(pack.prefix(), number, |number| packs[*number as usize].prefix());
        (number, false)
    }

    fn holds(&self, row: &Row) -> bool {
        self.table.find(row.id().prefix(), |number| self.row(*number) == row).is_some()
    }

    fn push(&mut self, row: Row) {
        if self.count.is_multiple_of(BLOCK) {
            self.blocks.push(Vec::with_capacity(BLOCK));
        }
        let number = self.count as u32;
        self.blocks[self.count / BLOCK].push(row);
        self.count += 1;
        let blocks = &self.blocks;
        let hash = |number: &u32| blocks[*number as usize / BLOCK][*number as usize % BLOCK].id().prefix();
        self.table.insert_unique(row.id().prefix(), number, hash);
    }

    /// All runs, ascending by pack.
    pub(super) fn runs(&self) -> Vec<Run> {
        let mut runs = self.runs.clone();
        runs.sort_unstable_by_key(|run| (run.pack, run.first));
        runs
    }

    /// Appends a run's blobs.
    pub(super) fn entries(&self, run: &Run, into: &mut Vec<PackedBlob>) {
        into.extend((run.first..run.first + run.count).map(|number| self.row(number).entry()));
    }
}
