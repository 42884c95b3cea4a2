//! Watch: how far a run is and what it waits for, told by whatever works at it and asked by whoever tells others.
//!
//! Figures are asked for, not sent: however fast they change, at most one report leaves for each time somebody asks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use backend::Clock;
use fleet::{Amount, Cause, Missed, Phase, Progress, Report, RunCondition};
use parking_lot::Mutex;

/// How many missed things are kept in words.
const MOST_MISSED: usize = 100;

/// How long the words about one of them may be.
const LONGEST_WORDS: usize = 1_000;

/// How often it is said that a run still moves though no figure has changed.
const STILL_MOVING: Duration = Duration::from_secs(5);

/// The same of one that waits.
const STILL_WAITING: Duration = Duration::from_secs(60);

/// Who says that a run waits. The first that does is the one that is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Waiter {
    /// The machine, which sleeps.
    Sleep,
    /// The gate before uploads.
    Gate,
    /// The storage, which cannot be reached.
    Storage,
    /// The storage, which answers with faults.
    Fault,
    /// The repository's lock.
    Lock,
}

/// What a run says of itself.
pub(crate) struct Watch {
    clock: Arc<dyn Clock>,
    figures: Mutex<Figures>,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Figures {
    phase: Phase,
    /// Bytes of parts that are over.
    before: Amount,
    /// Bytes of this part.
    amount: Amount,
    setback: Option<String>,
    /// Who waits for what, and how many of their threads do.
    waits: BTreeMap<Waiter, (u32, RunCondition)>,
    missed: Vec<Missed>,
    missed_count: u64,
}

/// What was told of it.
struct Told {
    /// Begins higher each time that the run is begun again.
    number: u64,
    last: Option<Report>,
    progress: Progress,
}

impl Watch {
    /// Over a run in this attempt; `setback` says why it begins again, if it does.
    pub(crate) fn new(clock: Arc<dyn Clock>, attempt: u32, setback: Option<String>) -> Watch {
        let figures = Mutex::new(Figures { setback, ..Figures::default() });
        let told = Told { number: u64::from(attempt) << 32, last: None, progress: Progress::default() };
        Watch { clock, figures, told: Mutex::new(told) }
    }

    /// Nothing was done yet; `again` if it was begun before and its lock was lost.
    pub(crate) fn begin_anew(&self, again: bool) {
        let mut figures = self.figures.lock();
        (figures.before, figures.amount) = Default::default();
        (figures.missed, figures.missed_count) = Default::default();
        if again {
            figures.setback = Some("its lock had ended meanwhile; what was sent is not sent again".into());
        }
    }

    /// Another phase begins.
    pub(crate) fn enter(&self, phase: Phase) {
        self.figures.lock().phase = phase;
    }

    /// Changes what is done of this part.
    pub(crate) fn count(&self, change: impl FnOnce(&mut Amount)) {
        change(&mut self.figures.lock().amount);
    }

    /// Another part begins; what was done before stays done.
    pub(crate) fn next_part(&self, what: &str) {
        let mut figures = self.figures.lock();
        let Amount { done, new, .. } = std::mem::take(&mut figures.amount);
        if done > 0 {
            figures.before.done += done;
            figures.before.total += done;
            figures.before.new += new;
            figures.setback = Some(format!("{what} came next"));
        }
    }

    /// Somebody waits; several threads may wait for the same.
    pub(crate) fn wait(&self, waiter: Waiter, condition: RunCondition) {
        let mut figures = self.figures.lock();
        let entry = figures.waits.entry(waiter).or_insert((0, condition.clone()));
        entry.0 += 1;
        entry.1 = condition;
    }

    /// The same, since now, for this.
    pub(crate) fn wait_for(&self, waiter: Waiter, cause: Cause) {
        self.wait(waiter, RunCondition::Waiting { cause, since: self.clock.now() });
    }

    /// Storage answers with faults or breaks off; it is waited for until it works again.
    pub(crate) fn suffer(&self) {
        let condition = RunCondition::Waiting { cause: Cause::Storage, since: self.clock.now() };
        self.figures.lock().waits.entry(Waiter::Fault).or_insert((1, condition));
    }

    /// The machine sleeps, whatever else is waited for, or is awake.
    pub(crate) fn sleep(&self, is_asleep: bool) {
        let mut figures = self.figures.lock();
        if is_asleep {
            let condition = RunCondition::Asleep { since: self.clock.now() };
            figures.waits.entry(Waiter::Sleep).or_insert((1, condition));
        } else {
            figures.waits.remove(&Waiter::Sleep);
        }
    }

    /// Storage works.
    pub(crate) fn recover(&self) {
        self.figures.lock().waits.remove(&Waiter::Fault);
    }

    /// One that waited does not wait any more.
    pub(crate) fn go_on(&self, waiter: Waiter) {
        let mut figures = self.figures.lock();
        if let Some((count, _)) = figures.waits.get_mut(&waiter) {
            *count -= 1;
            if *count == 0 {
                figures.waits.remove(&waiter);
            }
        }
    }

    /// Something was missed.
    pub(crate) fn miss(&self, what: impl ToString, why: impl ToString) {
        let mut figures = self.figures.lock();
        figures.missed_count += 1;
        if figures.missed.len() < MOST_MISSED {
            let short = |text: String| text.chars().take(LONGEST_WORDS).collect();
            figures.missed.push(Missed { what: short(what.to_string()), why: short(why.to_string()) });
        }
    }

    /// What was missed, and how much in all.
    pub(crate) fn missed(&self) -> (Vec<Missed>, u64) {
        let figures = self.figures.lock();
        (figures.missed.clone(), figures.missed_count)
    }

    /// A report, if there is something to say since the last one: also that it is still so.
    pub(crate) fn report(&self) -> Option<Report> {
        let mut told = self.told.lock();
        let now = self.now();
        let same = told.last.as_ref().is_some_and(|last| is_same(last, &now) && is_fresh(last, &now));
        if same {
            return None;
        }
        told.number += 1;
        let report = Report { number: told.number, ..now };
        told.last = Some(report.clone());
        told.progress.hear(report.clone());
        Some(report)
    }

    /// The last report again, for a server that may not have heard it.
    pub(crate) fn last(&self) -> Option<Report> {
        self.told.lock().last.clone()
    }

    /// How far it is, as everybody sees it.
    pub(crate) fn progress(&self) -> Progress {
        self.told.lock().progress.clone()
    }

    fn now(&self) -> Report {
        let figures = self.figures.lock();
        let condition = figures.waits.values().next().map(|(_, condition)| condition.clone()).unwrap_or_default();
        let (part, before) = (figures.amount, figures.before);
        let total = if part.total == 0 { 0 } else { before.total + part.total };
        let amount = Amount { done: before.done + part.done, total, new: before.new + part.new };
        let (phase, setback) = (figures.phase, figures.setback.clone());
        Report { number: 0, at: self.clock.now(), phase, condition, amount, setback }
    }
}

/// Whoever looks on wants to know that somebody is still there, and how fast it is when nothing ends for a while.
fn is_fresh(last: &Report, now: &Report) -> bool {
    let most = if now.condition == RunCondition::Moving { STILL_MOVING } else { STILL_WAITING };
    now.at.duration_since(last.at).unsigned_abs() < most
}

fn is_same(last: &Report, now: &Report) -> bool {
    let same = (last.phase, &last.condition, last.amount) == (now.phase, &now.condition, now.amount);
    same && last.setback == now.setback
}

#[cfg(test)]
mod tests {
    use backend::SystemClock;

    use super::*;

    fn watch(attempt: u32) -> Watch {
        Watch::new(Arc::new(SystemClock), attempt, None)
    }

    #[test]
    fn nothing_is_reported_twice_and_later_attempts_count_higher() {
        let watch = watch(1);
        let first = watch.report().unwrap();
        assert_eq!(watch.report(), None);
        watch.count(|amount| amount.done += 5);
        assert_eq!(watch.report().unwrap().number, first.number + 1);
        assert!(self::watch(2).report().unwrap().number > first.number + 1_000_000);
    }

    #[test]
    fn a_run_waits_as_long_as_one_of_its_threads_does() {
        let watch = watch(1);
        watch.wait_for(Waiter::Gate, Cause::Mains);
        watch.wait_for(Waiter::Gate, Cause::Mains);
        watch.go_on(Waiter::Gate);
        assert!(matches!(watch.report().unwrap().condition, RunCondition::Waiting { cause: Cause::Mains, .. }));
        watch.go_on(Waiter::Gate);
        assert_eq!(watch.report().unwrap().condition, RunCondition::Moving);
    }

    #[test]
    fn what_was_missed_is_counted_beyond_what_is_listed() {
        let watch = watch(1);
        (0..150).for_each(|n| watch.miss(n, "x".repeat(5_000)));
        let (missed, count) = watch.missed();
        assert_eq!((missed.len(), count, missed[0].why.len()), (100, 150, 1_000));
    }

    #[test]
    fn a_further_part_goes_back_with_a_reason() {
        let watch = watch(1);
        watch.enter(Phase::Reading);
        watch.count(|amount| *amount = Amount { done: 10, total: 10, new: 1 });
        watch.report().unwrap();
        watch.next_part("the disks");
        watch.count(|amount| amount.total = 90);
        let report = watch.report().unwrap();
        assert_eq!((report.amount.done, report.amount.total), (10, 100));
        assert_eq!(watch.progress().percent(), 10);
        assert!(watch.progress().words(&fleet::Zone::utc()).contains("went back because the disks came next"));
    }
}
