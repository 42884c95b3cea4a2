//! Facts: what is known of a machine, gathered from its rows for judging.

use std::collections::BTreeMap;

use fleet::{
    Attempt, BackupFacts, Destination, Evidence, Facts, Machine, MachineClass, MachineId, Outcome, Policy, Run, RunId,
    RunState, SiteId, StorageFacts, TenantId, Verdict,
};
use jiff::{SignedDuration, Timestamp};
use sea_orm::{
    ColumnTrait, DatabaseTransaction, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, Select,
};

use super::ledger::received_since;
use crate::document::{read, word};
use crate::entity::{
    copies, days_in_use, destinations, drills, heartbeats, machines, policies, repositories, runs, sites,
};
use crate::machine::machine;
use crate::moment::{micros, moment};
use crate::{Result, policy, proof, run};

/// Gathers facts, and remembers what several machines share.
pub(super) struct Gatherer<'t> {
    txn: &'t DatabaseTransaction,
    now: Timestamp,
    /// Why nothing is known of anybody's silence: ours.
    doubt: Option<String>,
    policies: BTreeMap<uuid::Uuid, Option<Policy>>,
    destinations: BTreeMap<TenantId, Vec<Destination>>,
    sites: BTreeMap<SiteId, Option<String>>,
}

impl<'t> Gatherer<'t> {
    pub(super) fn new(txn: &'t DatabaseTransaction, now: Timestamp, doubt: Option<&str>) -> Gatherer<'t> {
        let doubt = doubt.map(str::to_owned);
        let (policies, destinations, sites) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Gatherer { txn, now, doubt, policies, destinations, sites }
    }

    /// What is known of a machine.
    pub(super) async fn facts(&mut self, row: &machines::Model) -> Result<Facts> {
        let of = machine(row)?;
        let policy = self.policy(row.policy).await?;
        let offsite = match &policy {
            Some(policy) => policy.goes_offsite(self.destinations(of.tenant).await?),
            None => false,
        };
        let drills = policy.is_some_and(|policy| !policy.drills.is_empty());
        Ok(Facts {
            limits: of.limits(),
            heartbeat: match row.identity {
                Some(_) => Some(heard(self.txn, of.id).await?),
                None => None,
            },
            blind: match (&self.doubt, of.site) {
                (Some(doubt), _) => Some(doubt.clone()),
                (None, Some(site)) => self.silent_site(site).await?,
                (None, None) => None,
            },
            backup: self.backups(&of).await?,
            offsite: if offsite { Some(last_copy(self.txn, of.id).await?) } else { None },
            proven: if drills { Some(last_drill(self.txn, of.id).await?) } else { None },
            storage: self.storage(of.id).await?,
            pause: of.pause,
        })
    }

    async fn policy(&mut self, id: Option<uuid::Uuid>) -> Result<Option<Policy>> {
        let Some(id) = id else { return Ok(None) };
        if let Some(known) = self.policies.get(&id) {
            return Ok(known.clone());
        }
        let row = policies::Entity::find_by_id(id).one(self.txn).await?;
        let found = row.as_ref().map(policy::policy).transpose()?;
        self.policies.insert(id, found.clone());
        Ok(found)
    }

    async fn destinations(&mut self, tenant: TenantId) -> Result<&[Destination]> {
        if !self.destinations.contains_key(&tenant) {
            let rows = destinations::Entity::find().filter(destinations::Column::Tenant.eq(tenant.uuid()));
            let rows = rows.all(self.txn).await?;
            let all = rows.iter().map(|row| read("a destination", &row.document)).collect::<Result<_>>()?;
            self.destinations.insert(tenant, all);
        }
        Ok(&self.destinations[&tenant])
    }

    /// Why the machines of a site are unknown: it has several servers, and all of them are silent.
    async fn silent_site(&mut self, site: SiteId) -> Result<Option<String>> {
        if let Some(known) = self.sites.get(&site) {
            return Ok(known.clone());
        }
        let silent = servers_silent(self.txn, site, self.now).await?;
        let all = silent.len() > 1 && silent.iter().all(|silent| *silent);
        let name = sites::Entity::find_by_id(site.uuid()).one(self.txn).await?.map(|site| site.name);
        let why = name.filter(|_| all).map(|name| format!("all of {name} is silent"));
        self.sites.insert(site, why.clone());
        Ok(why)
    }

    async fn backups(&self, of: &Machine) -> Result<BackupFacts> {
        let good = newest_ended(of.id, "backup").filter(runs::Column::State.eq("good")).one(self.txn).await?;
        let last = newest_ended(of.id, "backup").one(self.txn).await?;
        let going = runs::Entity::find()
            .filter(runs::Column::Machine.eq(of.id.uuid()))
            .filter(runs::Column::Word.eq("backup"))
            .filter(runs::Column::Ended.is_null())
            .order_by_desc(runs::Column::Started)
            .limit(1);
        let running = going.one(self.txn).await?.map(|row| run::run(&row)).transpose()?;
        let good = good.map(|row| attempt(&row, "Backup")).transpose()?;
        let since = good.as_ref().map_or(of.enrolled, |good| good.at);
        Ok(BackupFacts {
            days_in_use: self.days_in_use(of.id, since).await?,
            good,
            last: last.map(|row| attempt(&row, "Backup")).transpose()?,
            running: running.map(|row| (Evidence::Run(row.run.id), row.run.progress.percent())),
        })
    }

    /// Days after the one on which something happened; by the calendar of UTC, which is a day off at most.
    async fn days_in_use(&self, machine: MachineId, since: Timestamp) -> Result<u32> {
        let day = fleet::Zone::utc().date(since).to_string();
        let days = days_in_use::Entity::find().filter(days_in_use::Column::Machine.eq(machine.uuid()));
        let days = days.filter(days_in_use::Column::Day.gt(day)).count(self.txn).await?;
        Ok(u32::try_from(days).unwrap_or(u32::MAX))
    }

    async fn storage(&self, machine: MachineId) -> Result<StorageFacts> {
        let check = newest_ended(machine, "check").one(self.txn).await?;
        let check = check.map(|row| attempt(&row, "Checked")).transpose()?;
        let repository = repositories::Entity::find_by_id(machine.uuid()).one(self.txn).await?;
        let stored = repository.as_ref().map_or(0, |found| found.stored.unsigned_abs());
        let days_left = match repository.and_then(|found| found.quota) {
            Some(quota) => {
                let since = self.now - SignedDuration::from_hours(14 * 24);
                let daily = received_since(self.txn, machine, since).await? / 14;
                days_left(stored, quota.unsigned_abs(), daily)
            }
            None => None,
        };
        Ok(StorageFacts { check, stored, days_left })
    }
}

fn days_left(stored: u64, quota: u64, daily: u64) -> Option<u32> {
    match quota.saturating_sub(stored) {
        0 => Some(0),
        room => room.checked_div(daily).map(|days| u32::try_from(days).unwrap_or(u32::MAX)),
    }
}

async fn heard(txn: &DatabaseTransaction, machine: MachineId) -> Result<Option<Timestamp>> {
    let row = heartbeats::Entity::find_by_id(machine.uuid()).one(txn).await?;
    row.map(|row| moment(row.heard)).transpose()
}

/// For each server of a site whether it is silent.
pub(super) async fn servers_silent(txn: &DatabaseTransaction, site: SiteId, now: Timestamp) -> Result<Vec<bool>> {
    let servers = machines::Entity::find()
        .filter(machines::Column::Site.eq(site.uuid()))
        .filter(machines::Column::Class.eq(word("a class", &MachineClass::Server)?))
        .filter(machines::Column::Identity.is_not_null())
        .filter(machines::Column::Retired.is_null());
    let mut silent = Vec::new();
    for row in servers.all(txn).await? {
        let limit = SignedDuration::from_mins(machine(&row)?.limits().heartbeat.into());
        let heard = heard(txn, MachineId::new(row.id)).await?;
        silent.push(heard.is_none_or(|heard| now.duration_since(heard) > limit));
    }
    Ok(silent)
}

fn newest_ended(machine: MachineId, word: &str) -> Select<runs::Entity> {
    runs::Entity::find()
        .filter(runs::Column::Machine.eq(machine.uuid()))
        .filter(runs::Column::Word.eq(word))
        .filter(runs::Column::Ended.is_not_null())
        .order_by_desc(runs::Column::Ended)
        .limit(1)
}

/// A run that has ended, as an attempt.
fn attempt(row: &runs::Model, what: &str) -> Result<Attempt> {
    let Run { id, state, started, .. } = run::run(row)?.run;
    let (at, verdict) = match state {
        RunState::Running => (started, Verdict::Failed("it never ended".into())),
        RunState::Ended { at, outcome } => (at, verdict(&outcome)),
    };
    Ok(Attempt { evidence: Evidence::Run(RunId::new(id.uuid())), at, verdict, what: what.into() })
}

fn verdict(outcome: &Outcome) -> Verdict {
    match outcome {
        Outcome::Good => Verdict::Good,
        Outcome::Failed { why } => Verdict::Failed(why.clone()),
        incomplete @ Outcome::Incomplete { .. } => {
            Verdict::Incomplete(incomplete.words().trim_start_matches("incomplete: ").to_owned())
        }
    }
}

async fn last_copy(txn: &DatabaseTransaction, machine: MachineId) -> Result<Option<Attempt>> {
    let row = copies::Entity::find()
        .filter(copies::Column::Machine.eq(machine.uuid()))
        .filter(copies::Column::Offsite.eq(true))
        .order_by_desc(copies::Column::Ended)
        .limit(1);
    let Some(row) = row.one(txn).await? else { return Ok(None) };
    let copy = proof::copy(&row)?;
    let at = if matches!(copy.verdict, Verdict::Failed(_)) { copy.ended } else { copy.newest };
    Ok(Some(Attempt { evidence: Evidence::Copy(copy.id), at, verdict: copy.verdict, what: "Offsite copy".into() }))
}

async fn last_drill(txn: &DatabaseTransaction, machine: MachineId) -> Result<Option<Attempt>> {
    let row = drills::Entity::find().filter(drills::Column::Machine.eq(machine.uuid()));
    let row = row.order_by_desc(drills::Column::Ended).limit(1).one(txn).await?;
    let Some(row) = row else { return Ok(None) };
    let drill = proof::drill(&row)?;
    let what = drill.kind.done().to_owned();
    Ok(Some(Attempt { evidence: Evidence::Drill(drill.id), at: drill.ended, verdict: drill.verdict, what }))
}

/// Used by judging, to know when to look again.
pub(super) fn stored_recheck(facts: &Facts, now: Timestamp) -> i64 {
    micros(facts.next_change(now).unwrap_or(now + SignedDuration::from_hours(24)))
}
