//! How a disk of some size is cut into segments and chunks.

use std::ops::Range;

use crate::{CHUNK, SEGMENT};

/// Chunks in a full segment.
pub const CHUNKS_PER_SEGMENT: u64 = SEGMENT / CHUNK;

/// Segments that a disk may have, so that their numbers have as many digits as [`Geometry::directory`] writes.
pub const MAX_SEGMENTS: u64 = 1_000_000;

/// The cuts of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    size: u64,
}

impl Geometry {
    /// The cuts of a disk of so many bytes; `None` if it is larger than [`MAX_SEGMENTS`] segments.
    pub fn new(size: u64) -> Option<Geometry> {
        (size.div_ceil(SEGMENT) <= MAX_SEGMENTS).then_some(Geometry { size })
    }

    /// Bytes of the disk.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// How many chunks there are.
    pub fn chunks(&self) -> u64 {
        self.size.div_ceil(CHUNK)
    }

    /// How many segments there are.
    pub fn segments(&self) -> u64 {
        self.size.div_ceil(SEGMENT)
    }

    /// Bytes of a chunk; 0 beyond the end.
    pub fn chunk_length(&self, chunk: u64) -> usize {
        self.size.saturating_sub(chunk.saturating_mul(CHUNK)).min(CHUNK) as usize
    }

    /// Bytes of a segment; 0 beyond the end.
    pub fn segment_length(&self, segment: u64) -> u64 {
        self.size.saturating_sub(segment.saturating_mul(SEGMENT)).min(SEGMENT)
    }

    /// The chunks of a segment.
    pub fn chunks_of(&self, segment: u64) -> Range<u64> {
        let first = segment * CHUNKS_PER_SEGMENT;
        first..first + self.segment_length(segment).div_ceil(CHUNK)
    }

    /// The bytes of a chunk.
    pub fn bytes_of(&self, chunk: u64) -> Range<u64> {
        let start = chunk.saturating_mul(CHUNK);
        start..start + self.chunk_length(chunk) as u64
    }

    /// The name of a segment's directory: its number in six digits, so that names sort as numbers do.
    pub fn directory(segment: u64) -> String {
        format!("{segment:06}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_chunk_and_the_last_segment_may_be_shorter() {
        let geometry = Geometry::new(SEGMENT + 3 * CHUNK + 512).unwrap();
        assert_eq!((geometry.segments(), geometry.chunks()), (2, 1024 + 4));
        assert_eq!(
            (geometry.chunk_length(1026), geometry.chunk_length(1027), geometry.chunk_length(1028)),
            (1 << 20, 512, 0)
        );
        assert_eq!(geometry.chunks_of(1), 1024..1028);
        assert_eq!(geometry.bytes_of(1027), SEGMENT + 3 * CHUNK..geometry.size());
    }

    #[test]
    fn a_size_that_nobody_can_number_is_refused() {
        assert!(Geometry::new(MAX_SEGMENTS * SEGMENT).is_some());
        assert!(Geometry::new(MAX_SEGMENTS * SEGMENT + 1).is_none() && Geometry::new(u64::MAX).is_none());
        assert_eq!(Geometry::new(0).unwrap().chunks(), 0);
    }
}
