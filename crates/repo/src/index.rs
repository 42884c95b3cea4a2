//! The index: which blob lies in which pack where.
//!
//! In memory: what this process learned, over a memory-mapped, sorted cache file of everything that was there when the
//! repository was opened (30 bytes of anonymous memory per blob at most, none for cached ones).

use backend::Id;

use crate::BlobHandle;
use crate::blob::BlobLocation;
use crate::pack::PackedBlob;

/// Where every blob is. Shared by all threads.
pub struct Index {}

impl Index {
    /// Where a blob is; any place where it is stored more than once.
    pub fn find(&self, _blob: &BlobHandle) -> Option<BlobLocation> {
        todo!()
    }

    /// True if the blob is stored.
    pub fn contains(&self, _blob: &BlobHandle) -> bool {
        todo!()
    }

    /// How many entries there are, duplicates counted.
    pub fn len(&self) -> usize {
        todo!()
    }

    /// True if nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every entry, pack by pack: the pack, its blobs in ascending offset. For prune, check, copy and stats.
    pub fn for_each_pack(&self, _each: &mut dyn FnMut(&Id, &[PackedBlob])) {
        todo!()
    }

    /// Learns a pack that was just stored.
    pub fn add_pack(&self, _pack: Id, _blobs: &[PackedBlob]) {
        todo!()
    }
}
