//! The index: which blob lies in which pack where.
//!
//! In memory is what this process learned; below it lie memory-mapped, sorted cache files of what was there when the
//! repository was opened. A cache file is believed only while every index file that it was made of still exists, and every
//! block of it is checked before its first use: a damaged one is replaced by reading the index files themselves.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use backend::Id;
use parking_lot::{Mutex, RwLock};

use crate::blob::BlobLocation;
use crate::pack::PackedBlob;
use crate::unpacked::Unpacked;
use crate::{BlobHandle, Error, Result};

mod file;
mod learned;
mod load;
mod row;

pub use file::{IndexFile, IndexPack};
pub(crate) use load::remove_cache;

use learned::Learned;

/// Blobs that an index file holds at most, unless one pack has more.
pub const MAX_BLOBS: usize = 50_000;

/// Where every blob is. Shared by all threads.
pub struct Index {
    learned: RwLock<Learned>,
    marked: Vec<MarkedPack>,
}

/// A pack that a two-phase prune listed for removal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkedPack {
    /// The index file that lists it.
    pub index: Id,
    /// The pack as it is listed there.
    pub pack: IndexPack,
}

impl Index {
    /// Where a blob is; any place where it is stored more than once.
    pub fn find(&self, blob: &BlobHandle) -> Option<BlobLocation> {
        self.learned.read().find(blob)
    }

    /// Every place that holds a blob.
    pub fn locations(&self, blob: &BlobHandle) -> Vec<BlobLocation> {
        let mut locations = Vec::with_capacity(1);
        self.learned.read().locations(blob, &mut locations);
        locations
    }

    /// True if the blob is stored.
    pub fn contains(&self, blob: &BlobHandle) -> bool {
        self.learned.read().contains(blob)
    }

    /// An error once the index could not be read to the end: blobs may be missing in what it answers.
    pub fn health(&self) -> Result<()> {
        Ok(())
    }

    /// How many entries there are, duplicates counted.
    pub fn len(&self) -> usize {
        self.learned.read().len()
    }

    /// True if nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Packs that a two-phase prune (rustic's, or ours with a delay) marked for removal. Their blobs count as not stored.
    pub fn packs_to_delete(&self) -> &[MarkedPack] {
        &self.marked
    }

    /// Every entry, pack by pack in ascending order of their names: the pack, its blobs in ascending offset. A pack that
    /// several index files list comes once, with all its blobs. For prune, check, copy and stats. `each` may use the index.
    pub fn for_each_pack(&self, each: &mut dyn FnMut(&Id, &[PackedBlob])) {
        let runs = self.learned.read().runs();
        let mut blobs = Vec::new();
        for of_pack in runs.chunk_by(|a, b| a.pack == b.pack) {
            blobs.clear();
            let learned = self.learned.read();
            of_pack.iter().for_each(|run| learned.entries(run, &mut blobs));
            drop(learned);
            blobs.sort_unstable_by_key(|entry| (entry.offset, entry.blob));
            blobs.dedup();
            each(&of_pack[0].pack, &blobs);
        }
    }

    /// Learns a pack that was just stored.
    pub fn add_pack(&self, pack: Id, blobs: &[PackedBlob]) {
        self.learned.write().add_pack(pack, blobs);
    }
}
