//! Tenants.

use fleet::{Tenant, TenantId};
use sea_orm::{EntityTrait, QueryFilter, QueryOrder};

use crate::entity::tenants;
use crate::{Result, View};

impl View<'_> {
    /// The tenants of which anything is within sight, by name.
    pub async fn tenants(&self) -> Result<Vec<Tenant>> {
        let looks = self.looks();
        let of_clients = looks.clients.values().copied();
        let of_machines = looks.machines.values().map(|(_, tenant)| *tenant);
        let seen = looks.tenants.iter().copied().chain(of_clients).chain(of_machines);
        let reach = continuity::Reach { tenants: seen.collect(), ..Default::default() };
        let rows = tenants::Entity::find().filter(crate::within::within::<tenants::Entity>(&reach));
        let rows = rows.order_by_asc(tenants::Column::Name).all(self.store.read()).await?;
        Ok(rows.into_iter().map(|row| Tenant { id: TenantId::new(row.id), name: row.name }).collect())
    }
}
