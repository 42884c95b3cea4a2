//! Clients.

use continuity::{Act, Reach};
use fleet::{Client, ClientId, TenantId, Zone};
use jiff::Timestamp;
use sea_orm::{ActiveModelTrait, ActiveValue::Set, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder};

use crate::audit::Done;
use crate::document::{of_word, word};
use crate::entity::clients;
use crate::moment::{micros, moment_if};
use crate::within::within;
use crate::{Error, Result, View};

pub(crate) fn client(row: clients::Model) -> Result<Client> {
    Ok(Client {
        id: ClientId::new(row.id),
        tenant: TenantId::new(row.tenant),
        name: row.name,
        zone: Zone::named(&row.zone).map_err(|error| Error::stored("a client's zone")(error.into()))?,
        custody: of_word("a client's custody", &row.custody)?,
        sheet_confirmed: moment_if(row.sheet_confirmed)?,
    })
}

impl View<'_> {
    /// The clients of which anything is within sight, by name.
    pub async fn clients(&self) -> Result<Vec<Client>> {
        let rows = clients::Entity::find().filter(within::<clients::Entity>(&self.with_clients_of_machines()));
        let rows = rows.order_by_asc(clients::Column::Name).order_by_asc(clients::Column::Id);
        rows.all(self.store.read()).await?.into_iter().map(client).collect()
    }

    /// One of them.
    pub async fn client(&self, id: ClientId) -> Result<Client> {
        let rows = clients::Entity::find_by_id(id.uuid());
        let rows = rows.filter(within::<clients::Entity>(&self.with_clients_of_machines()));
        client(rows.one(self.store.read()).await?.ok_or(Error::NotFound("client"))?)
    }

    /// A new one.
    pub async fn add_client(&self, client: &Client) -> Result<()> {
        self.on_tenant(Act::Configure, client.tenant)?;
        let txn = self.store.begin().await?;
        let row = clients::ActiveModel {
            id: Set(client.id.uuid()),
            tenant: Set(client.tenant.uuid()),
            name: Set(client.name.clone()),
            zone: Set(client.zone.name().to_owned()),
            custody: Set(word("a client's custody", &client.custody)?),
            sheet_confirmed: Set(None),
        };
        clients::Entity::insert(row).exec_without_returning(&txn).await?;
        let done = Done { act: "client add", about: client.id.to_string(), detail: client.name.clone() };
        self.commit(txn, client.tenant, done).await
    }

    /// Its name and zone.
    pub async fn change_client(&self, id: ClientId, name: &str, zone: &Zone) -> Result<()> {
        let txn = self.store.begin().await?;
        let row = self.on_client(Act::Configure, &txn, id).await?;
        let tenant = TenantId::new(row.tenant);
        let mut row = row.into_active_model();
        row.name = Set(name.to_owned());
        row.zone = Set(zone.name().to_owned());
        row.update(&txn).await?;
        let detail = format!("{name}, {}", zone.name());
        self.commit(txn, tenant, Done { act: "client change", about: id.to_string(), detail }).await
    }

    /// Somebody who may have the keys confirms to have the recovery sheet at hand.
    pub async fn confirm_sheet(&self, id: ClientId, at: Timestamp) -> Result<()> {
        let txn = self.store.begin().await?;
        let row = self.on_client(Act::ExportKeys, &txn, id).await?;
        let tenant = TenantId::new(row.tenant);
        let mut row = row.into_active_model();
        row.sheet_confirmed = Set(Some(micros(at)));
        row.update(&txn).await?;
        let done = Done { act: "client confirm sheet", about: id.to_string(), detail: String::new() };
        self.commit(txn, tenant, done).await
    }

    /// Whoever sees a machine sees whose it is.
    fn with_clients_of_machines(&self) -> Reach {
        let mut reach = self.looks();
        reach.clients.extend(reach.machines.values().copied());
        reach
    }
}
