//! Migrations: forward only, all of them or none. A database that is newer, or that others have changed, is refused.

use sea_orm::sea_query::Alias;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, Statement};

use crate::secret::sha256;
use crate::{Error, Result};

/// A step, known by its number and the hash of its words.
struct Migration {
    version: i64,
    sql: &'static str,
}

/// In order. What was released is never edited.
const MIGRATIONS: [Migration; 5] = [
    Migration { version: 1, sql: include_str!("migrate/0001_first.sql") },
    Migration { version: 2, sql: include_str!("migrate/0002_calls.sql") },
    Migration { version: 3, sql: include_str!("migrate/0003_joined.sql") },
    Migration { version: 4, sql: include_str!("migrate/0004_passkeys.sql") },
    Migration { version: 5, sql: include_str!("migrate/0005_relays.sql") },
];

/// Two servers that start at once migrate one after the other; the number is ours alone.
const LOCK: i64 = 7_310_594_802;

/// Brings the database to the newest version within the transaction, which the caller commits.
pub(crate) async fn to_newest(txn: &DatabaseTransaction) -> Result<()> {
    run(txn, &MIGRATIONS).await
}

async fn run(txn: &DatabaseTransaction, migrations: &[Migration]) -> Result<()> {
    if txn.get_database_backend() == DbBackend::Postgres {
        txn.execute_unprepared(&format!("select pg_advisory_xact_lock({LOCK})")).await?;
    }
    let table = "create table if not exists migrations (version bigint primary key not null, checksum text not null)";
    txn.execute_unprepared(table).await?;
    let applied = applied(txn).await?;
    let known = migrations.last().map_or(0, |newest| newest.version);
    match applied.last() {
        Some((found, _)) if *found > known => return Err(Error::Newer { found: *found, known }),
        _ => {}
    }
    for (migration, place) in migrations.iter().zip(0..) {
        match applied.get(place) {
            Some((version, checksum)) if *version == migration.version && *checksum == migration.checksum() => {}
            Some((version, _)) => return Err(Error::Foreign(*version)),
            None => apply(txn, migration).await?,
        }
    }
    Ok(())
}

impl Migration {
    fn checksum(&self) -> String {
        hex::encode(sha256(self.sql.as_bytes()))
    }

    /// SQLite knows no such types, and would take the names for numbers; nor tables that are not in its log.
    fn words(&self, backend: DbBackend) -> String {
        let known = [(" uuid", " blob"), (" bytea", " blob"), (" unlogged", "")];
        match backend {
            DbBackend::Sqlite => known.iter().fold(self.sql.to_owned(), |sql, (from, to)| sql.replace(from, to)),
            _ => self.sql.to_owned(),
        }
    }
}

async fn applied(txn: &DatabaseTransaction) -> Result<Vec<(i64, String)>> {
    let select = sea_orm::sea_query::Query::select()
        .columns([Alias::new("version"), Alias::new("checksum")])
        .from(Alias::new("migrations"))
        .order_by(Alias::new("version"), sea_orm::Order::Asc)
        .to_owned();
    let rows = txn.query_all(&select).await?;
    let read = |row: &sea_orm::QueryResult| Ok::<_, DbErr>((row.try_get("", "version")?, row.try_get("", "checksum")?));
    Ok(rows.iter().map(read).collect::<Result<_, _>>()?)
}

async fn apply(txn: &DatabaseTransaction, migration: &Migration) -> Result<()> {
    let failed = |source| Error::Migrate { version: migration.version, source };
    let backend = txn.get_database_backend();
    txn.execute_unprepared(&migration.words(backend)).await.map_err(failed)?;
    let (version, checksum) = (migration.version, migration.checksum());
    let note = format!("insert into migrations (version, checksum) values ({version}, '{checksum}')");
    txn.execute_raw(Statement::from_string(backend, note)).await.map_err(failed)?;
    Ok(())
}

#[cfg(test)]
mod tests;
