//! What a writer has stored so far.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::BlobKind;

/// What a writer has stored so far; blobs that were stored before do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriterFigures {
    /// New data blobs.
    pub data_blobs: u64,
    /// New tree blobs.
    pub tree_blobs: u64,
    /// Plain bytes of both.
    pub data_added: u64,
    /// Stored bytes of both, without pack headers.
    pub data_added_packed: u64,
}

#[derive(Default)]
pub(super) struct Counters {
    data_blobs: AtomicU64,
    tree_blobs: AtomicU64,
    plain: AtomicU64,
    stored: AtomicU64,
}

impl Counters {
    pub(super) fn add(&self, kind: BlobKind, plain: u64, stored: u64) {
        match kind {
            BlobKind::Data => self.data_blobs.fetch_add(1, Relaxed),
            BlobKind::Tree => self.tree_blobs.fetch_add(1, Relaxed),
        };
        self.plain.fetch_add(plain, Relaxed);
        self.stored.fetch_add(stored, Relaxed);
    }

    pub(super) fn figures(&self) -> WriterFigures {
        WriterFigures {
            data_blobs: self.data_blobs.load(Relaxed),
            tree_blobs: self.tree_blobs.load(Relaxed),
            data_added: self.plain.load(Relaxed),
            data_added_packed: self.stored.load(Relaxed),
        }
    }
}
