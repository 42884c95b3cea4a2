use sea_orm::{ConnectionTrait, DatabaseConnection, TransactionTrait};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};

use super::*;

async fn empty() -> DatabaseConnection {
    let pool = SqlitePoolOptions::new().max_connections(1);
    pool.connect_with(SqliteConnectOptions::new().in_memory(true)).await.unwrap().into()
}

async fn migrate(db: &DatabaseConnection, migrations: &[Migration]) -> Result<()> {
    let txn = db.begin().await?;
    run(&txn, migrations).await?;
    Ok(txn.commit().await?)
}

async fn has(db: &DatabaseConnection, table: &str) -> bool {
    db.execute_unprepared(&format!("select 1 from {table}")).await.is_ok()
}

const FIRST: Migration = Migration { version: 1, sql: "create table one (id uuid primary key not null);" };
const SECOND: Migration = Migration { version: 2, sql: "create table two (id uuid primary key not null);" };

#[tokio::test]
async fn steps_are_made_once_and_in_order() {
    let db = empty().await;
    migrate(&db, &[FIRST]).await.unwrap();
    migrate(&db, &[FIRST, SECOND]).await.unwrap();
    migrate(&db, &[FIRST, SECOND]).await.unwrap();
    assert!(has(&db, "one").await && has(&db, "two").await);
}

#[tokio::test]
async fn a_database_of_a_newer_program_is_refused() {
    let db = empty().await;
    migrate(&db, &[FIRST, SECOND]).await.unwrap();
    let refused = migrate(&db, &[FIRST]).await.unwrap_err();
    assert!(matches!(refused, Error::Newer { found: 2, known: 1 }), "{refused}");
}

#[tokio::test]
async fn a_database_that_was_migrated_otherwise_is_refused() {
    let db = empty().await;
    migrate(&db, &[Migration { version: 1, sql: "create table other (id uuid);" }]).await.unwrap();
    assert!(matches!(migrate(&db, &[FIRST]).await.unwrap_err(), Error::Foreign(1)));
    assert!(!has(&db, "one").await);
}

#[tokio::test]
async fn when_a_step_fails_nothing_of_all_steps_stays() {
    let db = empty().await;
    let broken = Migration { version: 2, sql: "create table two (id uuid); insert into nowhere values (1);" };
    let failed = migrate(&db, &[FIRST, broken]).await.unwrap_err();
    assert!(matches!(failed, Error::Migrate { version: 2, .. }), "{failed}");
    assert!(!has(&db, "one").await && !has(&db, "two").await && !has(&db, "migrations").await);
}
