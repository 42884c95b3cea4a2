//! restic's Rabin fingerprint. The cut points are those of restic, bit for bit.
//!
//! restic rolls a window of 64 bytes and forgets at a chunk's start everything but a single byte of value 1; it then skips
//! `min - 64` bytes. When a cut is first allowed, 64 bytes later, that byte has left the window. So whether a chunk may end
//! at an offset depends on the 64 bytes before it and on nothing else: this is what is computed here, without a ring buffer
//! and in several lanes at once.

use super::lanes::{self, Rolling, WINDOW};
use super::polynomial::{degree, reduce};

/// Measured: 0.3 GB/s with one lane, 1.0 with six.
const LANES: usize = 6;

/// Tables for one polynomial (4 KiB).
pub(super) struct Rabin {
    /// What a byte that leaves the window contributes: the byte followed by 63 zeros, reduced.
    leaving: [u64; 256],
    /// Clears the eight bits above the degree and adds their remainder.
    reducing: [u64; 256],
    /// Degree less eight.
    shift: u32,
    /// A cut is where all of these bits of the fingerprint are zero.
    mask: u64,
}

impl Rabin {
    /// Tables for a polynomial of degree 8 to 53 and a power of two as average distance of cuts.
    pub(super) fn new(polynomial: u64, average: usize) -> Rabin {
        let degree = degree(polynomial).unwrap_or(0).clamp(8, 53);
        let zeros_after = |byte: u64| (0..WINDOW - 1).fold(byte, |hash, _| reduce(hash << 8, polynomial));
        Rabin {
            leaving: std::array::from_fn(|byte| zeros_after(reduce(byte as u64, polynomial))),
            reducing: std::array::from_fn(|byte| {
                let above = (byte as u64) << degree;
                reduce(above, polynomial) | above
            }),
            shift: degree - 8,
            mask: average as u64 - 1,
        }
    }

    /// The first offset from `from` to `to` (both included) before which a chunk may end.
    pub(super) fn find(&self, data: &[u8], from: usize, to: usize) -> Option<usize> {
        lanes::find::<LANES, _>(self, data, from, to)
    }

    #[inline(always)]
    fn append(&self, hash: u64, byte: u8) -> u64 {
        (hash << 8 | u64::from(byte)) ^ self.reducing[(hash >> self.shift) as u8 as usize]
    }
}

impl Rolling for Rabin {
    fn warm(&self, window: &[u8; WINDOW]) -> u64 {
        window.iter().fold(0, |hash, byte| self.append(hash, *byte))
    }

    #[inline(always)]
    fn roll(&self, hash: u64, leaving: u8, entering: u8) -> u64 {
        self.append(hash ^ self.leaving[leaving as usize], entering)
    }

    #[inline(always)]
    fn is_cut(&self, hash: u64) -> bool {
        hash & self.mask == 0
    }
}
