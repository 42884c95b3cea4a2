//! Cutting byte streams into chunks. A chunker is a file format: cut points never change.

/// Which chunker a new repository gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChunkerKind {
    /// Keyed gear, ours: several times faster, cut points unknown to outsiders.
    #[default]
    Gear,
    /// restic's, for repositories that restic also writes.
    Rabin,
}

/// Everything that decides cut points in a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChunkerSpec {
    /// restic's Rabin fingerprint with the repository's polynomial and (rustic's) size limits.
    Rabin {
        /// Irreducible, degree 53.
        polynomial: u64,
        /// Smallest chunk (the last may be smaller), in bytes: 512 KiB in restic.
        min: usize,
        /// Average distance of cut points after `min`; a power of two: 1 MiB in restic.
        average: usize,
        /// Largest chunk: 8 MiB in restic.
        max: usize,
    },
    /// Keyed gear: min 512 KiB, normal 1 MiB, max 8 MiB.
    Gear {
        /// Derived from repository id and polynomial.
        seed: [u8; 32],
    },
    /// Every `size` bytes.
    Fixed {
        /// Bytes per chunk.
        size: usize,
    },
}

/// Finds cut points. One per stream at a time; cheap to make from a prepared [`Cutter`].
pub struct Cutter {}

impl Cutter {
    /// Prepares the tables.
    pub fn new(_spec: &ChunkerSpec) -> Cutter {
        todo!()
    }

    /// Smallest and largest chunk in bytes.
    pub fn limits(&self) -> (usize, usize) {
        todo!()
    }

    /// Length of the first chunk of `data`, which starts at a chunk's start. `data` must hold at least `limits().1` bytes or
    /// everything up to the end of the stream; in the latter case the rest may be one chunk.
    pub fn cut(&self, _data: &[u8]) -> usize {
        todo!()
    }
}
