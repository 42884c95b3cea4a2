//! People: one's own account.

use continuity::{Person, PersonId};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, EntityTrait, IntoActiveModel};

use crate::entity::people;
use crate::{Error, PasswordHash, Result, View};

pub(crate) fn person(row: &people::Model) -> Person {
    Person { id: PersonId::new(row.id), name: row.name.clone(), email: row.email.clone() }
}

/// Addresses that differ in case only are one.
pub(crate) fn email(text: &str) -> String {
    text.trim().to_lowercase()
}

impl View<'_> {
    /// Who asks.
    pub async fn me(&self) -> Result<Person> {
        Ok(person(&self.my_row().await?))
    }

    /// Changes one's own password. Sessions stay; see [`View::end_other_sessions`].
    pub async fn set_password(&self, hash: &PasswordHash) -> Result<()> {
        let mut row = self.my_row().await?.into_active_model();
        row.password = Set(Some(hash.0.clone()));
        self.save_me(row, "account password").await
    }

    /// Changes one's own secret for one-time passwords; none: sign in without.
    pub async fn set_totp(&self, secret: Option<&[u8]>) -> Result<()> {
        let mut row = self.my_row().await?.into_active_model();
        row.totp = Set(secret.map(<[u8]>::to_vec));
        row.totp_step = Set(0);
        self.save_me(row, "account one-time passwords").await
    }

    async fn save_me(&self, row: people::ActiveModel, act: &'static str) -> Result<()> {
        let txn = self.store.begin().await?;
        row.update(&txn).await?;
        self.commit_mine(txn, act, "").await
    }

    async fn my_row(&self) -> Result<people::Model> {
        let row = people::Entity::find_by_id(self.scope.person().uuid()).one(self.store.read()).await?;
        row.ok_or(Error::NotFound("person"))
    }
}
