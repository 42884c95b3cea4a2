//! Storing blobs that are stored already: for prune, which moves them out of packs that go.

use std::num::NonZeroU32;

use super::{BlobWriter, Scratch};
use crate::pack::PackedBlob;
use crate::{BlobHandle, BlobKind, Id, Result};

impl BlobWriter {
    /// Saves a blob even if it is stored already; returns its stored bytes.
    pub fn store_again(&self, kind: BlobKind, plain: &[u8], scratch: &mut Scratch) -> Result<u64> {
        let shared = &*self.shared;
        shared.uploads.check()?;
        let _gate = shared.gate.read();
        let blob = BlobHandle { kind, id: Id::of(plain) };
        shared.store(&blob, plain, scratch).map_err(|error| shared.uploads.fail(error))
    }

    /// Packs the sealed bytes of a blob of this repository, which the caller has just opened and hashed, even if it is
    /// stored already.
    pub fn store_sealed(
        &self,
        blob: &BlobHandle,
        sealed: &[u8],
        uncompressed_length: Option<NonZeroU32>,
    ) -> Result<()> {
        let shared = &*self.shared;
        shared.uploads.check()?;
        let _gate = shared.gate.read();
        let entry = PackedBlob { blob: *blob, offset: 0, length: sealed.len() as u32, uncompressed_length };
        shared.packer(blob.kind).append(entry, sealed, &shared.uploads).map_err(|error| shared.uploads.fail(error))
    }
}
