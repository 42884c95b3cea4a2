//! Tokens: what programs use in one's name. They may never do more than their maker, and only what they were made for.

use std::collections::BTreeSet;

use continuity::Act;
use jiff::Timestamp;
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder};

use crate::document::{read, written};
use crate::entity::tokens;
use crate::moment::{micros, moment};
use crate::{Error, Result, Secret, View};

fleet::id!(
    /// A token, as it is listed; not what opens it.
    TokenId
);

/// What a program uses in somebody's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Which.
    pub id: TokenId,
    /// What its maker calls it.
    pub name: String,
    /// What it was made for.
    pub acts: BTreeSet<Act>,
    /// When.
    pub made: Timestamp,
    /// Until when it works.
    pub ends: Timestamp,
}

impl View<'_> {
    /// One's own tokens, the newest first.
    pub async fn tokens(&self) -> Result<Vec<Token>> {
        let rows = tokens::Entity::find().filter(tokens::Column::Person.eq(self.scope.person().uuid()));
        let rows = rows.order_by_desc(tokens::Column::Made).all(self.store.read()).await?;
        rows.into_iter().map(token).collect()
    }

    /// A new one; `secret` is what the program shows.
    pub async fn add_token(&self, token: &Token, secret: &Secret) -> Result<()> {
        let row = tokens::ActiveModel {
            id: Set(token.id.uuid()),
            hash: Set(secret.hash().0.to_vec()),
            person: Set(self.scope.person().uuid()),
            name: Set(token.name.clone()),
            acts: Set(written("a token's acts", &token.acts)?),
            made: Set(micros(token.made)),
            ends: Set(micros(token.ends)),
        };
        let txn = self.store.begin().await?;
        tokens::Entity::insert(row).exec_without_returning(&txn).await?;
        self.commit_mine(txn, "token add", &token.name).await
    }

    /// Takes one of one's own back.
    pub async fn remove_token(&self, id: TokenId) -> Result<()> {
        let txn = self.store.begin().await?;
        let own = tokens::Column::Person.eq(self.scope.person().uuid());
        let removed = tokens::Entity::delete_many().filter(tokens::Column::Id.eq(id.uuid())).filter(own);
        if removed.exec(&txn).await?.rows_affected == 0 {
            return Err(Error::NotFound("token"));
        }
        self.commit_mine(txn, "token remove", &id.to_string()).await
    }
}

fn token(row: tokens::Model) -> Result<Token> {
    Ok(Token {
        id: TokenId::new(row.id),
        name: row.name,
        acts: read("a token's acts", &row.acts)?,
        made: moment(row.made)?,
        ends: moment(row.ends)?,
    })
}
