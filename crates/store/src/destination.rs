//! Destinations.

use continuity::Act;
use fleet::{Destination, TenantId};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, sea_query::OnConflict};

use crate::audit::Done;
use crate::document::{read, written};
use crate::entity::destinations;
use crate::{Error, Result, View};

impl View<'_> {
    /// A tenant's destinations, by name.
    pub async fn destinations(&self, tenant: TenantId) -> Result<Vec<Destination>> {
        self.on_tenant(Act::LOOK, tenant)?;
        let rows = destinations::Entity::find().filter(destinations::Column::Tenant.eq(tenant.uuid()));
        let rows = rows.order_by_asc(destinations::Column::Name).all(self.store.read()).await?;
        rows.iter().map(|row| read("a destination", &row.document)).collect()
    }

    /// Makes or changes one.
    pub async fn save_destination(&self, destination: &Destination) -> Result<()> {
        self.on_tenant(Act::Configure, destination.tenant)?;
        let txn = self.store.begin().await?;
        let old = destinations::Entity::find_by_id(destination.id.uuid()).one(&txn).await?;
        if old.is_some_and(|old| old.tenant != destination.tenant.uuid()) {
            return Err(Error::NotFound("destination"));
        }
        let row = destinations::ActiveModel {
            id: Set(destination.id.uuid()),
            tenant: Set(destination.tenant.uuid()),
            name: Set(destination.name.clone()),
            document: Set(written("a destination", destination)?),
        };
        let columns = [destinations::Column::Name, destinations::Column::Document];
        let or_change = OnConflict::column(destinations::Column::Id).update_columns(columns).to_owned();
        destinations::Entity::insert(row).on_conflict(or_change).exec_without_returning(&txn).await?;
        let done =
            Done { act: "destination save", about: destination.id.to_string(), detail: destination.name.clone() };
        self.commit(txn, destination.tenant, done).await
    }
}
