//! Cutting byte streams into chunks. A chunker is a file format: cut points never change.
//!
//! For all chunkers: a stream that is no longer than the smallest chunk is one chunk, an empty stream has none, and where a
//! chunk ends depends only on its own bytes and on where it started.
//!
//! # `gear-1`
//!
//! A frozen format, recorded in a config as `"stead": {"chunker": "gear-1"}`. All numbers are 64-bit, unsigned and
//! little-endian; sums wrap; `‖` joins bytes; labels are ASCII without terminator.
//!
//! * *Seed* (32 bytes): SHA-256(`"stead gear-1 seed"` ‖ repository id, its 32 raw bytes ‖ chunker polynomial, 8 bytes). Who
//!   does not know the config, which is encrypted, does not know where files are cut.
//! * *Table* of 256 numbers: number `4k + i` is bytes `8i` to `8i + 7` of SHA-256(`"stead gear-1 table"` ‖ seed ‖ `k`, one
//!   byte), for `k` from 0 to 63 and `i` from 0 to 3.
//! * *Hash*: starts as 0; a byte `b` makes it `2 * hash + table[b]`. Sixty-four doublings push a byte out of it, so after any
//!   64 bytes it depends on the last 64 only, also across a chunk's start; what came before need not be read.
//! * *Cut*: a chunk that starts at 0 ends before the smallest `n` for which the hash of bytes `n - 64` to `n - 1` is
//!   * less than 2^42 (22 upper bits zero) and 512 KiB ≤ `n` < 1 MiB, or
//!   * less than 2^46 (18 upper bits zero) and 1 MiB ≤ `n` < 8 MiB;
//!
//!   else at `n` = 8 MiB, else at the end of the stream.
//!
//! Chunks of random data have 1.19 MiB on average. Where one byte value repeats 64 times the hash is constant (minus the
//! table's number for it), so that long runs, zeros among them, are cut every 8 MiB, save for one value and key in 2^18, for
//! which it is every 1 MiB, or one in 2^22 every 512 KiB. Either way all whole chunks of a run are the same blob.

mod fixed;
pub mod gear;
mod lanes;
pub mod polynomial;
mod rabin;
#[cfg(test)]
mod tests;

use gear::Gear;
use rabin::Rabin;

/// Largest size that a config may ask for, in bytes: readers hold whole chunks in memory.
pub const LARGEST: usize = 64 * 1024 * 1024;

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
        /// Irreducible, degree 53 (8 to 53 work).
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
        /// Derived from repository id and polynomial by [`gear::seed`].
        seed: [u8; 32],
    },
    /// Every `size` bytes.
    Fixed {
        /// Bytes per chunk.
        size: usize,
    },
}

/// Sizes that a chunker cannot work with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// The average is the number of mask bits.
    #[error("the average chunk size must be a power of two, it is {0}")]
    Average(usize),
    /// Limits are out of order, smaller than the window of 64 bytes, or larger than [`LARGEST`].
    #[error("chunks must have from 64 bytes to 64 MiB, asked for are {min} to {max}")]
    Limits {
        /// Smallest chunk.
        min: usize,
        /// Largest chunk.
        max: usize,
    },
}

impl ChunkerSpec {
    /// restic's chunker with its sizes: 512 KiB, 1 MiB, 8 MiB.
    pub fn restic(polynomial: u64) -> ChunkerSpec {
        ChunkerSpec::Rabin { polynomial, min: 512 * 1024, average: 1024 * 1024, max: 8 * 1024 * 1024 }
    }

    /// Refuses sizes that a chunker cannot work with. To be asked about specs that come from a config; the polynomial is
    /// checked by [`polynomial::parse`].
    pub fn check(&self) -> Result<(), SpecError> {
        let (min, max) = match *self {
            ChunkerSpec::Rabin { average, .. } if !average.is_power_of_two() => {
                return Err(SpecError::Average(average));
            }
            ChunkerSpec::Rabin { min, max, .. } => (min, max),
            ChunkerSpec::Gear { .. } => (gear::MIN, gear::MAX),
            ChunkerSpec::Fixed { size } => (size, size),
        };
        if lanes::WINDOW <= min && min <= max && max <= LARGEST { Ok(()) } else { Err(SpecError::Limits { min, max }) }
    }
}

/// Finds cut points. Holds only tables: one is made per repository and shared by all streams and threads.
pub struct Cutter {
    tables: Tables,
    min: usize,
    max: usize,
}

enum Tables {
    Rabin(Box<Rabin>),
    Gear(Box<Gear>),
    Fixed,
}

impl Cutter {
    /// Prepares the tables. `spec` must have passed [`ChunkerSpec::check`]; limits outside it are brought into range.
    pub fn new(spec: &ChunkerSpec) -> Cutter {
        let (tables, min, max) = match *spec {
            ChunkerSpec::Rabin { polynomial, min, average, max } => {
                (Tables::Rabin(Box::new(Rabin::new(polynomial, average.next_power_of_two()))), min, max)
            }
            ChunkerSpec::Gear { ref seed } => (Tables::Gear(Box::new(Gear::new(seed))), gear::MIN, gear::MAX),
            ChunkerSpec::Fixed { size } => (Tables::Fixed, size, size),
        };
        let min = min.clamp(lanes::WINDOW, LARGEST);
        Cutter { tables, min, max: max.clamp(min, LARGEST) }
    }

    /// Smallest and largest chunk in bytes.
    pub fn limits(&self) -> (usize, usize) {
        (self.min, self.max)
    }

    /// Length of the first chunk of `data`, which starts at a chunk's start. `data` must hold at least `limits().1` bytes or
    /// everything up to the end of the stream; in the latter case the rest may be one chunk. What lies beyond the largest
    /// chunk is not looked at. Zero only for no data.
    pub fn cut(&self, data: &[u8]) -> usize {
        let end = data.len().min(self.max);
        match &self.tables {
            Tables::Rabin(rabin) => rabin.find(data, self.min, end).unwrap_or(end),
            Tables::Gear(gear) => gear.cut(data),
            Tables::Fixed => fixed::cut(self.max, data),
        }
    }
}
