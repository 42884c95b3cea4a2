//! Free ranges as a parser finds them. Memory is bounded: where there are too many ranges, the small ones count as used.

use crate::{Extent, Extents};

/// Ranges kept: about 40 MiB. A filesystem with more holes than this is imaged with some of them.
const MOST: usize = 1 << 20;

/// Collects ranges, best in ascending order.
#[derive(Debug)]
pub(crate) struct FreeList {
    extents: Extents,
    /// The last range, which may still grow.
    pending: Extent,
    /// Shorter ranges are not kept any more.
    shortest: u64,
    /// Ranges beyond are cut off.
    end: u64,
    most: usize,
}

impl FreeList {
    /// For a filesystem of that many bytes.
    pub(crate) fn new(end: u64) -> FreeList {
        FreeList { extents: Extents::new(), pending: 0..0, shortest: 1, end, most: MOST }
    }

    /// Adds a free range.
    pub(crate) fn add(&mut self, range: Extent) {
        let range = range.start..range.end.min(self.end);
        if range.is_empty() {
            return;
        }
        if range.start == self.pending.end {
            self.pending.end = range.end;
            return;
        }
        self.keep_pending();
        self.pending = range;
    }

    /// Adds blocks of a size in bytes.
    pub(crate) fn add_blocks(&mut self, blocks: Extent, block: u64) {
        self.add(blocks.start.saturating_mul(block)..blocks.end.saturating_mul(block));
    }

    /// Takes a range back.
    pub(crate) fn remove(&mut self, range: Extent) {
        self.keep_pending();
        self.extents.remove(range);
    }

    fn keep_pending(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        if pending.end - pending.start >= self.shortest {
            self.extents.insert(pending);
        }
        while self.extents.count() > self.most {
            self.shortest = self.shortest.max(512) * 2;
            let shortest = self.shortest;
            self.extents = self.extents.iter().filter(|range| range.end - range.start >= shortest).collect();
        }
    }

    /// All that was kept, and a warning if that is not all.
    pub(crate) fn finish(mut self) -> (Extents, Option<String>) {
        self.keep_pending();
        let warning = (self.shortest > 1)
            .then(|| format!("free space is so scattered that pieces below {} bytes count as used", self.shortest));
        (self.extents, warning)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_become_one_and_nothing_goes_beyond_the_end() {
        let mut list = FreeList::new(100);
        [0..10, 10..20, 30..40, 90..200, 300..400].into_iter().for_each(|range| list.add(range));
        let (extents, warning) = list.finish();
        assert_eq!(extents, Extents::from_iter([0..20, 30..40, 90..100]));
        assert_eq!(warning, None);
    }

    #[test]
    fn a_sieve_costs_bounded_memory_and_says_so() {
        let mut list = FreeList::new(u64::MAX);
        list.most = 100;
        (0..10_000).for_each(|number| list.add(number * 8192..number * 8192 + 4096));
        list.add(1 << 40..1 << 41);
        let (extents, warning) = list.finish();
        assert!(extents.count() <= 100 && extents.covers(1 << 40..1 << 41));
        assert!(warning.unwrap().contains("count as used"));
    }
}
