//! Agents: they join by a code, prove who they are, and are heard. One identity at two places is not believed.

use std::collections::{BTreeMap, BTreeSet};

use fleet::{Actor, Bar, ClientId, MachineId, State, TenantId, Zone};
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use sea_orm::sea_query::LockType;
use sea_orm::{
    ActiveModelTrait,
    ActiveValue::Set,
    ColumnTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait, OnConflict},
};
use uuid::Uuid;

use super::System;
use crate::audit::{self, Done};
use crate::entity::{clients, codes, days_in_use, heartbeats, machines, repositories};
use crate::moment::micros;
use crate::{Error, Result, Secret, SecretHash};

/// A machine that wants to join.
#[derive(Clone, Debug)]
pub struct Enrolment {
    /// Its identity from now on.
    pub machine: MachineId,
    /// What it calls itself.
    pub name: String,
    /// The public key of its identity; none where stock restic is used.
    pub identity: Option<[u8; 32]>,
    /// What its hardware looks like.
    pub hardware: Option<String>,
    /// The key of its repository, sealed to the keeper; none: it keeps that alone.
    pub sealed_key: Option<Vec<u8>>,
    /// What it shows to the gateway from now on.
    pub credential: SecretHash,
}

/// What a machine became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enrolled {
    /// Which it is: the one that it was to be, or the one that it had become before its answer was lost.
    pub machine: MachineId,
    /// Whose provider's.
    pub tenant: TenantId,
    /// Whose.
    pub client: ClientId,
    /// What is done for it at first.
    pub policy: Option<fleet::PolicyId>,
}

/// An agent that proved to have a machine's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Met {
    /// Which machine.
    pub machine: MachineId,
    /// Whose provider's.
    pub tenant: TenantId,
    /// Why it is not believed; then nothing is asked of it and nothing taken from it until a person releases it.
    pub quarantined: Option<String>,
    /// Since when it is not looked after any more.
    pub retired: bool,
}

/// An agent was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beat {
    /// Which machine's.
    pub machine: MachineId,
    /// When.
    pub at: Timestamp,
    /// What day it was in the client's zone.
    pub day: Date,
    /// Its program's version.
    pub version: String,
    /// Where it called from.
    pub address: String,
}

impl System<'_> {
    /// Lets a machine join by a code, which is used up by one. Wrong, used up and expired codes are not told apart. A
    /// machine whose answer was lost shows the same code with the same key: as long as the code has not ended and the
    /// machine has not called, it is the same machine, with the credential that is new.
    pub async fn enrol(&self, code: &Secret, new: &Enrolment, now: Timestamp) -> Result<Enrolled> {
        let txn = self.store.begin().await?;
        let code = living_code(&txn, code, now).await?;
        if let Some(known) = joined_before(&txn, &code, new).await? {
            let enrolled = enrolled(&code, MachineId::new(known));
            renew_credential(&txn, known, new).await?;
            let detail = format!("{} showed its code again: the answer was lost", new.name);
            joined(&txn, &enrolled, new, now, detail).await?;
            txn.commit().await?;
            return Ok(enrolled);
        }
        use_up(&txn, &code).await?;
        let client = clients::Entity::find_by_id(code.client).one(&txn).await?.ok_or(Error::NotFound("client"))?;
        machines::Entity::insert(row(new, &code, &client, now)?).exec_without_returning(&txn).await?;
        let repository = repositories::ActiveModel {
            machine: Set(new.machine.uuid()),
            hash: Set(Some(new.credential.0.to_vec())),
            stored: Set(0),
            quota: Set(None),
            closed: Set(None),
            newest: Set(0),
            daily_bytes: Set(None),
            daily_snapshots: Set(None),
        };
        repositories::Entity::insert(repository).exec_without_returning(&txn).await?;
        let enrolled = enrolled(&code, new.machine);
        let detail = format!("{} joined {} by a code of {}", new.name, client.name, code.made_by);
        joined(&txn, &enrolled, new, now, detail).await?;
        txn.commit().await?;
        Ok(enrolled)
    }

    /// An agent proved to have this key, for the `counter`th time as it says. A count that was had before, or other
    /// hardware, means that the key is at two places: neither is believed.
    pub async fn meet(&self, identity: &[u8; 32], counter: u64, hardware: &str) -> Result<Option<Met>> {
        let txn = self.store.begin().await?;
        let found = machines::Entity::find().filter(machines::Column::Identity.eq(identity.to_vec()));
        let Some(found) = found.lock(LockType::NoKeyUpdate).one(&txn).await? else { return Ok(None) };
        let counter = i64::try_from(counter).unwrap_or(i64::MAX);
        let doubt = doubt(&found, counter, hardware);
        let (machine, tenant, retired) =
            (MachineId::new(found.id), TenantId::new(found.tenant), found.retired.is_some());
        let quarantined = found.quarantined.clone().or(doubt);
        let mut row = found.into_active_model();
        row.quarantined = Set(quarantined.clone());
        if quarantined.is_none() {
            row.counter = Set(counter);
            row.hardware = Set(Some(hardware.to_owned()));
        }
        row.update(&txn).await?;
        txn.commit().await?;
        Ok(Some(Met { machine, tenant, quarantined, retired }))
    }

    /// A machine says itself that it leaves: it is looked after no more, and its backups stay. Said again, nothing changes.
    pub async fn farewell(&self, machine: MachineId, now: Timestamp) -> Result<()> {
        let txn = self.store.begin().await?;
        let found = machines::Entity::find_by_id(machine.uuid()).one(&txn).await?.ok_or(Error::NotFound("machine"))?;
        audit::lock(&txn, TenantId::new(found.tenant)).await?;
        let row = super::work::machine_row(&txn, machine).await?;
        if row.retired.is_some() {
            return Ok(());
        }
        let (tenant, name) = (TenantId::new(row.tenant), row.name.clone());
        let mut row = row.into_active_model();
        row.retired = Set(Some(micros(now)));
        row.update(&txn).await?;
        let actor = Actor { key: format!("machine:{machine}"), name: name.clone() };
        let detail = format!("{name} left by itself: its agent was removed");
        audit::append(&txn, tenant, &actor, now, Done { act: "machine retire", about: machine.to_string(), detail })
            .await?;
        Ok(txn.commit().await?)
    }

    /// Notes that agents were heard, all in one transaction. Unknown machines are left out; an older beat changes nothing.
    pub async fn hear(&self, beats: &[Beat]) -> Result<()> {
        let txn = self.store.begin().await?;
        let ids: Vec<_> = beats.iter().map(|beat| beat.machine.uuid()).collect();
        let known: BTreeSet<Uuid> = ids_of(&txn, ids.clone()).await?;
        let heard = heartbeats::Entity::find().filter(heartbeats::Column::Machine.is_in(ids)).all(&txn).await?;
        let heard: BTreeMap<Uuid, i64> = heard.into_iter().map(|row| (row.machine, row.heard)).collect();
        let mut back = Vec::new();
        let mut beats: Vec<&Beat> = beats.iter().collect();
        beats.sort_by_key(|beat| beat.machine);
        for beat in beats.into_iter().filter(|beat| known.contains(&beat.machine.uuid())) {
            let machine = beat.machine.uuid();
            // Once it may have been late, it is judged again; before, its heartbeat changes nothing.
            if heard.get(&machine).is_none_or(|before| *before < micros(beat.at - LONG_SILENCE)) {
                back.push(machine);
            }
            note(&txn, beat).await?;
        }
        // Locked in one order, as judging does.
        let locked = machines::Entity::find().filter(machines::Column::Id.is_in(back.clone()));
        locked.order_by_asc(machines::Column::Id).lock(LockType::NoKeyUpdate).all(&txn).await?;
        let judged = machines::Entity::update_many().col_expr(machines::Column::Recheck, Expr::value(0_i64));
        judged.filter(machines::Column::Id.is_in(back)).exec(&txn).await?;
        Ok(txn.commit().await?)
    }
}

/// Whoever was silent for longer may have become late.
const LONG_SILENCE: SignedDuration = SignedDuration::from_mins(5);

/// Those of some identities that are machines'.
async fn ids_of(txn: &DatabaseTransaction, ids: Vec<Uuid>) -> Result<BTreeSet<Uuid>> {
    let rows = machines::Entity::find().select_only().column(machines::Column::Id);
    let rows: Vec<Uuid> = rows.filter(machines::Column::Id.is_in(ids)).into_tuple().all(txn).await?;
    Ok(rows.into_iter().collect())
}

async fn note(txn: &DatabaseTransaction, beat: &Beat) -> Result<()> {
    use heartbeats::Column::{Address, Heard, Machine, Version};
    let heard = micros(beat.at);
    let row = heartbeats::ActiveModel {
        machine: Set(beat.machine.uuid()),
        heard: Set(heard),
        version: Set(beat.version.clone()),
        address: Set(beat.address.clone()),
    };
    let newer = Expr::col((heartbeats::Entity, Heard)).lt(heard);
    let or_newer =
        OnConflict::column(Machine).update_columns([Heard, Version, Address]).action_and_where(newer).to_owned();
    heartbeats::Entity::insert(row).on_conflict(or_newer).exec_without_returning(txn).await?;
    let day = days_in_use::ActiveModel { machine: Set(beat.machine.uuid()), day: Set(beat.day.to_string()) };
    days_in_use::Entity::insert(day).on_conflict_do_nothing().exec_without_returning(txn).await?;
    Ok(())
}

fn enrolled(code: &codes::Model, machine: MachineId) -> Enrolled {
    let policy = code.policy.map(fleet::PolicyId::new);
    Enrolled { machine, tenant: TenantId::new(code.tenant), client: ClientId::new(code.client), policy }
}

async fn joined(
    txn: &DatabaseTransaction,
    enrolled: &Enrolled,
    new: &Enrolment,
    now: Timestamp,
    detail: String,
) -> Result<()> {
    let machine = enrolled.machine;
    let actor = Actor { key: format!("machine:{machine}"), name: new.name.clone() };
    let done = Done { act: "machine enrol", about: machine.to_string(), detail };
    audit::append(txn, enrolled.tenant, &actor, now, done).await
}

/// A code that has not ended, used up or not.
async fn living_code(txn: &DatabaseTransaction, code: &Secret, now: Timestamp) -> Result<codes::Model> {
    let found = codes::Entity::find()
        .filter(codes::Column::Hash.eq(code.hash().0.to_vec()))
        .filter(codes::Column::Expires.gt(micros(now)));
    found.lock(LockType::NoKeyUpdate).one(txn).await?.ok_or(Error::NotFound("code"))
}

async fn use_up(txn: &DatabaseTransaction, code: &codes::Model) -> Result<()> {
    if code.uses_left <= 0 {
        return Err(Error::NotFound("code"));
    }
    let mut row = code.clone().into_active_model();
    row.uses_left = Set(code.uses_left - 1);
    row.update(txn).await?;
    Ok(())
}

/// The machine that joined by this code with this key, and has not called since.
async fn joined_before(txn: &DatabaseTransaction, code: &codes::Model, new: &Enrolment) -> Result<Option<Uuid>> {
    let Some(identity) = new.identity else { return Ok(None) };
    let found = machines::Entity::find()
        .filter(machines::Column::Identity.eq(identity.to_vec()))
        .filter(machines::Column::JoinedBy.eq(code.id))
        .filter(machines::Column::Counter.eq(0))
        .filter(machines::Column::Quarantined.is_null())
        .filter(machines::Column::Retired.is_null());
    Ok(found.one(txn).await?.map(|row| row.id))
}

/// The answer that was lost held the only copy of the credential: another one is made.
async fn renew_credential(txn: &DatabaseTransaction, machine: Uuid, new: &Enrolment) -> Result<()> {
    let hash = Expr::value(Some(new.credential.0.to_vec()));
    let renewed = repositories::Entity::update_many().col_expr(repositories::Column::Hash, hash);
    renewed.filter(repositories::Column::Machine.eq(machine)).exec(txn).await?;
    Ok(())
}

fn row(new: &Enrolment, code: &codes::Model, client: &clients::Model, now: Timestamp) -> Result<machines::ActiveModel> {
    let zone = Zone::named(&client.zone).map_err(|error| Error::stored("a client's zone")(error.into()))?;
    Ok(machines::ActiveModel {
        id: Set(new.machine.uuid()),
        tenant: Set(code.tenant),
        client: Set(code.client),
        site: Set(None),
        name: Set(new.name.clone()),
        class: Set(code.class.clone()),
        policy: Set(code.policy),
        limits: Set(None),
        enrolled: Set(micros(now)),
        pause: Set(None),
        retired: Set(None),
        identity: Set(new.identity.map(|key| key.to_vec())),
        counter: Set(0),
        hardware: Set(new.hardware.clone()),
        quarantined: Set(None),
        sealed_key: Set(new.sealed_key.clone()),
        rank: Set(State::Never as i64),
        state: Set(State::Never.word().into()),
        paused: Set(false),
        sentence: Set("Never backed up.".into()),
        lights: Set("[]".into()),
        percent: Set(None),
        bar: Set(Bar::new(zone.date(now)).to_string()),
        judged: Set(micros(now)),
        // It has no lights before it is judged.
        recheck: Set(micros(now)),
        sealed_to: Set(None),
        joined_by: Set(Some(code.id)),
    })
}

/// Why an agent is not believed to be the only one with its key.
fn doubt(row: &machines::Model, counter: i64, hardware: &str) -> Option<String> {
    if counter <= row.counter {
        return Some(format!(
            "it called for the {counter}th time, and was heard {} times: its key was copied",
            row.counter
        ));
    }
    let other = row.hardware.as_deref().is_some_and(|known| known != hardware);
    other.then(|| "its hardware is another: replaced, copied, or started from a backup".to_owned())
}
