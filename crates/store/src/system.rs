//! System: what tasks, sign-in, agents and the gateway do without a person. Each method is named; none takes a filter.

mod account;
mod agent;
mod attend;
mod board;
mod book;
mod due;
mod facts;
mod judge;
mod keeper;
mod ledger;
mod order;
mod outbox;
mod relay;
mod work;

use continuity::{Membership, Person, PersonId, Role};
use fleet::{Actor, Tenant, TenantId};
use jiff::Timestamp;
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder};
use uuid::Uuid;

use crate::audit::{self, Done};
use crate::entity::{memberships, people, tenants};
use crate::{Result, Store, member, person, setting};

pub use account::SignIn;
pub use agent::{Beat, Enrolled, Enrolment, Met};
pub use attend::Attended;
pub use board::TenantBoard;
pub use book::{GatewayAccount, RepositoryRules};
pub use due::DueFacts;
pub use keeper::{Keeper, KeeperId, MetKeeper, NewKeeper, SealedKey};
pub use ledger::{Receipt, RepositoryUse};
pub use outbox::{Notification, Retold};
pub use relay::{Put, Relay, RelayId, RelayState};
pub use work::Taken;

/// The store without a person.
#[derive(Clone, Copy, Debug)]
pub struct System<'s> {
    pub(crate) store: &'s Store,
}

impl System<'_> {
    /// Makes a tenant and its first owner; whoever has the owner's address already is it.
    pub async fn found_tenant(&self, tenant: &Tenant, owner: &Person, at: Timestamp) -> Result<PersonId> {
        let txn = self.store.begin().await?;
        let row = tenants::ActiveModel { id: Set(tenant.id.uuid()), name: Set(tenant.name.clone()) };
        tenants::Entity::insert(row).exec_without_returning(&txn).await?;
        let person = member::put_person(&txn, owner).await?;
        member::join(&txn, &Membership { person, tenant: tenant.id, role: Role::Owner }).await?;
        let done = Done { act: "tenant found", about: tenant.id.to_string(), detail: tenant.name.clone() };
        audit::append(&txn, tenant.id, &server(), at, done).await?;
        txn.commit().await?;
        Ok(person)
    }

    /// Whether there is no tenant yet: the server is new.
    pub async fn is_new(&self) -> Result<bool> {
        Ok(tenants::Entity::find().count(self.store.read()).await? == 0)
    }

    /// All tenants, for tasks that go through each.
    pub async fn tenants(&self) -> Result<Vec<Tenant>> {
        let rows = tenants::Entity::find().order_by_asc(tenants::Column::Id).all(self.store.read()).await?;
        Ok(rows.into_iter().map(|row| Tenant { id: TenantId::new(row.id), name: row.name }).collect())
    }

    /// Writes a line into a tenant's audit log for an act that changes nothing here: a download, a failed sign-in.
    pub async fn record(
        &self,
        tenant: TenantId,
        actor: &Actor,
        at: Timestamp,
        act: &'static str,
        about: &str,
        detail: &str,
    ) -> Result<()> {
        let txn = self.store.begin().await?;
        let done = Done { act, about: about.into(), detail: detail.into() };
        audit::append(&txn, tenant, actor, at, done).await?;
        Ok(txn.commit().await?)
    }

    /// The server's own setting of this name.
    pub async fn setting(&self, name: &str) -> Result<Option<String>> {
        setting::get(self.store.read(), Uuid::nil(), name).await
    }

    /// A tenant's setting of this name.
    pub async fn setting_of_tenant(&self, tenant: TenantId, name: &str) -> Result<Option<String>> {
        setting::get(self.store.read(), tenant.uuid(), name).await
    }

    /// A person's own setting of this name.
    pub async fn setting_of_person(&self, person: PersonId, name: &str) -> Result<Option<String>> {
        setting::get(self.store.read(), person.uuid(), name).await
    }

    /// Who belongs to a tenant; somebody with two roles is there once.
    pub async fn people_of(&self, tenant: TenantId) -> Result<Vec<Person>> {
        let rows = memberships::Entity::find().filter(memberships::Column::Tenant.eq(tenant.uuid()));
        let ids: Vec<_> = rows.all(self.store.read()).await?.into_iter().map(|row| row.person).collect();
        let rows = people::Entity::find().filter(people::Column::Id.is_in(ids)).all(self.store.read()).await?;
        Ok(rows.iter().map(person::person).collect())
    }

    /// Changes it.
    pub async fn set_setting(&self, name: &str, value: &str) -> Result<()> {
        let txn = self.store.begin().await?;
        setting::set(&txn, Uuid::nil(), name, value).await?;
        Ok(txn.commit().await?)
    }
}

/// The server, as an actor.
pub(crate) fn server() -> Actor {
    Actor { key: "server".into(), name: "this server".into() }
}
