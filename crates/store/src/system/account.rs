//! Signing in: people by address, links that let in once, sessions, tokens, and the scope that follows.

use continuity::{Act, Grant, Membership, Person, PersonId, Scope};
use jiff::{SignedDuration, Timestamp};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter,
    sea_query::{Expr, ExprTrait},
};

use super::System;
use crate::document::read;
use crate::entity::{grants, links, memberships, people, sessions, tokens};
use crate::moment::micros;
use crate::person::{email, person};
use crate::{PasswordHash, Result, Secret, SessionId, grant, member};

/// What is needed to let somebody in.
#[derive(Clone, Debug)]
pub struct SignIn {
    /// Who.
    pub person: Person,
    /// What their password must match; none: they have not set one.
    pub password: Option<PasswordHash>,
    /// The secret of their one-time passwords, as it was given to the store; none: they do not use them.
    pub totp: Option<Vec<u8>>,
}

/// A session that is not used for this long has ended.
const IDLE: SignedDuration = SignedDuration::from_hours(14 * 24);

/// However often it is used, a session ends after this.
const LONGEST: SignedDuration = SignedDuration::from_hours(90 * 24);

impl System<'_> {
    /// Who has this address.
    pub async fn sign_in(&self, address: &str) -> Result<Option<SignIn>> {
        let row = people::Entity::find().filter(people::Column::Email.eq(email(address)));
        let row = row.one(self.store.read()).await?;
        Ok(row.map(|row| SignIn { person: person(&row), password: row.password.map(PasswordHash), totp: row.totp }))
    }

    /// Uses up a one-time password's time step: false if it, or a later one, was used before.
    pub async fn use_totp_step(&self, who: PersonId, step: u64) -> Result<bool> {
        let step = i64::try_from(step).unwrap_or(i64::MAX);
        let txn = self.store.begin().await?;
        let used = people::Entity::update_many()
            .col_expr(people::Column::TotpStep, Expr::value(step))
            .filter(people::Column::Id.eq(who.uuid()))
            .filter(people::Column::TotpStep.lt(step));
        let used = used.exec(&txn).await?.rows_affected;
        txn.commit().await?;
        Ok(used == 1)
    }

    /// The secrets of everybody's one-time passwords, as they were given to the store.
    pub async fn totp_secrets(&self) -> Result<Vec<(PersonId, Vec<u8>)>> {
        let rows = people::Entity::find().filter(people::Column::Totp.is_not_null()).all(self.store.read()).await?;
        Ok(rows.into_iter().filter_map(|row| Some((PersonId::new(row.id), row.totp?))).collect())
    }

    /// Stores the same secret in another form; false if it is another one meanwhile.
    pub async fn replace_totp(&self, who: PersonId, from: &[u8], to: &[u8]) -> Result<bool> {
        let same = people::Column::Id.eq(who.uuid()).and(people::Column::Totp.eq(from.to_vec()));
        let set = people::Entity::update_many().col_expr(people::Column::Totp, Expr::value(to.to_vec()));
        Ok(set.filter(same).exec(&self.store.writer).await?.rows_affected == 1)
    }

    /// A link that lets a person in once, until it ends.
    pub async fn add_link(&self, who: PersonId, secret: &Secret, ends: Timestamp) -> Result<()> {
        let row = links::ActiveModel {
            hash: Set(secret.hash().0.to_vec()),
            person: Set(who.uuid()),
            ends: Set(micros(ends)),
        };
        let txn = self.store.begin().await?;
        links::Entity::insert(row).exec_without_returning(&txn).await?;
        Ok(txn.commit().await?)
    }

    /// Whom a link would let in; it stays unused. None if it was used, has ended or never was.
    pub async fn link_holder(&self, secret: &Secret, now: Timestamp) -> Result<Option<Person>> {
        let db = self.store.read();
        let link = links::Entity::find_by_id(secret.hash().0.to_vec()).filter(links::Column::Ends.gt(micros(now)));
        let Some(link) = link.one(db).await? else { return Ok(None) };
        Ok(people::Entity::find_by_id(link.person).one(db).await?.as_ref().map(person))
    }

    /// Uses a link up; none if it was used, has ended or never was.
    pub async fn use_link(&self, secret: &Secret, now: Timestamp) -> Result<Option<Person>> {
        let txn = self.store.begin().await?;
        let hash = secret.hash().0.to_vec();
        let link =
            links::Entity::find_by_id(hash.clone()).filter(links::Column::Ends.gt(micros(now))).one(&txn).await?;
        let used = links::Entity::delete_by_id(hash).exec(&txn).await?.rows_affected;
        let found = match link {
            Some(link) if used == 1 => people::Entity::find_by_id(link.person).one(&txn).await?,
            _ => None,
        };
        txn.commit().await?;
        Ok(found.as_ref().map(person))
    }

    /// Opens a session.
    pub async fn open_session(
        &self,
        id: SessionId,
        who: PersonId,
        secret: &Secret,
        device: &str,
        now: Timestamp,
    ) -> Result<()> {
        let row = sessions::ActiveModel {
            id: Set(id.uuid()),
            hash: Set(secret.hash().0.to_vec()),
            person: Set(who.uuid()),
            device: Set(device.into()),
            opened: Set(micros(now)),
            seen: Set(micros(now)),
            ends: Set(micros(now + LONGEST)),
        };
        let txn = self.store.begin().await?;
        let over = sessions::Column::Ends.lte(micros(now)).or(sessions::Column::Seen.lte(micros(now - IDLE)));
        sessions::Entity::delete_many().filter(over).exec(&txn).await?;
        sessions::Entity::insert(row).exec_without_returning(&txn).await?;
        Ok(txn.commit().await?)
    }

    /// What whoever shows this secret may see and do now; none if there is no such session, or it has ended. That it was
    /// used is noted once a minute.
    pub async fn session(&self, secret: &Secret, now: Timestamp) -> Result<Option<(SessionId, Scope)>> {
        let found = sessions::Entity::find()
            .filter(sessions::Column::Hash.eq(secret.hash().0.to_vec()))
            .filter(sessions::Column::Ends.gt(micros(now)))
            .filter(sessions::Column::Seen.gt(micros(now - IDLE)));
        let Some(found) = found.one(self.store.read()).await? else { return Ok(None) };
        if found.seen < micros(now - SignedDuration::from_mins(1)) {
            let txn = self.store.begin().await?;
            let seen = sessions::Entity::update_many().col_expr(sessions::Column::Seen, Expr::value(micros(now)));
            seen.filter(sessions::Column::Id.eq(found.id)).exec(&txn).await?;
            txn.commit().await?;
        }
        let scope = self.scope(PersonId::new(found.person), now).await?;
        Ok(scope.map(|scope| (SessionId::new(found.id), scope)))
    }

    /// Ends the session that this secret opens.
    pub async fn sign_out(&self, secret: &Secret) -> Result<()> {
        let txn = self.store.begin().await?;
        let hash = sessions::Column::Hash.eq(secret.hash().0.to_vec());
        sessions::Entity::delete_many().filter(hash).exec(&txn).await?;
        Ok(txn.commit().await?)
    }

    /// What whoever shows this token may see and do now; none if there is no such token, or it has ended.
    pub async fn token(&self, secret: &Secret, now: Timestamp) -> Result<Option<Scope>> {
        let found = tokens::Entity::find()
            .filter(tokens::Column::Hash.eq(secret.hash().0.to_vec()))
            .filter(tokens::Column::Ends.gt(micros(now)));
        let Some(found) = found.one(self.store.read()).await? else { return Ok(None) };
        let acts: std::collections::BTreeSet<Act> = read("a token's acts", &found.acts)?;
        let scope = self.scope(PersonId::new(found.person), now).await?;
        Ok(scope.map(|scope| scope.only(&acts)))
    }

    /// What a person may see and do now; none if there is no such person.
    pub async fn scope(&self, who: PersonId, now: Timestamp) -> Result<Option<Scope>> {
        let db = self.store.read();
        let Some(row) = people::Entity::find_by_id(who.uuid()).one(db).await? else { return Ok(None) };
        let (memberships, grants) = (memberships_of(db, who).await?, grants_of(db, who, now).await?);
        Ok(Some(Scope::of(&person(&row), &memberships, &grants, now)))
    }
}

async fn memberships_of<C: ConnectionTrait>(db: &C, who: PersonId) -> Result<Vec<Membership>> {
    let rows = memberships::Entity::find().filter(memberships::Column::Person.eq(who.uuid()));
    rows.all(db).await?.iter().map(member::membership).collect()
}

async fn grants_of<C: ConnectionTrait>(db: &C, who: PersonId, now: Timestamp) -> Result<Vec<Grant>> {
    let rows = grants::Entity::find().filter(grants::Column::Person.eq(who.uuid()));
    let rows = rows.filter(grants::Column::Ends.gt(micros(now)));
    rows.all(db).await?.iter().map(grant::grant).collect()
}
