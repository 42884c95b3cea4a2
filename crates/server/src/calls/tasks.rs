//! Tasks: what a keeper is given to do, and what it says came of it.

use api::wire::agent::Taken;
use api::wire::keeper::{Event, Found, ToKeeper, Work};
use fleet::{CopyId, Destination, Distance, DrillId, JobKind, MachineId, Outcome, Place, Run, RunId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use store::{CopyMade, DrillMade};

use super::keeper::Keeper;
use super::{event, found, orders};
use crate::app::App;

/// What keepers do.
const WORDS: [&str; 4] = ["check", "prune", "copy", "drill"];

/// Tasks that a keeper has at once.
const MOST: usize = 16;

/// Snapshots in one question about receipts.
const RECEIPTS: u64 = 1_000;

/// Which part of the packs a check reads.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Slice {
    pub(crate) slice: u32,
    pub(crate) of: u32,
}

fn worker(keeper: &Keeper) -> String {
    format!("keeper:{}", keeper.id)
}

/// Tells a keeper once more what it had been given to do.
pub(super) async fn resume(app: &App, keeper: &Keeper) -> Result<(), store::Error> {
    for taken in app.store.system().jobs_of(&worker(keeper)).await? {
        if orders::hold(app, taken.row.job.id, taken.attempt, orders::lease(app.now())).await? {
            give(app, keeper, taken).await?;
        }
    }
    Ok(())
}

/// Takes what is due for machines whose keys this keeper has.
pub(super) async fn take(app: &App, keeper: &Keeper, now: Timestamp) -> Result<(), store::Error> {
    let system = app.store.system();
    let mut machines: Vec<MachineId> =
        system.work_waiting(&WORDS, now).await?.into_iter().map(|(machine, _)| machine).collect();
    machines.dedup();
    for machine in machines {
        let room = MOST.saturating_sub(keeper.state.lock().held.len());
        if room == 0 || keeper.line.is_over() {
            return Ok(());
        }
        if system.sealed_to(machine, &keeper.public).await?.is_none() {
            continue;
        }
        let until = orders::lease(now);
        for taken in system.take_jobs(&worker(keeper), &WORDS, Some(machine), now, until, room as u64).await? {
            give(app, keeper, taken).await?;
        }
    }
    Ok(())
}

async fn give(app: &App, keeper: &Keeper, taken: store::Taken) -> Result<(), store::Error> {
    let (machine, kind) = (taken.row.job.machine, taken.row.job.kind);
    let job = Taken { job: taken.row.job.id, attempt: taken.attempt };
    let Some(sealed) = app.store.system().sealed_to(machine, &keeper.public).await? else {
        let why = "the machine's key is sealed to another keeper";
        return orders::refuse(app, machine, job.job, kind, why, app.now()).await;
    };
    let kept = crate::keepers::kept(machine, sealed);
    match work(app, machine, kind, &taken.row.orders).await? {
        Ok(work) => {
            keeper.state.lock().held.insert(job.job, job.attempt);
            keeper.line.say(&ToKeeper::Task { job, machine: kept, work });
            Ok(())
        }
        Err(why) => orders::refuse(app, machine, job.job, kind, why, app.now()).await,
    }
}

/// What a job is in the keeper's words, or why it is none.
async fn work(
    app: &App,
    machine: MachineId,
    kind: JobKind,
    orders: &str,
) -> Result<Result<Work, &'static str>, store::Error> {
    Ok(match kind {
        JobKind::Check => {
            let whole = Slice { slice: 1, of: 1 };
            let Slice { slice, of } = serde_json::from_str(orders).unwrap_or(whole);
            Ok(Work::Check { slice, of })
        }
        JobKind::Prune => prune(app, machine).await?,
        JobKind::Copy(to) => match app.store.system().destinations().await?.into_iter().find(|one| one.id == to) {
            Some(to @ Destination { place: Place::Copies(_), .. }) => Ok(Work::Copy(to)),
            _ => Err("there is no such destination to copy to"),
        },
        JobKind::Drill(drill) => Ok(Work::Drill(drill)),
        JobKind::Backup | JobKind::Restore => Err("a keeper does no such thing"),
    })
}

async fn prune(app: &App, machine: MachineId) -> Result<Result<Work, &'static str>, store::Error> {
    let system = app.store.system();
    let policy = system.attend(&[machine]).await?.pop().and_then(|attended| attended.policy);
    let Some(policy) = policy.filter(|policy| !policy.keep.is_everything()) else {
        return Ok(Err("everything is kept"));
    };
    let (mut received, mut after) = (std::collections::BTreeMap::new(), String::new());
    loop {
        let some = system.receipts(machine, "snapshots", &after, RECEIPTS).await?;
        let Some(last) = some.last() else { break };
        after = last.name.clone();
        received.extend(some.into_iter().map(|receipt| (receipt.name, receipt.received)));
    }
    Ok(Ok(Work::Prune { keep: policy.keep.clone(), received }))
}

/// Applies what a keeper says happened. What contradicts what is known changes nothing; an error means that it must be
/// told again.
pub(super) async fn apply(app: &App, keeper: &Keeper, event: Event) -> Result<(), store::Error> {
    match one(app, keeper, event).await {
        Err(store::Error::NotFound(_) | store::Error::Conflict(_) | store::Error::NotAllowed(_)) => Ok(()),
        applied => applied,
    }
}

async fn one(app: &App, keeper: &Keeper, event: Event) -> Result<(), store::Error> {
    let (system, now) = (app.store.system(), app.now());
    match event {
        Event::Begun { machine, run, job, kind, at } => {
            tended(app, keeper, machine).await?;
            let job = own(app, machine, job).await?.map(|_| job.job);
            system.begin_run(&Run::begin(run, machine, job, kind, at.min(now))).await
        }
        Event::Ended { machine, run, job, at, outcome, found } => {
            tended(app, keeper, machine).await?;
            let ended = Ended { machine, run, at: at.min(now), outcome: found::outcome(outcome) };
            end(app, &ended, found, own(app, machine, job).await?).await?;
            keeper.state.lock().held.remove(&job.job);
            system.job_done(job.job, job.attempt).await
        }
        Event::Postponed { job, again, why: _ } => {
            keeper.state.lock().held.remove(&job.job);
            system.give_job_back(job.job, job.attempt, event::again_at(again, now)).await
        }
        Event::Declined { job, why } => decline(app, keeper, job, &why, now).await,
    }
}

/// A task that the keeper does not know: whoever asked for it hears why it is not done.
async fn decline(app: &App, keeper: &Keeper, job: Taken, why: &str, now: Timestamp) -> Result<(), store::Error> {
    let Some(row) = app.store.system().job(job.job).await? else { return Ok(()) };
    tended(app, keeper, row.job.machine).await?;
    keeper.state.lock().held.remove(&job.job);
    if row.job.state.is_over() {
        return Ok(());
    }
    orders::refuse(app, row.job.machine, job.job, row.job.kind, &found::cut(why), now).await
}

/// Refuses machines whose keys this keeper does not have.
async fn tended(app: &App, keeper: &Keeper, machine: MachineId) -> Result<(), store::Error> {
    let sealed = app.store.system().sealed_to(machine, &keeper.public).await?;
    sealed.map(drop).ok_or(store::Error::NotFound("machine"))
}

/// What a job is, if it is one of this machine.
async fn own(app: &App, machine: MachineId, job: Taken) -> Result<Option<JobKind>, store::Error> {
    let row = app.store.system().job(job.job).await?;
    Ok(row.filter(|row| row.job.machine == machine).map(|row| row.job.kind))
}

/// How a run ended.
struct Ended {
    machine: MachineId,
    run: RunId,
    at: Timestamp,
    outcome: Outcome,
}

/// Ends a run and notes what it proved; a copy or drill that failed without finding anything is noted as failed.
async fn end(app: &App, ended: &Ended, found: Option<Found>, kind: Option<JobKind>) -> Result<(), store::Error> {
    let system = app.store.system();
    if let Some(report) = app.calls.diary.last(ended.machine, ended.run) {
        system.report_all(&[(ended.machine, ended.run, report)]).await?;
    }
    match (found, kind) {
        (Some(Found::Copied { destination, distance: _, newest }), _) => {
            copied(app, ended, destination, newest).await?;
        }
        (Some(Found::Drilled { drill, evidence }), _) => drilled(app, ended, drill, &evidence).await?,
        (None, Some(JobKind::Copy(destination))) => copied(app, ended, destination, ended.at).await?,
        (None, Some(JobKind::Drill(drill))) => drilled(app, ended, drill, "").await?,
        (None, _) => {}
    }
    system.end_run(ended.machine, ended.run, ended.at, ended.outcome.clone()).await.map(drop)
}

async fn copied(
    app: &App,
    ended: &Ended,
    destination: fleet::DestinationId,
    newest: Timestamp,
) -> Result<(), store::Error> {
    // How far away it is says who configured it, not who copied.
    let destinations = app.store.system().destinations().await?;
    let Some(known) = destinations.into_iter().find(|known| known.id == destination) else { return Ok(()) };
    let distance: Distance = known.distance;
    let made = CopyMade {
        id: CopyId::made(ended.at, found::bits(ended.run, "copy")),
        machine: ended.machine,
        destination,
        distance,
        ended: ended.at,
        newest: newest.min(ended.at),
        verdict: found::verdict(&ended.outcome),
    };
    app.store.system().copy_made(&made).await
}

async fn drilled(app: &App, ended: &Ended, kind: fleet::Drill, evidence: &str) -> Result<(), store::Error> {
    let made = DrillMade {
        id: DrillId::made(ended.at, found::bits(ended.run, "drill")),
        machine: ended.machine,
        kind,
        ended: ended.at,
        verdict: found::verdict(&ended.outcome),
        evidence: found::evidence(evidence),
    };
    app.store.system().drill_held(&made).await
}
