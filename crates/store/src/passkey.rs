//! Passkeys: what people sign in with instead of a password. What the browser's answer is compared with is a document of
//! whoever checks it; nothing in it is secret.

use continuity::PersonId;
use jiff::Timestamp;
use sea_orm::{ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder};

use crate::entity::passkeys;
use crate::moment::{micros, moment, moment_if};
use crate::system::System;
use crate::{Error, Result, View};

fleet::id!(
    /// A passkey.
    PasskeyId
);

/// A passkey, as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passkey {
    /// Which.
    pub id: PasskeyId,
    /// What its owner calls it.
    pub name: String,
    /// When it was added.
    pub made: Timestamp,
    /// When somebody signed in with it last.
    pub used: Option<Timestamp>,
    /// What the browser's answer is compared with.
    pub document: String,
}

/// A passkey to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPasskey {
    /// Its identity here.
    pub id: PasskeyId,
    /// What its owner calls it.
    pub name: String,
    /// The credential's own name.
    pub credential: Vec<u8>,
    /// What the browser's answer is compared with.
    pub document: String,
}

fn passkey(row: passkeys::Model) -> Result<Passkey> {
    let (made, used) = (moment(row.made)?, moment_if(row.used)?);
    Ok(Passkey { id: PasskeyId::new(row.id), name: row.name, made, used, document: row.document })
}

impl View<'_> {
    /// One's own passkeys, the newest first.
    pub async fn passkeys(&self) -> Result<Vec<Passkey>> {
        self.store.system().passkeys_of(self.scope.person()).await
    }

    /// A new one.
    ///
    /// # Errors
    /// [`Error::Conflict`] if the credential is somebody's already.
    pub async fn add_passkey(&self, new: &NewPasskey, at: Timestamp) -> Result<()> {
        let txn = self.store.begin().await?;
        let same = passkeys::Entity::find().filter(passkeys::Column::Credential.eq(new.credential.clone()));
        if same.one(&txn).await?.is_some() {
            return Err(Error::Conflict("this passkey was added before".into()));
        }
        let row = passkeys::ActiveModel {
            id: Set(new.id.uuid()),
            person: Set(self.scope.person().uuid()),
            credential: Set(new.credential.clone()),
            name: Set(new.name.clone()),
            document: Set(new.document.clone()),
            made: Set(micros(at)),
            used: Set(None),
        };
        passkeys::Entity::insert(row).exec_without_returning(&txn).await?;
        self.commit_mine(txn, "passkey add", &new.name).await
    }

    /// Takes one of one's own back.
    pub async fn remove_passkey(&self, id: PasskeyId) -> Result<()> {
        let txn = self.store.begin().await?;
        let own = passkeys::Column::Person.eq(self.scope.person().uuid());
        let removed = passkeys::Entity::delete_many().filter(passkeys::Column::Id.eq(id.uuid())).filter(own);
        if removed.exec(&txn).await?.rows_affected == 0 {
            return Err(Error::NotFound("passkey"));
        }
        self.commit_mine(txn, "passkey remove", &id.to_string()).await
    }
}

impl System<'_> {
    /// A person's passkeys, the newest first.
    pub async fn passkeys_of(&self, person: PersonId) -> Result<Vec<Passkey>> {
        let rows = passkeys::Entity::find().filter(passkeys::Column::Person.eq(person.uuid()));
        let rows = rows.order_by_desc(passkeys::Column::Made).order_by_desc(passkeys::Column::Id);
        rows.all(self.store.read()).await?.into_iter().map(passkey).collect()
    }

    /// Somebody signed in with a passkey; what it is compared with from now on.
    pub async fn passkey_used(&self, id: PasskeyId, document: String, at: Timestamp) -> Result<()> {
        let txn = self.store.begin().await?;
        let found = passkeys::Entity::find_by_id(id.uuid()).one(&txn).await?;
        let mut row = found.ok_or(Error::NotFound("passkey"))?.into_active_model();
        (row.document, row.used) = (Set(document), Set(Some(micros(at))));
        row.update(&txn).await?;
        Ok(txn.commit().await?)
    }
}
