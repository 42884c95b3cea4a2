//! Sets of bytes of a disk, as ranges that are sorted, do not overlap and do not touch.

use std::collections::BTreeMap;
use std::ops::Range;

/// The bytes from `start` up to, not including, `end`.
pub type Extent = Range<u64>;

/// A set of bytes. Ranges are kept as few as can be: what touches becomes one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extents {
    /// Start to end.
    ranges: BTreeMap<u64, u64>,
}

impl Extents {
    /// No bytes.
    pub fn new() -> Extents {
        Extents::default()
    }

    /// All bytes of a disk of that size.
    pub fn all(size: u64) -> Extents {
        Extents::from(0..size)
    }

    /// Adds a range; an empty one adds nothing.
    pub fn insert(&mut self, range: Extent) {
        if range.is_empty() {
            return;
        }
        let Extent { mut start, mut end } = range;
        if let Some((&before, &its_end)) = self.ranges.range(..=start).next_back()
            && its_end >= start
        {
            start = before;
            end = end.max(its_end);
        }
        while let Some((&next, &its_end)) = self.ranges.range(start..=end).next() {
            end = end.max(its_end);
            self.ranges.remove(&next);
        }
        self.ranges.insert(start, end);
    }

    /// Takes a range away.
    pub fn remove(&mut self, range: Extent) {
        if range.is_empty() {
            return;
        }
        if let Some((&start, &end)) = self.ranges.range(..range.start).next_back()
            && end > range.start
        {
            self.ranges.insert(start, range.start);
            self.keep_rest(range.end, end);
        }
        while let Some((&start, &end)) = self.ranges.range(range.clone()).next() {
            self.ranges.remove(&start);
            self.keep_rest(range.end, end);
        }
    }

    fn keep_rest(&mut self, start: u64, end: u64) {
        if end > start {
            self.ranges.insert(start, end);
        }
    }

    /// The ranges in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Extent> + '_ {
        self.ranges.iter().map(|(&start, &end)| start..end)
    }

    /// The parts of a range that are in the set, in order.
    pub fn within(&self, range: Extent) -> impl Iterator<Item = Extent> + '_ {
        let first = self.ranges.range(..range.start).next_back().map_or(range.start, |(&start, _)| start);
        let last = range.end.max(first);
        self.ranges.range(first..last).filter_map(move |(&start, &end)| {
            let part = start.max(range.start)..end.min(range.end);
            (!part.is_empty()).then_some(part)
        })
    }

    /// True if any byte of the range is in the set.
    pub fn touches(&self, range: Extent) -> bool {
        self.within(range).next().is_some()
    }

    /// True if every byte of the range is in the set.
    pub fn covers(&self, range: Extent) -> bool {
        range.is_empty() || self.within(range.clone()).next() == Some(range)
    }

    /// The bytes below `size` that are not in the set.
    pub fn complement(&self, size: u64) -> Extents {
        let mut rest = Extents::all(size);
        self.iter().for_each(|range| rest.remove(range));
        rest
    }

    /// Bytes in both.
    pub fn intersection(&self, other: &Extents) -> Extents {
        self.iter().flat_map(|range| other.within(range)).collect()
    }

    /// The same set, every byte further along by `offset`.
    pub fn shifted(&self, offset: u64) -> Extents {
        self.iter().map(|range| range.start.saturating_add(offset)..range.end.saturating_add(offset)).collect()
    }

    /// The set widened to whole blocks of that size (not zero).
    pub fn widened(&self, block: u64) -> Extents {
        self.iter().map(|range| range.start / block * block..range.end.div_ceil(block).saturating_mul(block)).collect()
    }

    /// How many bytes.
    pub fn bytes(&self) -> u64 {
        self.iter().map(|range| range.end - range.start).sum()
    }

    /// How many ranges.
    pub fn count(&self) -> usize {
        self.ranges.len()
    }

    /// True if there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Just after the last byte; 0 if there is none.
    pub fn end(&self) -> u64 {
        self.ranges.last_key_value().map_or(0, |(_, &end)| end)
    }
}

impl Extend<Extent> for Extents {
    fn extend<I: IntoIterator<Item = Extent>>(&mut self, ranges: I) {
        ranges.into_iter().for_each(|range| self.insert(range));
    }
}

impl From<Extent> for Extents {
    fn from(range: Extent) -> Extents {
        Extents::from_iter(std::iter::once(range))
    }
}

impl FromIterator<Extent> for Extents {
    fn from_iter<I: IntoIterator<Item = Extent>>(ranges: I) -> Extents {
        let mut extents = Extents::new();
        extents.extend(ranges);
        extents
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIZE: u64 = 64;

    fn bytes(extents: &Extents) -> Vec<bool> {
        (0..SIZE).map(|byte| extents.touches(byte..byte + 1)).collect()
    }

    fn is_tidy(extents: &Extents) -> bool {
        let ranges: Vec<Extent> = extents.iter().collect();
        ranges.iter().all(|range| !range.is_empty()) && ranges.windows(2).all(|pair| pair[0].end < pair[1].start)
    }

    fn changes() -> impl Strategy<Value = Vec<(bool, u64, u64)>> {
        prop::collection::vec((any::<bool>(), 0..SIZE, 0..SIZE), 0..24)
    }

    fn apply(changes: &[(bool, u64, u64)]) -> (Extents, Vec<bool>) {
        let (mut extents, mut model) = (Extents::new(), vec![false; SIZE as usize]);
        for &(add, start, end) in changes {
            let range = start..end;
            match add {
                true => extents.insert(range),
                false => extents.remove(range),
            }
            (start..end).for_each(|byte| model[byte as usize] = add);
        }
        (extents, model)
    }

    proptest! {
        #[test]
        fn extents_are_a_set_of_bytes(changes in changes()) {
            let (extents, model) = apply(&changes);
            prop_assert_eq!(bytes(&extents), model.clone());
            prop_assert!(is_tidy(&extents));
            prop_assert_eq!(extents.bytes(), model.iter().filter(|used| **used).count() as u64);
            let rest: Vec<bool> = model.iter().map(|used| !used).collect();
            prop_assert_eq!(bytes(&extents.complement(SIZE)), rest);
        }

        #[test]
        fn two_sets_have_in_common_what_is_in_both(one in changes(), two in changes(), range in (0..SIZE, 0..SIZE)) {
            let ((one, first), (two, second)) = (apply(&one), apply(&two));
            let both: Vec<bool> = first.iter().zip(&second).map(|(a, b)| *a && *b).collect();
            prop_assert_eq!(bytes(&one.intersection(&two)), both);
            let covered = (range.0..range.1).all(|byte| first[byte as usize]);
            prop_assert_eq!(one.covers(range.0..range.1), covered);
        }
    }

    #[test]
    fn whole_blocks_are_taken_where_a_byte_is_used() {
        let extents = Extents::from_iter([5..6, 9..17]);
        assert_eq!(extents.widened(8), Extents::from(0..24));
        assert_eq!(extents.shifted(100).end(), 117);
    }
}
