//! Reading blobs: every one is authenticated and has the hash that its name says, and every place that holds it is tried.

use backend::{FileKind, FileName, Hint, Id, Part};

use super::Repository;
use crate::blob::BlobLocation;
use crate::compress::Codec;
use crate::tree::Tree;
use crate::{BlobHandle, BlobKind, Error, Result};

/// Reading again helps against what came over the wire or out of a flipping cable.
const TRIES_PER_PLACE: u32 = 2;

impl Repository {
    /// Reads and checks one blob.
    pub fn read_blob(&self, blob: &BlobHandle) -> Result<Vec<u8>> {
        let mut plain = Vec::new();
        self.files.with_codec(|codec| self.read_blob_into(blob, codec, &mut Vec::new(), &mut plain))?;
        Ok(plain)
    }

    /// Reads and checks one blob with buffers that are used again: `plain` is replaced by the blob, `stored` is scratch.
    pub fn read_blob_into(
        &self,
        blob: &BlobHandle,
        codec: &mut Codec,
        stored: &mut Vec<u8>,
        plain: &mut Vec<u8>,
    ) -> Result<()> {
        let mut first_error = None;
        for location in self.index()?.locations(blob) {
            for _ in 0..TRIES_PER_PLACE {
                match self.read_place(blob, &location, codec, stored, plain) {
                    Ok(()) => return Ok(()),
                    Err(error) => first_error.get_or_insert(error),
                };
            }
        }
        self.index()?.health()?;
        Err(first_error.unwrap_or(Error::MissingBlob(*blob)))
    }

    fn read_place(
        &self,
        blob: &BlobHandle,
        location: &BlobLocation,
        codec: &mut Codec,
        stored: &mut Vec<u8>,
        plain: &mut Vec<u8>,
    ) -> Result<()> {
        if blob.kind == BlobKind::Tree {
            self.backend().hint(Hint::TreePacks(&[location.pack]));
        }
        let part = Part::Range { offset: location.offset.into(), length: location.length.into() };
        self.backend().read(&FileName::new(FileKind::Pack, location.pack), part, stored)?;
        let decoded = self.decode_blob(blob, location, stored, codec, plain)?;
        if location.uncompressed_length.is_none() {
            let length = decoded.len();
            let start = crate::crypto::OVERHEAD / 2;
            plain.clear();
            plain.extend_from_slice(&stored[start..start + length]);
        }
        Ok(())
    }

    /// Reads and parses one tree. Storage with a cache keeps the whole pack that it lies in.
    pub fn read_tree(&self, id: &Id) -> Result<Tree> {
        let blob = BlobHandle { kind: BlobKind::Tree, id: *id };
        let json = self.read_blob(&blob)?;
        Tree::parse(&json).map_err(|reason| Error::DamagedBlob { blob, pack: self.pack_of(&blob), reason })
    }

    fn pack_of(&self, blob: &BlobHandle) -> Id {
        let location = self.index().ok().and_then(|index| index.find(blob));
        location.map(|location| location.pack).unwrap_or_default()
    }

    /// Decrypts and decompresses `stored` (changed in place) and checks the hash; the plain bytes end up in the returned slice,
    /// which borrows from `stored` or from `scratch`.
    pub fn decode_blob<'b>(
        &self,
        blob: &BlobHandle,
        location: &BlobLocation,
        stored: &'b mut [u8],
        codec: &mut Codec,
        scratch: &'b mut Vec<u8>,
    ) -> Result<&'b [u8]> {
        let damaged = |reason: String| Error::DamagedBlob { blob: *blob, pack: location.pack, reason };
        let opened = self.key().open(stored).map_err(|error| damaged(error.to_string()))?;
        let plain: &[u8] = match location.uncompressed_length {
            Some(length) => {
                codec.decompress(opened, length.get() as usize, scratch).map_err(damaged)?;
                scratch
            }
            None => opened,
        };
        if Id::of(plain) != blob.id {
            return Err(damaged("its content does not have the hash that its name says".into()));
        }
        Ok(plain)
    }
}
