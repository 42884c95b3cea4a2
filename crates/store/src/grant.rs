//! Grants.

use continuity::{Act, Grant, GrantId, GrantedOn, PersonId};
use fleet::{ClientId, MachineId, TenantId};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, Condition, EntityTrait, IntoActiveModel, PaginatorTrait,
    QueryFilter, QueryOrder,
};

use crate::audit::Done;
use crate::document::{read, read_if, written, written_if};
use crate::entity::{grants, machines, people};
use crate::moment::{micros, moment, moment_if};
use crate::{Error, Result, View};

pub(crate) fn grant(row: &grants::Model) -> Result<Grant> {
    let client = ClientId::new(row.client);
    Ok(Grant {
        id: GrantId::new(row.id),
        tenant: TenantId::new(row.tenant),
        person: PersonId::new(row.person),
        on: match read_if("a grant's machines", row.machines.as_deref())? {
            None => GrantedOn::Client(client),
            Some(machines) => GrantedOn::Machines(client, machines),
        },
        verbs: read("a grant's verbs", &row.verbs)?,
        from: moment(row.begins)?,
        to: moment(row.ends)?,
        reason: row.reason.clone(),
        approved_by: PersonId::new(row.approved_by),
        ended: moment_if(row.ended)?,
    })
}

impl View<'_> {
    /// Grants within sight: those that tenants gave, and one's own; the last to end first.
    pub async fn grants(&self) -> Result<Vec<Grant>> {
        let tenants: Vec<_> = self.looks().tenants.iter().map(|tenant| tenant.uuid()).collect();
        let mine = grants::Column::Person.eq(self.scope.person().uuid());
        let seen = Condition::any().add(mine).add(grants::Column::Tenant.is_in(tenants));
        let rows = grants::Entity::find().filter(seen).order_by_desc(grants::Column::Ends);
        rows.all(self.store.read()).await?.iter().map(grant).collect()
    }

    /// Gives one; approved by whoever asks.
    pub async fn give_grant(&self, grant: &Grant) -> Result<()> {
        let grant = Grant { approved_by: self.scope.person(), ended: None, ..grant.clone() };
        grant.check().map_err(|error| Error::Conflict(error.to_string()))?;
        self.on_tenant(Act::ChangeGrants, grant.tenant)?;
        let txn = self.store.begin().await?;
        let client = self.on_client(Act::ChangeGrants, &txn, grant.on.client()).await?;
        if client.tenant != grant.tenant.uuid() {
            return Err(Error::NotFound("client"));
        }
        let machines = match &grant.on {
            GrantedOn::Client(_) => None,
            GrantedOn::Machines(_, machines) => Some(machines),
        };
        if let Some(machines) = machines {
            let ids: Vec<_> = machines.iter().map(|machine: &MachineId| machine.uuid()).collect();
            let theirs = machines::Entity::find().filter(machines::Column::Client.eq(client.id));
            let found = theirs.filter(machines::Column::Id.is_in(ids)).count(&txn).await?;
            if found != machines.len() as u64 {
                return Err(Error::NotFound("machine"));
            }
        }
        let person = people::Entity::find_by_id(grant.person.uuid()).one(&txn).await?;
        let person = person.ok_or(Error::NotFound("person"))?;
        let row = grants::ActiveModel {
            id: Set(grant.id.uuid()),
            tenant: Set(client.tenant),
            person: Set(person.id),
            client: Set(client.id),
            machines: Set(written_if("a grant's machines", machines)?),
            verbs: Set(written("a grant's verbs", &grant.verbs)?),
            begins: Set(micros(grant.from)),
            ends: Set(micros(grant.to)),
            reason: Set(grant.reason.clone()),
            approved_by: Set(grant.approved_by.uuid()),
            ended: Set(None),
        };
        grants::Entity::insert(row).exec_without_returning(&txn).await?;
        let verbs: Vec<_> = grant.verbs.iter().map(|verb| verb.word()).collect();
        let detail = format!("{} may {} until {}: {}", person.name, verbs.join(", "), grant.to, grant.reason);
        self.commit(txn, grant.tenant, Done { act: "grant give", about: grant.id.to_string(), detail }).await
    }

    /// Ends one now: whoever gives them, or who has it.
    pub async fn end_grant(&self, id: GrantId) -> Result<()> {
        let txn = self.store.begin().await?;
        let row = grants::Entity::find_by_id(id.uuid()).one(&txn).await?.ok_or(Error::NotFound("grant"))?;
        let tenant = TenantId::new(row.tenant);
        if row.person != self.scope.person().uuid() {
            let seen = self.looks().tenant(tenant);
            seen.then_some(()).ok_or(Error::NotFound("grant"))?;
            self.on_tenant(Act::ChangeGrants, tenant)?;
        }
        let earlier = row.ended.unwrap_or(i64::MAX).min(micros(self.scope.at()));
        let mut row = row.into_active_model();
        row.ended = Set(Some(earlier));
        row.update(&txn).await?;
        self.commit(txn, tenant, Done { act: "grant end", about: id.to_string(), detail: String::new() }).await
    }
}
