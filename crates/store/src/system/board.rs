//! The board of a tenant in the database: loaded, changed and kept with its messages in one transaction.

use fleet::{Board, ClientId, Notice, NoticeKind, Silence, TenantId};
use jiff::Timestamp;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter, QuerySelect,
};

use super::System;
use super::outbox;
use crate::document::written;
use crate::entity::{alerts, silences};
use crate::moment::micros;
use crate::{Result, alert, audit, silence};

/// A tenant's alerts that are not done with, and the silences that may hold.
#[derive(Clone, Debug)]
pub struct TenantBoard {
    /// Alerts.
    pub board: Board,
    /// Silences that have not ended.
    pub silences: Vec<Silence>,
}

impl System<'_> {
    /// Changes a tenant's board: `change` observes and says what is to be told, which is put into the outbox. Two servers
    /// do so one after the other.
    pub async fn on_board(
        &self,
        tenant: TenantId,
        now: Timestamp,
        change: impl FnOnce(&mut TenantBoard) -> Vec<Notice> + Send,
    ) -> Result<Vec<Notice>> {
        let txn = self.store.begin().await?;
        audit::lock(&txn, tenant).await?;
        let rows = alerts::Entity::find().filter(alerts::Column::Tenant.eq(tenant.uuid()));
        let rows = rows.filter(alerts::Column::Done.eq(false)).all(&txn).await?;
        let silent = silences::Entity::find().filter(silences::Column::Tenant.eq(tenant.uuid()));
        let silent = silent.filter(silences::Column::Until.gt(micros(now))).all(&txn).await?;
        let mut board = TenantBoard {
            board: Board::new(rows.iter().map(alert::alert).collect::<Result<_>>()?),
            silences: silent.iter().map(silence::silence).collect::<Result<_>>()?,
        };
        let notices = change(&mut board);
        keep_alerts(&txn, tenant, rows, &board.board).await?;
        for (row, silence) in silent.into_iter().zip(&board.silences) {
            silence::save(&txn, row, silence).await?;
        }
        for notice in &notices {
            let about = board.board.alerts().iter().find(|alert| alert.id == notice.alert);
            let about = about.ok_or(crate::Error::NotFound("alert"))?;
            outbox::put(&txn, tenant, about.key, notice, now).await?;
        }
        txn.commit().await?;
        Ok(notices)
    }
}

impl System<'_> {
    /// Tenants of which an alert is not done with: their escalations go on though nothing else happens.
    pub async fn alarmed(&self) -> Result<Vec<TenantId>> {
        let rows: Vec<uuid::Uuid> = alerts::Entity::find()
            .select_only()
            .column(alerts::Column::Tenant)
            .distinct()
            .filter(alerts::Column::Done.eq(false))
            .into_tuple()
            .all(self.store.read())
            .await?;
        Ok(rows.into_iter().map(TenantId::new).collect())
    }
}

async fn keep_alerts(
    txn: &DatabaseTransaction,
    tenant: TenantId,
    rows: Vec<alerts::Model>,
    board: &Board,
) -> Result<()> {
    let known: std::collections::BTreeMap<_, _> = rows.into_iter().map(|row| (row.id, row)).collect();
    // Those that close first: one key has one open alert at every moment.
    let (closed, open): (Vec<_>, Vec<_>) = board.alerts().iter().partition(|alert| alert.is_closed());
    for alert in closed.into_iter().chain(open) {
        put_alert(txn, tenant, known.get(&alert.id.uuid()), alert).await?;
    }
    Ok(())
}

async fn put_alert<C: ConnectionTrait>(
    txn: &C,
    tenant: TenantId,
    known: Option<&alerts::Model>,
    alert: &fleet::Alert,
) -> Result<()> {
    let document = written("an alert", alert)?;
    let row = alerts::Model {
        id: alert.id.uuid(),
        tenant: tenant.uuid(),
        client: alert.key.subject.client().map(ClientId::uuid),
        machine: match alert.key.subject {
            fleet::Subject::Machine(_, machine) => Some(machine.uuid()),
            _ => None,
        },
        key: alert::key_text(&alert.key),
        opened: micros(alert.opened),
        closed: alert::closed_at(alert),
        done: alert.is_done_with(),
        document,
    };
    match known {
        Some(known) if *known == row => {}
        Some(_) => {
            alerts::Entity::update(all_set(row)).validate()?.exec(txn).await?;
        }
        None => {
            alerts::Entity::insert(all_set(row)).exec_without_returning(txn).await?;
        }
    }
    Ok(())
}

fn all_set(row: alerts::Model) -> alerts::ActiveModel {
    alerts::ActiveModel {
        id: Set(row.id),
        tenant: Set(row.tenant),
        client: Set(row.client),
        machine: Set(row.machine),
        key: Set(row.key),
        opened: Set(row.opened),
        closed: Set(row.closed),
        done: Set(row.done),
        document: Set(row.document),
    }
}

/// What makes a message the same one, whoever sends it again.
pub(super) fn notice_id(notice: &Notice, recipient: &str, now: Timestamp) -> String {
    let kind = match notice.kind {
        NoticeKind::There => format!("there/{}", notice.step),
        NoticeKind::StillThere => format!("still/{}", micros(now)),
        NoticeKind::Over => "over".into(),
    };
    format!("{}/{kind}/{recipient}", notice.alert)
}
