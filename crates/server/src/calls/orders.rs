//! Orders: a machine's jobs, taken in its name while it is connected, and held until it says how they ended. A job that
//! was given stays given when the line breaks: the machine goes on with it, and says so on its next line.

use api::wire::agent::{Order, Taken, ToAgent};
use fleet::{JobId, JobKind, MachineId, Outcome, Run, RunId};
use jiff::{SignedDuration, Timestamp};

use super::agent::Agent;
use crate::app::App;

/// How long a job is a machine's after it was last heard of.
const LEASE: SignedDuration = SignedDuration::from_mins(15);

/// Jobs that are handed out at once.
const AT_ONCE: u64 = 4;

/// Until when something is held that is held now.
pub(super) fn lease(now: Timestamp) -> Timestamp {
    now.checked_add(LEASE).unwrap_or(now)
}

fn worker(machine: MachineId) -> String {
    format!("agent:{machine}")
}

/// Tells an agent once more what it had been given to do.
pub(super) async fn resume(app: &App, agent: &Agent) -> Result<(), store::Error> {
    for taken in app.store.system().jobs_of(&worker(agent.machine)).await? {
        let (job, attempt) = (taken.row.job.id, taken.attempt);
        if hold(app, job, attempt, lease(app.now())).await? {
            give(app, agent, taken).await?;
        }
    }
    Ok(())
}

/// Takes what is due for a machine and tells its agent.
pub(super) async fn take(app: &App, agent: &Agent, words: &[&str]) -> Result<(), store::Error> {
    let (now, worker) = (app.now(), worker(agent.machine));
    let until = lease(now);
    let taken = app.store.system().take_jobs(&worker, words, Some(agent.machine), now, until, AT_ONCE).await?;
    for taken in taken {
        give(app, agent, taken).await?;
    }
    Ok(())
}

async fn give(app: &App, agent: &Agent, taken: store::Taken) -> Result<(), store::Error> {
    let (kind, job) = (taken.row.job.kind, Taken { job: taken.row.job.id, attempt: taken.attempt });
    match order(kind, &taken.row.orders) {
        Some(order) => {
            agent.state.lock().held.insert(job.job, job.attempt);
            agent.line.say(&ToAgent::Order { job, order });
            Ok(())
        }
        None => refuse(app, agent.machine, job.job, kind, "the order cannot be read", app.now()).await,
    }
}

fn order(kind: JobKind, orders: &str) -> Option<Order> {
    let written = serde_json::from_str(orders).ok();
    match (kind, written) {
        (JobKind::Backup, Some(order @ Order::Backup { .. })) => Some(order),
        (JobKind::Backup, _) => Some(Order::Backup { what: None }),
        (JobKind::Restore, Some(order @ Order::Restore { .. })) => Some(order),
        (JobKind::Drill(drill), _) => Some(Order::Drill(drill)),
        _ => None,
    }
}

/// Says that a job is still worked at. False if it is not anybody's any more.
pub(super) async fn hold(app: &App, job: JobId, attempt: u32, until: Timestamp) -> Result<bool, store::Error> {
    match app.store.system().hold_job(job, attempt, until).await {
        Ok(()) => Ok(true),
        Err(store::Error::Conflict(_) | store::Error::NotFound(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// A job will not be done, and why: a run that failed says so to whoever asked. Said twice it is one run.
pub(super) async fn refuse(
    app: &App,
    machine: MachineId,
    job: JobId,
    kind: JobKind,
    why: &str,
    now: Timestamp,
) -> Result<(), store::Error> {
    let system = app.store.system();
    let run = RunId::new(job.uuid());
    system.begin_run(&Run::begin(run, machine, Some(job), kind, now)).await?;
    let why = format!("declined: {why}");
    system.end_run(machine, run, now, Outcome::Failed { why }).await?;
    system.refuse_job(job).await
}
