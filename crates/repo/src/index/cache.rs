//! The directory of one repository's cache files. Everything in it can be removed at any time; failing to write it is no
//! error, because the index files themselves are the truth.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use backend::Id;

use super::row::Row;
use super::segment::{Segment, SegmentWriter, merge};
use crate::{Error, Result};

/// A file is merged with smaller ones if it has at most so many times their rows: each row is copied a few times at most.
const MERGE_RATIO: usize = 4;

/// Fewer blobs from fewer files are decoded again next time rather than cached.
const WORTH_A_FILE: (usize, usize) = (4096, 8);

/// Where a repository's cache files are.
#[derive(Clone, Debug)]
pub(crate) struct IndexCache {
    /// The directory, made when it is first written to.
    pub(crate) directory: PathBuf,
    /// The repository's id, which every file names.
    pub(crate) repository: Id,
}

impl IndexCache {
    /// The files that cover only index files that exist, no two of them the same; all others are removed.
    pub(super) fn open(&self, existing: &HashSet<Id>) -> Vec<Segment> {
        let mut segments = Vec::new();
        for path in self.paths() {
            match self.open_one(&path, existing) {
                Some(segment) => segments.push(segment),
                None => self.remove_if_ours(&path),
            }
        }
        segments.sort_by_key(|segment| std::cmp::Reverse(segment.len()));
        let mut covered = HashSet::new();
        segments.retain(|segment| {
            let ids = segment.covered().unwrap_or_default();
            let new = ids.iter().all(|id| !covered.contains(id));
            match new {
                true => covered.extend(ids),
                false => self.remove_if_ours(segment.path()),
            }
            new
        });
        segments
    }

    fn open_one(&self, path: &Path, existing: &HashSet<Id>) -> Option<Segment> {
        let segment = Segment::open(path, &self.repository)?;
        segment.covered().is_ok_and(|ids| ids.iter().all(|id| existing.contains(id))).then_some(segment)
    }

    fn paths(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.directory).into_iter().flatten();
        entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
    }

    /// Removes what no run can use any more: not a file that another process is writing just now.
    fn remove_if_ours(&self, path: &Path) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let writer = name.strip_prefix("unfinished-").map(|rest| rest.split('-').next().unwrap_or_default().parse());
        let in_use = matches!(writer, Some(Ok(pid)) if crate::lock::is_process_alive(pid));
        if (name.ends_with(".segment") || writer.is_some()) && !in_use {
            // A file that stays is looked at again by the next run.
            let _ = std::fs::remove_file(path);
        }
    }

    /// Merges small files so that few remain. Errors leave what was there; damaged files are removed and reported as `None`.
    pub(super) fn consolidate(&self, mut segments: Vec<Segment>) -> Option<Vec<Segment>> {
        segments.sort_by_key(Segment::len);
        let count = mergeable(&segments.iter().map(Segment::len).collect::<Vec<_>>());
        if count < 2 {
            return Some(segments);
        }
        let merged: Vec<&Segment> = segments[..count].iter().collect();
        match merge(&self.directory, self.repository, &merged) {
            Ok(path) => {
                let Some(segment) = Segment::open(&path, &self.repository) else { return Some(segments) };
                for old in segments.drain(..count).filter(|old| old.path() != path) {
                    let _ = std::fs::remove_file(old.path());
                }
                segments.push(segment);
                Some(segments)
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                merged.iter().for_each(|segment| self.remove_if_ours(segment.path()));
                None
            }
            Err(_) => Some(segments),
        }
    }
}

/// How many of the smallest files, given by their rows in ascending order, are merged into one.
fn mergeable(sizes: &[usize]) -> usize {
    let mut sum = 0;
    let grows = |size: &&usize| {
        let merge = sum == 0 || **size <= MERGE_RATIO * sum;
        sum += **size;
        merge
    };
    sizes.iter().take_while(grows).count()
}

/// Rows of some index files on their way into a cache file.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) covered: Vec<Id>,
    /// Packs in the order of their numbers, which the rows use.
    pub(super) packs: Vec<Id>,
    pub(super) rows: Vec<Row>,
}

impl Batch {
    pub(super) fn is_worth_a_file(&self) -> bool {
        self.rows.len() >= WORTH_A_FILE.0 || self.covered.len() >= WORTH_A_FILE.1
    }

    /// Writes the batch as a cache file.
    pub(super) fn write(&mut self, cache: &IndexCache) -> io::Result<Segment> {
        let packs = self.sort();
        let covered = std::mem::take(&mut self.covered);
        let mut writer =
            SegmentWriter::new(&cache.directory, cache.repository, covered.clone(), &packs, self.rows.len())?;
        self.covered = covered;
        for row in &self.rows {
            writer.push(*row)?;
        }
        let path = writer.finish()?;
        Segment::open(&path, &cache.repository).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    }

    /// Sorts packs and rows, each once, and returns the packs.
    fn sort(&mut self) -> Vec<Id> {
        let mut packs = self.packs.clone();
        packs.sort_unstable();
        packs.dedup();
        let number = |pack| packs.binary_search(pack).expect("it is one of them") as u32;
        let numbers: Vec<u32> = self.packs.iter().map(number).collect();
        self.rows.iter_mut().for_each(|row| *row = row.with_pack(numbers[row.pack() as usize]));
        self.rows.sort_unstable();
        self.rows.dedup();
        self.packs.clone_from(&packs);
        packs
    }
}

/// Removes a repository's cache files, durably.
pub(crate) fn remove_cache(cache: &IndexCache) -> Result<()> {
    let remove = || -> io::Result<()> {
        std::fs::remove_dir_all(&cache.directory)?;
        match cache.directory.parent() {
            Some(parent) => std::fs::File::open(parent)?.sync_all(),
            None => Ok(()),
        }
    };
    match remove() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(Error::Local { action: "remove", path: cache.directory.clone(), source }),
        Ok(()) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::mergeable;

    #[test]
    fn small_files_are_merged_and_large_ones_left_alone() {
        assert_eq!(mergeable(&[]), 0);
        assert_eq!(mergeable(&[10]), 1);
        assert_eq!(mergeable(&[10, 41]), 1);
        assert_eq!(mergeable(&[10, 40]), 2);
        assert_eq!(mergeable(&[10, 10, 80, 1000]), 3);
        assert_eq!(mergeable(&[5, 10_000_000]), 1);
    }
}
