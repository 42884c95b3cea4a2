//! Outbox: messages with stable identities; sent at least once, told apart by whoever receives them twice.

use fleet::{AlertId, AlertKey, Notice, NoticeKind, TenantId};
use jiff::Timestamp;
use sea_orm::sea_query::{LockBehavior, LockType};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter,
    QueryOrder, QuerySelect,
};
use serde::{Deserialize, Serialize};

use super::System;
use super::board::notice_id;
use crate::document::{read, written};
use crate::entity::{alerts, notifications};
use crate::moment::{micros, moment};
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
    /// Of which alert.
    pub alert: AlertId,
    /// What that is about.
    pub key: AlertKey,
    /// What is said of it.
    pub kind: NoticeKind,
    /// When it was put here.
    pub made: Timestamp,
    /// How often it was tried before.
    pub attempts: u32,
    /// Whether it waited for the end of quiet hours.
    pub held: bool,
}

/// What a recipient was told of an alert before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retold {
    /// The alert is over.
    pub is_over: bool,
    /// An earlier message is not sent yet, nor given up.
    pub earlier_waits: bool,
    /// A message that it is there was sent.
    pub was_told: bool,
    /// A message that it is there was dropped, because it was over before its time came.
    pub was_dropped: bool,
}

/// What a message says, as it is stored.
#[derive(Serialize, Deserialize)]
struct Said {
    text: String,
    alert: AlertId,
    key: AlertKey,
    kind: NoticeKind,
    #[serde(default)]
    held: bool,
}

/// Why a message was never sent, where nothing failed.
const DROPPED: &str = "dropped: it was over before quiet hours were";

/// Puts a message for each recipient of a notice, unless it is there.
pub(super) async fn put(
    txn: &DatabaseTransaction,
    tenant: TenantId,
    key: AlertKey,
    notice: &Notice,
    now: Timestamp,
) -> Result<()> {
    let said = Said { text: notice.sentence.clone(), alert: notice.alert, key, kind: notice.kind, held: false };
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

fn notification(row: &notifications::Model) -> Result<Notification> {
    let Said { text, alert, key, kind, held } = read("a message", &row.document)?;
    Ok(Notification {
        id: row.id.clone(),
        tenant: TenantId::new(row.tenant),
        recipient: row.recipient.clone(),
        text,
        alert,
        key,
        kind,
        made: moment(row.made)?,
        attempts: u32::try_from(row.attempts).unwrap_or(u32::MAX),
        held,
    })
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
            taken.push(notification(&row)?);
            let attempts = row.attempts;
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
        self.change_notification(id, |row| (row.ended, row.failure) = (Set(Some(micros(at))), Set(None))).await
    }

    /// A message could not be sent, and is tried again then.
    pub async fn notification_failed(&self, id: &str, why: &str, again: Timestamp) -> Result<()> {
        self.change_notification(id, |row| (row.due, row.failure) = (Set(micros(again)), Set(Some(why.into())))).await
    }

    /// A message could not be sent, and is tried no more.
    pub async fn notification_given_up(&self, id: &str, why: &str, at: Timestamp) -> Result<()> {
        self.change_notification(id, |row| (row.ended, row.failure) = (Set(Some(micros(at))), Set(Some(why.into()))))
            .await
    }

    /// A message was over before its time came: it is not sent, and nothing failed.
    pub async fn notification_dropped(&self, id: &str, at: Timestamp) -> Result<()> {
        self.notification_given_up(id, DROPPED, at).await
    }

    /// A message was taken and not tried: it waits. `message` is what was taken.
    pub async fn notification_waits(&self, message: &Notification, until: Timestamp, held: bool) -> Result<()> {
        let Notification { text, alert, key, kind, .. } = message.clone();
        let said = Said { text, alert, key, kind, held: held || message.held };
        let document = written("a message", &said)?;
        self.change_notification(&message.id, |row| {
            row.due = Set(micros(until));
            row.attempts = Set(message.attempts.into());
            row.document = Set(document);
        })
        .await
    }

    /// What the recipient of a message was told of its alert before.
    pub async fn retold(&self, message: &Notification) -> Result<Retold> {
        let db = self.store.read();
        let alert = alerts::Entity::find_by_id(message.alert.uuid()).one(db).await?;
        let others = notifications::Entity::find()
            .filter(notifications::Column::Tenant.eq(message.tenant.uuid()))
            .filter(notifications::Column::Recipient.eq(message.recipient.as_str()))
            .filter(notifications::Column::Id.starts_with(format!("{}/", message.alert)))
            .filter(notifications::Column::Id.ne(message.id.as_str()));
        let others = others.all(db).await?;
        let made = micros(message.made);
        Ok(Retold {
            is_over: alert.is_none_or(|alert| alert.closed.is_some()),
            earlier_waits: others.iter().any(|row| row.ended.is_none() && row.made < made),
            was_told: others.iter().any(|row| row.ended.is_some() && row.failure.is_none()),
            was_dropped: others.iter().any(|row| row.failure.as_deref() == Some(DROPPED)),
        })
    }

    /// Recipients of a tenant to whom the last message was given up, and why; those who are told again are not.
    pub async fn deaf(&self, tenant: TenantId, since: Timestamp) -> Result<Vec<(String, String)>> {
        let rows = notifications::Entity::find()
            .filter(notifications::Column::Tenant.eq(tenant.uuid()))
            .filter(notifications::Column::Ended.gt(micros(since)))
            .order_by_asc(notifications::Column::Ended);
        let mut last = std::collections::BTreeMap::new();
        for row in rows.all(self.store.read()).await? {
            if row.failure.as_deref() != Some(DROPPED) {
                last.insert(row.recipient, row.failure);
            }
        }
        Ok(last.into_iter().filter_map(|(recipient, failure)| Some((recipient, failure?))).collect())
    }

    async fn change_notification(
        &self,
        id: &str,
        change: impl FnOnce(&mut notifications::ActiveModel) + Send,
    ) -> Result<()> {
        let txn = self.store.begin().await?;
        let row = notifications::Entity::find_by_id(id).lock(LockType::Update).one(&txn).await?;
        let mut row = row.ok_or(Error::NotFound("message"))?.into_active_model();
        change(&mut row);
        row.update(&txn).await?;
        Ok(txn.commit().await?)
    }
}
