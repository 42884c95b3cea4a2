//! Machines: what people say of them. How they stand is in `card.rs`, what they say themselves in `system/`.

use continuity::Act;
use fleet::{ClientId, Limits, Machine, MachineClass, MachineId, Pause, PolicyId, SiteId, TenantId};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter,
};

use crate::audit::Done;
use crate::document::{of_word, read_if, word, written_if};
use crate::entity::{machines, sites};
use crate::moment::{micros, moment, moment_if};
use crate::within::within;
use crate::{Error, Result, View, policy};

/// A change that a person makes to a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MachineChange {
    /// Call it so.
    Name(String),
    /// It is of this class.
    Class(MachineClass),
    /// It stands there; a site of the same client.
    Site(Option<SiteId>),
    /// Do this for it; a policy of the same tenant.
    Policy(Option<PolicyId>),
    /// These limits instead of its class's.
    Limits(Option<Limits>),
    /// Do nothing for a while, or go on.
    Pause(Option<Pause>),
    /// Look after it no more; backups stay.
    Retire,
    /// It is a replacement, or was found to be the right one: believe it again.
    Release,
}

/// Who can be asked to do something for a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tended {
    /// An agent of ours runs on it; else it brings what plain restic makes, by itself.
    pub by_agent: bool,
    /// A keeper has the key of its repository.
    pub by_keeper: bool,
}

/// Why a machine is not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantine {
    /// Which.
    pub machine: MachineId,
    /// Why, in a sentence.
    pub why: String,
}

pub(crate) fn machine(row: &machines::Model) -> Result<Machine> {
    Ok(Machine {
        id: MachineId::new(row.id),
        tenant: TenantId::new(row.tenant),
        client: ClientId::new(row.client),
        site: row.site.map(SiteId::new),
        name: row.name.clone(),
        class: of_word("a machine's class", &row.class)?,
        policy: row.policy.map(PolicyId::new),
        limits: read_if("a machine's limits", row.limits.as_deref())?,
        enrolled: moment(row.enrolled)?,
        pause: read_if("a machine's pause", row.pause.as_deref())?,
        retired: moment_if(row.retired)?,
    })
}

/// A change as the audit log says it.
fn words(change: &MachineChange, name: &str) -> String {
    match change {
        MachineChange::Name(name) => format!("to {name}"),
        MachineChange::Class(class) => format!("class: {}", class.word()),
        MachineChange::Site(Some(site)) => format!("site: {site}"),
        MachineChange::Site(None) => "no site".into(),
        MachineChange::Policy(Some(policy)) => format!("policy {policy}"),
        MachineChange::Policy(None) => "no policy".into(),
        MachineChange::Limits(Some(limits)) => format!("limits of its own: {limits:?}"),
        MachineChange::Limits(None) => "the limits of its class".into(),
        MachineChange::Pause(Some(pause)) => format!("until {}: {}", pause.until, pause.reason),
        MachineChange::Pause(None) | MachineChange::Retire | MachineChange::Release => name.to_owned(),
    }
}

impl View<'_> {
    /// A machine.
    pub async fn machine(&self, id: MachineId) -> Result<Machine> {
        machine(&self.machine_row(id).await?)
    }

    /// Why a machine is not believed, if it is not.
    pub async fn quarantine(&self, id: MachineId) -> Result<Option<Quarantine>> {
        let why = self.machine_row(id).await?.quarantined;
        Ok(why.map(|why| Quarantine { machine: id, why }))
    }

    /// Who can be asked to do something for a machine.
    pub async fn tended(&self, id: MachineId) -> Result<Tended> {
        let row = self.machine_row(id).await?;
        Ok(Tended { by_agent: row.identity.is_some(), by_keeper: row.sealed_key.is_some() })
    }

    /// The key of a machine's repository, sealed to the keeper. That it was asked for is in the log.
    pub async fn sealed_key(&self, id: MachineId) -> Result<Option<Vec<u8>>> {
        let row = self.machine_row(id).await?;
        let tenant = TenantId::new(row.tenant);
        self.on_tenant(Act::ExportKeys, tenant)?;
        let txn = self.store.begin().await?;
        let done = Done { act: "machine export key", about: id.to_string(), detail: row.name };
        self.commit(txn, tenant, done).await?;
        Ok(row.sealed_key)
    }

    /// Makes a change. It is judged again at the next occasion.
    pub async fn change_machine(&self, id: MachineId, change: MachineChange) -> Result<()> {
        let txn = self.store.begin().await?;
        let row = self.on_machine(Act::Configure, &txn, id).await?;
        let (old, mut new) = (machine(&row)?, row.into_active_model());
        let (act, detail) = self.set(&txn, &old, &mut new, change).await?;
        new.recheck = Set(micros(self.scope.at()));
        new.update(&txn).await?;
        self.commit(txn, old.tenant, Done { act, about: id.to_string(), detail }).await
    }

    /// Sets the columns of a change; what was done, in words.
    async fn set<C: ConnectionTrait>(
        &self,
        txn: &C,
        old: &Machine,
        new: &mut machines::ActiveModel,
        change: MachineChange,
    ) -> Result<(&'static str, String)> {
        let detail = words(&change, &old.name);
        match change {
            MachineChange::Name(name) => {
                new.name = Set(name);
                return Ok(("machine rename", detail));
            }
            MachineChange::Class(class) => new.class = Set(word("a machine's class", &class)?),
            MachineChange::Site(site) => {
                self.site_of(txn, site, old.client).await?;
                new.site = Set(site.map(SiteId::uuid));
            }
            MachineChange::Policy(to) => {
                let name = self.may_have_policy(txn, old, to).await?;
                new.policy = Set(to.map(PolicyId::uuid));
                return Ok(("machine policy", name.unwrap_or(detail)));
            }
            MachineChange::Limits(limits) => new.limits = Set(written_if("limits", limits.as_ref())?),
            MachineChange::Pause(pause) => {
                new.pause = Set(written_if("a pause", pause.as_ref())?);
                return Ok((if pause.is_some() { "machine pause" } else { "machine resume" }, detail));
            }
            MachineChange::Retire => {
                new.retired = Set(Some(micros(self.scope.at())));
                return Ok(("machine retire", detail));
            }
            MachineChange::Release => {
                new.quarantined = Set(None);
                new.hardware = Set(None);
                new.counter = Set(0);
                return Ok(("machine release", detail));
            }
        }
        Ok(("machine change", detail))
    }

    async fn site_of<C: ConnectionTrait>(&self, txn: &C, site: Option<SiteId>, client: ClientId) -> Result<()> {
        let Some(site) = site else { return Ok(()) };
        let row = sites::Entity::find_by_id(site.uuid()).filter(sites::Column::Client.eq(client.uuid()));
        row.one(txn).await?.map(drop).ok_or(Error::NotFound("site"))
    }

    /// A policy of the same tenant; another one that keeps backups otherwise needs leave for that.
    /// Its name.
    async fn may_have_policy<C: ConnectionTrait>(
        &self,
        txn: &C,
        old: &Machine,
        to: Option<PolicyId>,
    ) -> Result<Option<String>> {
        let new = match to {
            Some(to) => Some(policy::one(txn, to, old.tenant).await?),
            None => None,
        };
        let (name, keep) = new.map(|policy| (policy.name, policy.keep)).unzip();
        if let Some(from) = old.policy {
            let before = policy::one(txn, from, old.tenant).await?.keep;
            self.may_change_keep(old.tenant, &before, &keep.unwrap_or_default())?;
        }
        Ok(name)
    }

    async fn machine_row(&self, id: MachineId) -> Result<machines::Model> {
        let row = machines::Entity::find_by_id(id.uuid()).filter(within::<machines::Entity>(&self.looks()));
        row.one(self.store.read()).await?.ok_or(Error::NotFound("machine"))
    }
}
