//! Where blobs go: into the repository, or, in a dry run, nowhere after they were counted.

use std::sync::Arc;

use backend::Id;
use hashbrown::HashSet;
use parking_lot::Mutex;
use repo::compress::Codec;
use repo::writer::{BlobWriter, Saved, Scratch, WriterFigures};
use repo::{BlobHandle, BlobKind, Repository, Result};

/// Where blobs go.
pub(super) enum Sink {
    Store(BlobWriter),
    Dry(DryRun),
}

/// Counts what would be stored.
pub(super) struct DryRun {
    repo: Arc<Repository>,
    seen: Mutex<(HashSet<BlobHandle>, WriterFigures)>,
}

impl Sink {
    pub(super) fn new(repo: &Arc<Repository>, dry_run: bool) -> Sink {
        if dry_run {
            Sink::Dry(DryRun { repo: Arc::clone(repo), seen: Mutex::default() })
        } else {
            Sink::Store(BlobWriter::new(repo))
        }
    }

    pub(super) fn scratch(&self) -> Scratch {
        match self {
            Sink::Store(writer) => writer.scratch(),
            Sink::Dry(dry) => Scratch {
                codec: Codec::new(dry.repo.options().compression),
                compressed: Vec::new(),
                sealed: Vec::new(),
                check: Vec::new(),
            },
        }
    }

    pub(super) fn save(&self, kind: BlobKind, plain: &[u8], scratch: &mut Scratch) -> Result<Saved> {
        match self {
            Sink::Store(writer) => writer.save(kind, plain, scratch),
            Sink::Dry(dry) => dry.count(kind, plain, scratch),
        }
    }

    pub(super) fn flush(&self) -> Result<()> {
        match self {
            Sink::Store(writer) => writer.flush(),
            Sink::Dry(_) => Ok(()),
        }
    }

    /// Makes everything durable and proves that the storage has it.
    pub(super) fn settle(&self) -> Result<()> {
        match self {
            Sink::Store(writer) => writer.flush().and_then(|()| writer.audit()),
            Sink::Dry(_) => Ok(()),
        }
    }

    pub(super) fn figures(&self) -> WriterFigures {
        match self {
            Sink::Store(writer) => writer.figures(),
            Sink::Dry(dry) => dry.seen.lock().1,
        }
    }
}

impl DryRun {
    fn count(&self, kind: BlobKind, plain: &[u8], scratch: &mut Scratch) -> Result<Saved> {
        let blob = BlobHandle { kind, id: Id::of(plain) };
        let known = self.repo.index()?.contains(&blob);
        if known || !self.seen.lock().0.insert(blob) {
            return Ok(Saved { id: blob.id, new: false, stored: 0 });
        }
        let stored = self.stored(kind, plain, scratch) as u64;
        let figures = &mut self.seen.lock().1;
        match kind {
            BlobKind::Data => figures.data_blobs += 1,
            BlobKind::Tree => figures.tree_blobs += 1,
        }
        figures.data_added += plain.len() as u64;
        figures.data_added_packed += stored;
        Ok(Saved { id: blob.id, new: true, stored })
    }

    /// Bytes that the blob would take.
    fn stored(&self, kind: BlobKind, plain: &[u8], scratch: &mut Scratch) -> usize {
        let Scratch { codec, compressed, .. } = scratch;
        let compresses = self.repo.version() > 1
            && match kind {
                BlobKind::Data => codec.compress_data(plain, compressed),
                BlobKind::Tree => {
                    compressed.clear();
                    codec.compress_metadata(plain, compressed);
                    true
                }
            };
        let length = if compresses { compressed.len() } else { plain.len() };
        length + repo::crypto::OVERHEAD
    }
}
