//! Ledger: what the gateway received, whose repository it is, and what was proven about it.

use fleet::{MachineId, Verdict};
use jiff::Timestamp;
use sea_orm::{
    ActiveModelTrait,
    ActiveValue::Set,
    ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect, TryInsertResult,
    sea_query::{Expr, ExprTrait},
};

use super::work::{self, machine_row};
use super::{System, book};
use crate::document::{word, written};
use crate::entity::{copies, drills, machines, receipts, repositories};
use crate::moment::{micros, moment};
use crate::{CopyMade, DrillMade, Error, Result, Secret, SecretHash};

/// The gateway received a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Into which machine's repository.
    pub machine: MachineId,
    /// Of what kind, in restic's words: "data", "index", "snapshots", "keys", "config", "locks".
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub size: u64,
    /// Their SHA-256.
    pub sha256: [u8; 32],
    /// When, by the gateway's clock.
    pub received: Timestamp,
    /// The account that sent it.
    pub account: String,
}

/// A repository, as the gateway must know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RepositoryUse {
    /// Whose.
    pub machine: MachineId,
    /// Bytes in it.
    pub stored: u64,
    /// Bytes that may be in it; none: as many as there is room for.
    pub quota: Option<u64>,
}

impl System<'_> {
    /// The machine's repository, if this is what it shows to the gateway. A retired machine has none any more; a
    /// quarantined one neither.
    pub async fn repository(&self, machine: MachineId, shown: &Secret) -> Result<Option<RepositoryUse>> {
        let found = repositories::Entity::find_by_id(machine.uuid())
            .filter(repositories::Column::Hash.eq(shown.hash().0.to_vec()))
            .one(self.store.read())
            .await?;
        let believed = machines::Entity::find_by_id(machine.uuid())
            .filter(machines::Column::Retired.is_null())
            .filter(machines::Column::Quarantined.is_null());
        let Some(found) = found else { return Ok(None) };
        Ok(believed.one(self.store.read()).await?.map(|_| RepositoryUse {
            machine,
            stored: found.stored.unsigned_abs(),
            quota: found.quota.map(i64::unsigned_abs),
        }))
    }

    /// What a machine shows to the gateway from now on; none: nothing lets it in.
    pub async fn set_credential(&self, machine: MachineId, credential: Option<SecretHash>) -> Result<()> {
        let txn = self.store.begin().await?;
        let hash = credential.map(|hash| hash.0.to_vec());
        let set = repositories::Entity::update_many().col_expr(repositories::Column::Hash, Expr::value(hash));
        set.filter(repositories::Column::Machine.eq(machine.uuid())).exec(&txn).await?;
        Ok(txn.commit().await?)
    }

    /// Writes a receipt. The same file again is no news (false), and keeps the time of the first; other bytes under its
    /// name are refused. Times of a repository never go back: an earlier one than the newest is kept as the newest. With
    /// its first snapshot a machine has set its repository up, and adds no keys any more.
    pub async fn receive(&self, new: &Receipt) -> Result<bool> {
        let txn = self.store.begin().await?;
        let size = i64::try_from(new.size).unwrap_or(i64::MAX);
        let received = book::later(&txn, new).await?;
        let row = receipts::ActiveModel {
            machine: Set(new.machine.uuid()),
            kind: Set(new.kind.clone()),
            name: Set(new.name.clone()),
            size: Set(size),
            sha256: Set(new.sha256.to_vec()),
            received: Set(received),
            account: Set(new.account.clone()),
        };
        let inserted = receipts::Entity::insert(row).on_conflict_do_nothing().exec_without_returning(&txn).await?;
        if !matches!(inserted, TryInsertResult::Inserted(1)) {
            let key = (new.machine.uuid(), new.kind.clone(), new.name.clone());
            let there = receipts::Entity::find_by_id(key).one(&txn).await?;
            return match there.is_some_and(|there| there.sha256 == new.sha256) {
                true => Ok(false),
                false => Err(Error::Conflict(format!("{}/{} was received with other bytes", new.kind, new.name))),
            };
        }
        change_stored(&txn, new.machine, size).await?;
        book::note(&txn, new, received).await?;
        work::note_arrival(&txn, new, moment(received)?).await?;
        txn.commit().await?;
        Ok(true)
    }

    /// A file was removed by whoever may: a keeper, or a lock's owner. Its receipt goes too.
    pub async fn removed(&self, machine: MachineId, kind: &str, name: &str) -> Result<()> {
        let txn = self.store.begin().await?;
        let key = (machine.uuid(), kind.to_owned(), name.to_owned());
        if let Some(there) = receipts::Entity::find_by_id(key.clone()).one(&txn).await? {
            receipts::Entity::delete_by_id(key).exec(&txn).await?;
            change_stored(&txn, machine, -there.size).await?;
        }
        Ok(txn.commit().await?)
    }

    /// A machine's receipts of one kind by name, after a name, for scrubbing and for retention by the time of receipt.
    pub async fn receipts(&self, machine: MachineId, kind: &str, after: &str, most: u64) -> Result<Vec<Receipt>> {
        let rows = receipts::Entity::find()
            .filter(receipts::Column::Machine.eq(machine.uuid()))
            .filter(receipts::Column::Kind.eq(kind))
            .filter(receipts::Column::Name.gt(after))
            .order_by_asc(receipts::Column::Name)
            .limit(most);
        rows.all(self.store.read()).await?.into_iter().map(receipt).collect()
    }

    /// Bytes that a machine sent since a moment, for daily budgets.
    pub async fn received_since(&self, machine: MachineId, since: Timestamp) -> Result<u64> {
        Ok(received_since(self.store.read(), machine, since).await?)
    }

    /// A copy was made, or failed. The machine is judged again.
    pub async fn copy_made(&self, made: &CopyMade) -> Result<()> {
        let txn = self.store.begin().await?;
        let machine = machine_row(&txn, made.machine).await?;
        let row = copies::ActiveModel {
            id: Set(made.id.uuid()),
            tenant: Set(machine.tenant),
            client: Set(machine.client),
            machine: Set(machine.id),
            destination: Set(made.destination.uuid()),
            offsite: Set(made.distance == fleet::Distance::Offsite),
            ended: Set(micros(made.ended)),
            newest: Set(micros(made.newest)),
            verdict: Set(written("a copy's verdict", &made.verdict)?),
        };
        copies::Entity::insert(row).on_conflict_do_nothing().exec_without_returning(&txn).await?;
        judge_soon(&txn, machine, made.ended).await?;
        Ok(txn.commit().await?)
    }

    /// A drill was held. The machine is judged again.
    pub async fn drill_held(&self, made: &DrillMade) -> Result<()> {
        let txn = self.store.begin().await?;
        let machine = machine_row(&txn, made.machine).await?;
        let row = drills::ActiveModel {
            id: Set(made.id.uuid()),
            tenant: Set(machine.tenant),
            client: Set(machine.client),
            machine: Set(machine.id),
            kind: Set(word("a drill's kind", &made.kind)?),
            ended: Set(micros(made.ended)),
            verdict: Set(written::<Verdict>("a drill's verdict", &made.verdict)?),
            evidence: Set(made.evidence.clone()),
        };
        drills::Entity::insert(row).on_conflict_do_nothing().exec_without_returning(&txn).await?;
        judge_soon(&txn, machine, made.ended).await?;
        Ok(txn.commit().await?)
    }
}

async fn judge_soon(txn: &sea_orm::DatabaseTransaction, machine: machines::Model, at: Timestamp) -> Result<()> {
    let mut row = machine.into_active_model();
    row.recheck = Set(micros(at));
    row.update(txn).await?;
    Ok(())
}

async fn change_stored(txn: &sea_orm::DatabaseTransaction, machine: MachineId, by: i64) -> Result<()> {
    let stored = Expr::col(repositories::Column::Stored).add(by);
    let change = repositories::Entity::update_many().col_expr(repositories::Column::Stored, stored);
    change.filter(repositories::Column::Machine.eq(machine.uuid())).exec(txn).await?;
    Ok(())
}

pub(super) async fn received_since<C: sea_orm::ConnectionTrait>(
    db: &C,
    machine: MachineId,
    since: Timestamp,
) -> Result<u64, sea_orm::DbErr> {
    // PostgreSQL sums big integers as decimals.
    let sum = receipts::Column::Size.sum().cast_as("bigint");
    let sum: Option<Option<i64>> = receipts::Entity::find()
        .select_only()
        .column_as(sum, "sum")
        .filter(receipts::Column::Machine.eq(machine.uuid()))
        .filter(receipts::Column::Received.gte(micros(since)))
        .into_tuple()
        .one(db)
        .await?;
    Ok(sum.flatten().unwrap_or_default().unsigned_abs())
}

pub(super) fn receipt(row: receipts::Model) -> Result<Receipt> {
    Ok(Receipt {
        machine: MachineId::new(row.machine),
        kind: row.kind,
        name: row.name,
        size: row.size.unsigned_abs(),
        sha256: row.sha256.try_into().map_err(|_| Error::stored("a receipt")("its hash has another length".into()))?,
        received: moment(row.received)?,
        account: row.account,
    })
}
