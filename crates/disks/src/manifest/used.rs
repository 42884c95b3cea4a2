//! Which parts of a disk are in use, compactly: lengths of what is free and what is used, by turns.

use serde::{Deserialize, Serialize};

use crate::Extents;

/// The parts of a disk that are in use. Where that would be too many runs, the unit is larger, and what shares a unit with
/// something used counts as used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedMap {
    /// Bytes that the runs are counted in: a power of two from 512 bytes.
    pub unit: u64,
    /// Units that are free, then used, then free, and so on from the beginning of the disk. Free after the last.
    pub runs: Vec<u64>,
}

/// More runs are not written: about a mebibyte of JSON.
const MAX_RUNS: usize = 200_000;

/// The smallest unit.
const SECTOR: u64 = 512;

impl UsedMap {
    /// The map of a disk of `size` bytes.
    pub fn new(used: &Extents, size: u64) -> UsedMap {
        let mut unit = 4096;
        let mut widened = clipped(used, size).widened(unit);
        while widened.count() * 2 > MAX_RUNS {
            unit *= 2;
            widened = widened.widened(unit);
        }
        let mut runs = Vec::with_capacity(widened.count() * 2);
        let mut at = 0;
        for range in widened.iter() {
            runs.push((range.start - at) / unit);
            runs.push((range.end - range.start) / unit);
            at = range.end;
        }
        UsedMap { unit, runs }
    }

    /// The parts in use of a disk of `size` bytes. Check the map first.
    pub fn extents(&self, size: u64) -> Extents {
        let mut extents = Extents::new();
        let mut at = 0u64;
        for pair in self.runs.chunks_exact(2) {
            let start = at.saturating_add(pair[0].saturating_mul(self.unit));
            at = start.saturating_add(pair[1].saturating_mul(self.unit));
            extents.insert(start.min(size)..at.min(size));
        }
        extents
    }

    /// An error in words if the map is none of a disk of `size` bytes.
    pub(super) fn check(&self, size: u64) -> Result<(), String> {
        if !self.unit.is_power_of_two() || self.unit < SECTOR || self.runs.len() > MAX_RUNS || self.runs.len() % 2 == 1
        {
            let (unit, count) = (self.unit, self.runs.len());
            return Err(format!("its used map has {count} runs in units of {unit} bytes"));
        }
        let total = self.runs.iter().try_fold(0u64, |sum, run| sum.checked_add(*run));
        match total.and_then(|units| units.checked_mul(self.unit)) {
            // The last unit of a disk may be cut.
            Some(end) if end <= size.div_ceil(self.unit).saturating_mul(self.unit) => Ok(()),
            _ => Err("its used map goes beyond its end".into()),
        }
    }
}

fn clipped(used: &Extents, size: u64) -> Extents {
    used.within(0..size).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_reads_back_in_whole_blocks() {
        let used = Extents::from_iter([100..200, 8192..20_000, 99_000..100_000]);
        let map = UsedMap::new(&used, 100_000);
        assert_eq!(map.runs, [0, 1, 1, 3, 19, 1]);
        map.check(100_000).unwrap();
        assert_eq!(map.extents(100_000), Extents::from_iter([0..4096, 8192..20_480, 98_304..100_000]));
        assert_eq!(UsedMap::new(&Extents::all(1 << 40), 1 << 40).runs.len(), 2);
        assert!(UsedMap::new(&Extents::new(), 100).extents(100).is_empty());
    }

    #[test]
    fn a_shattered_disk_has_a_coarser_map_that_covers_it() {
        let size = 4 << 30;
        let used: Extents = (0..size / 8192).map(|number| number * 8192..number * 8192 + 4096).collect();
        let map = UsedMap::new(&used, size);
        assert!(map.runs.len() <= MAX_RUNS && map.unit > 4096);
        let covered = map.extents(size);
        assert!(used.iter().all(|range| covered.covers(range)));
    }
}
