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

pub(crate) async fn receipts_never_go_back_in_time_and_the_first_snapshot_closes_the_enrolment(house: &House) {
    let (tenant, owner) = house.owner().await;
    let client = house.client(&owner, tenant, "Harbour Dental").await;
    let machine = house.machine(&owner, client, "files", MachineClass::Server, None).await;
    let system = house.store.system();
    let receipt = |kind: &str, name: &str, minute| Receipt {
        machine,
        kind: kind.into(),
        name: name.into(),
        size: 7,
        sha256: [1; 32],
        received: after(minute),
        account: "a".into(),
    };
    let closed = async || system.repository_rules(machine).await.unwrap().unwrap().closed;
    system.receive(&receipt("data", "aa", 60)).await.unwrap();
    assert!(!closed().await);
    system.receive(&receipt("snapshots", "bb", 0)).await.unwrap();
    let late = system.receipt(machine, "snapshots", "bb").await.unwrap().unwrap();
    assert_eq!((late.received, late.account.as_str()), (after(60), "a"), "a clock that goes back is not believed");
    assert!(closed().await);
    system.removed(machine, "snapshots", "bb").await.unwrap();
    assert!(closed().await, "it stays closed");
    let day = after(0).to_zoned(jiff::tz::TimeZone::UTC).date();
    assert_eq!(system.received_on(machine, day).await.unwrap(), (14, 1), "what is removed was received all the same");
    assert_eq!(system.received_on(machine, day.tomorrow().unwrap()).await.unwrap(), (0, 0));
    let limits =
        stead_store::RepositoryRules { closed: false, quota: Some(9), daily_bytes: None, daily_snapshots: Some(3) };
    system.limit_repository(machine, &limits).await.unwrap();
    let rules = system.repository_rules(machine).await.unwrap().unwrap();
    assert_eq!(rules, stead_store::RepositoryRules { closed: true, ..limits }, "limits open nothing");
}

pub(crate) async fn a_keeper_comes_in_at_the_gateway_while_its_account_is_good(house: &House) {
    let system = house.store.system();
    let id = stead_store::KeeperId::made(start(), house.random());
    let new = stead_store::NewKeeper { id, name: "vault".into(), identity: [1; 32], public: [2; 32] };
    assert_eq!(system.add_keeper(&new, start()).await.unwrap(), id);
    let other = stead_store::NewKeeper { identity: [3; 32], public: [4; 32], ..new.clone() };
    assert!(matches!(system.add_keeper(&other, start()).await, Err(Error::Conflict(_))), "the name is taken");
    assert_eq!(system.meet_keeper(&[1; 32], 5).await.unwrap().unwrap().keeper.quarantined, None);
    assert!(system.meet_keeper(&[1; 32], 5).await.unwrap().unwrap().keeper.quarantined.is_some());
    assert_eq!(system.keeper_counter(id).await.unwrap(), None, "it is not believed");
    system.add_keeper(&new, start()).await.unwrap();
    assert_eq!(system.meet_keeper(&[1; 32], 6).await.unwrap().unwrap().keeper.quarantined, None, "added again it is");
    let (account, secret) = (fleet::version_7(start(), house.random()), Secret::random());
    let name = account.to_string();
    system.keep_account(account, id, secret.hash(), start(), after(10)).await.unwrap();
    let known = stead_store::GatewayAccount::Keeper(secret.hash());
    assert_eq!(system.gateway_account(&name, after(9)).await.unwrap(), Some(known));
    assert_eq!(system.gateway_account(&name, after(10)).await.unwrap(), None);
    system.keep_account(account, id, secret.hash(), after(5), after(20)).await.unwrap();
    assert_eq!(system.gateway_account(&name, after(10)).await.unwrap(), Some(known));
    assert_eq!(system.gateway_account("nobody", after(0)).await.unwrap(), None);
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
