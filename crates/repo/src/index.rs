//! The index: which blob lies in which pack where.
//!
//! In memory is what this process learned; below it lie memory-mapped, sorted cache files of what was there when the
//! repository was opened. A cache file is believed only while every index file that it was made of still exists, and every
//! block of it is checked before its first use: a damaged one is replaced by reading the index files themselves.

use std::sync::{Arc, OnceLock};

use backend::Id;
use parking_lot::{Mutex, RwLock};

use crate::blob::BlobLocation;
use crate::pack::PackedBlob;
use crate::unpacked::Unpacked;
use crate::workers::{self, Workers};
use crate::{BlobHandle, Error, Result};

mod cache;
mod file;
mod fingerprint;
mod learned;
mod load;
mod packs;
mod row;
mod segment;

pub(crate) use cache::{IndexCache, remove_cache};
pub use file::{IndexFile, IndexPack};

use learned::Learned;
use segment::{Damaged, Segment};

/// Blobs that an index file holds at most, unless one pack has more.
pub const MAX_BLOBS: usize = 50_000;

/// Where every blob is. Shared by all threads.
pub struct Index {
    files: Arc<Unpacked>,
    segments: Vec<Segment>,
    learned: RwLock<Learned>,
    marked: Vec<MarkedPack>,
    replacing: Mutex<()>,
    incomplete: OnceLock<Arc<Error>>,
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
    fn new(files: Arc<Unpacked>, segments: Vec<Segment>, learned: Learned, marked: Vec<MarkedPack>) -> Index {
        let learned = RwLock::new(learned);
        Index { files, segments, learned, marked, replacing: Mutex::new(()), incomplete: OnceLock::new() }
    }

    /// Where a blob is; any place where it is stored more than once.
    pub fn find(&self, blob: &BlobHandle) -> Option<BlobLocation> {
        for segment in self.usable() {
            match segment.find(blob) {
                Ok(None) => {}
                Ok(found) => return found,
                Err(Damaged) => self.replace(segment),
            }
        }
        self.learned.read().find(blob)
    }

    /// Every place that holds a blob.
    pub fn locations(&self, blob: &BlobHandle) -> Vec<BlobLocation> {
        let mut locations = Vec::with_capacity(1);
        for segment in self.usable() {
            let before = locations.len();
            let read = segment.rows_of(blob).try_for_each(|location| location.map(|location| locations.push(location)));
            if read.is_err() {
                locations.truncate(before);
                self.replace(segment);
            }
        }
        self.learned.read().locations(blob, &mut locations);
        locations
    }

    /// True if the blob is stored.
    pub fn contains(&self, blob: &BlobHandle) -> bool {
        self.learned.read().contains(blob) || self.find(blob).is_some()
    }

    /// An error once the index could not be read to the end: blobs may be missing in what it answers.
    pub fn health(&self) -> Result<()> {
        self.incomplete.get().map_or(Ok(()), |error| Err(Error::Earlier(Arc::clone(error))))
    }

    /// How many entries there are, duplicates counted.
    pub fn len(&self) -> usize {
        self.usable().map(Segment::len).sum::<usize>() + self.learned.read().len()
    }

    /// How many of the entries lie in cache files, not in memory.
    pub fn cached(&self) -> usize {
        self.usable().map(Segment::len).sum()
    }

    /// True if nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Packs that a two-phase prune (rustic's, or ours with a delay) marked for removal. Their blobs count as not stored.
    pub fn packs_to_delete(&self) -> &[MarkedPack] {
        &self.marked
    }

    /// Learns a pack that was just stored.
    pub fn add_pack(&self, pack: Id, blobs: &[PackedBlob]) {
        self.learned.write().add_pack(pack, blobs);
    }

    fn usable(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().filter(|segment| !segment.is_retired())
    }

    /// Takes a damaged cache file out of use: what it covers is read from the index files into memory. If that fails, the
    /// index is incomplete, and [`Index::health`] says so from then on.
    fn replace(&self, segment: &Segment) {
        let _replacing = self.replacing.lock();
        if segment.is_retired() {
            return;
        }
        // A file that cannot be removed is found damaged again.
        let _ = std::fs::remove_file(segment.path());
        if let Err(error) = self.learn_what(segment) {
            let _ = self.incomplete.set(Arc::new(error));
        }
        segment.retire();
    }

    fn learn_what(&self, segment: &Segment) -> Result<()> {
        let covered = segment.covered().map_err(|Damaged| changed_under_us())?;
        let learn = |id: &Id| -> Result<()> {
            let content = load::read(&self.files, id)?;
            content.packs.iter().for_each(|pack| self.add_pack(pack.id, &pack.blobs));
            Ok(())
        };
        let workers = Workers::decoders(&*self.files.backend);
        workers::for_each(workers, &covered, || (), |(), id| learn(id))
    }
}

/// What was checked and is now different: memory or disk of this machine fail.
fn changed_under_us() -> Error {
    Error::SelfCheck { what: "the index cache".into(), reason: "a checked part changed".into() }
}

#[cfg(test)]
mod tests;
