//! Writes blobs: hash, look up, compress, encrypt, check, pack, upload, index.
//!
//! Blobs are spread at random over at least two open packs per kind. Every blob is decoded and hashed again before its
//! pack is stored. A blob that `save` returned is durable only after `flush`. The first failure ends everything: later
//! saves and flushes return it, so no snapshot can follow.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::thread::JoinHandle;

use backend::{FileInfo, Id, IdHasher};
use parking_lot::RwLock;

use crate::compress::Codec;
use crate::crypto::OVERHEAD;
use crate::pack::PackedBlob;
use crate::{BlobHandle, BlobKind, Error, Repository, Result};

mod again;
mod audit;
mod figures;
mod in_flight;
mod index_queue;
mod packer;
mod uploads;

pub use figures::WriterFigures;

use figures::Counters;
use in_flight::InFlight;
use index_queue::IndexQueue;
use packer::{OpenPack, Packer};
use uploads::Uploads;

/// Packs of a kind that are filled at the same time.
const OPEN_PACKS: usize = 2;

/// Trees are small and often read alone: their packs are closed at this size, if packs are not smaller anyway.
const TREE_PACK: u64 = 4 << 20;

/// Bytes of data packs that may lie in memory, open or on their way, unless that is too little for one on its way: this
/// bounds the memory of a backup more than anything else. Tree packs are as many and smaller.
const PACKS_IN_MEMORY: u64 = 64 << 20;

/// Largest plain blob: with its envelope it fits a pack, whose offsets have 32 bits.
const MAX_BLOB: usize = u32::MAX as usize - (64 << 20);

/// Writes blobs into a repository; shared by all worker threads. Dropping it without `finish` or `flush` forgets what is
/// not stored yet.
pub struct BlobWriter {
    shared: Arc<Shared>,
    uploaders: Vec<JoinHandle<()>>,
}

/// What savers and upload threads share.
struct Shared {
    repo: Arc<Repository>,
    /// Saves hold it shared from reservation until their blob lies in a pack, `flush` takes it to wait for them.
    gate: RwLock<()>,
    in_flight: InFlight,
    data: Packer,
    trees: Packer,
    uploads: Uploads,
    index_queue: IndexQueue,
    counters: Counters,
    watcher: Option<Arc<dyn PackWatcher>>,
}

/// Is told which packs are about to be stored, so that somebody can ask for them after a crash. From several threads.
pub trait PackWatcher: Send + Sync {
    /// The pack of that name is sent next. It may never arrive.
    fn about_to_store(&self, pack: &Id);
}

/// What became of a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Its name.
    pub id: Id,
    /// True if it was not stored before.
    pub new: bool,
    /// Stored bytes if it is new, else 0.
    pub stored: u64,
}

/// One thread's buffers.
pub struct Scratch {
    /// Compressor and decompressor.
    pub codec: Codec,
    /// Buffers.
    pub compressed: Vec<u8>,
    /// Buffers.
    pub sealed: Vec<u8>,
    /// Buffers.
    pub check: Vec<u8>,
}

impl BlobWriter {
    /// Starts the upload threads: as many as the storage takes requests at once.
    pub fn new(repo: &Arc<Repository>) -> BlobWriter {
        BlobWriter::watched(repo, None)
    }

    /// The same, with somebody who is told about packs before they are sent.
    pub fn watched(repo: &Arc<Repository>, watcher: Option<Arc<dyn PackWatcher>>) -> BlobWriter {
        let target = repo.options().pack_size;
        let connections = repo.backend().connections().max(1);
        let tree_target = target.min(TREE_PACK);
        let (uploads, jobs) = Uploads::new(most_buffers(target, connections), target, tree_target);
        let shared = Arc::new(Shared {
            repo: Arc::clone(repo),
            gate: RwLock::new(()),
            in_flight: InFlight::default(),
            data: Packer::new(OPEN_PACKS, target),
            trees: Packer::new(OPEN_PACKS, tree_target),
            uploads,
            index_queue: IndexQueue::default(),
            counters: Counters::default(),
            watcher,
        });
        let start = |_| {
            let (shared, jobs) = (Arc::clone(&shared), jobs.clone());
            std::thread::spawn(move || uploads::run(&shared, &jobs))
        };
        let uploaders = (0..connections).map(start).collect();
        BlobWriter { shared, uploaders }
    }

    /// Buffers for one thread.
    pub fn scratch(&self) -> Scratch {
        Scratch {
            codec: Codec::new(self.shared.repo.options().compression),
            compressed: Vec::new(),
            sealed: Vec::new(),
            check: Vec::new(),
        }
    }

    /// Saves a blob unless it is stored already.
    pub fn save(&self, kind: BlobKind, plain: &[u8], scratch: &mut Scratch) -> Result<Saved> {
        self.save_as(&BlobHandle { kind, id: Id::of(plain) }, plain, scratch)
    }

    /// Saves a blob whose id the caller has computed, unless it is stored already. A wrong id is an error of this call
    /// and all later ones.
    pub fn save_as(&self, blob: &BlobHandle, plain: &[u8], scratch: &mut Scratch) -> Result<Saved> {
        let shared = &*self.shared;
        shared.uploads.check()?;
        let index = shared.repo.index()?;
        let _gate = shared.gate.read();
        if !shared.in_flight.reserve(blob, || index.contains(blob)) {
            return Ok(Saved { id: blob.id, new: false, stored: 0 });
        }
        match shared.store(blob, plain, scratch) {
            Ok(stored) => Ok(Saved { id: blob.id, new: true, stored }),
            Err(error) => Err(shared.uploads.fail(error)),
        }
    }

    /// Makes everything saved so far durable: packs, then index files. Others may go on saving meanwhile.
    pub fn flush(&self) -> Result<()> {
        let shared = &*self.shared;
        shared.uploads.check()?;
        let (data, trees) = {
            let _all_saves_are_packed = shared.gate.write();
            (shared.data.take_all(), shared.trees.take_all())
        };
        shared.close_leftovers(BlobKind::Data, data);
        shared.close_leftovers(BlobKind::Tree, trees);
        shared.uploads.wait_for_all()?;
        shared.uploads.release_spares();
        shared.write_index_files(index_queue::Take::All)?;
        shared.repo.index()?.health()?;
        shared.uploads.check()
    }

    /// Names the packs that are stored so far in index files, so that a run that is cut off after this loses none of them.
    /// Packs that are still being filled or uploaded go on as they are.
    pub fn save_index(&self) -> Result<()> {
        self.shared.write_index_files(index_queue::Take::All)
    }

    /// The packs that were stored so far, with their sizes, in the order of their storing. A later [`BlobWriter::save_index`]
    /// names all of them.
    pub fn stored_packs(&self) -> Vec<FileInfo> {
        self.shared.uploads.stored()
    }

    /// Flushes and ends the upload threads.
    pub fn finish(self) -> Result<WriterFigures> {
        self.flush()?;
        Ok(self.figures())
    }

    /// What has been saved so far.
    pub fn figures(&self) -> WriterFigures {
        self.shared.counters.figures()
    }

    /// Asks the storage whether every pack that this writer stored is there with its size, for storage that answers
    /// "stored" and then loses. Call it after `flush`, before the snapshot.
    pub fn audit(&self) -> Result<()> {
        audit::audit(self.shared.repo.backend(), &self.shared.uploads.stored())
    }
}

/// How many packs of a kind may lie in memory, when those of data have `target` bytes: as many as are open and sent at
/// once, within what is allowed.
fn most_buffers(target: u64, connections: usize) -> usize {
    let allowed = usize::try_from(PACKS_IN_MEMORY / target.max(1)).unwrap_or(usize::MAX);
    allowed.clamp(OPEN_PACKS + 1, OPEN_PACKS + connections)
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        self.shared.uploads.close();
        for uploader in self.uploaders.drain(..) {
            // A thread that panicked has left its mark as a failure.
            let _ = uploader.join();
        }
    }
}

impl Shared {
    fn packer(&self, kind: BlobKind) -> &Packer {
        match kind {
            BlobKind::Data => &self.data,
            BlobKind::Tree => &self.trees,
        }
    }

    /// Encodes, proves and packs a blob; returns its stored bytes.
    fn store(&self, blob: &BlobHandle, plain: &[u8], scratch: &mut Scratch) -> Result<u64> {
        if plain.len() > MAX_BLOB {
            return Err(Error::Invalid(format!("a blob of {} bytes does not fit a pack", plain.len())));
        }
        let uncompressed_length = self.encode(blob.kind, plain, scratch);
        self.prove(blob, uncompressed_length, scratch)
            .map_err(|reason| Error::SelfCheck { what: format!("blob {}", blob.id.short()), reason })?;
        let length = scratch.sealed.len() as u32;
        let entry = PackedBlob { blob: *blob, offset: 0, length, uncompressed_length };
        self.packer(blob.kind).append(entry, &scratch.sealed, &self.uploads)?;
        self.counters.add(blob.kind, plain.len() as u64, length.into());
        Ok(length.into())
    }

    /// Compresses as version and kind demand and seals into `scratch.sealed`; returns the plain length if compressed.
    fn encode(&self, kind: BlobKind, plain: &[u8], scratch: &mut Scratch) -> Option<NonZeroU32> {
        scratch.compressed.clear();
        let compressed = match kind {
            _ if self.repo.version() < 2 || plain.is_empty() => false,
            BlobKind::Data => scratch.codec.compress_data(plain, &mut scratch.compressed),
            BlobKind::Tree => {
                scratch.codec.compress_metadata(plain, &mut scratch.compressed);
                true
            }
        };
        scratch.sealed.clear();
        let content = if compressed { &scratch.compressed } else { plain };
        self.repo.key().seal(content, &mut scratch.sealed);
        compressed.then(|| NonZeroU32::new(plain.len() as u32)).flatten()
    }

    /// Opens what will be stored, into other memory, and hashes it: neither memory, cipher nor compressor went wrong.
    fn prove(
        &self,
        blob: &BlobHandle,
        uncompressed_length: Option<NonZeroU32>,
        scratch: &mut Scratch,
    ) -> std::result::Result<(), String> {
        let Scratch { codec, compressed, sealed, check } = scratch;
        let key = self.repo.key();
        let id = match uncompressed_length {
            Some(length) => {
                check.clear();
                key.open_into(sealed, check).map_err(|error| error.to_string())?;
                codec.decompress(check, length.get() as usize, compressed)?;
                Id::of(compressed)
            }
            None => {
                let mut hasher = IdHasher::new();
                key.open_in_parts(sealed, |part| hasher.update(part)).map_err(|error| error.to_string())?;
                hasher.finish()
            }
        };
        if id == blob.id { Ok(()) } else { Err("its hash differs".into()) }
    }

    /// Sends what is left in open packs of a kind, as one pack where that does not get too large.
    fn close_leftovers(&self, kind: BlobKind, mut packs: Vec<OpenPack>) {
        packs.sort_by_key(|pack| std::cmp::Reverse(pack.size()));
        let mut packs = packs.into_iter();
        let Some(mut largest) = packs.next() else { return };
        let target = self.packer(kind).target();
        for pack in packs {
            match largest.size() + pack.size() <= target {
                true => self.uploads.give_back(kind, largest.absorb(pack)),
                false => self.uploads.send(kind, pack),
            }
        }
        self.uploads.send(kind, largest);
    }
}

const _: () = assert!(MAX_BLOB + OVERHEAD < u32::MAX as usize);

#[cfg(test)]
mod tests;
