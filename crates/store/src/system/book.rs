//! Books: what the gateway asks for every request: who comes in, what holds for a repository, what came today, who locks.

use fleet::MachineId;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use sea_orm::sea_query::{Expr, ExprTrait, LockType, OnConflict};
use sea_orm::{ActiveValue::Set, ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::System;
use super::ledger::{Receipt, receipt};
use crate::entity::{keeper_accounts, machines, receipts, received_days, repositories};
use crate::moment::micros;
use crate::{Error, Result, SecretHash};

/// Somebody whom the gateway lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GatewayAccount {
    /// A machine, into its own repository.
    Machine(MachineId, SecretHash),
    /// A keeper, into every repository.
    Keeper(SecretHash),
}

/// What holds for a repository at the gateway. None is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RepositoryRules {
    /// Whether its machine has set it up, and adds no keys any more.
    pub closed: bool,
    /// Bytes that may be in it.
    pub quota: Option<u64>,
    /// Bytes that may come on one day (UTC).
    pub daily_bytes: Option<u64>,
    /// Snapshots that may come on one day.
    pub daily_snapshots: Option<u64>,
}

impl System<'_> {
    /// Who comes in with this name: a machine's identity, or that of a keeper's account which has not ended. Retired
    /// and quarantined machines do not.
    pub async fn gateway_account(&self, name: &str, now: Timestamp) -> Result<Option<GatewayAccount>> {
        let Ok(id) = Uuid::parse_str(name) else { return Ok(None) };
        let db = self.store.read();
        let believed = machines::Entity::find_by_id(id)
            .filter(machines::Column::Retired.is_null())
            .filter(machines::Column::Quarantined.is_null());
        if believed.one(db).await?.is_some() {
            let row = repositories::Entity::find_by_id(id).one(db).await?;
            let hash = row.and_then(|row| row.hash).map(hash).transpose()?;
            return Ok(hash.map(|hash| GatewayAccount::Machine(MachineId::new(id), hash)));
        }
        let account = keeper_accounts::Entity::find_by_id(id).filter(keeper_accounts::Column::Ends.gt(micros(now)));
        let hash = account.one(db).await?.map(|row| hash(row.hash)).transpose()?;
        Ok(hash.map(GatewayAccount::Keeper))
    }

    /// What holds for a machine's repository; none: it has none.
    pub async fn repository_rules(&self, machine: MachineId) -> Result<Option<RepositoryRules>> {
        let row = repositories::Entity::find_by_id(machine.uuid()).one(self.store.read()).await?;
        let size = |size: Option<i64>| size.map(i64::unsigned_abs);
        Ok(row.map(|row| RepositoryRules {
            closed: row.closed.is_some(),
            quota: size(row.quota),
            daily_bytes: size(row.daily_bytes),
            daily_snapshots: size(row.daily_snapshots),
        }))
    }

    /// Changes how much a repository may take.
    pub async fn limit_repository(&self, machine: MachineId, limits: &RepositoryRules) -> Result<()> {
        let txn = self.store.begin().await?;
        let size = |size: Option<u64>| Expr::value(size.map(|size| i64::try_from(size).unwrap_or(i64::MAX)));
        let set = repositories::Entity::update_many()
            .col_expr(repositories::Column::Quota, size(limits.quota))
            .col_expr(repositories::Column::DailyBytes, size(limits.daily_bytes))
            .col_expr(repositories::Column::DailySnapshots, size(limits.daily_snapshots))
            .filter(repositories::Column::Machine.eq(machine.uuid()));
        if set.exec(&txn).await?.rows_affected == 0 {
            return Err(Error::NotFound("machine"));
        }
        Ok(txn.commit().await?)
    }

    /// Whose repositories there are, retired machines' too.
    pub async fn repositories(&self) -> Result<Vec<MachineId>> {
        let rows: Vec<Uuid> = repositories::Entity::find()
            .select_only()
            .column(repositories::Column::Machine)
            .order_by_asc(repositories::Column::Machine)
            .into_tuple()
            .all(self.store.read())
            .await?;
        Ok(rows.into_iter().map(MachineId::new).collect())
    }

    /// Bytes and snapshots that a repository received on a day (UTC).
    pub async fn received_on(&self, machine: MachineId, day: Date) -> Result<(u64, u64)> {
        let row = received_days::Entity::find_by_id((machine.uuid(), day.to_string())).one(self.store.read()).await?;
        Ok(row.map_or((0, 0), |row| (row.bytes.unsigned_abs(), row.snapshots.unsigned_abs())))
    }

    /// The receipt of a file that is there.
    pub async fn receipt(&self, machine: MachineId, kind: &str, name: &str) -> Result<Option<Receipt>> {
        let key = (machine.uuid(), kind.to_owned(), name.to_owned());
        receipts::Entity::find_by_id(key).one(self.store.read()).await?.map(receipt).transpose()
    }
}

fn hash(bytes: Vec<u8>) -> Result<SecretHash> {
    let bytes = bytes.try_into().map_err(|_| Error::stored("a credential")("its hash has another length".into()))?;
    Ok(SecretHash(bytes))
}

/// The time of a new receipt: not before the newest of its repository.
pub(super) async fn later(txn: &DatabaseTransaction, new: &Receipt) -> Result<i64> {
    let row = repositories::Entity::find_by_id(new.machine.uuid()).lock(LockType::NoKeyUpdate).one(txn).await?;
    let newest = row.ok_or(Error::NotFound("machine"))?.newest;
    Ok(std::cmp::max(newest, micros(new.received)))
}

/// Counts what came in, and closes the enrolment with the first snapshot.
pub(super) async fn note(txn: &DatabaseTransaction, new: &Receipt, received: i64) -> Result<()> {
    use received_days::Column::{Bytes, Day, Machine, Snapshots};
    let is_snapshot = new.kind == "snapshots";
    let (bytes, snapshots) = (i64::try_from(new.size).unwrap_or(i64::MAX), i64::from(is_snapshot));
    let day = crate::moment::moment(received)?.to_zoned(TimeZone::UTC).date().to_string();
    let (machine, of) = (Set(new.machine.uuid()), Set(day));
    let row = received_days::ActiveModel { machine, day: of, bytes: Set(bytes), snapshots: Set(snapshots) };
    let add = |column, by: i64| Expr::col((received_days::Entity, column)).add(by);
    let or_add = OnConflict::columns([Machine, Day])
        .value(Bytes, add(Bytes, bytes))
        .value(Snapshots, add(Snapshots, snapshots))
        .to_owned();
    received_days::Entity::insert(row).on_conflict(or_add).exec_without_returning(txn).await?;
    let mut repository =
        repositories::Entity::update_many().col_expr(repositories::Column::Newest, Expr::value(received));
    if is_snapshot {
        let closed = Expr::col(repositories::Column::Closed).if_null(received);
        repository = repository.col_expr(repositories::Column::Closed, closed);
    }
    repository.filter(repositories::Column::Machine.eq(new.machine.uuid())).exec(txn).await?;
    Ok(())
}
