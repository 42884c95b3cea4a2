//! Clusters of FAT and exFAT, and the table that says which follows which. A chain is followed as far as a length asks for.

use platform::FileType;

use super::super::{Clusters, Entry, FilesError, Handle, PIECE, Result, Take, shown};
use crate::used::fields::{le16, le32};
use crate::used::source::Source;

/// Where clusters lie.
pub(in crate::files) struct Chains {
    pub(in crate::files) source: Source<'static>,
    /// Bytes of a cluster.
    pub(in crate::files) cluster: u64,
    /// How many there are; the first is number 2.
    pub(in crate::files) clusters: u64,
    /// Where the first begins.
    pub(in crate::files) heap: u64,
    /// Where the table begins.
    pub(in crate::files) table: u64,
    /// Of an entry: 12, 16, 28 (FAT32) or 32 (exFAT).
    pub(in crate::files) bits: u32,
}

/// Takes a piece of a chain; false if it wants no more.
pub(in crate::files) type Piece<'p> = &'p mut dyn FnMut(&[u8]) -> Result<bool>;

/// Clusters that follow one another on the disk.
struct Run {
    start: u32,
    count: u64,
    /// What follows the last of them in the chain.
    next: Option<u32>,
}

impl Chains {
    /// The bytes of a file that an entry names.
    pub(in crate::files) fn read(&self, file: &Entry, each: Take<'_>) -> Result<()> {
        match file.handle {
            Handle::Clusters(clusters) if file.file_type == FileType::Regular => {
                self.file(&clusters, file.size, &mut |piece| each(piece).map(|()| true))
            }
            _ => Err(FilesError::NotAFile(shown(&file.name))),
        }
    }

    /// The bytes of a file: those that were written, then zeros up to `size`.
    fn file(&self, clusters: &Clusters, size: u64, each: Piece<'_>) -> Result<()> {
        let written = clusters.valid.min(size).min(clusters.length);
        let mut goes_on = true;
        let mut watch = |piece: &[u8]| {
            goes_on = each(piece)?;
            Ok(goes_on)
        };
        if written > 0 && self.follow(clusters.first, clusters.is_contiguous, written, &mut watch)? < written && goes_on
        {
            return Err(damaged("a file ends before its size"));
        }
        let mut left = size - written;
        let zeros = vec![0; PIECE.min(left) as usize];
        while goes_on && left > 0 {
            let length = left.min(PIECE) as usize;
            goes_on = each(&zeros[..length])?;
            left -= length as u64;
        }
        Ok(())
    }

    /// Reads up to `most` bytes of a chain; how many there were.
    pub(in crate::files) fn follow(&self, first: u32, is_contiguous: bool, most: u64, each: Piece<'_>) -> Result<u64> {
        let (mut cluster, mut done, mut bytes) = (Some(first), 0, vec![0; PIECE.min(most) as usize]);
        while let Some(start) = cluster.filter(|_| done < most) {
            let run = self.run(start, is_contiguous, most - done)?;
            let length = (run.count * self.cluster).min(most - done);
            let begin = self.heap + (u64::from(run.start) - 2) * self.cluster;
            let mut within = 0;
            while within < length {
                let part = PIECE.min(length - within) as usize;
                self.source.read_into("a chain of clusters", begin + within, &mut bytes[..part])?;
                done += part as u64;
                within += part as u64;
                if !each(&bytes[..part])? {
                    return Ok(done);
                }
            }
            cluster = run.next;
        }
        Ok(done)
    }

    /// As many clusters as follow one another and are wanted, up to a piece.
    fn run(&self, start: u32, is_contiguous: bool, wanted: u64) -> Result<Run> {
        let end = self.clusters + 2;
        if !(2..end).contains(&u64::from(start)) {
            return Err(damaged(format!("cluster {start} is not in the volume")));
        }
        let most = wanted.min(PIECE).div_ceil(self.cluster);
        if is_contiguous {
            let count = wanted.div_ceil(self.cluster);
            if u64::from(start) + count > end {
                return Err(damaged("a file lies beyond the end of the volume"));
            }
            return Ok(Run { start, count, next: None });
        }
        let mut run = Run { start, count: 1, next: self.next(start)? };
        while run.count < most && run.next.is_some_and(|next| u64::from(next) == u64::from(start) + run.count) {
            run.next = run.next.map(|next| self.next(next)).transpose()?.flatten();
            run.count += 1;
        }
        Ok(run)
    }

    /// What follows a cluster; `None` at the end of the chain.
    fn next(&self, cluster: u32) -> Result<Option<u32>> {
        let number = u64::from(cluster);
        if !(2..self.clusters + 2).contains(&number) {
            return Err(damaged(format!("cluster {cluster} is not in the volume")));
        }
        let (offset, width) = match self.bits {
            12 => (number * 3 / 2, 2),
            16 => (number * 2, 2),
            _ => (number * 4, 4),
        };
        let mut bytes = [0; 4];
        self.source.read_into("the FAT", self.table + offset, &mut bytes[..width])?;
        let (entry, last) = match self.bits {
            12 => (u32::from(le16(&bytes, 0) >> (number % 2 * 4) & 0xfff), 0xff8),
            16 => (u32::from(le16(&bytes, 0)), 0xfff8),
            28 => (le32(&bytes, 0) & 0x0fff_ffff, 0x0fff_fff8),
            _ => (le32(&bytes, 0), 0xffff_fff8),
        };
        match entry {
            0 | 1 => Err(damaged(format!("cluster {cluster} is in a file and free"))),
            entry if entry >= last => Ok(None),
            entry => Ok(Some(entry)),
        }
    }
}

fn damaged(what: impl Into<String>) -> FilesError {
    FilesError::Damaged(what.into())
}
