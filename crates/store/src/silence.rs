//! Silences.

use continuity::Act;
use fleet::{Silence, SilenceId, SilenceScope, TenantId};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter,
    QueryOrder, QuerySelect,
};

use crate::audit::{self, Done};
use crate::document::{read, written};
use crate::entity::{silences, sites};
use crate::moment::micros;
use crate::within::within;
use crate::{Error, Result, View};

pub(crate) fn silence(row: &silences::Model) -> Result<Silence> {
    read("a silence", &row.document)
}

/// Writes a silence over its row.
pub(crate) async fn save<C: ConnectionTrait>(txn: &C, row: silences::Model, silence: &Silence) -> Result<()> {
    let mut row = row.into_active_model();
    row.until = Set(micros(silence.until));
    row.document = Set(written("a silence", silence)?);
    row.update(txn).await?;
    Ok(())
}

impl View<'_> {
    /// Silences, the last to end first: those that hold, and the newest that held.
    pub async fn silences(&self, most: u64) -> Result<Vec<Silence>> {
        let rows = silences::Entity::find().filter(within::<silences::Entity>(&self.looks()));
        let rows = rows.order_by_desc(silences::Column::Until).limit(most);
        rows.all(self.store.read()).await?.iter().map(silence).collect()
    }

    /// A new one, by whoever asks.
    pub async fn add_silence(&self, silence: &Silence) -> Result<()> {
        silence.check().map_err(|error| Error::Conflict(error.to_string()))?;
        let txn = self.store.begin().await?;
        let (tenant, client, machine) = self.may_silence(&txn, silence.scope).await?;
        let silence = Silence { by: self.scope.actor().clone(), suppressed: 0, ..silence.clone() };
        let row = silences::ActiveModel {
            id: Set(silence.id.uuid()),
            tenant: Set(tenant),
            client: Set(client),
            machine: Set(machine),
            until: Set(micros(silence.until)),
            document: Set(written("a silence", &silence)?),
        };
        silences::Entity::insert(row).exec_without_returning(&txn).await?;
        let detail = format!("{:?} until {}: {}", silence.scope, silence.until, silence.reason);
        let done = Done { act: "silence add", about: silence.id.to_string(), detail };
        self.commit(txn, TenantId::new(tenant), done).await
    }

    /// Ends one now.
    pub async fn end_silence(&self, id: SilenceId) -> Result<()> {
        let txn = self.store.begin().await?;
        let seen = silences::Entity::find_by_id(id.uuid()).filter(within::<silences::Entity>(&self.looks()));
        let tenant = TenantId::new(seen.clone().one(&txn).await?.ok_or(Error::NotFound("silence"))?.tenant);
        audit::lock(&txn, tenant).await?;
        let row = seen.one(&txn).await?.ok_or(Error::NotFound("silence"))?;
        let mut ended = silence(&row)?;
        self.may_silence(&txn, ended.scope).await?;
        ended.until = ended.until.min(self.scope.at());
        save(&txn, row, &ended).await?;
        let detail = format!("{} messages were held back", ended.suppressed);
        self.commit(txn, tenant, Done { act: "silence end", about: id.to_string(), detail }).await
    }

    /// Tenant, client and machine of what is to be silenced, if that is allowed.
    async fn may_silence(
        &self,
        txn: &sea_orm::DatabaseTransaction,
        scope: SilenceScope,
    ) -> Result<(uuid::Uuid, uuid::Uuid, Option<uuid::Uuid>)> {
        match scope {
            SilenceScope::Client(client) => {
                let client = self.on_client(Act::Configure, txn, client).await?;
                Ok((client.tenant, client.id, None))
            }
            SilenceScope::Site(site) => {
                let visible = within::<sites::Entity>(&self.looks());
                let site = sites::Entity::find().filter(sites::Column::Id.eq(site.uuid())).filter(visible);
                let site = site.one(txn).await?.ok_or(Error::NotFound("site"))?;
                let client = self.on_client(Act::Configure, txn, fleet::ClientId::new(site.client)).await?;
                Ok((client.tenant, client.id, None))
            }
            SilenceScope::Machine(machine) | SilenceScope::Condition(machine, _) => {
                let machine = self.on_machine(Act::Configure, txn, machine).await?;
                Ok((machine.tenant, machine.client, Some(machine.id)))
            }
        }
    }
}
