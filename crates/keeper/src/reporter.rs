//! How far a run is, for people: reports with honest totals, at most one a second.

use std::sync::Arc;
use std::time::Duration;

use backend::Clock;
use fleet::{Amount, Phase, Report, RunCondition};
use parking_lot::Mutex;
use repo::progress::{Progress, Step};

/// Between two reports.
const PAUSE: Duration = Duration::from_secs(1);

/// Makes reports of what work tells, and hands them on.
pub struct Reporter {
    clock: Arc<dyn Clock>,
    tell: Box<dyn Fn(Report) + Send + Sync>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    number: u64,
    phase: Phase,
    amount: Amount,
    /// What the steps that are over had to do.
    before: u64,
    setback: Option<String>,
    counts: bool,
    told: Option<Duration>,
}

impl Reporter {
    /// A reporter that hands its reports to `tell`, from any thread.
    pub fn new(clock: Arc<dyn Clock>, tell: impl Fn(Report) + Send + Sync + 'static) -> Reporter {
        Reporter { clock, tell: Box::new(tell), state: Mutex::default() }
    }

    /// A phase begins in which `total` further bytes are to be done; nought if they are not known.
    pub fn phase(&self, phase: Phase, total: u64) {
        let report = {
            let mut state = self.state.lock();
            let has_more = total > 0 && state.amount.total > 0;
            // A step that ended counts as done, however much of it was counted.
            state.before = state.amount.total;
            state.amount.done = state.before;
            state.amount.total = state.before + total;
            state.setback = has_more.then(|| "there was more to do than was known".to_owned());
            (state.phase, state.counts) = (phase, total > 0);
            self.report(&mut state)
        };
        (self.tell)(report);
    }

    /// So many bytes more are done.
    pub fn done(&self, bytes: u64) {
        let report = {
            let mut state = self.state.lock();
            if state.counts {
                state.amount.done = (state.amount.done + bytes).min(state.amount.total);
            }
            let now = self.clock.monotonic();
            match state.told.is_none_or(|told| now.saturating_sub(told) >= PAUSE) {
                true => self.report(&mut state),
                false => return,
            }
        };
        (self.tell)(report);
    }

    fn report(&self, state: &mut State) -> Report {
        state.number += 1;
        state.told = Some(self.clock.monotonic());
        Report {
            number: state.number,
            at: self.clock.now(),
            phase: state.phase,
            condition: RunCondition::Moving,
            amount: state.amount,
            setback: state.setback.take(),
        }
    }
}

impl Progress for Reporter {
    fn begin(&self, step: Step, total: repo::progress::Amount) {
        match step {
            Step::WalkTrees => self.phase(Phase::Preparing, 0),
            Step::AuditPacks | Step::ReadPacks => self.phase(Phase::Verifying, total.bytes),
            Step::RepackPacks | Step::CopyBlobs | Step::SendPacks => self.phase(Phase::Writing, total.bytes),
            Step::RewriteIndex | Step::RemovePacks => self.phase(Phase::Finishing, 0),
        }
    }

    fn advance(&self, done: repo::progress::Amount) {
        self.done(done.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_grow_with_a_reason_and_what_is_done_never_exceeds_them() {
        let told: Arc<Mutex<Vec<Report>>> = Arc::default();
        let heard = Arc::clone(&told);
        let reporter = Reporter::new(Arc::new(backend::SystemClock), move |report| heard.lock().push(report));
        reporter.phase(Phase::Verifying, 100);
        reporter.done(1_000);
        reporter.phase(Phase::Preparing, 0);
        reporter.done(50);
        reporter.phase(Phase::Writing, 10);
        let told = told.lock();
        assert!(told.iter().all(|report| report.amount.done <= report.amount.total));
        assert!(told.windows(2).all(|pair| pair[0].number < pair[1].number));
        let last = told.last().unwrap();
        assert_eq!((last.amount.done, last.amount.total), (100, 110));
        assert!(last.setback.is_some());
    }
}
