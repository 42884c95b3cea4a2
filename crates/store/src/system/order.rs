//! Orders: jobs as those who carry them out hear of them, and what they say of their runs, many at once.

use std::collections::BTreeSet;

use fleet::{JobId, JobKind, JobState, Machine, MachineId, Report, RunId};
use jiff::Timestamp;
use sea_orm::sea_query::{Expr, ExprTrait, LockType};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, Condition, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder,
    QuerySelect,
};
use uuid::Uuid;

use super::System;
use crate::document::written;
use crate::entity::{jobs, machines, runs};
use crate::machine::machine;
use crate::moment::micros;
use crate::{JobRow, Result, job, run};

/// Jobs in one answer.
const MOST: u64 = 1_000;

impl System<'_> {
    /// Machines that have jobs of these words which are due and which nobody has, and the word of each; the longest due
    /// first, 1000 jobs at most.
    pub async fn work_waiting(&self, words: &[&str], now: Timestamp) -> Result<Vec<(MachineId, String)>> {
        let free = Condition::any()
            .add(jobs::Column::State.eq(JobState::Waiting.word()))
            .add(jobs::Column::State.eq("taken").and(jobs::Column::LeasedUntil.lte(micros(now))));
        let rows: Vec<(Uuid, String)> = jobs::Entity::find()
            .select_only()
            .columns([jobs::Column::Machine, jobs::Column::Word])
            .filter(free)
            .filter(jobs::Column::Due.lte(micros(now)))
            .filter(jobs::Column::Word.is_in(words.iter().copied()))
            .order_by_asc(jobs::Column::Due)
            .limit(MOST)
            .into_tuple()
            .all(self.store.read())
            .await?;
        Ok(rows.into_iter().map(|(machine, word)| (MachineId::new(machine), word)).collect())
    }

    /// Those of some jobs that were called back.
    pub async fn called_back(&self, which: &[JobId]) -> Result<BTreeSet<JobId>> {
        let rows: Vec<Uuid> = jobs::Entity::find()
            .select_only()
            .column(jobs::Column::Id)
            .filter(jobs::Column::Id.is_in(which.iter().map(|id| id.uuid())))
            .filter(jobs::Column::State.eq(JobState::Cancelled.word()))
            .into_tuple()
            .all(self.store.read())
            .await?;
        Ok(rows.into_iter().map(JobId::new).collect())
    }

    /// A machine, also one that is retired.
    pub async fn machine(&self, id: MachineId) -> Result<Option<Machine>> {
        machines::Entity::find_by_id(id.uuid()).one(self.store.read()).await?.as_ref().map(machine).transpose()
    }

    /// A job, whoever it is for.
    pub async fn job(&self, id: JobId) -> Result<Option<JobRow>> {
        jobs::Entity::find_by_id(id.uuid()).one(self.store.read()).await?.as_ref().map(job::job).transpose()
    }

    /// Whoever should do a job will not: it is over.
    pub async fn refuse_job(&self, id: JobId) -> Result<()> {
        let txn = self.store.begin().await?;
        let row = jobs::Entity::find_by_id(id.uuid()).lock(LockType::NoKeyUpdate).one(&txn).await?;
        let Some(row) = row else { return Ok(()) };
        let mut found = job::job(&row)?.job;
        if found.cancel().is_ok() {
            job::save(&txn, row, &found, None).await?;
        }
        Ok(txn.commit().await?)
    }

    /// Runs say how far they are, all in one transaction. What is no news, and runs of other machines, change nothing.
    pub async fn report_all(&self, reports: &[(MachineId, RunId, Report)]) -> Result<()> {
        let txn = self.store.begin().await?;
        let mut reports: Vec<_> = reports.iter().collect();
        // In one order, so that two servers do not wait for each other in a circle.
        reports.sort_by_key(|(machine, run, _)| (*machine, *run));
        for (machine, id, report) in reports {
            let row = runs::Entity::find_by_id(id.uuid()).filter(runs::Column::Machine.eq(machine.uuid()));
            let Some(row) = row.lock(LockType::NoKeyUpdate).one(&txn).await? else { continue };
            let mut found = run::run(&row)?.run;
            if !found.hear(report.clone()) {
                continue;
            }
            let mut row = row.into_active_model();
            row.progress = Set(written("a run's progress", &found.progress)?);
            row.update(&txn).await?;
            if found.kind == JobKind::Backup {
                let percent = Some(i64::from(found.progress.percent()));
                let card = machines::Entity::update_many().col_expr(machines::Column::Percent, Expr::value(percent));
                card.filter(machines::Column::Id.eq(machine.uuid())).exec(&txn).await?;
            }
        }
        Ok(txn.commit().await?)
    }
}
