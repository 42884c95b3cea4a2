//! Runs, as people see them.

use fleet::{JobId, MachineId, Outcome, Run, RunId, RunState};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::document::{read, read_if};
use crate::entity::runs;
use crate::moment::{moment, moment_if};
use crate::within::within;
use crate::{Error, Result, View};

/// A run, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRow {
    /// The run.
    pub run: Run,
    /// Of which client's machine.
    pub client: fleet::ClientId,
    /// The snapshots that it made, in hexadecimal digits, as its machine told at its end.
    pub snapshots: Vec<String>,
}

pub(crate) fn run(row: &runs::Model) -> Result<RunRow> {
    let outcome: Option<Outcome> = read_if("a run's outcome", row.outcome.as_deref())?;
    let state = match (moment_if(row.ended)?, outcome) {
        (Some(at), Some(outcome)) => RunState::Ended { at, outcome },
        _ => RunState::Running,
    };
    let run = Run {
        id: RunId::new(row.id),
        machine: MachineId::new(row.machine),
        job: row.job.map(JobId::new),
        kind: read("a run's kind", &row.kind)?,
        started: moment(row.started)?,
        progress: read("a run's progress", &row.progress)?,
        state,
    };
    let snapshots = read("a run's snapshots", &row.snapshots)?;
    Ok(RunRow { run, client: fleet::ClientId::new(row.client), snapshots })
}

impl View<'_> {
    /// A machine's newest runs.
    pub async fn runs(&self, machine: MachineId, most: u64) -> Result<Vec<RunRow>> {
        let rows = runs::Entity::find().filter(runs::Column::Machine.eq(machine.uuid()));
        let rows = rows.filter(within::<runs::Entity>(&self.looks())).order_by_desc(runs::Column::Started).limit(most);
        rows.all(self.store.read()).await?.iter().map(run).collect()
    }

    /// The runs that go on now, the newest first.
    pub async fn runs_going_on(&self, most: u64) -> Result<Vec<RunRow>> {
        let rows = runs::Entity::find().filter(runs::Column::Ended.is_null());
        let rows = rows.filter(within::<runs::Entity>(&self.looks())).order_by_desc(runs::Column::Started).limit(most);
        rows.all(self.store.read()).await?.iter().map(run).collect()
    }

    /// One run.
    pub async fn run(&self, id: RunId) -> Result<RunRow> {
        let row = runs::Entity::find_by_id(id.uuid()).filter(within::<runs::Entity>(&self.looks()));
        run(&row.one(self.store.read()).await?.ok_or(Error::NotFound("run"))?)
    }
}
