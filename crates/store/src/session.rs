//! Sessions: where one is signed in. Everybody sees and ends their own.

use jiff::Timestamp;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};

use crate::entity::sessions;
use crate::moment::{micros, moment};
use crate::{Error, Result, View};

fleet::id!(
    /// A session, as it is listed; not what opens it.
    SessionId
);

/// Where somebody is signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Which.
    pub id: SessionId,
    /// On what, as it called itself.
    pub device: String,
    /// Since when.
    pub opened: Timestamp,
    /// When it was used last, to the minute.
    pub seen: Timestamp,
    /// When it ends, however often it is used.
    pub ends: Timestamp,
}

impl View<'_> {
    /// One's own sessions that have not ended, the one that was used last first.
    pub async fn sessions(&self) -> Result<Vec<Session>> {
        let rows = sessions::Entity::find()
            .filter(sessions::Column::Person.eq(self.scope.person().uuid()))
            .filter(sessions::Column::Ends.gt(micros(self.scope.at())))
            .order_by_desc(sessions::Column::Seen);
        rows.all(self.store.read()).await?.into_iter().map(session).collect()
    }

    /// Ends one of one's own sessions.
    pub async fn end_session(&self, id: SessionId) -> Result<()> {
        let txn = self.store.begin().await?;
        let own = sessions::Column::Person.eq(self.scope.person().uuid());
        let ended = sessions::Entity::delete_many().filter(sessions::Column::Id.eq(id.uuid())).filter(own);
        if ended.exec(&txn).await?.rows_affected == 0 {
            return Err(Error::NotFound("session"));
        }
        self.commit_mine(txn, "session end", &id.to_string()).await
    }

    /// Ends all of one's own sessions but one, and says how many those were.
    pub async fn end_other_sessions(&self, but: SessionId) -> Result<u64> {
        let txn = self.store.begin().await?;
        let own = sessions::Column::Person.eq(self.scope.person().uuid());
        let ended = sessions::Entity::delete_many().filter(own).filter(sessions::Column::Id.ne(but.uuid()));
        let ended = ended.exec(&txn).await?.rows_affected;
        self.commit_mine(txn, "session end others", &ended.to_string()).await?;
        Ok(ended)
    }
}

fn session(row: sessions::Model) -> Result<Session> {
    Ok(Session {
        id: SessionId::new(row.id),
        device: row.device,
        opened: moment(row.opened)?,
        seen: moment(row.seen)?,
        ends: moment(row.ends)?,
    })
}
