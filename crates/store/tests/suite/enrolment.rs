//! Machines join and prove who they are.

use fleet::MachineClass;
use stead_store::{Enrolment, Error, FleetFilter, MachineChange, NewCode, Secret};

use crate::house::{House, after, start};

pub(crate) async fn a_code_lets_in_as_many_as_it_says_and_tells_nothing_else(house: &House) {
    let (tenant, owner) = house.owner().await;
    let client = house.client(&owner, tenant, "Tarn Joinery").await;
    let view = house.store.within(&owner);
    let code = Secret::received("K7QM-2XPA");
    let new = NewCode { uses: 2, ..house.new_code(client, MachineClass::Workstation, None) };
    view.add_code(&new, &code).await.unwrap();
    assert_eq!(view.codes(client).await.unwrap()[0].uses_left, 2);
    let enrol = async |code: &Secret, at| house.store.system().enrol(code, &house.enrolment("pc").0, at).await;
    let told = |refused: Result<_, Error>| refused.map(|_: stead_store::Enrolled| ()).unwrap_err().to_string();
    let wrong = told(enrol(&Secret::received("K7QM-2XPB"), start()).await);
    let expired = told(enrol(&code, after(30)).await);
    assert_eq!(enrol(&code, start()).await.unwrap().client, client);
    assert_eq!(enrol(&code, after(29)).await.unwrap().tenant, tenant);
    let used_up = told(enrol(&code, start()).await);
    assert!(wrong == expired && wrong == used_up, "{wrong} / {expired} / {used_up}");
    assert!(view.codes(client).await.unwrap().is_empty());

    let back = Secret::random();
    let new = house.new_code(client, MachineClass::Server, None);
    view.add_code(&new, &back).await.unwrap();
    view.remove_code(new.id).await.unwrap();
    assert!(enrol(&back, start()).await.is_err());
    assert!(view.add_code(&NewCode { uses: 0, ..new }, &back).await.is_err());
    assert!(view.add_code(&NewCode { expires: start(), ..new }, &back).await.is_err());
}

pub(crate) async fn a_machine_whose_answer_was_lost_is_the_same_machine_when_it_asks_again(house: &House) {
    let (tenant, owner) = house.owner().await;
    let client = house.client(&owner, tenant, "Tarn Joinery").await;
    let (view, system, code) = (house.store.within(&owner), house.store.system(), Secret::random());
    view.add_code(&house.new_code(client, MachineClass::Server, None), &code).await.unwrap();
    let (lost, first) = house.enrolment("office");
    let joined = system.enrol(&code, &lost, start()).await.unwrap();
    // Another code is made meanwhile: that must not take this one away.
    view.add_code(&house.new_code(client, MachineClass::Server, None), &Secret::random()).await.unwrap();
    let (anew, second) = house.enrolment("office");
    let again = Enrolment { identity: lost.identity, ..anew.clone() };
    let rejoined = house.second.system().enrol(&code, &again, after(1)).await.unwrap();
    assert_eq!((rejoined.machine, joined.machine), (lost.machine, lost.machine));
    assert_eq!(view.fleet(&FleetFilter::default(), None, 10).await.unwrap().cards.len(), 1, "there is no phantom");
    assert!(system.repository(lost.machine, &first).await.unwrap().is_none());
    assert!(system.repository(lost.machine, &second).await.unwrap().is_some());

    let stranger = system.enrol(&code, &anew, after(1)).await;
    assert!(matches!(stranger, Err(Error::NotFound(_))), "the code is used up for everybody else: {stranger:?}");
    assert!(system.enrol(&code, &again, after(30)).await.is_err(), "it has ended");
    system.meet(&lost.identity.unwrap(), 1, "board 1").await.unwrap().unwrap();
    assert!(system.enrol(&code, &again, after(2)).await.is_err(), "it has called: its answer was not lost");
    view.verify_audit(tenant).await.unwrap().unwrap();
}

pub(crate) async fn of_two_machines_with_one_code_at_once_one_gets_in(house: &House) {
    let (tenant, owner) = house.owner().await;
    let client = house.client(&owner, tenant, "Tarn Joinery").await;
    for round in 0..10 {
        let code = Secret::random();
        let new = house.new_code(client, MachineClass::Server, None);
        house.store.within(&owner).add_code(&new, &code).await.unwrap();
        let (one, other) = (house.enrolment("one").0, house.enrolment("other").0);
        let (system, second) = (house.store.system(), house.second.system());
        let (one, other) = tokio::join!(system.enrol(&code, &one, start()), second.enrol(&code, &other, start()));
        assert!(one.is_ok() != other.is_ok(), "round {round}: {one:?} {other:?}");
    }
}

pub(crate) async fn a_copied_identity_is_believed_at_neither_place_until_a_person_says(house: &House) {
    let (tenant, owner) = house.owner().await;
    let client = house.client(&owner, tenant, "Tarn Joinery").await;
    let code = Secret::random();
    house.store.within(&owner).add_code(&house.new_code(client, MachineClass::Server, None), &code).await.unwrap();
    let (enrolment, credential) = house.enrolment("office");
    house.store.system().enrol(&code, &enrolment, start()).await.unwrap();
    let (key, machine, system) = (enrolment.identity.unwrap(), enrolment.machine, house.store.system());
    let meet = async |counter, board: &str| system.meet(&key, counter, board).await.unwrap().unwrap().quarantined;
    assert_eq!(meet(1, "board 1").await, None);
    assert_eq!(meet(5, "board 1").await, None);
    let copied = meet(3, "board 1").await.unwrap();
    assert!(copied.contains("its key was copied"), "{copied}");
    assert!(meet(6, "board 1").await.is_some(), "the first one is not believed either");
    assert!(system.repository(machine, &credential).await.unwrap().is_none());
    let view = house.store.within(&owner);
    assert_eq!(view.quarantine(machine).await.unwrap().unwrap().why, copied);

    view.change_machine(machine, MachineChange::Release).await.unwrap();
    assert_eq!(meet(6, "board 2").await, None, "the new hardware is the right one");
    assert!(system.repository(machine, &credential).await.unwrap().is_some());
    assert!(meet(7, "board 1").await.unwrap().contains("hardware"));
    assert!(system.meet(&[9; 32], 1, "board").await.unwrap().is_none(), "nobody knows it");
}
