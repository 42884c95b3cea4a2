//! The copying of chunks from a repository to where they belong: compare if asked to, make zeros, fetch and write; read back.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use backend::Id;
use parking_lot::Mutex;
use repo::{Cancel, Repository};

use super::fetch::{self, Fetch, Fetcher};
use super::pieces::{Piece, Pieces};
use super::target::{Aligned, Target};
use super::{Failure, Options, Report, RestoreError, Unused};
use crate::CHUNK;
use crate::image::{StoredDisk, zero_chunk};
use crate::progress::{Phase, Progress};

/// Segments whose chunks are in memory at a time: packs that two of them share are read for both at once.
const BATCH: u64 = 4;

/// Failures that are told; more are only counted as failed.
const MOST_FAILURES: usize = 1000;

fn failed(action: &'static str, path: &Path, cause: std::io::Error) -> RestoreError {
    RestoreError::Target { action, path: path.to_owned(), cause }
}

/// A chunk as the image has it.
#[derive(Clone, Copy)]
struct Wanted {
    chunk: u64,
    /// `None` for zeros.
    id: Option<Id>,
}

/// What is copied from where to where.
#[derive(Clone, Copy)]
pub(super) struct Job<'j> {
    pub(super) repo: &'j Repository,
    pub(super) disk: &'j StoredDisk,
    /// Which bytes, and where they go.
    pub(super) pieces: &'j Pieces,
    pub(super) target: &'j Target,
    /// The target's name.
    pub(super) path: &'j Path,
    pub(super) how: Options,
    pub(super) progress: &'j Progress,
    pub(super) cancel: &'j Cancel,
}

/// A copy at work.
pub(super) struct Copy<'j> {
    job: Job<'j>,
    zeros: [Id; 2],
    threads: usize,
    written: AtomicU64,
    unchanged: AtomicU64,
    zeroed: AtomicU64,
    left: AtomicU64,
    verified: AtomicU64,
    failures: Mutex<Vec<Failure>>,
    stop: Mutex<Option<RestoreError>>,
}

impl<'j> Copy<'j> {
    pub(super) fn new(job: Job<'j>) -> Copy<'j> {
        let geometry = &job.disk.geometry;
        let last = geometry.chunk_length(geometry.chunks().saturating_sub(1));
        let zeros = [CHUNK as usize, last].map(zero_chunk);
        // Who waits for a disk or a network does not compute meanwhile.
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        let threads = (processors + job.repo.backend().connections().min(8)).max(4);
        let (written, unchanged, zeroed, left, verified) = Default::default();
        let (failures, stop) = (Mutex::default(), Mutex::default());
        Copy { job, zeros, threads, written, unchanged, zeroed, left, verified, failures, stop }
    }

    pub(super) fn report(self) -> Report {
        Report {
            written: self.written.into_inner(),
            unchanged: self.unchanged.into_inner(),
            zeros: self.zeroed.into_inner(),
            left: self.left.into_inner(),
            verified: self.verified.into_inner(),
            failures: self.failures.into_inner(),
            ..Report::default()
        }
    }

    /// Writes everything that is in a piece.
    pub(super) fn run(&self) -> Result<(), RestoreError> {
        for batch in self.batches() {
            let mut wanted = self.wanted(batch)?;
            if self.job.how.delta && !self.job.target.is_fresh() {
                wanted = self.differing(&wanted)?;
            }
            self.make_zeros(&wanted)?;
            self.write(&wanted)?;
        }
        Ok(())
    }

    fn batches(&self) -> impl Iterator<Item = Range<u64>> {
        let segments = self.job.disk.geometry.segments();
        (0..segments).step_by(BATCH as usize).map(move |first| first..segments.min(first + BATCH))
    }

    fn wanted(&self, segments: Range<u64>) -> Result<Vec<Wanted>, RestoreError> {
        let mut wanted = Vec::new();
        for segment in segments {
            let ids = self.job.disk.chunks(self.job.repo, segment)?;
            let chunks = self.job.disk.geometry.chunks_of(segment);
            let goes = |chunk: &u64| self.job.pieces.touch(self.job.disk.geometry.bytes_of(*chunk));
            let is_zero = |id: &Id| self.zeros.contains(id);
            let all = chunks.zip(ids).filter(|(chunk, _)| goes(chunk));
            wanted.extend(all.map(|(chunk, id)| Wanted { chunk, id: Some(id).filter(|id| !is_zero(id)) }));
        }
        Ok(wanted)
    }

    /// Those of which the target has something else.
    fn differing(&self, wanted: &[Wanted]) -> Result<Vec<Wanted>, RestoreError> {
        let differing = Mutex::new(Vec::new());
        self.spread(wanted.len(), |number, buffer| {
            let (chunk, is_equal) = (wanted[number].chunk, self.is_equal(&wanted[number], buffer)?);
            if is_equal {
                let length = self.length(chunk);
                let figure = if wanted[number].id.is_some() { &self.unchanged } else { &self.zeroed };
                self.count(figure, length);
            } else {
                differing.lock().push(wanted[number]);
            }
            Ok(())
        })?;
        let mut differing = differing.into_inner();
        differing.sort_unstable_by_key(|wanted| wanted.chunk);
        Ok(differing)
    }

    fn is_equal(&self, wanted: &Wanted, buffer: &mut Aligned) -> Result<bool, RestoreError> {
        if wanted.id.is_none() && self.job.how.unused == Unused::Leave {
            return Ok(false);
        }
        let range = self.job.disk.geometry.bytes_of(wanted.chunk);
        // What is only partly on the target cannot be told from its hash.
        if wanted.id.is_some() && !self.job.pieces.cover(range.clone()) {
            return Ok(false);
        }
        let parts: Vec<_> = self.job.pieces.within(range).collect();
        let failed = |cause| failed("read", self.job.path, cause);
        let whole = |part: &Piece| (part.source.end - part.source.start) as usize;
        match (wanted.id, &parts[..]) {
            (Some(id), [only]) => {
                Ok(Id::of(self.job.target.read(only.target, whole(only), buffer).map_err(failed)?) == id)
            }
            (Some(id), parts) => {
                let mut content = Vec::with_capacity(CHUNK as usize);
                for part in parts {
                    content.extend_from_slice(self.job.target.read(part.target, whole(part), buffer).map_err(failed)?);
                }
                Ok(Id::of(&content) == id)
            }
            (None, parts) => {
                for part in parts {
                    let content = self.job.target.read(part.target, whole(part), buffer).map_err(failed)?;
                    if content.iter().any(|byte| *byte != 0) {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
        }
    }

    /// Makes what is to be zeros zeros, in ranges as long as can be.
    fn make_zeros(&self, wanted: &[Wanted]) -> Result<(), RestoreError> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for chunk in wanted.iter().filter(|wanted| wanted.id.is_none()).map(|wanted| wanted.chunk) {
            let bytes = self.job.disk.geometry.bytes_of(chunk);
            match ranges.last_mut().filter(|last| last.end == bytes.start) {
                Some(last) => last.end = bytes.end,
                None => ranges.push(bytes),
            }
        }
        let unused = self.job.how.unused;
        self.spread(ranges.len(), |number, buffer| {
            let range = ranges[number].clone();
            for piece in self.job.pieces.within(range.clone()) {
                let there = piece.target..piece.target + (piece.source.end - piece.source.start);
                let done = self.job.target.zero(there, unused, buffer);
                done.map_err(|cause| failed("make zeros on", self.job.path, cause))?;
            }
            let leaves = unused == Unused::Leave && !self.job.target.is_fresh();
            self.count(if leaves { &self.left } else { &self.zeroed }, range.end - range.start);
            Ok(())
        })
    }

    fn write(&self, wanted: &[Wanted]) -> Result<(), RestoreError> {
        let chunks: Vec<(u64, Id)> = wanted.iter().filter_map(|wanted| Some((wanted.chunk, wanted.id?))).collect();
        let (fetches, lost) = fetch::plan(self.job.repo, &chunks)?;
        lost.into_iter().for_each(|chunk| self.lost(chunk, "the repository does not have it".into()));
        let next = AtomicUsize::new(0);
        self.threads(|| {
            let (mut fetcher, mut buffer) = (Fetcher::new(self.job.repo), Aligned::default());
            while let Some(fetch) = fetches.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.check()?;
                self.fetch(&mut fetcher, fetch, &mut buffer)?;
            }
            Ok(())
        })
    }

    fn fetch(&self, fetcher: &mut Fetcher<'_>, fetch: &Fetch, buffer: &mut Aligned) -> Result<(), RestoreError> {
        let mut outcome = Ok(());
        fetcher.fetch(fetch, &mut |pieces, plain| {
            let one = pieces.iter().try_for_each(|piece| match &plain {
                Ok(plain) => self.put(piece, plain, buffer),
                Err(error) => {
                    self.lost(piece.chunk, error.to_string());
                    Ok(())
                }
            });
            if outcome.is_ok() {
                outcome = one;
            }
        });
        outcome
    }

    fn put(&self, piece: &fetch::Piece, plain: &[u8], buffer: &mut Aligned) -> Result<(), RestoreError> {
        let length = self.length(piece.chunk);
        if plain.len() as u64 != length {
            self.lost(piece.chunk, format!("its blob has {} bytes", plain.len()));
            return Ok(());
        }
        let start = piece.chunk * CHUNK;
        for part in self.job.pieces.within(start..start + length) {
            let bytes = &plain[(part.source.start - start) as usize..(part.source.end - start) as usize];
            let written = self.job.target.write(part.target, bytes, buffer);
            written.map_err(|cause| failed("write to", self.job.path, cause))?;
        }
        self.count(&self.written, length);
        Ok(())
    }

    fn length(&self, chunk: u64) -> u64 {
        self.job.disk.geometry.chunk_length(chunk) as u64
    }

    fn count(&self, figure: &AtomicU64, bytes: u64) {
        figure.fetch_add(bytes, Ordering::Relaxed);
        self.job.progress.advance(bytes);
    }

    fn lost(&self, chunk: u64, reason: String) {
        let mut failures = self.failures.lock();
        if failures.len() < MOST_FAILURES {
            failures.push(Failure { offset: chunk * CHUNK, length: self.length(chunk), reason });
        }
    }

    /// Reads everything back that is in a piece.
    pub(super) fn verify(&self) -> Result<(), RestoreError> {
        self.job.progress.enter(Phase::Verifying, self.job.disk.geometry.size());
        let lost: Vec<u64> = self.failures.lock().iter().map(|failure| failure.offset / CHUNK).collect();
        for batch in self.batches() {
            let wanted = self.wanted(batch)?;
            self.spread(wanted.len(), |number, buffer| self.verify_chunk(&wanted[number], &lost, buffer))?;
        }
        Ok(())
    }

    fn verify_chunk(&self, wanted: &Wanted, lost: &[u64], buffer: &mut Aligned) -> Result<(), RestoreError> {
        let length = self.length(wanted.chunk);
        let is_zeroed = self.job.how.unused == Unused::Zero || self.job.target.is_fresh();
        let is_whole = self.job.pieces.cover(self.job.disk.geometry.bytes_of(wanted.chunk));
        if (wanted.id.is_none() && !is_zeroed) || !is_whole || lost.contains(&wanted.chunk) {
            self.job.progress.advance(length);
            return Ok(());
        }
        match self.is_equal(wanted, buffer)? {
            true => self.count(&self.verified, length),
            false => self.lost(wanted.chunk, "the target reads back something else".into()),
        }
        Ok(())
    }

    /// Does `work` for all numbers below `count` on several threads, in about their order.
    fn spread(
        &self,
        count: usize,
        work: impl Fn(usize, &mut Aligned) -> Result<(), RestoreError> + Sync,
    ) -> Result<(), RestoreError> {
        let next = AtomicUsize::new(0);
        self.threads(|| {
            let mut buffer = Aligned::default();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok(());
                }
                self.check()?;
                work(number, &mut buffer)?;
            }
        })
    }

    /// Runs the same on all threads; the first error stops them.
    fn threads(&self, work: impl Fn() -> Result<(), RestoreError> + Sync) -> Result<(), RestoreError> {
        let run = || {
            if let Err(error) = work() {
                self.stop.lock().get_or_insert(error);
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..self.threads {
                scope.spawn(run);
            }
            run();
        });
        self.stop.lock().take().map_or(Ok(()), Err)
    }

    fn check(&self) -> Result<(), RestoreError> {
        let stopped = self.job.cancel.is_cancelled() || self.stop.lock().is_some();
        if stopped { Err(RestoreError::Cancelled) } else { Ok(()) }
    }
}
