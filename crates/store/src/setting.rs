//! Settings, by name: a tenant's; a person's own; and the server's, which only the system reads.

use continuity::Act;
use fleet::TenantId;
use sea_orm::{ActiveValue::Set, ConnectionTrait, EntityTrait, sea_query::OnConflict};
use uuid::Uuid;

use crate::audit::Done;
use crate::entity::settings;
use crate::{Result, View};

pub(crate) async fn get<C: ConnectionTrait>(db: &C, tenant: Uuid, name: &str) -> Result<Option<String>> {
    let row = settings::Entity::find_by_id((tenant, name.to_owned())).one(db).await?;
    Ok(row.map(|row| row.value))
}

pub(crate) async fn set<C: ConnectionTrait>(txn: &C, tenant: Uuid, name: &str, value: &str) -> Result<()> {
    let row = settings::ActiveModel { tenant: Set(tenant), name: Set(name.into()), value: Set(value.into()) };
    let key = [settings::Column::Tenant, settings::Column::Name];
    let or_change = OnConflict::columns(key).update_column(settings::Column::Value).to_owned();
    settings::Entity::insert(row).on_conflict(or_change).exec_without_returning(txn).await?;
    Ok(())
}

impl View<'_> {
    /// A tenant's setting of this name.
    pub async fn setting(&self, tenant: TenantId, name: &str) -> Result<Option<String>> {
        self.on_tenant(Act::LOOK, tenant)?;
        get(self.store.read(), tenant.uuid(), name).await
    }

    /// Changes it.
    pub async fn set_setting(&self, tenant: TenantId, name: &str, value: &str) -> Result<()> {
        self.on_tenant(Act::Configure, tenant)?;
        let txn = self.store.begin().await?;
        set(&txn, tenant.uuid(), name, value).await?;
        self.commit(txn, tenant, Done { act: "setting change", about: name.into(), detail: String::new() }).await
    }

    /// One's own setting of this name.
    pub async fn my_setting(&self, name: &str) -> Result<Option<String>> {
        get(self.store.read(), self.scope.person().uuid(), name).await
    }

    /// Changes it.
    pub async fn set_my_setting(&self, name: &'static str, value: &str) -> Result<()> {
        let txn = self.store.begin().await?;
        set(&txn, self.scope.person().uuid(), name, value).await?;
        self.commit_mine(txn, "account setting", name).await
    }
}
