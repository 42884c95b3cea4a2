//! Relays: a question to a keeper that is connected to another server, and what comes back, as rows that are there only as
//! long as somebody waits. What they hold is sealed by the servers; here it is bytes.

use fleet::Uuid;
use jiff::Timestamp;
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, EntityTrait, ExprTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
};

use super::System;
use super::keeper::KeeperId;
use crate::Result;
use crate::entity::{keepers, relay_pieces, relays};
use crate::moment::micros;

/// Questions that a server takes at once.
const MOST: u64 = 64;

/// What `heard` says where whoever took a question cannot open it.
const CLOSED: i64 = -1;

fleet::id!(
    /// A question on its way between two servers.
    RelayId
);

/// A question to a keeper that is connected elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relay {
    /// Which.
    pub id: RelayId,
    /// Who is asked.
    pub keeper: KeeperId,
    /// What is asked; sealed.
    pub question: Vec<u8>,
}

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayState {
    /// No server has taken it yet.
    Waits,
    /// A server that cannot open it took it.
    Closed,
    /// A server has taken it, and was heard so many times since.
    Heard(u64),
    /// It is not there any more.
    Gone,
}

/// What became of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It lies there.
    Done,
    /// As many as may lie there do; later there is room again.
    Full,
    /// Nobody waits for it any more.
    Gone,
}

impl System<'_> {
    /// A keeper is connected to this server, and will be until then unless it is said again.
    pub async fn keeper_is_at(&self, keeper: KeeperId, server: Uuid, until: Timestamp) -> Result<()> {
        let set = keepers::Entity::update_many()
            .col_expr(keepers::Column::Server, Expr::value(server))
            .col_expr(keepers::Column::Connected, Expr::value(micros(until)));
        set.filter(keepers::Column::Id.eq(keeper.uuid())).exec(&self.store.writer).await?;
        Ok(())
    }

    /// A keeper is not connected to this server any more.
    pub async fn keeper_left(&self, keeper: KeeperId, server: Uuid) -> Result<()> {
        let set = keepers::Entity::update_many().col_expr(keepers::Column::Connected, Expr::value(0));
        let here = keepers::Column::Server.eq(server).and(keepers::Column::Id.eq(keeper.uuid()));
        set.filter(here).exec(&self.store.writer).await?;
        Ok(())
    }

    /// Whether a keeper is connected to another server than this one.
    pub async fn keeper_is_elsewhere(&self, keeper: KeeperId, server: Uuid, now: Timestamp) -> Result<bool> {
        let there = keepers::Column::Server.ne(server).and(keepers::Column::Connected.gt(micros(now)));
        let found = keepers::Entity::find_by_id(keeper.uuid()).filter(there).one(self.store.read()).await?;
        Ok(found.is_some())
    }

    /// Asks by way of another server; the question is removed at `ends` at the latest.
    pub async fn relay(&self, new: &Relay, ends: Timestamp) -> Result<()> {
        let row = relays::ActiveModel {
            id: Set(new.id.uuid()),
            keeper: Set(new.keeper.uuid()),
            question: Set(new.question.clone()),
            heard: Set(0),
            ends: Set(micros(ends)),
        };
        relays::Entity::insert(row).exec_without_returning(&self.store.writer).await?;
        Ok(())
    }

    /// Takes questions to these keepers, the oldest first; each is taken by one server.
    pub async fn take_relays(&self, keepers: &[KeeperId]) -> Result<Vec<Relay>> {
        let of = relays::Column::Keeper.is_in(keepers.iter().map(|keeper| keeper.uuid()));
        let waiting = relays::Entity::find().filter(of.and(relays::Column::Heard.eq(0)));
        let rows = waiting.order_by_asc(relays::Column::Id).limit(MOST).all(self.store.read()).await?;
        let mut taken = Vec::new();
        for row in rows {
            if self.mark(row.id, 0, 1).await? {
                let (id, keeper) = (RelayId::new(row.id), KeeperId::new(row.keeper));
                taken.push(Relay { id, keeper, question: row.question });
            }
        }
        Ok(taken)
    }

    /// Whoever took a question cannot open it.
    pub async fn close_relay(&self, id: RelayId) -> Result<()> {
        self.mark(id.uuid(), 1, CLOSED).await.map(drop)
    }

    async fn mark(&self, id: Uuid, from: i64, to: i64) -> Result<bool> {
        let set = relays::Entity::update_many().col_expr(relays::Column::Heard, Expr::value(to));
        let there = relays::Column::Id.eq(id).and(relays::Column::Heard.eq(from));
        Ok(set.filter(there).exec(&self.store.writer).await?.rows_affected == 1)
    }

    /// Whoever took a question is still there; false: nobody waits any more.
    pub async fn relay_goes_on(&self, id: RelayId) -> Result<bool> {
        let more = Expr::col(relays::Column::Heard).add(1);
        let set = relays::Entity::update_many().col_expr(relays::Column::Heard, more);
        Ok(set.filter(relays::Column::Id.eq(id.uuid())).exec(&self.store.writer).await?.rows_affected == 1)
    }

    /// What became of a question.
    pub async fn relay_state(&self, id: RelayId) -> Result<RelayState> {
        let row = relays::Entity::find_by_id(id.uuid()).one(self.store.read()).await?;
        Ok(match row.map(|row| row.heard) {
            None => RelayState::Gone,
            Some(0) => RelayState::Waits,
            Some(heard) => u64::try_from(heard).map_or(RelayState::Closed, RelayState::Heard),
        })
    }

    /// Whoever asked waits on: the question stays until then.
    pub async fn keep_relay(&self, id: RelayId, ends: Timestamp) -> Result<()> {
        let set = relays::Entity::update_many().col_expr(relays::Column::Ends, Expr::value(micros(ends)));
        set.filter(relays::Column::Id.eq(id.uuid())).exec(&self.store.writer).await?;
        Ok(())
    }

    /// Puts a piece of what comes back, unless `most` lie there.
    pub async fn put_piece(&self, id: RelayId, number: u64, bytes: &[u8], most: u64) -> Result<Put> {
        let txn = self.store.begin().await?;
        // Locked: whoever asked must not go away meanwhile.
        if relays::Entity::find_by_id(id.uuid()).lock_shared().one(&txn).await?.is_none() {
            return Ok(Put::Gone);
        }
        if pieces_of(id).count(&txn).await? >= most {
            return Ok(Put::Full);
        }
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        let row = relay_pieces::ActiveModel { relay: Set(id.uuid()), number: Set(number), bytes: Set(bytes.to_vec()) };
        relay_pieces::Entity::insert(row).exec_without_returning(&txn).await?;
        txn.commit().await?;
        Ok(Put::Done)
    }

    /// Takes what has come back, in order: each with its number.
    pub async fn take_pieces(&self, id: RelayId) -> Result<Vec<(u64, Vec<u8>)>> {
        let rows = pieces_of(id).order_by_asc(relay_pieces::Column::Number).all(self.store.read()).await?;
        let Some(last) = rows.last() else { return Ok(Vec::new()) };
        let seen = relay_pieces::Column::Relay.eq(id.uuid()).and(relay_pieces::Column::Number.lte(last.number));
        relay_pieces::Entity::delete_many().filter(seen).exec(&self.store.writer).await?;
        Ok(rows.into_iter().map(|row| (row.number.unsigned_abs(), row.bytes)).collect())
    }

    /// Nobody waits any more: question and pieces are removed.
    pub async fn end_relay(&self, id: RelayId) -> Result<()> {
        relays::Entity::delete_by_id(id.uuid()).exec(&self.store.writer).await?;
        Ok(())
    }

    /// Removes what was left by servers that were killed.
    pub async fn sweep_relays(&self, now: Timestamp) -> Result<u64> {
        let over = relays::Entity::delete_many().filter(relays::Column::Ends.lte(micros(now)));
        Ok(over.exec(&self.store.writer).await?.rows_affected)
    }
}

fn pieces_of(id: RelayId) -> sea_orm::Select<relay_pieces::Entity> {
    relay_pieces::Entity::find().filter(relay_pieces::Column::Relay.eq(id.uuid()))
}
