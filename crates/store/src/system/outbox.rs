//! Outbox: messages with stable identities; sent at least once, told apart by whoever receives them twice.

use fleet::{Notice, NoticeKind, TenantId};
use jiff::Timestamp;
use sea_orm::sea_query::{Expr, LockBehavior, LockType};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter,
    QueryOrder, QuerySelect,
};
use serde::{Deserialize, Serialize};

use super::System;
use super::board::notice_id;
use crate::document::{read, written};
use crate::entity::notifications;
use crate::moment::micros;
use crate::{Error, Result};

/// A message to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// What makes it the same message; receivers make it once by this.
    pub id: String,
    /// Whose.
    pub tenant: TenantId,
    /// Whom it is for.
    pub recipient: String,
    /// What it says.
    pub text: String,
    /// Whether it is good news.
    pub over: bool,
    /// How often it was tried before.
    pub attempts: u32,
}

/// What a message says, as it is stored.
#[derive(Serialize, Deserialize)]
struct Said {
    text: String,
    over: bool,
}

/// Puts a message for each recipient of a notice, unless it is there.
pub(super) async fn put(txn: &DatabaseTransaction, tenant: TenantId, notice: &Notice, now: Timestamp) -> Result<()> {
    let said = Said { text: notice.sentence.clone(), over: notice.kind == NoticeKind::Over };
    for recipient in &notice.to {
        let row = notifications::ActiveModel {
            id: Set(notice_id(notice, &recipient.0, now)),
            tenant: Set(tenant.uuid()),
            recipient: Set(recipient.0.clone()),
            document: Set(written("a message", &said)?),
            made: Set(micros(now)),
            due: Set(micros(now)),
            attempts: Set(0),
            ended: Set(None),
            failure: Set(None),
        };
        notifications::Entity::insert(row).on_conflict_do_nothing().exec_without_returning(txn).await?;
    }
    Ok(())
}

impl System<'_> {
    /// Takes at most `most` messages that are due; they are due again at `again` unless said to be sent.
    pub async fn take_notifications(&self, now: Timestamp, again: Timestamp, most: u64) -> Result<Vec<Notification>> {
        let txn = self.store.begin().await?;
        let rows = notifications::Entity::find()
            .filter(notifications::Column::Ended.is_null())
            .filter(notifications::Column::Due.lte(micros(now)))
            .order_by_asc(notifications::Column::Due)
            .limit(most);
        let rows = rows.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked).all(&txn).await?;
        let mut taken = Vec::new();
        for row in rows {
            let Said { text, over } = read("a message", &row.document)?;
            let attempts = row.attempts;
            taken.push(Notification {
                id: row.id.clone(),
                tenant: TenantId::new(row.tenant),
                recipient: row.recipient.clone(),
                text,
                over,
                attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
            });
            let mut row = row.into_active_model();
            row.due = Set(micros(again));
            row.attempts = Set(attempts + 1);
            row.update(&txn).await?;
        }
        txn.commit().await?;
        Ok(taken)
    }

    /// A message was sent.
    pub async fn notification_sent(&self, id: &str, at: Timestamp) -> Result<()> {
        self.end_notification(id, Some(at), None).await
    }

    /// A message could not be sent: it is tried again when it is due, or given up at `given_up`.
    pub async fn notification_failed(&self, id: &str, why: &str, given_up: Option<Timestamp>) -> Result<()> {
        self.end_notification(id, given_up, Some(why)).await
    }

    async fn end_notification(&self, id: &str, ended: Option<Timestamp>, failure: Option<&str>) -> Result<()> {
        let txn = self.store.begin().await?;
        let changed = notifications::Entity::update_many()
            .col_expr(notifications::Column::Ended, Expr::value(ended.map(micros)))
            .col_expr(notifications::Column::Failure, Expr::value(failure))
            .filter(notifications::Column::Id.eq(id))
            .exec(&txn)
            .await?;
        txn.commit().await?;
        if changed.rows_affected == 0 { Err(Error::NotFound("message")) } else { Ok(()) }
    }
}
