//! Alerts, as people see and take them. What opens and closes them is the board in `system/board.rs`.

use continuity::Act;
use fleet::{Alert, AlertId, AlertKey, Subject, TenantId};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter,
    QueryOrder, QuerySelect,
};

use crate::audit::{self, Done};
use crate::document::{read, written};
use crate::entity::alerts;
use crate::moment::micros;
use crate::within::within;
use crate::{Error, Result, View};

pub(crate) fn alert(row: &alerts::Model) -> Result<Alert> {
    read("an alert", &row.document)
}

/// The key as a column, so that the database holds "one open alert of a key" too.
pub(crate) fn key_text(key: &AlertKey) -> String {
    let subject = match key.subject {
        Subject::Machine(_, machine) => format!("machine/{machine}"),
        Subject::Site(_, site) => format!("site/{site}"),
        Subject::Ourselves => "ourselves".into(),
    };
    format!("{subject}/{}", key.condition.word())
}

/// Writes an alert over its row.
pub(crate) async fn save<C: ConnectionTrait>(txn: &C, row: alerts::Model, alert: &Alert) -> Result<()> {
    let mut row = row.into_active_model();
    row.document = Set(written("an alert", alert)?);
    row.closed = Set(closed_at(alert));
    row.update(txn).await?;
    Ok(())
}

pub(crate) fn closed_at(alert: &Alert) -> Option<i64> {
    match alert.state {
        fleet::AlertState::Closed { at } => Some(micros(at)),
        _ => None,
    }
}

impl View<'_> {
    /// Alerts that are not closed, the newest first.
    pub async fn open_alerts(&self, most: u64) -> Result<Vec<Alert>> {
        let rows = alerts::Entity::find().filter(alerts::Column::Closed.is_null());
        let rows =
            rows.filter(within::<alerts::Entity>(&self.looks())).order_by_desc(alerts::Column::Opened).limit(most);
        rows.all(self.store.read()).await?.iter().map(alert).collect()
    }

    /// All alerts, the newest first.
    pub async fn alerts(&self, most: u64) -> Result<Vec<Alert>> {
        let rows = alerts::Entity::find().filter(within::<alerts::Entity>(&self.looks()));
        let rows = rows.order_by_desc(alerts::Column::Opened).limit(most);
        rows.all(self.store.read()).await?.iter().map(alert).collect()
    }

    /// One of them.
    pub async fn alert(&self, id: AlertId) -> Result<Alert> {
        let row = alerts::Entity::find_by_id(id.uuid()).filter(within::<alerts::Entity>(&self.looks()));
        alert(&row.one(self.store.read()).await?.ok_or(Error::NotFound("alert"))?)
    }

    /// Takes an alert on.
    pub async fn acknowledge(&self, id: AlertId) -> Result<()> {
        let (by, at) = (self.scope.actor().clone(), self.scope.at());
        self.handle(id, "alert acknowledge", |alert| alert.acknowledge(by, at)).await
    }

    /// Gives an alert back.
    pub async fn release(&self, id: AlertId) -> Result<()> {
        self.handle(id, "alert release", |alert| alert.release(self.scope.actor())).await
    }

    async fn handle(
        &self,
        id: AlertId,
        act: &'static str,
        change: impl FnOnce(&mut Alert) -> Result<(), fleet::AlertError>,
    ) -> Result<()> {
        let txn = self.store.begin().await?;
        let visible = within::<alerts::Entity>(&self.looks());
        let seen = alerts::Entity::find_by_id(id.uuid()).filter(visible);
        let tenant = TenantId::new(seen.clone().one(&txn).await?.ok_or(Error::NotFound("alert"))?.tenant);
        audit::lock(&txn, tenant).await?;
        let row = seen.one(&txn).await?.ok_or(Error::NotFound("alert"))?;
        let allowed = within::<alerts::Entity>(&self.scope.reach(Act::Configure));
        let may = alerts::Entity::find_by_id(id.uuid()).filter(allowed).one(&txn).await?;
        may.ok_or(Error::NotAllowed(Act::Configure))?;
        let mut found = alert(&row)?;
        change(&mut found).map_err(|error| Error::Conflict(error.to_string()))?;
        save(&txn, row, &found).await?;
        let done = Done { act, about: id.to_string(), detail: found.sentence };
        self.commit(txn, tenant, done).await
    }
}
