//! Reading a disk that nobody writes: every chunk that has something in use, once, by several threads.

use std::error::Error;
use std::io;
use std::ops::Range;

use parking_lot::Mutex;
use repo::Cancel;

use crate::progress::Progress;
use crate::read::is_of_the_medium;
use crate::{CHUNK, Extents, ReadAt, Sink};

/// What happens when a part of a disk cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// The reading ends with an error.
    Fail,
    /// The part is zeros in the image, and is reported as a gap. Parts are tried down to this many bytes.
    Skip {
        /// Bytes of a sector.
        sector: u32,
    },
}

/// How to read.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What happens when a part cannot be read.
    pub unreadable: Unreadable,
    /// How many threads read; at least one.
    pub threads: usize,
}

/// Why a disk could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The disk gave no data.
    #[error("cannot read {length} bytes at {offset}")]
    Read {
        /// First byte.
        offset: u64,
        /// How many.
        length: u64,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// What was read could not be stored.
    #[error("cannot store what was read")]
    Store(#[source] Box<dyn Error + Send + Sync>),
    /// Somebody asked to stop.
    #[error("stopped on request")]
    Cancelled,
}

/// Reads every chunk of which something is in `used` and puts it, zeros where nothing is in use; returns the parts that could
/// not be read. Progress counts the bytes in use.
pub fn read(
    source: &dyn ReadAt,
    used: &Extents,
    sink: &dyn Sink,
    options: Options,
    progress: &Progress,
    cancel: &Cancel,
) -> Result<Extents, ReadError> {
    let reading = Reading {
        source,
        used,
        sink,
        options,
        progress,
        cancel,
        next: Mutex::new(Some(0)),
        gaps: Mutex::new(Extents::new()),
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..options.threads.max(1)).map(|_| scope.spawn(|| reading.work())).collect();
        let mut outcome = Ok(());
        for thread in threads {
            let one = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            outcome = outcome.and(one);
        }
        outcome
    })?;
    Ok(reading.gaps.into_inner())
}

struct Reading<'r> {
    source: &'r dyn ReadAt,
    used: &'r Extents,
    sink: &'r dyn Sink,
    options: Options,
    progress: &'r Progress,
    cancel: &'r Cancel,
    /// The chunk that is looked at next; `None` at the end.
    next: Mutex<Option<u64>>,
    gaps: Mutex<Extents>,
}

impl Reading<'_> {
    fn work(&self) -> Result<(), ReadError> {
        let outcome = self.work_on();
        if outcome.is_err() {
            // The others finish what they have and stop.
            *self.next.lock() = None;
        }
        outcome
    }

    fn work_on(&self) -> Result<(), ReadError> {
        while let Some(chunk) = self.take() {
            if self.cancel.is_cancelled() {
                return Err(ReadError::Cancelled);
            }
            let range = chunk * CHUNK..self.source.size().min((chunk + 1) * CHUNK);
            let (content, used) = self.chunk(&range)?;
            self.sink.put(chunk, content).map_err(ReadError::Store)?;
            self.progress.advance(used);
        }
        Ok(())
    }

    /// The next chunk of which something is in use.
    fn take(&self) -> Option<u64> {
        let mut next = self.next.lock();
        let from = next.take()?;
        let size = self.source.size();
        let first = self.used.within(from.checked_mul(CHUNK)?..size).next()?;
        let chunk = first.start / CHUNK;
        *next = Some(chunk + 1);
        Some(chunk)
    }

    /// A chunk with zeros where nothing is in use, and how many bytes are.
    fn chunk(&self, range: &Range<u64>) -> Result<(Vec<u8>, u64), ReadError> {
        let mut content = vec![0; (range.end - range.start) as usize];
        let parts: Vec<Range<u64>> = self.used.within(range.clone()).collect();
        let (Some(first), Some(last)) = (parts.first(), parts.last()) else { return Ok((content, 0)) };
        let at = |offset: u64| (offset - range.start) as usize;
        self.fill(first.start, &mut content[at(first.start)..at(last.end)])?;
        for pair in parts.windows(2) {
            content[at(pair[0].end)..at(pair[1].start)].fill(0);
        }
        let used = parts.iter().map(|part| part.end - part.start).sum();
        Ok((content, used))
    }

    fn fill(&self, offset: u64, into: &mut [u8]) -> Result<(), ReadError> {
        match (self.source.read_at(offset, into), self.options.unreadable) {
            (Ok(()), _) => Ok(()),
            (Err(cause), Unreadable::Skip { sector }) if is_of_the_medium(&cause) => {
                self.salvage(offset, into, sector.max(512) as usize);
                Ok(())
            }
            (Err(cause), _) => Err(ReadError::Read { offset, length: into.len() as u64, cause }),
        }
    }

    /// Reads what can be read by halves; what cannot becomes zeros and a gap.
    fn salvage(&self, offset: u64, into: &mut [u8], sector: usize) {
        if into.len() <= sector {
            if self.source.read_at(offset, into).is_err() {
                into.fill(0);
                self.gaps.lock().insert(offset..offset + into.len() as u64);
            }
            return;
        }
        let middle = (into.len() / 2).next_multiple_of(sector).min(into.len() - 1);
        let (left, right) = into.split_at_mut(middle);
        for (at, part) in [(offset, left), (offset + middle as u64, right)] {
            if self.source.read_at(at, part).is_err() {
                self.salvage(at, part, sector);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Default)]
    struct Kept(Mutex<BTreeMap<u64, Vec<u8>>>);

    impl Sink for Kept {
        fn put(&self, number: u64, content: Vec<u8>) -> Result<(), Box<dyn Error + Send + Sync>> {
            assert!(self.0.lock().insert(number, content).is_none(), "chunk {number} twice");
            Ok(())
        }
    }

    /// A disk with sectors that cannot be read.
    struct Worn(Vec<u8>, Extents, i32);

    impl ReadAt for Worn {
        fn size(&self) -> u64 {
            self.0.len() as u64
        }

        fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
            match self.1.touches(offset..offset + into.len() as u64) {
                true => Err(io::Error::from_raw_os_error(self.2)),
                false => self.0.read_at(offset, into),
            }
        }
    }

    fn run(
        source: &dyn ReadAt,
        used: &Extents,
        unreadable: Unreadable,
    ) -> (Result<Extents, ReadError>, BTreeMap<u64, Vec<u8>>) {
        let (kept, progress) = (Kept::default(), Progress::default());
        let options = Options { unreadable, threads: 3 };
        let outcome = read(source, used, &kept, options, &progress, &Cancel::default());
        if outcome.is_ok() {
            assert_eq!(progress.reached().done, used.bytes());
        }
        (outcome, kept.0.into_inner())
    }

    #[test]
    fn what_is_not_in_use_is_not_put_or_zeros() {
        let disk = vec![7u8; (5 << 20) + 512];
        let used = Extents::from_iter([100..200, 4096..8192, (3 << 20) - 10..(3 << 20) + 10, 5 << 20..(5 << 20) + 512]);
        let (outcome, kept) = run(&disk, &used, Unreadable::Fail);
        assert!(outcome.unwrap().is_empty());
        assert_eq!(kept.keys().copied().collect::<Vec<_>>(), [0, 2, 3, 5]);
        assert_eq!(kept[&5].len(), 512);
        for (number, content) in kept {
            for (at, byte) in content.iter().enumerate() {
                let offset = number * CHUNK + at as u64;
                assert_eq!(*byte == 7, used.touches(offset..offset + 1), "{offset}");
            }
        }
    }

    #[test]
    fn sectors_that_cannot_be_read_are_gaps_and_nothing_else_is_lost() {
        let bad = Extents::from_iter([4096..4608, (1 << 20) - 512..(1 << 20) + 1024]);
        let disk = Worn(vec![9; 3 << 20], bad.clone(), 5);
        let (outcome, kept) = run(&disk, &Extents::all(3 << 20), Unreadable::Skip { sector: 512 });
        assert_eq!(outcome.unwrap(), bad);
        let zeros: usize = kept.values().map(|content| content.iter().filter(|byte| **byte == 0).count()).sum();
        assert_eq!(zeros as u64, bad.bytes());
        assert!(matches!(run(&disk, &Extents::all(3 << 20), Unreadable::Fail).0, Err(ReadError::Read { .. })));
    }

    #[test]
    fn a_disk_that_is_gone_is_an_error_whatever_may_be_skipped() {
        const NO_SUCH_DEVICE: i32 = 6;
        let disk = Worn(vec![9; 3 << 20], Extents::all(3 << 20), NO_SUCH_DEVICE);
        let (outcome, _) = run(&disk, &Extents::all(3 << 20), Unreadable::Skip { sector: 512 });
        assert!(matches!(outcome, Err(ReadError::Read { .. })));
    }
}
