//! `gear-1`, stead's keyed chunker: a frozen file format, described in [`chunk`](super).

use super::lanes::{self, Rolling, WINDOW};

/// Measured: 1.4 GB/s with one lane, 3.3 with four. AVX-512 gathers reach 3.4, AVX2 gathers 1.9: not worth unsafe code.
const LANES: usize = 4;

/// No chunk but the last is smaller.
pub(super) const MIN: usize = 512 * 1024;
/// Where the strict rule gives way to the loose one.
const NORMAL: usize = 1024 * 1024;
/// No chunk is larger.
pub(super) const MAX: usize = 8 * 1024 * 1024;
/// Hashes at cuts before `NORMAL` are less.
const STRICT: u64 = 1 << 42;
/// Hashes at cuts from `NORMAL` on are less.
const LOOSE: u64 = 1 << 46;

/// The key of a repository's chunker: SHA-256 of a label, the repository's id and the polynomial (8 bytes, little-endian).
pub fn seed(repository: &backend::Id, polynomial: u64) -> [u8; 32] {
    sha256(&[b"stead gear-1 seed", repository.as_bytes(), &polynomial.to_le_bytes()])
}

/// The table of one key (2 KiB).
pub(super) struct Gear {
    table: [u64; 256],
}

impl Gear {
    /// The table made of the seed.
    pub(super) fn new(seed: &[u8; 32]) -> Gear {
        let mut table = [0; 256];
        for (number, four) in table.chunks_exact_mut(4).enumerate() {
            let digest = sha256(&[b"stead gear-1 table", seed, &[number as u8]]);
            for (entry, bytes) in four.iter_mut().zip(digest.chunks_exact(8)) {
                *entry = u64::from_le_bytes(bytes.try_into().expect("a chunk of 8 bytes"));
            }
        }
        Gear { table }
    }

    /// Length of the first chunk of `data`; all of it if it has no cut and no more than `MAX` bytes.
    pub(super) fn cut(&self, data: &[u8]) -> usize {
        let end = data.len().min(MAX);
        let strict = || self.find(STRICT, data, MIN, end.min(NORMAL - 1));
        let loose = || self.find(LOOSE, data, NORMAL, end);
        strict().or_else(loose).unwrap_or(end)
    }

    /// The first offset from `from` (at least 64) to `to`, both included, before which the hash is less than `limit`.
    pub(super) fn find(&self, limit: u64, data: &[u8], from: usize, to: usize) -> Option<usize> {
        lanes::find::<LANES, _>(&Rule { table: &self.table, limit }, data, from, to)
    }

    /// The hash of 64 bytes, straight from the definition.
    #[cfg(test)]
    pub(super) fn hash(&self, bytes: &[u8]) -> u64 {
        bytes.iter().fold(0_u64, |hash, byte| hash.wrapping_mul(2).wrapping_add(self.table[*byte as usize]))
    }
}

/// The hash with one of the two rules.
struct Rule<'a> {
    table: &'a [u64; 256],
    limit: u64,
}

impl Rolling for Rule<'_> {
    fn warm(&self, window: &[u8; WINDOW]) -> u64 {
        window.iter().fold(0, |hash, byte| self.roll(hash, 0, *byte))
    }

    #[inline(always)]
    fn roll(&self, hash: u64, _leaving: u8, entering: u8) -> u64 {
        (hash << 1).wrapping_add(self.table[entering as usize])
    }

    #[inline(always)]
    fn is_cut(&self, hash: u64) -> bool {
        hash < self.limit
    }
}

fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    parts.iter().for_each(|part| context.update(part));
    context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}
