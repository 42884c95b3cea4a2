//! Merging cache files into one, row by row.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::path::{Path, PathBuf};

use backend::Id;

use super::{Damaged, Read, Segment, SegmentWriter};
use crate::index::row::Row;

/// Merges cache files of a repository into a new one that covers what they cover. Damage in one of them is an error.
pub(in crate::index) fn merge(directory: &Path, repository: Id, segments: &[&Segment]) -> io::Result<PathBuf> {
    let damaged = |Damaged| io::Error::new(io::ErrorKind::InvalidData, "a cache file is damaged");
    let covered = segments.iter().map(|segment| segment.covered()).collect::<Read<Vec<_>>>().map_err(damaged)?;
    let (packs, numbers) = merge_packs(segments).map_err(damaged)?;
    let rows = segments.iter().map(|segment| segment.len()).sum();
    let mut writer = SegmentWriter::new(directory, repository, covered.concat(), &packs, rows)?;
    let mut last = None;
    let mut next = BinaryHeap::new();
    for (from, segment) in segments.iter().enumerate() {
        push_next(&mut next, segment, from, 0, &numbers[from]).map_err(damaged)?;
    }
    while let Some(Reverse((row, from, at))) = next.pop() {
        if last.replace(row) != Some(row) {
            writer.push(row)?;
        }
        push_next(&mut next, segments[from], from, at + 1, &numbers[from]).map_err(damaged)?;
    }
    writer.finish()
}

type Next = BinaryHeap<Reverse<(Row, usize, usize)>>;

fn push_next(next: &mut Next, segment: &Segment, from: usize, at: usize, numbers: &[u32]) -> Read<()> {
    if at < segment.len() {
        let row = segment.row(at)?;
        let number = numbers.get(row.pack() as usize).ok_or(Damaged)?;
        next.push(Reverse((row.with_pack(*number), from, at)));
    }
    Ok(())
}

/// All packs, ascending, and for each segment the new numbers of its packs.
fn merge_packs(segments: &[&Segment]) -> Read<(Vec<Id>, Vec<Vec<u32>>)> {
    let mut packs = Vec::new();
    for segment in segments {
        for number in 0..segment.packs() {
            packs.push(segment.pack(number)?);
        }
    }
    packs.sort_unstable();
    packs.dedup();
    let number = |segment: &Segment, pack| Ok(packs.binary_search(&segment.pack(pack)?).map_err(|_| Damaged)? as u32);
    let numbers = segments.iter().map(|segment| (0..segment.packs()).map(|pack| number(segment, pack)).collect());
    let numbers = numbers.collect::<Read<Vec<Vec<u32>>>>()?;
    Ok((packs, numbers))
}
