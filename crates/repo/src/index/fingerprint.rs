//! Telling index entries apart: the same pack may be listed in several index files, with the same blobs or others.

use super::IndexPack;
use crate::Id;

impl IndexPack {
    /// The same for entries that name the same pack and the same blobs in any order, and no others.
    pub(crate) fn fingerprint(&self) -> Id {
        let mut blobs: Vec<_> = self.blobs.iter().collect();
        blobs.sort_unstable_by_key(|entry| (entry.offset, entry.blob, entry.length, entry.uncompressed_length));
        let mut bytes = Vec::with_capacity(32 + blobs.len() * 45);
        bytes.extend_from_slice(self.id.as_bytes());
        for entry in blobs {
            bytes.push(entry.blob.kind as u8);
            bytes.extend_from_slice(entry.blob.id.as_bytes());
            for number in [entry.offset, entry.length, entry.uncompressed_length.map_or(0, u32::from)] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
        }
        Id::of(&bytes)
    }
}
