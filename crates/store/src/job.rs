//! Jobs, as people see them and ask for them. Who does them takes them through `system/work.rs`.

use fleet::{Job, JobId, JobKey, JobKind, JobState, MachineId, TenantId};
use jiff::Timestamp;
use sea_orm::sea_query::LockType;
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter,
    QueryOrder, QuerySelect, sea_query::OnConflict,
};

use crate::audit::Done;
use crate::document::{read, written};
use crate::entity::{jobs, machines};
use crate::moment::{micros, moment};
use crate::view::act_of;
use crate::within::within;
use crate::{Error, Result, View};

/// A job to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewJob {
    /// Its identity, unless there is one with the same key.
    pub id: JobId,
    /// For which machine.
    pub machine: MachineId,
    /// What.
    pub kind: JobKind,
    /// What makes it the same job.
    pub key: JobKey,
    /// From when on.
    pub due: Timestamp,
    /// Details for whoever does it; JSON that is not looked into here.
    pub orders: String,
}

/// A job and what stands beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRow {
    /// The job.
    pub job: Job,
    /// Details for whoever does it.
    pub orders: String,
    /// Who asked for it; none: a schedule did.
    pub asked_by: Option<String>,
}

pub(crate) fn job(row: &jobs::Model) -> Result<JobRow> {
    let until = || moment(row.leased_until.unwrap_or_default());
    let state = match row.state.as_str() {
        "waiting" => JobState::Waiting,
        "taken" => JobState::Taken { until: until()? },
        "done" => JobState::Done,
        "failed" => JobState::Failed,
        "cancelled" => JobState::Cancelled,
        other => return Err(Error::stored("a job's state")(format!("it is {other:?}").into())),
    };
    let job = Job {
        id: JobId::new(row.id),
        machine: MachineId::new(row.machine),
        kind: read("a job's kind", &row.kind)?,
        key: read("a job's key", &row.key)?,
        due: moment(row.due)?,
        attempts: u32::try_from(row.attempts).unwrap_or(u32::MAX),
        state,
    };
    Ok(JobRow { job, orders: row.orders.clone(), asked_by: row.asked_by.clone() })
}

/// Writes what changes of a job. Who has it is kept where it is taken and forgotten where it is not.
pub(crate) async fn save<C: ConnectionTrait>(
    txn: &C,
    row: jobs::Model,
    job: &Job,
    worker: Option<&str>,
) -> Result<jobs::Model> {
    let mut row = row.into_active_model();
    row.due = Set(micros(job.due));
    row.attempts = Set(job.attempts.into());
    row.state = Set(job.state.word().into());
    row.leased_until = Set(match job.state {
        JobState::Taken { until } => Some(micros(until)),
        _ => None,
    });
    row.worker = Set(worker.map(str::to_owned));
    Ok(row.update(txn).await?)
}

/// Inserts a job unless one with its key is there; the identity of the one that is.
pub(crate) async fn insert<C: ConnectionTrait>(
    txn: &C,
    machine: &machines::Model,
    new: &NewJob,
    asked_by: Option<&str>,
) -> Result<JobId> {
    let key = written("a job's key", &new.key)?;
    let row = jobs::ActiveModel {
        id: Set(new.id.uuid()),
        tenant: Set(machine.tenant),
        client: Set(machine.client),
        machine: Set(machine.id),
        word: Set(new.kind.word().into()),
        kind: Set(written("a job's kind", &new.kind)?),
        key: Set(key.clone()),
        orders: Set(new.orders.clone()),
        asked_by: Set(asked_by.map(str::to_owned)),
        due: Set(micros(new.due)),
        attempts: Set(0),
        state: Set(JobState::Waiting.word().into()),
        leased_until: Set(None),
        worker: Set(None),
    };
    let once = OnConflict::column(jobs::Column::Key).do_nothing().to_owned();
    jobs::Entity::insert(row).on_conflict(once).exec_without_returning(txn).await?;
    let there = jobs::Entity::find().filter(jobs::Column::Key.eq(key)).one(txn).await?;
    Ok(JobId::new(there.ok_or(Error::NotFound("job"))?.id))
}

impl View<'_> {
    /// A machine's newest jobs.
    pub async fn jobs(&self, machine: MachineId, most: u64) -> Result<Vec<JobRow>> {
        let rows = jobs::Entity::find().filter(jobs::Column::Machine.eq(machine.uuid()));
        let rows = rows.filter(within::<jobs::Entity>(&self.looks())).order_by_desc(jobs::Column::Due).limit(most);
        rows.all(self.store.read()).await?.iter().map(job).collect()
    }

    /// One job.
    pub async fn job(&self, id: JobId) -> Result<JobRow> {
        let row = jobs::Entity::find_by_id(id.uuid()).filter(within::<jobs::Entity>(&self.looks()));
        job(&row.one(self.store.read()).await?.ok_or(Error::NotFound("job"))?)
    }

    /// Asks for a job. Asked for again with the same key it is there once; its identity is answered.
    pub async fn ask_for(&self, new: &NewJob) -> Result<JobId> {
        let txn = self.store.begin().await?;
        let machine = self.on_machine(act_of(new.kind), &txn, new.machine).await?;
        let id = insert(&txn, &machine, new, Some(&self.scope.actor().name)).await?;
        let there = jobs::Entity::find_by_id(id.uuid()).one(&txn).await?;
        if there.is_none_or(|there| there.machine != machine.id) {
            return Err(Error::Conflict("another machine's job has this key".into()));
        }
        if id != new.id {
            return Ok(id);
        }
        let detail = format!("{} of {}", new.kind.word(), machine.name);
        self.commit(txn, TenantId::new(machine.tenant), Done { act: "job ask", about: id.to_string(), detail }).await?;
        Ok(id)
    }

    /// Calls a job back before it has ended.
    pub async fn cancel_job(&self, id: JobId) -> Result<()> {
        let txn = self.store.begin().await?;
        let visible = within::<jobs::Entity>(&self.looks());
        let row = jobs::Entity::find_by_id(id.uuid()).filter(visible).lock(LockType::NoKeyUpdate).one(&txn).await?;
        let row = row.ok_or(Error::NotFound("job"))?;
        let mut found = job(&row)?.job;
        let machine = self.on_machine(act_of(found.kind), &txn, found.machine).await?;
        found.cancel().map_err(|error| Error::Conflict(error.to_string()))?;
        save(&txn, row, &found, None).await?;
        let detail = format!("{} of {}", found.kind.word(), machine.name);
        let done = Done { act: "job cancel", about: id.to_string(), detail };
        self.commit(txn, TenantId::new(machine.tenant), done).await
    }
}
