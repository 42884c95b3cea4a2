//! View: the store as one scope sees it. What is outside is not found, and not told from what does not exist.

use std::collections::BTreeSet;

use continuity::{Act, Reach, Scope, Verb};
use fleet::{ClientId, MachineId, TenantId};
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter};

use crate::entity::{clients, machines, memberships};
use crate::within::within;
use crate::{Error, Result, Store, audit};

/// The store as one scope sees it.
#[derive(Clone, Copy, Debug)]
pub struct View<'s> {
    pub(crate) store: &'s Store,
    pub(crate) scope: &'s Scope,
}

impl View<'_> {
    /// Where the scope may look.
    pub(crate) fn looks(&self) -> Reach {
        self.scope.reach(Act::LOOK)
    }

    /// Refuses an act on a tenant as such.
    pub(crate) fn on_tenant(&self, act: impl Into<Act>, tenant: TenantId) -> Result<()> {
        let act = act.into();
        match (self.scope.may(act, tenant), self.sees_tenant(tenant)) {
            (true, _) => Ok(()),
            (false, true) => Err(Error::NotAllowed(act)),
            (false, false) => Err(Error::NotFound("tenant")),
        }
    }

    /// Whether anything of a tenant is within sight: then its name is.
    pub(crate) fn sees_tenant(&self, tenant: TenantId) -> bool {
        let looks = self.looks();
        looks.tenant(tenant)
            || looks.clients.values().any(|of| *of == tenant)
            || looks.machines.values().any(|(_, of)| *of == tenant)
    }

    /// The client's row, if the act is allowed on all of it.
    pub(crate) async fn on_client(
        &self,
        act: impl Into<Act>,
        txn: &DatabaseTransaction,
        client: ClientId,
    ) -> Result<clients::Model> {
        let act = act.into();
        let found = clients::Entity::find_by_id(client.uuid()).one(txn).await?.ok_or(Error::NotFound("client"))?;
        let tenant = TenantId::new(found.tenant);
        match (self.scope.reach(act).client(client, tenant), self.looks().client(client, tenant)) {
            (true, _) => Ok(found),
            (false, true) => Err(Error::NotAllowed(act)),
            (false, false) => Err(Error::NotFound("client")),
        }
    }

    /// The machine's row, if the act is allowed on it.
    pub(crate) async fn on_machine(
        &self,
        act: impl Into<Act>,
        txn: &DatabaseTransaction,
        machine: MachineId,
    ) -> Result<machines::Model> {
        let act = act.into();
        let visible = within::<machines::Entity>(&self.looks());
        let found = machines::Entity::find().filter(machines::Column::Id.eq(machine.uuid())).filter(visible);
        let found = found.one(txn).await?.ok_or(Error::NotFound("machine"))?;
        let (client, tenant) = (ClientId::new(found.client), TenantId::new(found.tenant));
        match self.scope.reach(act).machine(machine, client, tenant) {
            true => Ok(found),
            false => Err(Error::NotAllowed(act)),
        }
    }

    /// Writes the act's line into the tenant's audit log and commits: both or neither.
    pub(crate) async fn commit(&self, txn: DatabaseTransaction, tenant: TenantId, done: audit::Done) -> Result<()> {
        audit::append(&txn, tenant, self.scope.actor(), self.scope.at(), done).await?;
        Ok(txn.commit().await?)
    }

    /// Commits a change of one's own account, with a line in the log of every tenant that one belongs to.
    pub(crate) async fn commit_mine(&self, txn: DatabaseTransaction, act: &'static str, detail: &str) -> Result<()> {
        let person = self.scope.person();
        let mine = memberships::Entity::find().filter(memberships::Column::Person.eq(person.uuid())).all(&txn).await?;
        // In one order, so that two who belong to the same tenants do not wait in a circle.
        let tenants: BTreeSet<_> = mine.into_iter().map(|row| row.tenant).collect();
        for tenant in tenants {
            let done = audit::Done { act, about: person.to_string(), detail: detail.into() };
            audit::append(&txn, TenantId::new(tenant), self.scope.actor(), self.scope.at(), done).await?;
        }
        Ok(txn.commit().await?)
    }
}

/// Whom a job of this kind needs leave from.
pub(crate) fn act_of(kind: fleet::JobKind) -> Act {
    match kind {
        fleet::JobKind::Backup | fleet::JobKind::Drill(_) | fleet::JobKind::Check => Act::Do(Verb::Backup),
        fleet::JobKind::Restore => Act::Do(Verb::Restore),
        fleet::JobKind::Prune | fleet::JobKind::Copy(_) => Act::Configure,
    }
}
