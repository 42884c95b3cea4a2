//! A database becomes another, whole or not at all.

use fleet::MachineClass;
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use stead_store::{Error, Moved, Store};

use crate::house::House;

pub(crate) async fn all_that_is_known_moves_into_an_empty_database_and_nothing_into_another(house: &House) {
    let (tenant, owner) = house.owner().await;
    let client = house.client(&owner, tenant, "Zähne & Söhne").await;
    // More rows than are moved at once.
    for number in 0..3 {
        house.machine(&owner, client, &format!("pc {number}"), MachineClass::Workstation, None).await;
    }
    house.raw("insert into settings (tenant, name, value) select id, 'a', 'b' from tenants").await;
    for piece in 0..12 {
        let rows: Vec<_> = (0..100).map(|n| format!("(0, 'n{}', 'v')", piece * 100 + n)).collect();
        let values = rows.join(",").replace("(0,", "((select id from tenants limit 1),");
        house.raw(&format!("insert into settings (tenant, name, value) values {values}")).await;
    }
    let room = tempfile::tempdir().unwrap();
    let path = format!("sqlite:{}", room.path().join("copy.db").display());
    let copy = Store::open(&path).await.unwrap();
    let moved = house.store.transfer(&copy).await.unwrap();
    assert_eq!(rows(&moved, "machines"), 3);
    assert_eq!(rows(&moved, "settings"), 1201);
    assert_eq!(moved.len() + 3, tables(house).await, "every table is moved but migrations and the two of relays");

    let there = copy.within(&owner);
    assert_eq!(there.client(client).await.unwrap().name, "Zähne & Söhne");
    let chain = there.verify_audit(tenant).await.unwrap().unwrap();
    assert_eq!(Ok(chain), house.store.within(&owner).verify_audit(tenant).await.unwrap());

    assert!(matches!(house.store.transfer(&copy).await, Err(Error::Conflict(_))), "it is not empty any more");
    assert_eq!(there.client(client).await.unwrap().name, "Zähne & Söhne");
}

fn rows(moved: &[Moved], table: &str) -> u64 {
    moved.iter().find(|moved| moved.table == table).unwrap().rows
}

async fn tables(house: &House) -> usize {
    let names = match house.database.get_database_backend() {
        DbBackend::Postgres => "select tablename from pg_tables where schemaname = 'public'",
        _ => "select name from sqlite_master where type = 'table' and name not like 'sqlite_%'",
    };
    let select = Statement::from_string(house.database.get_database_backend(), names);
    house.database.query_all_raw(select).await.unwrap().len()
}
