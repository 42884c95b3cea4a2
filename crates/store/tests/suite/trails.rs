//! The audit log and settings.

use continuity::Role;
use fleet::{Actor, MachineClass};
use stead_store::{AuditError, Error, MachineChange, verify_chain};

use crate::house::{House, start};

pub(crate) async fn every_change_has_a_line_and_the_log_verifies(house: &House) {
    let (tenant, owner) = house.owner().await;
    let (_, stranger) = house.owner().await;
    let client = house.client(&owner, tenant, "Harbour Dental").await;
    let machine = house.machine(&owner, client, "files", MachineClass::Server, None).await;
    let view = house.store.within(&owner);
    view.change_machine(machine, MachineChange::Name("<b>files\u{202e}</b>".into())).await.unwrap();
    let newest = view.audit_newest(tenant, None, 2).await.unwrap();
    assert_eq!(newest.iter().map(|line| line.act.as_str()).collect::<Vec<_>>(), ["machine rename", "machine enrol"]);
    assert_eq!(newest[0].actor, *owner.actor());
    let older = view.audit_newest(tenant, Some(newest[1].number), 10).await.unwrap();
    assert_eq!(
        older.iter().map(|line| line.act.as_str()).collect::<Vec<_>>(),
        ["code add", "client add", "tenant found"]
    );
    let chain = view.verify_audit(tenant).await.unwrap().unwrap();
    assert_eq!((chain.lines, chain.head.clone()), (5, newest[0].hash.clone()));
    assert!(matches!(
        house.store.within(&stranger).audit_newest(tenant, None, 9).await,
        Err(Error::NotFound("tenant"))
    ));

    // Exported and read again elsewhere.
    let export: Vec<_> = view.audit_from(tenant, 0, 100).await.unwrap();
    let lines: Vec<String> = export.iter().map(|line| serde_json::to_string(line).unwrap()).collect();
    let read: Vec<_> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(verify_chain(None, &read), Ok(chain));

    house.raw("update audit set detail = 'nothing' where number = 3").await;
    assert_eq!(view.verify_audit(tenant).await.unwrap(), Err(AuditError::Changed(3)));
    house.raw("delete from audit where number = 3").await;
    assert_eq!(view.verify_audit(tenant).await.unwrap(), Err(AuditError::Missing(3)));
}

pub(crate) async fn lines_appended_by_two_servers_at_once_are_one_chain(house: &House) {
    let (tenant, owner) = house.owner().await;
    let actor = Actor { key: "task".into(), name: "a task".into() };
    for _ in 0..10 {
        let (one, two) = (house.store.system(), house.second.system());
        let (a, b) = tokio::join!(
            one.record(tenant, &actor, start(), "sign-in fail", "jim", "wrong password"),
            two.record(tenant, &actor, start(), "download", "files", "3 files"),
        );
        (a.unwrap(), b.unwrap());
    }
    let chain = house.store.within(&owner).verify_audit(tenant).await.unwrap().unwrap();
    assert_eq!(chain.lines, 21);
}

pub(crate) async fn settings_are_kept_by_tenant_and_name(house: &House) {
    let (tenant, owner) = house.owner().await;
    let (other, other_owner) = house.owner().await;
    let view = house.store.within(&owner);
    for value in ["a", "b"] {
        view.set_setting(tenant, "mail from", value).await.unwrap();
    }
    assert_eq!(view.setting(tenant, "mail from").await.unwrap().as_deref(), Some("b"));
    assert!(view.setting(other, "mail from").await.is_err());
    assert_eq!(house.store.within(&other_owner).setting(other, "mail from").await.unwrap(), None);
    let viewer = Role::ClientViewer(house.client(&owner, tenant, "Harbour Dental").await);
    let viewer = house.member(&owner, tenant, "vera", viewer).await;
    assert!(house.store.within(&viewer).setting(tenant, "mail from").await.is_err());
    house.store.system().set_setting("identity", "x").await.unwrap();
    assert_eq!(house.store.system().setting("identity").await.unwrap().as_deref(), Some("x"));
}
