//! Policies. Who may configure may change them, but how long backups are kept only with leave for that.

use continuity::Act;
use fleet::{Keep, Policy, PolicyId, TenantId};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder,
    sea_query::{Expr, OnConflict},
};

use crate::audit::Done;
use crate::document::{read, written};
use crate::entity::{codes, machines, policies};
use crate::{Error, Result, View, code};

pub(crate) fn policy(row: &policies::Model) -> Result<Policy> {
    read("a policy", &row.document)
}

/// One of a tenant's policies.
pub(crate) async fn one<C: ConnectionTrait>(db: &C, id: PolicyId, tenant: TenantId) -> Result<Policy> {
    let row = policies::Entity::find_by_id(id.uuid()).filter(policies::Column::Tenant.eq(tenant.uuid()));
    policy(&row.one(db).await?.ok_or(Error::NotFound("policy"))?)
}

impl View<'_> {
    /// A tenant's policies, by name.
    pub async fn policies(&self, tenant: TenantId) -> Result<Vec<Policy>> {
        self.on_tenant(Act::LOOK, tenant)?;
        let rows = policies::Entity::find().filter(policies::Column::Tenant.eq(tenant.uuid()));
        let rows = rows.order_by_asc(policies::Column::Name).all(self.store.read()).await?;
        rows.iter().map(policy).collect()
    }

    /// Makes or changes one.
    pub async fn save_policy(&self, policy: &Policy) -> Result<()> {
        self.on_tenant(Act::Configure, policy.tenant)?;
        let txn = self.store.begin().await?;
        match policies::Entity::find_by_id(policy.id.uuid()).one(&txn).await? {
            Some(old) if old.tenant != policy.tenant.uuid() => return Err(Error::NotFound("policy")),
            Some(old) => self.may_change_keep(policy.tenant, &self::policy(&old)?.keep, &policy.keep)?,
            None => {}
        }
        let row = policies::ActiveModel {
            id: Set(policy.id.uuid()),
            tenant: Set(policy.tenant.uuid()),
            name: Set(policy.name.clone()),
            document: Set(written("a policy", policy)?),
        };
        let columns = [policies::Column::Name, policies::Column::Document];
        let or_change = OnConflict::column(policies::Column::Id).update_columns(columns).to_owned();
        policies::Entity::insert(row).on_conflict(or_change).exec_without_returning(&txn).await?;
        let done = Done { act: "policy save", about: policy.id.to_string(), detail: policy.name.clone() };
        self.commit(txn, policy.tenant, done).await
    }

    /// Removes one that no machine has and no code gives; a code that is used up gives nothing.
    pub async fn remove_policy(&self, id: PolicyId, tenant: TenantId) -> Result<()> {
        self.on_tenant(Act::Configure, tenant)?;
        let txn = self.store.begin().await?;
        let policy = one(&txn, id, tenant).await?;
        let used = machines::Entity::find().filter(machines::Column::Policy.eq(id.uuid())).count(&txn).await?;
        code::remove_dead(&txn, self.scope.at()).await?;
        let of_it = codes::Column::Policy.eq(id.uuid());
        let given =
            codes::Entity::find().filter(of_it.clone()).filter(codes::Column::UsesLeft.gt(0)).count(&txn).await?;
        if used + given > 0 {
            let name = policy.name;
            return Err(Error::Conflict(format!("{used} machines have the policy {name:?}, {given} codes give it")));
        }
        let nothing = Expr::value(Option::<uuid::Uuid>::None);
        codes::Entity::update_many().col_expr(codes::Column::Policy, nothing).filter(of_it).exec(&txn).await?;
        policies::Entity::delete_by_id(id.uuid()).exec(&txn).await?;
        self.commit(txn, tenant, Done { act: "policy remove", about: id.to_string(), detail: policy.name }).await
    }

    /// Refuses to change how long backups are kept without leave for that.
    pub(crate) fn may_change_keep(&self, tenant: TenantId, old: &Keep, new: &Keep) -> Result<()> {
        if old == new { Ok(()) } else { self.on_tenant(Act::ChangeRetention, tenant) }
    }
}
