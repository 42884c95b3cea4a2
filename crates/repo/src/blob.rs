//! A blob: content of one kind, named by the SHA-256 of its plain bytes.

use backend::Id;

/// What a blob holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BlobKind {
    /// A chunk of a file.
    Data,
    /// One directory's list of nodes.
    Tree,
}

/// Names a blob. The same id under two kinds are two blobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlobHandle {
    /// What it holds.
    pub kind: BlobKind,
    /// SHA-256 of its plain bytes.
    pub id: Id,
}

/// Where a blob is stored and how long it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobLocation {
    /// The pack that holds it.
    pub pack: Id,
    /// First byte within the pack.
    pub offset: u32,
    /// Stored bytes, encryption overhead included.
    pub length: u32,
    /// Plain bytes if it is stored compressed, else `None`.
    pub uncompressed_length: Option<std::num::NonZeroU32>,
}

impl BlobLocation {
    /// Plain bytes.
    pub fn plain_length(&self) -> u32 {
        match self.uncompressed_length {
            Some(length) => length.get(),
            None => self.length.saturating_sub(crate::crypto::OVERHEAD as u32),
        }
    }
}
