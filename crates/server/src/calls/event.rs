//! Events of agents: each is applied once however often it is told, and only to what is the machine's own.

use api::wire::agent::{Event, Taken};
use fleet::{DrillId, JobId, Outcome, Run, RunId};
use jiff::{SignedDuration, Timestamp};
use store::DrillMade;

use super::agent::Agent;
use super::{found, orders};
use crate::app::App;
use crate::observer;

/// A postponed order comes again after so long at most.
const LONGEST: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Snapshots of one run: one for each thing that its policy names.
const MOST_SNAPSHOTS: usize = 100;

/// Applies an event. What contradicts what is known changes nothing; an error means that it must be told again.
pub(super) async fn apply(app: &App, agent: &Agent, event: Event) -> Result<(), store::Error> {
    match one(app, agent, event).await {
        Err(store::Error::NotFound(_) | store::Error::Conflict(_) | store::Error::NotAllowed(_)) => Ok(()),
        applied => applied,
    }
}

async fn one(app: &App, agent: &Agent, event: Event) -> Result<(), store::Error> {
    let (system, now, machine) = (app.store.system(), app.now(), agent.machine);
    match event {
        Event::Begun { run, job, kind, at } => {
            let job = own(app, agent, job).await?.map(|job| job.job);
            system.begin_run(&Run::begin(run, machine, job, kind, agent.when(at, now))).await
        }
        Event::Ended { run, job, at, outcome, snapshots } => {
            made(app, agent, run, &snapshots).await?;
            end(app, agent, run, (agent.when(at, now), outcome)).await?;
            match own(app, agent, job).await? {
                Some(job) => {
                    agent.state.lock().held.remove(&job.job);
                    system.job_done(job.job, job.attempt).await
                }
                None => Ok(()),
            }
        }
        Event::Drilled { run, drill, at, outcome, evidence } => {
            let ended = agent.when(at, now);
            let id = DrillId::made(ended, found::bits(run, &format!("{machine} {drill:?}")));
            let verdict = found::verdict(&found::outcome(outcome));
            let evidence = found::evidence(&evidence);
            system.drill_held(&DrillMade { id, machine, kind: drill, ended, verdict, evidence }).await
        }
        Event::Postponed { job, again, why: _ } => {
            let Some(job) = own(app, agent, Some(job)).await? else { return Ok(()) };
            agent.state.lock().held.remove(&job.job);
            system.give_job_back(job.job, job.attempt, again_at(again, now)).await
        }
        Event::Declined { job, why } => decline(app, agent, job.job, &found::cut(&why), now).await,
        Event::Sealed { keeper, key } => seal(app, agent, &keeper, &key).await,
    }
}

/// When something may be tried again that was postponed until `again`.
pub(super) fn again_at(again: Timestamp, now: Timestamp) -> Timestamp {
    let last = now.checked_add(LONGEST).unwrap_or(now);
    again.clamp(now, last)
}

/// An order, if it is this machine's.
async fn own(app: &App, agent: &Agent, taken: Option<Taken>) -> Result<Option<Taken>, store::Error> {
    let Some(taken) = taken else { return Ok(None) };
    let job = app.store.system().job(taken.job).await?;
    Ok(job.filter(|row| row.job.machine == agent.machine).map(|_| taken))
}

/// Ends a run, after what it reported last.
async fn end(app: &App, agent: &Agent, run: RunId, (at, outcome): (Timestamp, Outcome)) -> Result<(), store::Error> {
    if let Some(report) = app.calls.diary.last(agent.machine, run) {
        app.store.system().report_all(&[(agent.machine, run, report)]).await?;
    }
    match app.store.system().end_run(agent.machine, run, at, found::outcome(outcome)).await {
        // Its beginning was never told; there is nothing to end.
        Err(store::Error::NotFound(_)) => Ok(()),
        ended => ended.map(drop),
    }
}

/// Notes which snapshots a run made; what is no name of one is left out.
async fn made(app: &App, agent: &Agent, run: RunId, snapshots: &[String]) -> Result<(), store::Error> {
    let names: Vec<String> = snapshots.iter().filter(|name| is_name(name)).take(MOST_SNAPSHOTS).cloned().collect();
    match app.store.system().snapshots_made(agent.machine, run, &names).await {
        Err(store::Error::NotFound(_)) => Ok(()),
        noted => noted,
    }
}

/// Whether it is a snapshot's name: 64 hexadecimal digits, as they are written.
fn is_name(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

async fn decline(app: &App, agent: &Agent, job: JobId, why: &str, now: Timestamp) -> Result<(), store::Error> {
    let found = app.store.system().job(job).await?;
    let Some(found) = found.filter(|row| row.job.machine == agent.machine) else { return Ok(()) };
    agent.state.lock().held.remove(&job);
    if found.job.state.is_over() {
        return Ok(());
    }
    orders::refuse(app, agent.machine, job, found.job.kind, why, now).await
}

async fn seal(app: &App, agent: &Agent, keeper: &str, key: &str) -> Result<(), store::Error> {
    let mut public = [0; 32];
    let Ok(key) = hex::decode(key) else { return Ok(()) };
    if hex::decode_to_slice(keeper, &mut public).is_err() {
        return Ok(());
    }
    if !app.store.system().seal_key(agent.machine, &public, &key).await? {
        let words = format!("the key of machine {} came, and no keeper may have it", agent.machine);
        app.observe(observer::Event::Problem(words));
    }
    Ok(())
}
