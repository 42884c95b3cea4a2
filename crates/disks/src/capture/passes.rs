//! The passes of a capture, one after the other, and the freeze that ends them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::outcome::{Consistency, DiskOutcome, Outcome, Pass};
use super::subject::{Plan, Subject};
use super::{CaptureError, Context, Convergence, Phase, View};
use crate::freezer::{Freezer, Frozen, Thawed};
use crate::tracker::CrossCheck;
use crate::{CHUNK, Extents, Tracker};

/// Rounds without progress after which it is said that there is none.
const VAIN_ROUNDS: u32 = 3;

/// Freezes that come to nothing before it is said.
const VAIN_FREEZES: u32 = 5;

/// Times that everything is read once more because counts disagree.
const COMPARES: u32 = 2;

/// How often what is written during a freeze, by those that cannot be frozen, is read again.
const LATE_READS: u32 = 10;

/// How often filesystems are written out before they are frozen, unless that is quick.
const SYNCS: u32 = 4;
const QUICK_SYNC: Duration = Duration::from_millis(20);

/// Bytes per second, as long as nothing was measured.
const ASSUMED_RATE: u64 = 50 << 20;

/// How long a quiet moment is waited for while nobody waits for us.
const PATIENCE: Duration = Duration::from_secs(5);

/// The same while filesystems are frozen.
const FROZEN_PATIENCE: Duration = Duration::from_millis(100);

/// A capture on its way.
pub(super) struct Run<'a> {
    subjects: Vec<Subject<'a>>,
    context: Context<'a>,
    passes: Vec<Pass>,
    /// Bytes read, and for how long the disks were waited for.
    read: (u64, Duration),
    failed_freezes: u32,
    /// Freezes that were ended before we did, by the guard or somebody else.
    thawed_early: u32,
    full_compares: u32,
    disagreements: Vec<CrossCheck>,
}

/// Chunks that were read while filesystems were frozen: which subject's, number, bytes.
type Held = Vec<(usize, u64, Vec<u8>)>;

/// What was left to read, and was.
struct Rest {
    held: Held,
    plans: Vec<Plan>,
    bytes: u64,
}

/// A freeze that went well.
struct Moment {
    thawed: Thawed,
    checks: Vec<Option<CrossCheck>>,
    epochs: Vec<Option<u8>>,
    used: Vec<Extents>,
}

impl<'a> Run<'a> {
    pub(super) fn new(subjects: Vec<Subject<'a>>, context: Context<'a>) -> Run<'a> {
        let read = (0, Duration::ZERO);
        let disagreements = Vec::new();
        Run {
            subjects,
            context,
            passes: Vec::new(),
            read,
            failed_freezes: 0,
            thawed_early: 0,
            full_compares: 0,
            disagreements,
        }
    }

    pub(super) fn finish(mut self) -> Result<Outcome, CaptureError> {
        if self.subjects.iter().all(|subject| subject.tracker().is_none()) {
            return self.once();
        }
        self.prepare()?;
        loop {
            let instant = self.converge()?;
            let distrusted = self.distrusted(&instant);
            if distrusted.is_empty() {
                return self.tracked_outcome(instant);
            }
            self.begin_anew(&instant, distrusted)?;
        }
    }

    /// Without a tracker: one pass, and what it is worth.
    fn once(mut self) -> Result<Outcome, CaptureError> {
        self.context.observer.phase(Phase::Reading);
        let plans = self.plans()?;
        self.pass(&plans)?;
        self.check_unwritten()?;
        let is = |wanted: fn(&View<'_>) -> bool| self.subjects.iter().any(|subject| wanted(&subject.source.view));
        let consistency = if is(|view| matches!(view, View::Inconsistent)) {
            Consistency::Inconsistent
        } else if is(|view| matches!(view, View::Snapshot)) {
            Consistency::Frozen
        } else {
            Consistency::Offline
        };
        let used = plans.into_iter().map(|plan| plan.used);
        let disks = self.subjects.iter().zip(used).map(|(subject, used)| DiskOutcome {
            used,
            gaps: subject.reader.gaps(),
            cross_check: None,
            epoch: None,
        });
        let disks = disks.collect();
        Ok(self.outcome(consistency, None, disks))
    }

    /// Nobody wrote to what nobody may write to.
    fn check_unwritten(&self) -> Result<(), CaptureError> {
        for subject in self.subjects.iter().filter(|subject| matches!(subject.source.view, View::Offline)) {
            let sectors = subject.written_since();
            if sectors > 0 {
                return Err(CaptureError::WrittenOffline { device: subject.reader.path().to_owned(), sectors });
            }
        }
        Ok(())
    }

    fn outcome(self, consistency: Consistency, thawed: Option<Thawed>, disks: Vec<DiskOutcome>) -> Outcome {
        let (frozen_for, incapable) =
            thawed.map_or((None, Vec::new()), |thawed| (Some(thawed.frozen_for), thawed.incapable));
        Outcome {
            consistency,
            reread_bytes: self.passes.iter().skip(1).map(|pass| pass.bytes).sum(),
            passes: self.passes,
            frozen_for,
            failed_freezes: self.failed_freezes,
            full_compares: self.full_compares,
            disagreements: self.disagreements,
            incapable,
            disks,
        }
    }

    fn tracked_outcome(self, instant: Moment) -> Result<Outcome, CaptureError> {
        self.check_unwritten()?;
        let is_inconsistent = self.subjects.iter().any(|subject| matches!(subject.source.view, View::Inconsistent));
        let consistency = if is_inconsistent { Consistency::Inconsistent } else { Consistency::Frozen };
        let facts = instant.checks.into_iter().zip(instant.epochs).zip(instant.used);
        let disks = self.subjects.iter().zip(facts).map(|(subject, ((cross_check, epoch), used))| DiskOutcome {
            used,
            gaps: subject.reader.gaps(),
            cross_check,
            epoch,
        });
        let disks = disks.collect();
        Ok(self.outcome(consistency, Some(instant.thawed), disks))
    }

    /// Each tracker once, though several subjects may share one.
    fn trackers(&self) -> Vec<&'a Tracker> {
        let mut trackers: Vec<&Tracker> = Vec::new();
        for tracker in self.subjects.iter().filter_map(Subject::tracker) {
            if !trackers.iter().any(|known| std::ptr::eq(*known, tracker)) {
                trackers.push(tracker);
            }
        }
        trackers
    }

    /// Finds a moment from which sectors are counted; on a disk that is never quiet, by a freeze of a moment.
    fn prepare(&self) -> Result<(), CaptureError> {
        let trackers = self.trackers();
        if trackers.iter().all(|tracker| tracker.take_baseline(PATIENCE / 5)) {
            return Ok(());
        }
        let freezer = self.freezer()?;
        freezer.sync()?;
        let frozen = freezer.freeze(self.context.options.freeze_budget)?;
        trackers.iter().for_each(|tracker| {
            tracker.take_baseline(FROZEN_PATIENCE);
        });
        frozen.thaw();
        Ok(())
    }

    fn freezer(&self) -> Result<Freezer, CaptureError> {
        let tracked = self.subjects.iter().filter(|subject| subject.tracker().is_some());
        let disks = tracked.map(Subject::disk).collect::<Result<Vec<_>, _>>()?;
        Ok(Freezer::of(&disks)?)
    }

    /// Takes all trackers' marks.
    fn collect(&mut self) {
        for tracker in self.trackers() {
            let written = tracker.swap();
            let ours = |subject: &&mut Subject<'a>| subject.tracker().is_some_and(|its| std::ptr::eq(its, tracker));
            self.subjects.iter_mut().filter(ours).for_each(|subject| subject.was_written(&written));
        }
    }

    fn plans(&mut self) -> Result<Vec<Plan>, CaptureError> {
        self.subjects.iter_mut().map(Subject::plan).collect()
    }

    /// Passes until little is left, and a freeze that reads it; more of both if it was too much.
    fn converge(&mut self) -> Result<Moment, CaptureError> {
        let phase = if self.full_compares == 0 { Phase::Reading } else { Phase::Comparing };
        self.context.observer.phase(phase);
        let (mut least, mut vain, mut freezes, mut pass) = (u64::MAX, 0, 0, 0);
        loop {
            self.check()?;
            if pass > 0 {
                self.freezer()?.sync()?;
            }
            self.collect();
            let mut plans = self.plans()?;
            let left = sum(&plans);
            if pass > 0 && self.is_little(&plans) {
                if let Some(instant) = self.freeze()? {
                    return Ok(instant);
                }
                freezes += 1;
                self.failed_freezes += 1;
                // Marks were taken meanwhile, which the plans from before do not have.
                self.collect();
                plans = self.plans()?;
            } else {
                vain = if pass > 1 && left >= least / 10 * 9 { vain + 1 } else { 0 };
                least = least.min(if pass > 0 { left } else { u64::MAX });
            }
            if vain >= VAIN_ROUNDS || freezes >= VAIN_FREEZES {
                return Err(self.in_vain(left));
            }
            if pass > 0 {
                self.context.observer.phase(Phase::CatchingUp { pass });
            }
            self.pass(&plans)?;
            pass += 1;
        }
    }

    /// Why there is no end, with that many bytes left to read.
    fn in_vain(&self, left: u64) -> CaptureError {
        match self.thawed_early {
            times @ VAIN_FREEZES.. => CaptureError::ThawedEarly { times, budget: self.context.options.freeze_budget },
            _ => CaptureError::NotConverging(self.convergence(left)),
        }
    }

    fn convergence(&self, left: u64) -> Convergence {
        let options = &self.context.options;
        Convergence {
            passes: self.passes.iter().map(|pass| pass.bytes).collect(),
            freezes: self.failed_freezes,
            left,
            rate: self.rate(),
            budget: options.freeze_budget,
            memory: options.memory,
        }
    }

    fn check(&self) -> Result<(), CaptureError> {
        self.context.cancel.check().map_err(|_| CaptureError::Cancelled)?;
        self.subjects.iter().try_for_each(|subject| subject.reader.check_size())
    }

    /// Bytes per second that all threads together get from the disks.
    fn rate(&self) -> u64 {
        let (bytes, waited) = self.read;
        if bytes < CHUNK || waited.is_zero() {
            return ASSUMED_RATE;
        }
        (bytes as f64 / waited.as_secs_f64() * self.context.options.threads.max(1) as f64) as u64
    }

    /// True if it can be read within half the freeze's budget, and kept in memory.
    fn is_little(&self, plans: &[Plan]) -> bool {
        let budget = self.context.options.freeze_budget.as_secs_f64() / 2.0;
        self.fits(plans) && sum(plans) as f64 <= self.rate() as f64 * budget
    }

    fn fits(&self, plans: &[Plan]) -> bool {
        plans.iter().map(|plan| plan.chunks.len() as u64 * CHUNK).sum::<u64>() <= self.context.options.memory
    }

    /// Reads what is planned and hands it on.
    fn pass(&mut self, plans: &[Plan]) -> Result<(), CaptureError> {
        let (begin, total, done) = (Instant::now(), sum(plans), AtomicU64::new(0));
        let Context { cancel, observer, options, .. } = &self.context;
        observer.progress(0, total);
        let mut pass = Pass { bytes: 0, chunks: 0, took_ms: 0 };
        for (subject, plan) in self.subjects.iter_mut().zip(plans) {
            let store = subject.store();
            let take = |chunk, content| {
                store.put(chunk, content)?;
                let its = bytes_of(plan, chunk);
                observer.progress(done.fetch_add(its, Relaxed) + its, total);
                Ok(())
            };
            let (taken, is_whole) = subject.read(plan, options.threads, &|| cancel.is_cancelled(), &take)?;
            if !is_whole {
                return Err(CaptureError::Cancelled);
            }
            subject.put_emptied(plan)?;
            subject.settle(plan);
            pass.bytes += taken.bytes;
            pass.chunks += (plan.chunks.len() + plan.emptied.len()) as u64;
            self.read = (self.read.0 + taken.bytes, self.read.1 + taken.waited);
        }
        pass.took_ms = begin.elapsed().as_millis() as u64;
        self.passes.push(pass);
        Ok(())
    }

    /// Freezes and reads the rest. `None` if it was too much, or they were thawed too early: then it was a pass like others.
    fn freeze(&mut self) -> Result<Option<Moment>, CaptureError> {
        let begin = Instant::now();
        let told = self.context.hooks.before_freeze();
        let outcome = told.map_err(CaptureError::Hook).and_then(|()| self.freeze_between_hooks());
        self.context.hooks.after_thaw();
        let (Some(rest), moment) = outcome? else { return Ok(None) };
        self.context.observer.phase(Phase::Storing);
        let (bytes, chunks) = (rest.bytes, rest.held.len() as u64);
        self.store(rest)?;
        self.passes.push(Pass { bytes, chunks, took_ms: begin.elapsed().as_millis() as u64 });
        Ok(moment)
    }

    fn freeze_between_hooks(&mut self) -> Result<(Option<Rest>, Option<Moment>), CaptureError> {
        let freezer = self.freezer()?;
        sync_well(&freezer)?;
        self.context.observer.phase(Phase::Freezing);
        let frozen = freezer.freeze(self.context.options.freeze_budget)?;
        // From here until the thaw: no output, no files, no waiting for anybody.
        let rest = self.read_frozen(&frozen);
        let epochs = self.subjects.iter().map(|subject| subject.tracker().map(|its| ended(its.epoch()))).collect();
        let checks = self.checks(FROZEN_PATIENCE);
        let thawed = frozen.thaw();
        self.context.observer.phase(Phase::Thawed { frozen_for: thawed.frozen_for });
        self.thawed_early += u32::from(!thawed.was_whole);
        let rest = match rest {
            // No wonder that there are writes, if somebody else let them go on.
            Err(CaptureError::Restless { .. }) if !thawed.was_whole => None,
            rest => rest?,
        };
        let Some(rest) = rest else { return Ok((None, None)) };
        let is_open = |check: &CrossCheck| check.kernel.is_none();
        let checks = if checks.iter().flatten().any(is_open) { self.checks(PATIENCE) } else { checks };
        let used = rest.plans.iter().map(|plan| plan.used.clone()).collect();
        let moment = thawed.was_whole.then_some(Moment { thawed, checks, epochs, used });
        Ok((Some(rest), moment))
    }

    /// Reads what is left into memory. `None` if it is too much for that or for the time.
    fn read_frozen(&mut self, frozen: &Frozen) -> Result<Option<Rest>, CaptureError> {
        self.collect();
        let mut plans = self.plans()?;
        let held = Mutex::new(Held::new());
        let mut bytes = 0;
        for round in 0.. {
            if !self.fits(&plans) || held.lock().len() as u64 * CHUNK > self.context.options.memory {
                return Ok(None);
            }
            let Some(read) = self.read_into(&held, &plans, frozen)? else { return Ok(None) };
            bytes += read;
            let Some((number, offset)) = self.late(&plans) else { break };
            if round == LATE_READS {
                let device = self.subjects[number].reader.path().to_owned();
                return Err(CaptureError::Restless { device, offset });
            }
            frozen.sync_incapable();
            plans = self.read_again(plans)?;
        }
        Ok(Some(Rest { held: held.into_inner(), plans, bytes }))
    }

    fn read_into(&mut self, held: &Mutex<Held>, plans: &[Plan], frozen: &Frozen) -> Result<Option<u64>, CaptureError> {
        let mut bytes = 0;
        for (number, (subject, plan)) in self.subjects.iter().zip(plans).enumerate() {
            let take = |chunk, content| {
                held.lock().push((number, chunk, content));
                Ok(())
            };
            let stop = || frozen.time_left().is_zero();
            let (taken, is_whole) = subject.read(plan, self.context.options.threads, &stop, &take)?;
            bytes += taken.bytes;
            if !is_whole {
                return Ok(None);
            }
        }
        Ok(Some(bytes))
    }

    /// What was written though all is frozen: by filesystems that cannot be, or past them.
    fn late(&self, plans: &[Plan]) -> Option<(usize, u64)> {
        let marks: Vec<_> = self.trackers().into_iter().map(|tracker| (tracker, tracker.peek())).collect();
        let numbered = self.subjects.iter().zip(plans).enumerate();
        numbered.into_iter().find_map(|(number, (subject, plan))| {
            let tracker = subject.tracker()?;
            let (_, written) = marks.iter().find(|(its, _)| std::ptr::eq(*its, tracker))?;
            Some((number, subject.first_used(written, &plan.used)?))
        })
    }

    /// The same plans with what was written late; all of it is read again.
    fn read_again(&mut self, earlier: Vec<Plan>) -> Result<Vec<Plan>, CaptureError> {
        self.collect();
        let mut plans = self.plans()?;
        // Nothing was settled yet, so the new plans have all that the earlier ones had, but for chunks that are free by now.
        for (plan, earlier) in plans.iter_mut().zip(earlier) {
            plan.emptied.extend(earlier.chunks.iter().filter(|chunk| !plan.chunks.contains(chunk)));
            plan.emptied.sort_unstable();
            plan.emptied.dedup();
        }
        Ok(plans)
    }

    /// Hands on what was read while frozen; of a chunk that was read twice the later.
    fn store(&mut self, Rest { held, plans, .. }: Rest) -> Result<(), CaptureError> {
        let total = held.len() as u64 * CHUNK;
        for (count, (number, chunk, content)) in held.into_iter().enumerate() {
            self.context.cancel.check().map_err(|_| CaptureError::Cancelled)?;
            self.subjects[number].store().put(chunk, content)?;
            self.context.observer.progress((count as u64 + 1) * CHUNK, total);
        }
        for (subject, plan) in self.subjects.iter_mut().zip(&plans) {
            subject.put_emptied(plan)?;
            subject.settle(plan);
        }
        Ok(())
    }

    fn checks(&self, patience: Duration) -> Vec<Option<CrossCheck>> {
        self.subjects.iter().map(|subject| subject.tracker().map(|tracker| tracker.check(patience))).collect()
    }

    /// Numbers of the subjects whose tracker lost something.
    fn distrusted(&self, moment: &Moment) -> Vec<usize> {
        let is_lost = |number: &usize| moment.checks[*number].is_some_and(|check| !check.agrees());
        (0..self.subjects.len()).filter(is_lost).collect()
    }

    /// Nothing that was handed on of these is believed any more.
    fn begin_anew(&mut self, instant: &Moment, distrusted: Vec<usize>) -> Result<(), CaptureError> {
        for number in distrusted {
            let subject = &mut self.subjects[number];
            let Some((tracker, check)) = subject.tracker().zip(instant.checks[number]) else { continue };
            if self.full_compares >= COMPARES {
                return Err(CaptureError::Distrusted { device: subject.reader.path().to_owned(), check });
            }
            self.disagreements.push(check);
            subject.owes_everything();
            tracker.begin_anew(Duration::ZERO);
        }
        self.full_compares += 1;
        self.prepare()
    }
}

/// A freeze writes out what is left while everybody waits already: so again, as long as there is much.
fn sync_well(freezer: &Freezer) -> Result<(), CaptureError> {
    for _ in 0..SYNCS {
        let begin = Instant::now();
        freezer.sync()?;
        if begin.elapsed() < QUICK_SYNC {
            break;
        }
    }
    Ok(())
}

fn sum(plans: &[Plan]) -> u64 {
    plans.iter().map(|plan| plan.bytes).sum()
}

fn bytes_of(plan: &Plan, chunk: u64) -> u64 {
    plan.used.within(chunk * CHUNK..(chunk + 1) * CHUNK).map(|range| range.end - range.start).sum()
}

/// The epoch before this one; the last one does not end.
fn ended(epoch: u8) -> u8 {
    if epoch == u8::MAX { epoch } else { epoch - 1 }
}
