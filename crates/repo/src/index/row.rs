//! One entry of an index, 48 bytes in memory and in cache files.

use std::num::NonZeroU32;

use backend::Id;

use crate::blob::BlobLocation;
use crate::pack::PackedBlob;
use crate::{BlobHandle, BlobKind};

/// Bytes of a row in a cache file.
pub(super) const ROW: usize = 48;

/// Set in a row's pack number if the blob is a tree.
const TREE: u32 = 1 << 31;

/// Pack numbers are below this.
pub(super) const MAX_PACKS: usize = TREE as usize;

/// One blob in one place. The pack is a number in the table of whoever holds the row. Rows sort by id, then kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Row {
    id: Id,
    pack_and_kind: u32,
    offset: u32,
    length: u32,
    uncompressed: u32,
}

impl Row {
    pub(super) fn new(pack: u32, entry: &PackedBlob) -> Row {
        debug_assert!(pack < TREE);
        let kind = match entry.blob.kind {
            BlobKind::Data => 0,
            BlobKind::Tree => TREE,
        };
        Row {
            id: entry.blob.id,
            pack_and_kind: pack | kind,
            offset: entry.offset,
            length: entry.length,
            uncompressed: entry.uncompressed_length.map_or(0, NonZeroU32::get),
        }
    }

    pub(super) fn kind(&self) -> BlobKind {
        if self.pack_and_kind & TREE == 0 { BlobKind::Data } else { BlobKind::Tree }
    }

    pub(super) fn blob(&self) -> BlobHandle {
        BlobHandle { kind: self.kind(), id: self.id }
    }

    pub(super) fn is(&self, blob: &BlobHandle) -> bool {
        self.id == blob.id && self.kind() == blob.kind
    }

    pub(super) fn id(&self) -> &Id {
        &self.id
    }

    /// Number of the pack.
    pub(super) fn pack(&self) -> u32 {
        self.pack_and_kind & !TREE
    }

    /// The same row under another pack number.
    pub(super) fn with_pack(self, pack: u32) -> Row {
        Row { pack_and_kind: pack | (self.pack_and_kind & TREE), ..self }
    }

    pub(super) fn entry(&self) -> PackedBlob {
        PackedBlob {
            blob: self.blob(),
            offset: self.offset,
            length: self.length,
            uncompressed_length: NonZeroU32::new(self.uncompressed),
        }
    }

    pub(super) fn location(&self, pack: Id) -> BlobLocation {
        BlobLocation {
            pack,
            offset: self.offset,
            length: self.length,
            uncompressed_length: NonZeroU32::new(self.uncompressed),
        }
    }

    pub(super) fn to_bytes(self) -> [u8; ROW] {
        let mut bytes = [0; ROW];
        bytes[..32].copy_from_slice(self.id.as_bytes());
        bytes[32..36].copy_from_slice(&self.pack_and_kind.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.offset.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.length.to_le_bytes());
        bytes[44..].copy_from_slice(&self.uncompressed.to_le_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8; ROW]) -> Row {
        let number = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let mut id = [0; 32];
        id.copy_from_slice(&bytes[..32]);
        Row {
            id: Id::from_bytes(id),
            pack_and_kind: number(32),
            offset: number(36),
            length: number(40),
            uncompressed: number(44),
        }
    }
}
