//! Sites.

use continuity::Act;
use fleet::{ClientId, Site, SiteId, TenantId};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder};

use crate::audit::Done;
use crate::entity::sites;
use crate::within::within;
use crate::{Result, View};

pub(crate) fn site(row: sites::Model) -> Site {
    Site { id: SiteId::new(row.id), client: ClientId::new(row.client), name: row.name }
}

impl View<'_> {
    /// A client's sites, by name.
    pub async fn sites(&self, client: ClientId) -> Result<Vec<Site>> {
        let rows = sites::Entity::find().filter(sites::Column::Client.eq(client.uuid()));
        let rows = rows.filter(within::<sites::Entity>(&self.looks())).order_by_asc(sites::Column::Name);
        Ok(rows.all(self.store.read()).await?.into_iter().map(site).collect())
    }

    /// A new one.
    pub async fn add_site(&self, site: &Site) -> Result<()> {
        let txn = self.store.begin().await?;
        let client = self.on_client(Act::Configure, &txn, site.client).await?;
        let row = sites::ActiveModel {
            id: Set(site.id.uuid()),
            tenant: Set(client.tenant),
            client: Set(client.id),
            name: Set(site.name.clone()),
        };
        sites::Entity::insert(row).exec_without_returning(&txn).await?;
        let done = Done { act: "site add", about: site.id.to_string(), detail: site.name.clone() };
        self.commit(txn, TenantId::new(client.tenant), done).await
    }
}
