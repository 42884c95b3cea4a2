//! A pack: many encrypted blobs of one kind and an encrypted header that names them.
//!
//! `blob_1 … blob_n ‖ encrypted header ‖ length of the encrypted header (u32, little-endian)`
//!
//! Blobs lie without gaps from offset 0 to the header; that is checked when a header is written and when it is read.

use std::num::NonZeroU32;

use backend::Id;

use crate::crypto::{MasterKey, OVERHEAD};
use crate::{BlobHandle, BlobKind, Error, Result};

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

/// Outcome of parsing the tail of a pack.
#[derive(Debug, PartialEq, Eq)]
pub enum HeaderTail {
    /// The blobs, in the order of their offsets.
    Blobs(Vec<PackedBlob>),
    /// The header is longer: this many bytes of tail are needed.
    Needs(u64),
}

/// Bytes of the length field behind the header.
const LENGTH_FIELD: usize = 4;

/// The longest encrypted header that restic reads, length field included.
pub const MAX_HEADER: usize = (16 << 20) + LENGTH_FIELD;

/// How many bytes of tail to read first: enough for a header with 15 blobs, as restic guesses.
pub const USUAL_TAIL: u64 = 15 * COMPRESSED_ENTRY as u64 + (OVERHEAD + LENGTH_FIELD) as u64;

const PLAIN_ENTRY: usize = 1 + 4 + 32;
const COMPRESSED_ENTRY: usize = PLAIN_ENTRY + 4;

/// How many blobs fit into any one pack.
pub const MAX_BLOBS: usize = (MAX_HEADER - LENGTH_FIELD - OVERHEAD) / COMPRESSED_ENTRY;

impl PackedBlob {
    /// Bytes of this blob's entry in its pack's header.
    pub fn entry_size(&self) -> u64 {
        match self.uncompressed_length {
            Some(_) => COMPRESSED_ENTRY as u64,
            None => PLAIN_ENTRY as u64,
        }
    }

    /// First byte behind the blob.
    pub fn end(&self) -> u64 {
        u64::from(self.offset) + u64::from(self.length)
    }

    fn write_entry(&self, header: &mut Vec<u8>) {
        let compressed = if self.uncompressed_length.is_some() { 2 } else { 0 };
        header.push(compressed | (self.blob.kind == BlobKind::Tree) as u8);
        header.extend_from_slice(&self.length.to_le_bytes());
        if let Some(length) = self.uncompressed_length {
            header.extend_from_slice(&length.get().to_le_bytes());
        }
        header.extend_from_slice(self.blob.id.as_bytes());
    }
}

/// Bytes that a header with these blobs takes at the end of its pack, length field included.
pub fn header_size(blobs: &[PackedBlob]) -> u64 {
    (OVERHEAD + LENGTH_FIELD) as u64 + blobs.iter().map(PackedBlob::entry_size).sum::<u64>()
}

/// Appends the encrypted header and its length for blobs that lie in `pack` without gaps; checks it by parsing it again.
///
/// # Errors
/// `Invalid` if there are no blobs or too many for one header; `SelfCheck` if blobs and pack do not fit together or the
/// header does not read back.
pub fn append_header(key: &MasterKey, blobs: &[PackedBlob], pack: &mut Vec<u8>) -> Result<()> {
    if blobs.is_empty() || header_size(blobs) > MAX_HEADER as u64 {
        return Err(Error::Invalid(format!("a pack cannot hold {} blobs", blobs.len())));
    }
    let mut header = Vec::with_capacity(blobs.len() * COMPRESSED_ENTRY);
    blobs.iter().for_each(|blob| blob.write_entry(&mut header));
    let start = pack.len();
    key.seal(&header, pack);
    let length = (pack.len() - start) as u32;
    pack.extend_from_slice(&length.to_le_bytes());
    let reason = match parse_header(key, &pack[start..], pack.len() as u64) {
        Ok(HeaderTail::Blobs(read)) if read == blobs => return Ok(()),
        Ok(_) => "it names other blobs".into(),
        Err(reason) => reason,
    };
    Err(Error::SelfCheck { what: "the header of a pack".into(), reason })
}

/// Parses the header out of the tail of a pack (whole header and length field included) that is `pack_size` bytes long;
/// `HeaderTail::Needs` when the tail given is too short. `tail` may be longer than the header. Errors are in words.
pub fn parse_header(key: &MasterKey, tail: &[u8], pack_size: u64) -> std::result::Result<HeaderTail, String> {
    if u32::try_from(pack_size).is_err() {
        return Err(format!("it has {pack_size} bytes, packs are below 4 GiB"));
    }
    if tail.len() as u64 > pack_size || pack_size < LENGTH_FIELD as u64 {
        return Err(format!("it has only {pack_size} bytes"));
    }
    let Some((rest, length)) = tail.split_last_chunk::<LENGTH_FIELD>() else {
        return Ok(HeaderTail::Needs(USUAL_TAIL.min(pack_size)));
    };
    let length = check_length(u32::from_le_bytes(*length), pack_size)?;
    let Some(start) = rest.len().checked_sub(length) else {
        return Ok(HeaderTail::Needs((length + LENGTH_FIELD) as u64));
    };
    let mut header = Vec::new();
    key.open_into(&rest[start..], &mut header).map_err(|_| "its header's authentication code does not match")?;
    let blobs = parse_entries(&header)?;
    let (header_start, end) = (pack_size - (length + LENGTH_FIELD) as u64, blobs.last().map_or(0, PackedBlob::end));
    if end != header_start {
        return Err(format!("its blobs end at byte {end}, but its header begins at byte {header_start}"));
    }
    Ok(HeaderTail::Blobs(blobs))
}

/// Checks a stored length of the encrypted header against the bounds of the format and of the pack.
fn check_length(length: u32, pack_size: u64) -> std::result::Result<usize, String> {
    let size = length as usize;
    let possible = OVERHEAD + PLAIN_ENTRY..=MAX_HEADER - LENGTH_FIELD;
    if !possible.contains(&size) || u64::from(length) + LENGTH_FIELD as u64 > pack_size {
        return Err(format!("it claims a header of {length} bytes at the end of {pack_size}"));
    }
    Ok(size)
}

fn parse_entries(mut header: &[u8]) -> std::result::Result<Vec<PackedBlob>, String> {
    let mut blobs = Vec::with_capacity(header.len() / PLAIN_ENTRY);
    let mut offset = 0u32;
    while !header.is_empty() {
        let blob = parse_entry(&mut header, offset)?;
        offset = offset.checked_add(blob.length).ok_or("its blobs are longer than 4 GiB")?;
        blobs.push(blob);
    }
    Ok(blobs)
}

fn parse_entry(header: &mut &[u8], offset: u32) -> std::result::Result<PackedBlob, String> {
    let kind_byte = take::<1>(header)?[0];
    let kind = if kind_byte & 1 == 0 { BlobKind::Data } else { BlobKind::Tree };
    let length = u32::from_le_bytes(take(header)?);
    let uncompressed_length = match kind_byte {
        0 | 1 => None,
        // restic, too, takes zero for "not compressed".
        2 | 3 => NonZeroU32::new(u32::from_le_bytes(take(header)?)),
        other => return Err(format!("its header has an entry of unknown type {other}")),
    };
    if (length as usize) < OVERHEAD {
        return Err(format!("its header has a blob of {length} bytes, shorter than any encrypted blob"));
    }
    let blob = BlobHandle { kind, id: Id::from_bytes(take(header)?) };
    Ok(PackedBlob { blob, offset, length, uncompressed_length })
}

fn take<const N: usize>(header: &mut &[u8]) -> std::result::Result<[u8; N], String> {
    let (chunk, rest) = header.split_first_chunk().ok_or("its header ends within an entry")?;
    *header = rest;
    Ok(*chunk)
}

#[cfg(test)]
mod tests;
