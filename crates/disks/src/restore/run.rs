//! A restore at work: segment by segment, compare if asked to, make zeros, fetch and write; then read back if asked to.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use backend::Id;
use parking_lot::Mutex;
use platform::direct::Claim;
use repo::{Cancel, Repository};

use super::fetch::{self, Fetch, Fetcher, Piece};
use super::plan::{Caution, Look, Surroundings, TargetKind};
use super::target::{Aligned, Existing, Target};
use super::{Consent, Failure, Fit, Plan, Report, RestoreError, Unused};
use crate::CHUNK;
use crate::image::{StoredDisk, StoredImages, zero_chunk};
use crate::progress::{Phase, Progress};

/// Segments whose chunks are in memory at a time: packs that two of them share are read for both at once.
const BATCH: u64 = 4;

/// Failures that are told; more are only counted as failed.
const MOST_FAILURES: usize = 1000;

/// Does what the plan says.
///
/// # Errors
/// Anything that the plan refuses or warns about without consent, a target that is not as the plan says, and what ends the
/// work early. Chunks that could not be had are in the report, and everything else is written.
pub fn execute(
    repo: &Repository,
    images: &StoredImages,
    plan: &Plan,
    consent: &Consent,
    around: &Surroundings,
    progress: &Progress,
    cancel: &Cancel,
) -> Result<Report, RestoreError> {
    check_consent(plan, consent)?;
    check_unchanged(plan, around)?;
    let (disk, _) = images
        .disk(&plan.disk)
        .filter(|_| images.snapshot == plan.snapshot)
        .ok_or_else(|| RestoreError::Refused(format!("the plan is not for snapshot {}", images.snapshot.short())))?;
    repo.index()?;
    let target = open(plan)?;
    // Only now: what could not be opened was not begun.
    let marker = plan.marker();
    if let Some(state) = &around.state {
        marker.set(state).map_err(|cause| failed("note the restore in", state, cause))?;
    }
    let work = Work::new(repo, disk, plan, target, progress, cancel);
    work.restore()?;
    work.target.sync().map_err(|cause| failed("finish writing", &plan.target.path, cause))?;
    if plan.how.verify {
        work.verify()?;
    }
    progress.enter(Phase::Finished, 0);
    let report = work.report();
    if let Some(state) = around.state.as_deref().filter(|_| report.failures.is_empty()) {
        marker.clear(state);
    }
    Ok(report)
}

fn failed(action: &'static str, path: &Path, cause: std::io::Error) -> RestoreError {
    RestoreError::Target { action, path: path.to_owned(), cause }
}

fn check_consent(plan: &Plan, consent: &Consent) -> Result<(), RestoreError> {
    if let Some(refusal) = &plan.refusal {
        return Err(RestoreError::Refused(refusal.clone()));
    }
    let expected = &plan.target.name;
    match consent {
        Consent::Overwrite(given) if given.trim_start_matches("/dev/") != expected => {
            Err(RestoreError::WrongName { given: given.clone(), expected: expected.clone() })
        }
        Consent::None if !plan.cautions.is_empty() => {
            Err(RestoreError::NeedsConsent { path: plan.target.path.clone(), reasons: plan.warnings() })
        }
        _ => Ok(()),
    }
}

/// The target is what the plan says, and as empty or full as it says.
fn check_unchanged(plan: &Plan, around: &Surroundings) -> Result<(), RestoreError> {
    let (now, cautions) = Look { path: &plan.target.path, around }.at_target()?;
    let changed = |what: String| Err(RestoreError::Changed { path: plan.target.path.clone(), what });
    if now != plan.target {
        return changed(format!(
            "it was {} bytes, {:?}; it is {} bytes, {:?}",
            plan.target.size, plan.target.content, now.size, now.content
        ));
    }
    let is_known =
        |caution: &Caution| plan.cautions.contains(caution) || (plan.continues && *caution == Caution::NotEmpty);
    match cautions.iter().find(|caution| !is_known(caution)) {
        Some(caution) => changed(caution.to_string()),
        None => Ok(()),
    }
}

fn open(plan: &Plan) -> Result<Target, RestoreError> {
    let path = &plan.target.path;
    let existing =
        if plan.how.delta || matches!(plan.fit, Fit::Larger { .. }) { Existing::Keep } else { Existing::Empty };
    let in_use = |caution: &Caution| matches!(caution, Caution::Mounted { .. } | Caution::InUse { .. });
    let claim = if plan.cautions.iter().any(in_use) { Claim::Shared } else { Claim::Exclusive };
    let opened = match plan.target.kind {
        TargetKind::Device => Target::device(path, claim),
        TargetKind::File | TargetKind::NewFile => Target::file(path, plan.size, existing),
    };
    opened.map_err(|cause| failed("open", path, cause))
}

/// A chunk as the image has it.
#[derive(Clone, Copy)]
struct Wanted {
    chunk: u64,
    /// `None` for zeros.
    id: Option<Id>,
}

struct Work<'w> {
    repo: &'w Repository,
    disk: &'w StoredDisk,
    plan: &'w Plan,
    target: Target,
    progress: &'w Progress,
    cancel: &'w Cancel,
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

impl<'w> Work<'w> {
    fn new(
        repo: &'w Repository,
        disk: &'w StoredDisk,
        plan: &'w Plan,
        target: Target,
        progress: &'w Progress,
        cancel: &'w Cancel,
    ) -> Work<'w> {
        let last = disk.geometry.chunk_length(disk.geometry.chunks().saturating_sub(1));
        let zeros = [CHUNK as usize, last].map(zero_chunk);
        // Who waits for a disk or a network does not compute meanwhile.
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        let threads = (processors + repo.backend().connections().min(8)).max(4);
        let (written, unchanged, zeroed, left, verified) = Default::default();
        let (failures, stop) = (Mutex::default(), Mutex::default());
        Work {
            repo,
            disk,
            plan,
            target,
            progress,
            cancel,
            zeros,
            threads,
            written,
            unchanged,
            zeroed,
            left,
            verified,
            failures,
            stop,
        }
    }

    fn report(self) -> Report {
        Report {
            written: self.written.into_inner(),
            unchanged: self.unchanged.into_inner(),
            zeros: self.zeroed.into_inner(),
            left: self.left.into_inner(),
            verified: self.verified.into_inner(),
            failures: self.failures.into_inner(),
        }
    }

    fn restore(&self) -> Result<(), RestoreError> {
        self.progress.enter(Phase::Restoring, self.plan.size);
        for batch in self.batches() {
            let mut wanted = self.wanted(batch)?;
            if self.plan.how.delta && !self.target.is_fresh() {
                wanted = self.differing(&wanted)?;
            }
            self.make_zeros(&wanted)?;
            self.write(&wanted)?;
        }
        Ok(())
    }

    fn batches(&self) -> impl Iterator<Item = Range<u64>> {
        let segments = self.disk.geometry.segments();
        (0..segments).step_by(BATCH as usize).map(move |first| first..segments.min(first + BATCH))
    }

    fn wanted(&self, segments: Range<u64>) -> Result<Vec<Wanted>, RestoreError> {
        let mut wanted = Vec::new();
        for segment in segments {
            let ids = self.disk.chunks(self.repo, segment)?;
            let chunks = self.disk.geometry.chunks_of(segment);
            let is_zero = |id: &Id| self.zeros.contains(id);
            wanted.extend(chunks.zip(ids).map(|(chunk, id)| Wanted { chunk, id: Some(id).filter(|id| !is_zero(id)) }));
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
        if wanted.id.is_none() && self.plan.how.unused == Unused::Leave {
            return Ok(false);
        }
        let range = self.disk.geometry.bytes_of(wanted.chunk);
        let content = self.target.read(range.start, (range.end - range.start) as usize, buffer);
        let content = content.map_err(|cause| failed("read", &self.plan.target.path, cause))?;
        Ok(match wanted.id {
            Some(id) => Id::of(content) == id,
            None => content.iter().all(|byte| *byte == 0),
        })
    }

    /// Makes what is to be zeros zeros, in ranges as long as can be.
    fn make_zeros(&self, wanted: &[Wanted]) -> Result<(), RestoreError> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for chunk in wanted.iter().filter(|wanted| wanted.id.is_none()).map(|wanted| wanted.chunk) {
            let bytes = self.disk.geometry.bytes_of(chunk);
            match ranges.last_mut().filter(|last| last.end == bytes.start) {
                Some(last) => last.end = bytes.end,
                None => ranges.push(bytes),
            }
        }
        let unused = self.plan.how.unused;
        self.spread(ranges.len(), |number, buffer| {
            let range = ranges[number].clone();
            let done = self.target.zero(range.clone(), unused, buffer);
            done.map_err(|cause| failed("make zeros on", &self.plan.target.path, cause))?;
            let leaves = unused == Unused::Leave && !self.target.is_fresh();
            self.count(if leaves { &self.left } else { &self.zeroed }, range.end - range.start);
            Ok(())
        })
    }

    fn write(&self, wanted: &[Wanted]) -> Result<(), RestoreError> {
        let chunks: Vec<(u64, Id)> = wanted.iter().filter_map(|wanted| Some((wanted.chunk, wanted.id?))).collect();
        let (fetches, lost) = fetch::plan(self.repo, &chunks)?;
        lost.into_iter().for_each(|chunk| self.lost(chunk, "the repository does not have it".into()));
        let next = AtomicUsize::new(0);
        self.threads(|| {
            let (mut fetcher, mut buffer) = (Fetcher::new(self.repo), Aligned::default());
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

    fn put(&self, piece: &Piece, plain: &[u8], buffer: &mut Aligned) -> Result<(), RestoreError> {
        let length = self.length(piece.chunk);
        if plain.len() as u64 != length {
            self.lost(piece.chunk, format!("its blob has {} bytes", plain.len()));
            return Ok(());
        }
        let written = self.target.write(piece.chunk * CHUNK, plain, buffer);
        written.map_err(|cause| failed("write to", &self.plan.target.path, cause))?;
        self.count(&self.written, length);
        Ok(())
    }

    fn length(&self, chunk: u64) -> u64 {
        self.disk.geometry.chunk_length(chunk) as u64
    }

    fn count(&self, figure: &AtomicU64, bytes: u64) {
        figure.fetch_add(bytes, Ordering::Relaxed);
        self.progress.advance(bytes);
    }

    fn lost(&self, chunk: u64, reason: String) {
        let mut failures = self.failures.lock();
        if failures.len() < MOST_FAILURES {
            failures.push(Failure { offset: chunk * CHUNK, length: self.length(chunk), reason });
        }
    }

    /// Reads everything back that the plan speaks for.
    fn verify(&self) -> Result<(), RestoreError> {
        self.progress.enter(Phase::Verifying, self.plan.size);
        let lost: Vec<u64> = self.failures.lock().iter().map(|failure| failure.offset / CHUNK).collect();
        for batch in self.batches() {
            let wanted = self.wanted(batch)?;
            self.spread(wanted.len(), |number, buffer| self.verify_chunk(&wanted[number], &lost, buffer))?;
        }
        Ok(())
    }

    fn verify_chunk(&self, wanted: &Wanted, lost: &[u64], buffer: &mut Aligned) -> Result<(), RestoreError> {
        let length = self.length(wanted.chunk);
        let is_zeroed = self.plan.how.unused == Unused::Zero || self.target.is_fresh();
        if (wanted.id.is_none() && !is_zeroed) || lost.contains(&wanted.chunk) {
            self.progress.advance(length);
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
        let stopped = self.cancel.is_cancelled() || self.stop.lock().is_some();
        if stopped { Err(RestoreError::Cancelled) } else { Ok(()) }
    }
}
