//! Foreman: begins what is due, ordered or interrupted, one run of a kind at a time, and writes down how each ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use api::wire::agent::Order;
use api::wire::duties::Duties;
use fleet::{JobKind, Outcome, RunId, Turn};
use jiff::{SignedDuration, Timestamp};

use crate::agent::{AgentError, Core, Notice};
use crate::identity;
use crate::memory::{Ending, Ongoing, kind_of};
use crate::running::{Running, Stop, Worked};
use crate::watch::Watch;
use crate::work::Task;
use crate::{status, surroundings};

/// How often it looks though nobody rings.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long runs may write down what they have when the agent ends.
const GRACE: Duration = Duration::from_secs(20);

/// How often a run that is interrupted is begun again.
const MOST_ATTEMPTS: u32 = 50;

/// Works until the agent ends.
pub(crate) fn work(core: &Arc<Core>) {
    let mut status = status::Writer::default();
    while !core.stop.is_cancelled() {
        if let Err(error) = turn(core) {
            core.trouble(crate::refusal::words(&error));
        }
        status.write(core);
        core.listen(LOOK_EVERY);
    }
    end_all(core);
    status.write(core);
}

fn turn(core: &Arc<Core>) -> Result<(), AgentError> {
    reap(core)?;
    take_up(core)?;
    let Some(duties) = core.duties()? else { return Ok(()) };
    surroundings::apply(core, &duties)?;
    carry_out(core, &duties)?;
    keep_schedule(core, &duties)
}

/// Writes down how runs ended that nobody works at any more.
fn reap(core: &Core) -> Result<(), AgentError> {
    loop {
        let mut runs = core.runs.lock();
        let Some(place) = runs.iter().position(|running| running.worker.is_finished()) else { return Ok(()) };
        let Running { ongoing, kind, worker, watch, .. } = runs.swap_remove(place);
        drop(runs);
        let worked = worker.join().unwrap_or_else(|_| Worked::Ended(fault(core)));
        if let Worked::Ended(ending) = worked {
            _ = watch.report();
            watch.last().into_iter().for_each(|report| core.keep_last_report(ongoing.run, report));
            write_down(core, &ongoing, kind, &ending)?;
        }
    }
}

/// Whoever worked at it panicked.
fn fault(core: &Core) -> Ending {
    let outcome = Outcome::Failed { why: "a fault of this program ended it".into() };
    Ending { at: core.setup.clock.now(), outcome, snapshots: Vec::new(), evidence: None }
}

/// What ended is written down, if need be again and again: a full disk ends, too.
fn write_down(core: &Core, ongoing: &Ongoing, kind: JobKind, ending: &Ending) -> Result<(), AgentError> {
    let mut complaint = false;
    while let Err(error) = core.memory.end(ongoing.run, ending) {
        if !std::mem::replace(&mut complaint, true) {
            core.trouble(crate::refusal::words(&error));
        }
        if core.stop.is_cancelled() {
            return Err(error.into());
        }
        std::thread::sleep(LOOK_EVERY);
    }
    (core.setup.tell)(Notice::Ended { kind: kind.word(), how: ending.outcome.words() });
    core.outgoing.notify_one();
    Ok(())
}

fn is_busy(core: &Core, kind: JobKind) -> bool {
    core.runs.lock().iter().any(|running| running.kind.word() == kind.word())
}

/// Begins runs again that were interrupted when the agent ended.
fn take_up(core: &Arc<Core>) -> Result<(), AgentError> {
    let known: Vec<RunId> = core.runs.lock().iter().map(Running::run).collect();
    for ongoing in core.memory.ongoing()?.into_iter().filter(|ongoing| !known.contains(&ongoing.run)) {
        let kind = kind_of(&ongoing.order);
        if is_busy(core, kind) {
            continue;
        }
        if ongoing.attempt >= MOST_ATTEMPTS {
            let why = format!("the agent was interrupted {} times in the middle of it", ongoing.attempt);
            let ending = Ending { outcome: Outcome::Failed { why }, ..fault(core) };
            write_down(core, &ongoing, kind, &ending)?;
            continue;
        }
        let again = Ongoing { attempt: ongoing.attempt + 1, ..ongoing };
        core.memory.begin_again(&again)?;
        start(core, again, Some("the agent was interrupted; what was sent is not sent again".into()))?;
    }
    Ok(())
}

/// Carries orders out, the oldest first.
fn carry_out(core: &Arc<Core>, duties: &Duties) -> Result<(), AgentError> {
    let now = core.setup.clock.now();
    for waiting in core.memory.waiting()? {
        let kind = kind_of(&waiting.order);
        if is_busy(core, kind) {
            continue;
        }
        if let Some(pause) = duties.pause.as_ref().filter(|pause| pause.holds(now) && kind == JobKind::Backup) {
            let why = format!("{} paused this machine: {}", pause.by.name, pause.reason);
            core.memory.postpone(waiting.job, pause.until, &why)?;
            core.outgoing.notify_one();
            continue;
        }
        let ongoing =
            Ongoing { run: fresh(now)?, order: waiting.order, job: Some(waiting.job), begun: now, attempt: 1 };
        core.memory.begin(&ongoing, None)?;
        start(core, ongoing, None)?;
    }
    Ok(())
}

fn fresh(now: Timestamp) -> Result<RunId, AgentError> {
    Ok(RunId::made(now, *identity::random::<10>()?))
}

/// Begins what the policy makes due.
fn keep_schedule(core: &Arc<Core>, duties: &Duties) -> Result<(), AgentError> {
    let now = core.setup.clock.now();
    let Some(policy) = duties.policy.as_ref().filter(|policy| !policy.what.is_empty()) else { return Ok(()) };
    if is_busy(core, JobKind::Backup) || duties.pause.as_ref().is_some_and(|pause| pause.holds(now)) {
        return Ok(());
    }
    let handled = handled(core, now)?;
    let Turn::Start(due) = policy.schedule.turn(core.membership.machine, handled, now) else { return Ok(()) };
    let order = Order::Backup { what: None };
    let ongoing = Ongoing { run: fresh(now)?, order, job: None, begun: now, attempt: 1 };
    core.memory.begin(&ongoing, Some(due))?;
    start(core, ongoing, None)
}

/// Up to when everything due was done. A clock that had been ahead must not keep it from working for years.
fn handled(core: &Core, now: Timestamp) -> Result<Timestamp, AgentError> {
    let handled = core.memory.handled()?.unwrap_or(core.membership.joined);
    if handled.duration_since(now) > SignedDuration::from_hours(24) {
        core.memory.handle(now)?;
        return Ok(now);
    }
    Ok(handled)
}

fn start(core: &Arc<Core>, ongoing: Ongoing, setback: Option<String>) -> Result<(), AgentError> {
    let kind = kind_of(&ongoing.order);
    let watch = Arc::new(Watch::new(Arc::clone(&core.setup.clock), ongoing.attempt, setback));
    let (stop, duties) = (Stop::default(), core.duties()?.unwrap_or_else(idle));
    let task = Task {
        core: Arc::clone(core),
        ongoing: ongoing.clone(),
        duties,
        watch: Arc::clone(&watch),
        stop: stop.clone(),
    };
    let ring = Arc::clone(core);
    let worker = std::thread::Builder::new().name(kind.word().into()).spawn(move || {
        let worked = task.work();
        ring.ring();
        worked
    });
    let worker = worker.map_err(AgentError::Thread)?;
    core.runs.lock().push(Running { ongoing, kind, watch, stop, worker });
    (core.setup.tell)(Notice::Began { kind: kind.word() });
    core.outgoing.notify_one();
    Ok(())
}

/// The duties of a machine that was told none.
fn idle() -> Duties {
    Duties { policy: None, zone: fleet::Zone::utc(), pause: None, gateway: None, keeper: None }
}

/// Lets runs write down what they have, and ends them.
fn end_all(core: &Core) {
    core.runs.lock().iter().for_each(|running| running.stop.ask(None));
    let end = Instant::now() + GRACE;
    while core.runs.lock().iter().any(|running| !running.worker.is_finished()) && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20));
    }
    core.runs.lock().iter().for_each(|running| running.stop.insist());
    let runs = std::mem::take(&mut *core.runs.lock());
    for Running { ongoing, kind, worker, .. } in runs {
        if let Ok(Worked::Ended(ending)) = worker.join()
            && let Err(error) = write_down(core, &ongoing, kind, &ending)
        {
            core.trouble(crate::refusal::words(&error));
        }
    }
}
