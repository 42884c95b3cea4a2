//! What the gateway received, and who may send.

use fleet::{Drill, DrillId, MachineClass, Verdict};
use stead_store::{DrillMade, Error, MachineChange, Receipt, Secret};

use crate::house::{House, after, start};

pub(crate) async fn a_file_is_received_once_and_never_with_other_bytes(house: &House) {
    let (tenant, owner) = house.owner().await;
    let client = house.client(&owner, tenant, "Harbour Dental").await;
    let machine = house.machine(&owner, client, "files", MachineClass::Server, None).await;
    let system = house.store.system();
    let receipt = |name: &str, minute| Receipt {
        machine,
        kind: "data".into(),
        name: name.into(),
        size: 7,
        sha256: [1; 32],
        received: after(minute),
        account: "files".into(),
    };
    assert!(system.receive(&receipt("aa", 0)).await.unwrap());
    assert!(!system.receive(&receipt("aa", 5)).await.unwrap());
    let forged = Receipt { sha256: [2; 32], ..receipt("aa", 5) };
    assert!(matches!(system.receive(&forged).await, Err(Error::Conflict(_))));
    assert!(system.receive(&receipt("bb", 9)).await.unwrap());
    let all = system.receipts(machine, "data", "", 10).await.unwrap();
    assert_eq!(all, [receipt("aa", 0), receipt("bb", 9)], "the first time stays");
    assert_eq!(system.receipts(machine, "data", "aa", 10).await.unwrap(), [receipt("bb", 9)]);
    assert!(system.receipts(machine, "index", "", 10).await.unwrap().is_empty());
    assert_eq!(system.received_since(machine, after(5)).await.unwrap(), 7);
    assert_eq!(system.received_since(machine, after(60)).await.unwrap(), 0);
    for _ in 0..2 {
        system.removed(machine, "data", "aa").await.unwrap();
    }
    assert_eq!(system.receipts(machine, "data", "", 10).await.unwrap(), [receipt("bb", 9)]);
    let drill = DrillMade {
        id: DrillId::made(start(), house.random()),
        machine,
        kind: Drill::BootTest,
        ended: after(10),
        verdict: Verdict::Good,
        evidence: "login: _".into(),
    };
    system.drill_held(&drill).await.unwrap();
    assert_eq!(house.store.within(&owner).drills(machine, 10).await.unwrap(), [drill]);
}

pub(crate) async fn only_the_right_credential_of_a_trusted_machine_opens_its_repository(house: &House) {
    let (tenant, owner) = house.owner().await;
    let client = house.client(&owner, tenant, "Harbour Dental").await;
    let code = Secret::random();
    let mut new = house.new_code(client, MachineClass::Server, None);
    new.uses = 2;
    house.store.within(&owner).add_code(&new, &code).await.unwrap();
    let system = house.store.system();
    let ((one, key), (other, other_key)) = (house.enrolment("one"), house.enrolment("other"));
    system.enrol(&code, &one, start()).await.unwrap();
    system.enrol(&code, &other, start()).await.unwrap();
    assert_eq!(system.repository(one.machine, &key).await.unwrap().unwrap().machine, one.machine);
    assert!(system.repository(one.machine, &other_key).await.unwrap().is_none());
    let fresh = Secret::random();
    system.set_credential(one.machine, Some(fresh.hash())).await.unwrap();
    assert!(system.repository(one.machine, &key).await.unwrap().is_none());
    assert!(system.repository(one.machine, &fresh).await.unwrap().is_some());
    system.set_credential(one.machine, None).await.unwrap();
    assert!(system.repository(one.machine, &fresh).await.unwrap().is_none());
    house.store.within(&owner).change_machine(other.machine, MachineChange::Retire).await.unwrap();
    assert!(system.repository(other.machine, &other_key).await.unwrap().is_none());
    assert_eq!(house.store.within(&owner).sealed_key(other.machine).await.unwrap(), Some(vec![1, 2, 3]));
}

pub(crate) async fn a_snapshot_of_a_machine_without_an_agent_is_a_backup(house: &House) {
    let (tenant, owner) = house.owner().await;
    let client = house.client(&owner, tenant, "Harbour Dental").await;
    let (code, secret) = (house.new_code(client, MachineClass::Workstation, None), stead_store::Secret::random());
    house.store.within(&owner).add_code(&code, &secret).await.unwrap();
    let (mut plain, _) = house.enrolment("a Mac");
    plain.identity = None;
    house.store.system().enrol(&secret, &plain, start()).await.unwrap();
    let receipt = |kind: &str, byte: u8, minutes| stead_store::Receipt {
        machine: plain.machine,
        kind: kind.into(),
        name: hex::encode([byte; 32]),
        size: 300,
        sha256: [byte; 32],
        received: after(minutes),
        account: plain.machine.to_string(),
    };
    let system = house.store.system();
    system.receive(&receipt("data", 1, 1)).await.unwrap();
    assert!(house.store.within(&owner).runs(plain.machine, 9).await.unwrap().is_empty());
    for _ in 0..2 {
        system.receive(&receipt("snapshots", 2, 2)).await.unwrap();
    }
    let runs = house.store.within(&owner).runs(plain.machine, 9).await.unwrap();
    assert_eq!(runs.len(), 1, "sent again, it is the same backup");
    assert_eq!((runs[0].run.state(), runs[0].run.started), (fleet::State::Good, after(2)));
}
