//! Due: what is to be known of machines for making a keeper's work due, for many of them at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fleet::{Destination, JobKey, MachineId, Policy, TenantId};
use jiff::Timestamp;
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::System;
use crate::Result;
use crate::document::read;
use crate::entity::{destinations, jobs, machines, repositories, runs};
use crate::moment::{micros, moment};

/// What is to be known of a machine for making work due.
#[derive(Clone, Debug)]
pub struct DueFacts {
    /// Which.
    pub machine: MachineId,
    /// Whose provider's.
    pub tenant: TenantId,
    /// What is done for it.
    pub policy: Option<Arc<Policy>>,
    /// Whether a keeper has its key.
    pub is_sealed: bool,
    /// Whether it has made a snapshot yet.
    pub has_snapshots: bool,
    /// Whether a backup of it goes on, also one that waits.
    pub is_backing_up: bool,
    /// When the last good backup ended.
    pub last_good: Option<Timestamp>,
    /// The kinds of jobs, as they are stored, that wait or are worked at.
    pub unfinished: BTreeSet<String>,
    /// The keys of its jobs that were due since a moment.
    pub keys: BTreeSet<String>,
}

impl System<'_> {
    /// Machines that are looked after, in the order of their identities, after one; with jobs due since a moment.
    pub async fn due_facts(&self, after: Option<MachineId>, since: Timestamp, most: u64) -> Result<Vec<DueFacts>> {
        let db = self.store.read();
        let mut rows = machines::Entity::find().filter(machines::Column::Retired.is_null());
        if let Some(after) = after {
            rows = rows.filter(machines::Column::Id.gt(after.uuid()));
        }
        let rows = rows.order_by_asc(machines::Column::Id).limit(most).all(db).await?;
        let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
        let policies = self.policies_of(&rows).await?;
        let closed: BTreeSet<Uuid> = repositories::Entity::find()
            .select_only()
            .column(repositories::Column::Machine)
            .filter(repositories::Column::Machine.is_in(ids.clone()))
            .filter(repositories::Column::Closed.is_not_null())
            .into_tuple()
            .all(db)
            .await?
            .into_iter()
            .collect();
        let good = self.last_good(&ids).await?;
        let backing_up = self.backing_up(&ids, since).await?;
        let mut jobs = self.jobs_since(&ids, since).await?;
        let facts = rows.into_iter().map(|row| {
            let (unfinished, keys) = jobs.remove(&row.id).unwrap_or_default();
            Ok(DueFacts {
                machine: MachineId::new(row.id),
                tenant: TenantId::new(row.tenant),
                policy: row.policy.and_then(|id| policies.get(&id).cloned()),
                is_sealed: row.sealed_to.is_some(),
                has_snapshots: closed.contains(&row.id),
                is_backing_up: backing_up.contains(&row.id),
                last_good: good.get(&row.id).copied().map(moment).transpose()?,
                unfinished,
                keys,
            })
        });
        facts.collect()
    }

    /// Every tenant's destinations.
    pub async fn destinations(&self) -> Result<Vec<Destination>> {
        let rows = destinations::Entity::find().all(self.store.read()).await?;
        rows.iter().map(|row| read("a destination", &row.document)).collect()
    }

    /// Machines with a backup that has not ended; one that began before `since` is not waited for.
    async fn backing_up(&self, ids: &[Uuid], since: Timestamp) -> Result<BTreeSet<Uuid>> {
        let rows: Vec<Uuid> = runs::Entity::find()
            .select_only()
            .column(runs::Column::Machine)
            .filter(runs::Column::Machine.is_in(ids.iter().copied()))
            .filter(runs::Column::Word.eq("backup"))
            .filter(runs::Column::Ended.is_null())
            .filter(runs::Column::Started.gte(micros(since)))
            .into_tuple()
            .all(self.store.read())
            .await?;
        Ok(rows.into_iter().collect())
    }

    async fn last_good(&self, ids: &[Uuid]) -> Result<BTreeMap<Uuid, i64>> {
        let rows: Vec<(Uuid, Option<i64>)> = runs::Entity::find()
            .select_only()
            .column(runs::Column::Machine)
            .column_as(runs::Column::Ended.max(), "newest")
            .filter(runs::Column::Machine.is_in(ids.iter().copied()))
            .filter(runs::Column::Word.eq("backup"))
            .filter(runs::Column::State.eq("good"))
            .group_by(runs::Column::Machine)
            .into_tuple()
            .all(self.store.read())
            .await?;
        Ok(rows.into_iter().filter_map(|(machine, at)| Some((machine, at?))).collect())
    }

    /// By machine: kinds of unfinished jobs, and keys of those due since a moment.
    async fn jobs_since(
        &self,
        ids: &[Uuid],
        since: Timestamp,
    ) -> Result<BTreeMap<Uuid, (BTreeSet<String>, BTreeSet<String>)>> {
        let wanted = Condition::any()
            .add(jobs::Column::Due.gte(micros(since)))
            .add(jobs::Column::State.is_in(["waiting", "taken"]));
        let rows: Vec<(Uuid, String, String, String)> = jobs::Entity::find()
            .select_only()
            .columns([jobs::Column::Machine, jobs::Column::Kind, jobs::Column::State, jobs::Column::Key])
            .filter(jobs::Column::Machine.is_in(ids.iter().copied()))
            .filter(wanted)
            .into_tuple()
            .all(self.store.read())
            .await?;
        let mut by_machine: BTreeMap<Uuid, (BTreeSet<String>, BTreeSet<String>)> = BTreeMap::new();
        for (machine, kind, state, key) in rows {
            let (unfinished, keys) = by_machine.entry(machine).or_default();
            if state == "waiting" || state == "taken" {
                unfinished.insert(kind);
            }
            keys.insert(read::<JobKey>("a job's key", &key)?.as_str().to_owned());
        }
        Ok(by_machine)
    }
}
