//! Writes blobs: hash, look up, compress, encrypt, check, pack, upload, index.
//!
//! Blobs are spread at random over at least two open packs per kind. Every blob is decoded and hashed again before its
//! pack is stored. A blob that `save` returned is durable only after `flush`.

use backend::Id;

use crate::compress::Codec;
use crate::{BlobKind, Repository, Result};

/// Writes blobs into a repository; shared by all worker threads.
pub struct BlobWriter {}

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
    /// Starts the upload threads.
    pub fn new(_repo: &std::sync::Arc<Repository>) -> BlobWriter {
        todo!()
    }

    /// Buffers for one thread.
    pub fn scratch(&self) -> Scratch {
        todo!()
    }

    /// Saves a blob unless it is stored already.
    pub fn save(&self, _kind: BlobKind, _plain: &[u8], _scratch: &mut Scratch) -> Result<Saved> {
        todo!()
    }

    /// Makes everything saved so far durable: packs, then index files. Others may go on saving meanwhile.
    pub fn flush(&self) -> Result<()> {
        todo!()
    }
}
