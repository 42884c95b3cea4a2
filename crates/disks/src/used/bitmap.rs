//! Allocation bitmaps, least significant bit first, where a set bit is a block in use.

use std::ops::Range;

/// Calls `each` with every run of clear bits among the first `count`; bits beyond the end of the bitmap are not clear.
pub(crate) fn clear_runs(bitmap: &[u8], count: u64, mut each: impl FnMut(Range<u64>)) {
    let count = count.min(bitmap.len() as u64 * 8);
    let mut at = 0;
    while let Some(start) = next(bitmap, at, count, 0) {
        let end = next(bitmap, start, count, u64::MAX).unwrap_or(count);
        each(start..end);
        at = end;
    }
}

/// The first bit from `at` on that is clear (`flip` 0) or set (`flip` all ones).
fn next(bitmap: &[u8], mut at: u64, count: u64, flip: u64) -> Option<u64> {
    while at < count {
        let word = word(bitmap, (at / 64) as usize) ^ flip;
        let found = (!word) & (u64::MAX << (at % 64));
        if found != 0 {
            return Some(at / 64 * 64 + u64::from(found.trailing_zeros())).filter(|bit| *bit < count);
        }
        at = (at / 64 + 1) * 64;
    }
    None
}

fn word(bitmap: &[u8], number: usize) -> u64 {
    let mut bytes = [0; 8];
    let there = &bitmap[number * 8..bitmap.len().min(number * 8 + 8)];
    bytes[..there.len()].copy_from_slice(there);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn runs_are_the_clear_bits(bitmap in prop::collection::vec(prop_oneof![Just(0), Just(255), any::<u8>()], 0..40), count in 0..400_u64) {
            let mut found = Vec::new();
            let mut last = None;
            clear_runs(&bitmap, count, |run| {
                assert!(run.start < run.end && last.is_none_or(|end| run.start > end));
                last = Some(run.end);
                found.extend(run);
            });
            let is_clear = |bit: &u64| bitmap[*bit as usize / 8] & 1 << (bit % 8) == 0;
            let expected: Vec<u64> = (0..count.min(bitmap.len() as u64 * 8)).filter(is_clear).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
