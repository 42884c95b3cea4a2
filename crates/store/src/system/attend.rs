//! Attending: what is to be known of machines that are connected, for many of them at once and every few seconds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use fleet::{KeyCustody, MachineId, Pause, Policy, TenantId, Zone};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use uuid::Uuid;

use super::System;
use crate::document::{of_word, read_if};
use crate::entity::{clients, machines, policies};
use crate::{Error, Result, policy};

/// Machines in one question.
const AT_ONCE: usize = 500;

/// What is to be known of a machine that is connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attended {
    /// Which.
    pub machine: MachineId,
    /// Whose provider's.
    pub tenant: TenantId,
    /// How often it has called: who called earlier is not heard any more.
    pub counter: u64,
    /// Why it is not believed.
    pub quarantined: Option<String>,
    /// Whether it is not looked after any more.
    pub retired: bool,
    /// What is done for it.
    pub policy: Option<Arc<Policy>>,
    /// Paused by somebody.
    pub pause: Option<Pause>,
    /// Its client's wall clock.
    pub zone: Zone,
    /// Who has its key.
    pub custody: KeyCustody,
    /// The keeper that its key is sealed to.
    pub sealed_to: Option<Vec<u8>>,
}

impl System<'_> {
    /// What is to be known of these machines; those that do not exist are left out.
    pub async fn attend(&self, which: &[MachineId]) -> Result<Vec<Attended>> {
        let mut all = Vec::with_capacity(which.len());
        for some in which.chunks(AT_ONCE) {
            let ids = some.iter().map(|id| id.uuid());
            let rows = machines::Entity::find().filter(machines::Column::Id.is_in(ids)).all(self.store.read()).await?;
            let policies = self.policies_of(&rows).await?;
            let clients = self.clients_of(&rows).await?;
            for row in rows {
                all.push(attended(row, &policies, &clients)?);
            }
        }
        Ok(all)
    }

    pub(super) async fn policies_of(&self, rows: &[machines::Model]) -> Result<BTreeMap<Uuid, Arc<Policy>>> {
        let ids: BTreeSet<Uuid> = rows.iter().filter_map(|row| row.policy).collect();
        let found = policies::Entity::find().filter(policies::Column::Id.is_in(ids)).all(self.store.read()).await?;
        found.iter().map(|row| Ok((row.id, Arc::new(policy::policy(row)?)))).collect()
    }

    async fn clients_of(&self, rows: &[machines::Model]) -> Result<BTreeMap<Uuid, clients::Model>> {
        let ids: BTreeSet<Uuid> = rows.iter().map(|row| row.client).collect();
        let found = clients::Entity::find().filter(clients::Column::Id.is_in(ids)).all(self.store.read()).await?;
        Ok(found.into_iter().map(|row| (row.id, row)).collect())
    }
}

fn attended(
    row: machines::Model,
    policies: &BTreeMap<Uuid, Arc<Policy>>,
    clients: &BTreeMap<Uuid, clients::Model>,
) -> Result<Attended> {
    let client = clients.get(&row.client).ok_or(Error::NotFound("client"))?;
    Ok(Attended {
        machine: MachineId::new(row.id),
        tenant: TenantId::new(row.tenant),
        counter: row.counter.unsigned_abs(),
        quarantined: row.quarantined,
        retired: row.retired.is_some(),
        policy: row.policy.and_then(|id| policies.get(&id).cloned()),
        pause: read_if("a machine's pause", row.pause.as_deref())?,
        zone: Zone::named(&client.zone).map_err(|error| Error::stored("a client's zone")(error.into()))?,
        custody: of_word("a client's custody", &client.custody)?,
        sealed_to: row.sealed_to,
    })
}
