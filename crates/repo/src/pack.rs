//! A pack: many encrypted blobs of one kind and an encrypted header that names them.
//!
//! `blob_1 … blob_n ‖ encrypted header ‖ length of the encrypted header (u32, little-endian)`

use std::num::NonZeroU32;

use crate::{BlobHandle, Result};
use crate::crypto::MasterKey;

/// One blob as a pack's header or an index names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedBlob {
    /// Which blob.
    pub blob: BlobHandle,
    /// First byte within the pack.
    pub offset: u32,
    /// Stored bytes.
    pub length: u32,
    /// Plain bytes if compressed.
    pub uncompressed_length: Option<NonZeroU32>,
}

/// Bytes that a header with these blobs takes at the end of its pack, length field included.
pub fn header_size(_blobs: &[PackedBlob]) -> u64 {
    todo!()
}

/// Appends the encrypted header and its length for blobs that lie in `pack` without gaps; checks it by parsing it again.
pub fn append_header(_key: &MasterKey, _blobs: &[PackedBlob], _pack: &mut Vec<u8>) -> Result<()> {
    todo!()
}

/// Parses the header out of the tail of a pack (whole header and length field included) that is `pack_size` bytes long.
/// `Err(Needs(n))` style: returns `HeaderTail::Needs` when the tail given is too short.
pub fn parse_header(_key: &MasterKey, _tail: &[u8], _pack_size: u64) -> std::result::Result<HeaderTail, String> {
    todo!()
}

/// Outcome of parsing the tail of a pack.
#[derive(Debug, PartialEq, Eq)]
pub enum HeaderTail {
    /// The blobs, in the order of their offsets.
    Blobs(Vec<PackedBlob>),
    /// The header is longer: this many bytes of tail are needed.
    Needs(u64),
}
