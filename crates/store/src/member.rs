//! Members: who belongs to a tenant, and as what. A tenant always has an owner.

use continuity::{Act, Membership, Person, PersonId, Role};
use fleet::TenantId;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter};

use crate::audit::{self, Done};
use crate::document::{read, written};
use crate::entity::{clients, memberships, people};
use crate::person::{email, person};
use crate::{Error, Result, View};

/// Somebody who belongs to a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub person: Person,
    /// As what.
    pub role: Role,
}

pub(crate) fn membership(row: &memberships::Model) -> Result<Membership> {
    Ok(Membership {
        person: PersonId::new(row.person),
        tenant: TenantId::new(row.tenant),
        role: read("a role", &row.role)?,
    })
}

/// Inserts a membership unless it is there.
pub(crate) async fn join<C: ConnectionTrait>(txn: &C, membership: &Membership) -> Result<()> {
    let row = memberships::ActiveModel {
        tenant: Set(membership.tenant.uuid()),
        person: Set(membership.person.uuid()),
        role: Set(written("a role", &membership.role)?),
    };
    memberships::Entity::insert(row).on_conflict_do_nothing().exec_without_returning(txn).await?;
    Ok(())
}

/// Inserts a person unless somebody has the address; the identity of whoever has it.
pub(crate) async fn put_person<C: ConnectionTrait>(txn: &C, new: &Person) -> Result<PersonId> {
    let address = email(&new.email);
    let row = people::ActiveModel {
        id: Set(new.id.uuid()),
        name: Set(new.name.clone()),
        email: Set(address.clone()),
        password: Set(None),
        totp: Set(None),
        totp_step: Set(0),
    };
    let once = OnConflict::column(people::Column::Email).do_nothing().to_owned();
    people::Entity::insert(row).on_conflict(once).exec_without_returning(txn).await?;
    let there = people::Entity::find().filter(people::Column::Email.eq(address)).one(txn).await?;
    Ok(PersonId::new(there.ok_or(Error::NotFound("person"))?.id))
}

/// Refuses what would leave a tenant without an owner.
async fn must_have_owner<C: ConnectionTrait>(txn: &C, tenant: TenantId) -> Result<()> {
    let owners = memberships::Entity::find()
        .filter(memberships::Column::Tenant.eq(tenant.uuid()))
        .filter(memberships::Column::Role.eq(written("a role", &Role::Owner)?));
    match owners.count(txn).await? {
        0 => Err(Error::Conflict("a tenant must keep an owner: make somebody else one first".into())),
        _ => Ok(()),
    }
}

impl View<'_> {
    /// Who belongs to a tenant, by name.
    pub async fn members(&self, tenant: TenantId) -> Result<Vec<Member>> {
        self.on_tenant(Act::LOOK, tenant)?;
        let rows = memberships::Entity::find().filter(memberships::Column::Tenant.eq(tenant.uuid()));
        let rows = rows.all(self.store.read()).await?;
        let ids: Vec<_> = rows.iter().map(|row| row.person).collect();
        let people = people::Entity::find().filter(people::Column::Id.is_in(ids)).all(self.store.read()).await?;
        let mut members = Vec::new();
        for row in &rows {
            let of = people.iter().find(|found| found.id == row.person).ok_or(Error::NotFound("person"))?;
            members.push(Member { person: person(of), role: membership(row)?.role });
        }
        members.sort_by(|a, b| (&a.person.name, a.person.id).cmp(&(&b.person.name, b.person.id)));
        Ok(members)
    }

    /// Lets somebody belong to a tenant. Whoever has the address already keeps their account; whose it is is answered.
    pub async fn invite(&self, new: &Person, tenant: TenantId, role: Role) -> Result<PersonId> {
        self.on_tenant(Act::Invite, tenant)?;
        let txn = self.store.begin().await?;
        if let Role::ClientViewer(client) = role {
            let of = clients::Entity::find_by_id(client.uuid()).filter(clients::Column::Tenant.eq(tenant.uuid()));
            of.one(&txn).await?.ok_or(Error::NotFound("client"))?;
        }
        let person = put_person(&txn, new).await?;
        join(&txn, &Membership { person, tenant, role }).await?;
        let detail = format!("{} as {}", email(&new.email), role.words());
        self.commit(txn, tenant, Done { act: "member invite", about: person.to_string(), detail }).await?;
        Ok(person)
    }

    /// Somebody belongs to a tenant as this alone, whatever they were before. An owner stays.
    pub async fn change_role(&self, person: PersonId, tenant: TenantId, role: Role) -> Result<()> {
        self.on_tenant(Act::Invite, tenant)?;
        let txn = self.store.begin().await?;
        audit::lock(&txn, tenant).await?;
        if let Role::ClientViewer(client) = role {
            let of = clients::Entity::find_by_id(client.uuid()).filter(clients::Column::Tenant.eq(tenant.uuid()));
            of.one(&txn).await?.ok_or(Error::NotFound("client"))?;
        }
        let before = memberships::Entity::delete_many()
            .filter(memberships::Column::Tenant.eq(tenant.uuid()))
            .filter(memberships::Column::Person.eq(person.uuid()));
        if before.exec(&txn).await?.rows_affected == 0 {
            return Err(Error::NotFound("member"));
        }
        join(&txn, &Membership { person, tenant, role }).await?;
        must_have_owner(&txn, tenant).await?;
        let done = Done { act: "member role", about: person.to_string(), detail: role.words().into() };
        self.commit(txn, tenant, done).await
    }

    /// Ends a membership. Their sessions see it at once, because every request asks for its scope.
    pub async fn remove_member(&self, member: Membership) -> Result<()> {
        let Membership { person, tenant, role } = member;
        self.on_tenant(Act::Invite, tenant)?;
        let txn = self.store.begin().await?;
        // Two owners who remove each other at once: the second one stays.
        audit::lock(&txn, tenant).await?;
        let word = written("a role", &role)?;
        let key = (tenant.uuid(), person.uuid(), word);
        let removed = memberships::Entity::delete_by_id(key).exec(&txn).await?;
        if removed.rows_affected == 0 {
            return Err(Error::NotFound("member"));
        }
        must_have_owner(&txn, tenant).await?;
        let done = Done { act: "member remove", about: person.to_string(), detail: role.words().into() };
        self.commit(txn, tenant, done).await
    }
}
