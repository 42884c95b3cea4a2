//! Transfer: everything in one database, written into another that is empty. So SQLite becomes PostgreSQL and back, and a
//! backup of either is one SQLite file.
//!
//! Read in one transaction, so what is written is of one instant; written in one, so it is all there or nothing is.

use futures_util::TryStreamExt as _;
use sea_orm::{
    AccessMode, ActiveModelTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, IsolationLevel, QuerySelect,
    TransactionTrait,
};

use crate::entity::{
    alerts, audit, clients, codes, copies, days_in_use, destinations, drills, grants, heartbeats, jobs,
    keeper_accounts, keepers, links, machines, memberships, notifications, passkeys, people, policies, receipts,
    received_days, repositories, runs, sessions, settings, silences, sites, tenants, tokens,
};
use crate::{Error, Result, Store};

/// Rows that are in memory at once.
const ROWS: usize = 500;

/// Rows of a table that were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The table.
    pub table: &'static str,
    /// How many.
    pub rows: u64,
}

/// Every table, those that others refer to first; but not what servers say to each other at this moment.
macro_rules! tables {
    ($each:ident) => {
        $each!(
            tenants,
            people,
            memberships,
            clients,
            sites,
            policies,
            destinations,
            machines,
            heartbeats,
            days_in_use,
            codes,
            jobs,
            runs,
            copies,
            drills,
            repositories,
            receipts,
            received_days,
            keepers,
            keeper_accounts,
            alerts,
            silences,
            notifications,
            sessions,
            links,
            tokens,
            passkeys,
            grants,
            audit,
            settings
        )
    };
}

impl Store {
    /// Writes all of it into `to`, which must be empty. Whoever changes something here meanwhile loses that: stop the
    /// servers first, unless this is a backup.
    pub async fn transfer(&self, to: &Store) -> Result<Vec<Moved>> {
        let (same, only) = (Some(IsolationLevel::RepeatableRead), Some(AccessMode::ReadOnly));
        let from = self.read().begin_with_config(same, only).await?;
        let into = to.begin().await?;
        refuse_unless_empty(&into).await?;
        let mut moved = Vec::new();
        macro_rules! move_all {
            ($($table:ident),*) => { $(moved.push(rows::<$table::Entity>(&from, &into).await?);)* };
        }
        tables!(move_all);
        into.commit().await?;
        Ok(moved)
    }
}

async fn refuse_unless_empty(into: &DatabaseTransaction) -> Result<()> {
    macro_rules! look {
        ($($table:ident),*) => { [$(is_empty::<$table::Entity>(into).await?),*] };
    }
    match tables!(look).iter().all(|empty| *empty) {
        true => Ok(()),
        false => Err(Error::Conflict("there is something in the database already: give an empty one".into())),
    }
}

async fn is_empty<E: EntityTrait>(into: &DatabaseTransaction) -> Result<bool> {
    Ok(E::find().limit(1).one(into).await?.is_none())
}

/// One table, in pieces, as the database hands them out.
async fn rows<E>(from: &DatabaseTransaction, into: &DatabaseTransaction) -> Result<Moved>
where
    E: EntityTrait,
    E::Model: IntoActiveModel<E::ActiveModel>,
    E::ActiveModel: Send,
{
    let mut moved = Moved { table: E::default().table_name(), rows: 0 };
    let found = E::find().stream(from).await?;
    let mut pieces = std::pin::pin!(found.try_chunks(ROWS));
    while let Some(piece) = pieces.try_next().await.map_err(|failed| failed.1)? {
        moved.rows += piece.len() as u64;
        let piece = piece.into_iter().map(|row| row.into_active_model().reset_all());
        E::insert_many(piece).exec_without_returning(into).await?;
    }
    Ok(moved)
}
