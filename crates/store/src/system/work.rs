//! Work: jobs are taken, held and done; runs begin, report and end. Everything due happens, effectively once.

use fleet::{Day, Job, JobId, JobKind, JobState, MachineId, Outcome, Report, Run, RunId, RunState, Zone};
use jiff::Timestamp;
use sea_orm::sea_query::{ExprTrait, LockBehavior, LockType};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, Condition, DatabaseTransaction, EntityTrait, IntoActiveModel,
    QueryFilter, QueryOrder, QuerySelect,
};

use super::System;
use super::ledger::Receipt;
use crate::document::{written, written_if};
use crate::entity::{clients, jobs, machines, runs};
use crate::moment::micros;
use crate::{Error, JobRow, NewJob, Result, job, run};

/// A job that somebody has, and in which attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The job.
    pub row: JobRow,
    /// To be shown by whoever has it: an earlier attempt is not listened to.
    pub attempt: u32,
}

impl System<'_> {
    /// Puts a job there, unless one with its key is: what is due twice happens once. False if one was.
    pub async fn make_due(&self, new: &NewJob) -> Result<bool> {
        let txn = self.store.begin().await?;
        let machine = machine_row(&txn, new.machine).await?;
        let id = job::insert(&txn, &machine, new, None).await?;
        txn.commit().await?;
        Ok(id == new.id)
    }

    /// Takes at most `most` jobs that are due and that nobody has, the longest due first, until `until`; of these words,
    /// and of one machine where one is given. Several servers take different ones.
    pub async fn take_jobs(
        &self,
        worker: &str,
        words: &[&str],
        machine: Option<MachineId>,
        now: Timestamp,
        until: Timestamp,
        most: u64,
    ) -> Result<Vec<Taken>> {
        let txn = self.store.begin().await?;
        let free = Condition::any()
            .add(jobs::Column::State.eq(JobState::Waiting.word()))
            .add(jobs::Column::State.eq("taken").and(jobs::Column::LeasedUntil.lte(micros(now))));
        let mut rows = jobs::Entity::find()
            .filter(free)
            .filter(jobs::Column::Due.lte(micros(now)))
            .filter(jobs::Column::Word.is_in(words.iter().copied()));
        if let Some(machine) = machine {
            rows = rows.filter(jobs::Column::Machine.eq(machine.uuid()));
        }
        let rows = rows.order_by_asc(jobs::Column::Due).limit(most);
        // SQLite has one writer and no such words.
        let rows = rows.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked).all(&txn).await?;
        let mut taken = Vec::new();
        for row in rows {
            let mut found = job::job(&row)?;
            let took = found.job.take(now, until).is_ok();
            job::save(&txn, row, &found.job, took.then_some(worker)).await?;
            if took {
                taken.push(Taken { attempt: found.job.attempts, row: found });
            }
        }
        txn.commit().await?;
        Ok(taken)
    }

    /// What a worker has, to go on with after a restart.
    pub async fn jobs_of(&self, worker: &str) -> Result<Vec<Taken>> {
        let rows = jobs::Entity::find().filter(jobs::Column::State.eq("taken")).filter(jobs::Column::Worker.eq(worker));
        let rows = rows.all(self.store.read()).await?;
        let rows: Vec<JobRow> = rows.iter().map(job::job).collect::<Result<_>>()?;
        Ok(rows.into_iter().map(|row| Taken { attempt: row.job.attempts, row }).collect())
    }

    /// Whoever took a job is still at it.
    pub async fn hold_job(&self, id: JobId, attempt: u32, until: Timestamp) -> Result<()> {
        self.change_job(id, |job| job.hold(attempt, until)).await
    }

    /// Whoever took a job has done it.
    pub async fn job_done(&self, id: JobId, attempt: u32) -> Result<()> {
        self.change_job(id, |job| job.done(attempt)).await
    }

    /// Whoever took a job could not do it.
    pub async fn give_job_back(&self, id: JobId, attempt: u32, again: Timestamp) -> Result<()> {
        self.change_job(id, |job| job.give_back(attempt, again)).await
    }

    /// Begins a run; told again, nothing changes.
    pub async fn begin_run(&self, new: &Run) -> Result<()> {
        let txn = self.store.begin().await?;
        let machine = machine_row(&txn, new.machine).await?;
        let row = new_row(&machine, new)?;
        let there = runs::Entity::find_by_id(new.id.uuid()).one(&txn).await?;
        if there.is_none() {
            runs::Entity::insert(row).exec_without_returning(&txn).await?;
            mark_day(&txn, machine, new, Day::Running, new.started).await?;
        }
        Ok(txn.commit().await?)
    }

    /// A run says how far it is. False if that was no news.
    pub async fn report(&self, machine: MachineId, id: RunId, report: Report) -> Result<bool> {
        let txn = self.store.begin().await?;
        let row = run_row(&txn, machine, id).await?;
        let mut found = run::run(&row)?.run;
        if !found.hear(report) {
            return Ok(false);
        }
        let mut row = row.into_active_model();
        row.progress = Set(written("a run's progress", &found.progress)?);
        row.update(&txn).await?;
        txn.commit().await?;
        Ok(true)
    }

    /// A run has ended. False if that was known: the first end stays.
    pub async fn end_run(&self, machine: MachineId, id: RunId, at: Timestamp, outcome: Outcome) -> Result<bool> {
        let txn = self.store.begin().await?;
        let row = run_row(&txn, machine, id).await?;
        let mut found = run::run(&row)?.run;
        if !found.end(at, outcome) {
            return Ok(false);
        }
        let day = match found.state() {
            fleet::State::Good => Day::Good,
            fleet::State::Incomplete => Day::Incomplete,
            _ => Day::Failed,
        };
        let mut row = row.into_active_model();
        row.ended = Set(Some(micros(at)));
        row.state = Set(found.state().word().into());
        row.progress = Set(written("a run's progress", &found.progress)?);
        row.outcome = Set(written_if("a run's outcome", outcome_of(&found))?);
        row.update(&txn).await?;
        let machine = machine_row(&txn, machine).await?;
        mark_day(&txn, machine, &found, day, at).await?;
        txn.commit().await?;
        Ok(true)
    }

    /// A run made these snapshots. Told again, nothing changes.
    pub async fn snapshots_made(&self, machine: MachineId, id: RunId, snapshots: &[String]) -> Result<()> {
        let txn = self.store.begin().await?;
        let mut row = run_row(&txn, machine, id).await?.into_active_model();
        row.snapshots = Set(written("a run's snapshots", &snapshots)?);
        row.update(&txn).await?;
        Ok(txn.commit().await?)
    }

    async fn change_job(&self, id: JobId, change: impl FnOnce(&mut Job) -> Result<(), fleet::JobError>) -> Result<()> {
        let txn = self.store.begin().await?;
        let row = jobs::Entity::find_by_id(id.uuid())
            .lock(LockType::NoKeyUpdate)
            .one(&txn)
            .await?
            .ok_or(Error::NotFound("job"))?;
        let mut found = job::job(&row)?.job;
        change(&mut found).map_err(|error| Error::Conflict(error.to_string()))?;
        let worker = match found.state {
            JobState::Taken { .. } => row.worker.clone(),
            _ => None,
        };
        job::save(&txn, row, &found, worker.as_deref()).await?;
        Ok(txn.commit().await?)
    }
}

fn new_row(machine: &machines::Model, run: &Run) -> Result<runs::ActiveModel> {
    let ended = match &run.state {
        RunState::Ended { at, .. } => Some(micros(*at)),
        RunState::Running => None,
    };
    Ok(runs::ActiveModel {
        id: Set(run.id.uuid()),
        tenant: Set(machine.tenant),
        client: Set(machine.client),
        machine: Set(machine.id),
        job: Set(run.job.map(JobId::uuid)),
        word: Set(run.kind.word().into()),
        kind: Set(written("a run's kind", &run.kind)?),
        started: Set(micros(run.started)),
        progress: Set(written("a run's progress", &run.progress)?),
        ended: Set(ended),
        state: Set(run.state().word().into()),
        outcome: Set(written_if("a run's outcome", outcome_of(run))?),
        snapshots: Set("[]".into()),
    })
}

/// A snapshot came from a machine without an agent: that is a backup of which nothing else is known.
pub(super) async fn note_arrival(txn: &DatabaseTransaction, new: &Receipt, at: Timestamp) -> Result<()> {
    let machine = machine_row(txn, new.machine).await?;
    if machine.identity.is_some() || new.kind != "snapshots" {
        return Ok(());
    }
    let mut bits = [0; 10];
    bits.copy_from_slice(&new.sha256[..10]);
    let mut run = Run::begin(RunId::made(at, bits), new.machine, None, JobKind::Backup, at);
    run.end(at, Outcome::Good);
    runs::Entity::insert(new_row(&machine, &run)?).on_conflict_do_nothing().exec_without_returning(txn).await?;
    mark_day(txn, machine, &run, Day::Good, at).await
}

fn outcome_of(run: &Run) -> Option<&Outcome> {
    match &run.state {
        RunState::Ended { outcome, .. } => Some(outcome),
        RunState::Running => None,
    }
}

/// A backup is noted on the day it began; whatever it was, the machine is judged again.
async fn mark_day(
    txn: &DatabaseTransaction,
    machine: machines::Model,
    run: &Run,
    day: Day,
    now: Timestamp,
) -> Result<()> {
    let client = clients::Entity::find_by_id(machine.client).one(txn).await?.ok_or(Error::NotFound("client"))?;
    let zone = Zone::named(&client.zone).map_err(|error| Error::stored("a client's zone")(error.into()))?;
    let mut bar: fleet::Bar =
        machine.bar.parse().map_err(|error: fleet::BarError| Error::stored("a bar")(error.into()))?;
    if run.kind == fleet::JobKind::Backup {
        bar.note(zone.date(run.started), day);
    }
    let mut row = machine.into_active_model();
    row.bar = Set(bar.to_string());
    row.recheck = Set(micros(now));
    row.update(txn).await?;
    Ok(())
}

pub(super) async fn machine_row(txn: &DatabaseTransaction, id: MachineId) -> Result<machines::Model> {
    let row = machines::Entity::find_by_id(id.uuid()).lock(LockType::NoKeyUpdate).one(txn).await?;
    row.ok_or(Error::NotFound("machine"))
}

/// A run of this machine; of another's is not found.
async fn run_row(txn: &DatabaseTransaction, machine: MachineId, id: RunId) -> Result<runs::Model> {
    let row = runs::Entity::find_by_id(id.uuid()).filter(runs::Column::Machine.eq(machine.uuid()));
    row.lock(LockType::NoKeyUpdate).one(txn).await?.ok_or(Error::NotFound("run"))
}
