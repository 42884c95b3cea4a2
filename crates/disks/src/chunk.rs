//! The pieces that a disk is read, stored and compared in.

use std::error::Error;

/// Bytes of a chunk; the last one of a disk may be shorter. A chunk starts at a multiple of its size.
pub const CHUNK: u64 = 1 << 20;

/// Bytes of a segment, which is a directory of its own in a snapshot; the last one may be shorter.
pub const SEGMENT: u64 = 1 << 30;

/// Takes the chunks of a disk as they are read, from several threads.
///
/// What is not in use reads as zeros. A chunk that is put again replaces what was put before: the last one counts. A chunk
/// that is never put is as it was in the image that this one continues, or zeros if there is none.
pub trait Sink: Sync {
    /// Takes a chunk's bytes, and may wait until there is room for them.
    fn put(&self, number: u64, content: Vec<u8>) -> Result<(), Box<dyn Error + Send + Sync>>;
}
