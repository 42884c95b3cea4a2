//! Machines are judged, sorted and shown.

use std::collections::BTreeSet;

use continuity::{Act, Role};
use fleet::{
    ClientId, Destination, DestinationId, Distance, JobKind, Keep, LightKind, MachineClass, MachineId, Outcome, Pause,
    Place, Policy, Run, RunId, Site, SiteId, State, Verdict,
};
use jiff::Timestamp;
use stead_store::{Beat, CopyMade, Error, FleetFilter, MachineChange};

use crate::house::{House, after, start};

pub(crate) async fn backed_up(house: &House, machine: MachineId, at: Timestamp, outcome: Outcome) -> RunId {
    let id = RunId::made(at, house.random());
    let system = house.store.system();
    system.begin_run(&Run::begin(id, machine, None, JobKind::Backup, at)).await.unwrap();
    assert!(system.end_run(machine, id, at, outcome).await.unwrap());
    id
}

fn beat(machine: MachineId, at: Timestamp) -> Beat {
    let day = fleet::Zone::utc().date(at);
    Beat { machine, at, day, version: "0.1.0".into(), address: "192.0.2.7".into() }
}

async fn checked(house: &House, machine: MachineId, at: Timestamp) {
    let id = RunId::made(at, house.random());
    let system = house.store.system();
    system.begin_run(&Run::begin(id, machine, None, JobKind::Check, at)).await.unwrap();
    assert!(system.end_run(machine, id, at, Outcome::Good).await.unwrap());
}

/// Judges whatever is to be judged.
async fn judge(house: &House, now: Timestamp) -> usize {
    let system = house.store.system();
    let which = system.to_judge(now, 1_000).await.unwrap();
    system.judge(&which, None, now).await.unwrap().len()
}

async fn well(house: &House, machine: MachineId) {
    backed_up(house, machine, start(), Outcome::Good).await;
    checked(house, machine, start()).await;
    house.store.system().hear(&[beat(machine, start())]).await.unwrap();
}

async fn names(house: &House, owner: &continuity::Scope, filter: FleetFilter) -> Vec<String> {
    let page = house.store.within(owner).fleet(&filter, None, 100).await.unwrap();
    page.cards.into_iter().map(|card| card.name).collect()
}

pub(crate) async fn machines_are_shown_worst_first_page_by_page(house: &House) {
    let (tenant, owner) = house.owner().await;
    let client = house.client(&owner, tenant, "Harbour Dental").await;
    let mut machines = Vec::new();
    for name in ["A-files", "b-mail", "C_100%", "d-door"] {
        machines.push(house.machine(&owner, client, name, MachineClass::Server, None).await);
    }
    for machine in &machines[..3] {
        well(house, *machine).await;
    }
    let failed = Outcome::Failed { why: "the disk is full".into() };
    backed_up(house, machines[1], after(1), failed).await;
    judge(house, after(2)).await;

    let view = house.store.within(&owner);
    let mut shown = Vec::new();
    let mut mark = None;
    loop {
        let page = view.fleet(&FleetFilter::default(), mark.as_ref(), 1).await.unwrap();
        assert_eq!((page.counts.all(), page.counts.of(State::Good), page.counts.of(State::Never)), (4, 2, 1));
        shown.extend(page.cards.iter().map(|card| (card.name.clone(), card.state)));
        mark = page.next;
        if mark.is_none() {
            break;
        }
    }
    let expected =
        [("b-mail", State::Failed), ("d-door", State::Never), ("A-files", State::Good), ("C_100%", State::Good)];
    assert_eq!(shown, expected.map(|(name, state)| (name.to_owned(), state)));

    let failed = FleetFilter { state: Some(State::Failed), ..FleetFilter::default() };
    assert_eq!(names(house, &owner, failed).await, ["b-mail"]);
    let named = |name: &str| FleetFilter { name: Some(name.into()), ..FleetFilter::default() };
    assert_eq!(names(house, &owner, named("a-F")).await, ["A-files"]);
    assert_eq!(names(house, &owner, named("_100%")).await, ["C_100%"]);
    assert_eq!(names(house, &owner, named("%")).await, ["C_100%"], "a per cent sign is a letter");
    let stranger = FleetFilter { client: Some(ClientId::made(start(), [9; 10])), ..FleetFilter::default() };
    assert!(names(house, &owner, stranger).await.is_empty());

    let by = owner.actor().clone();
    let pause = Pause { by, reason: "moving".into(), from: start(), until: after(60) };
    view.change_machine(machines[1], MachineChange::Pause(Some(pause))).await.unwrap();
    view.change_machine(machines[3], MachineChange::Retire).await.unwrap();
    judge(house, after(3)).await;
    assert_eq!(names(house, &owner, FleetFilter::default()).await, ["b-mail", "A-files", "C_100%"]);
    let page = view.fleet(&FleetFilter::default(), None, 100).await.unwrap();
    assert_eq!((page.counts.of(State::Paused), page.counts.of(State::Failed)), (1, 0));
    assert_eq!((page.cards[0].state, page.cards[0].paused), (State::Failed, true), "both are shown");
}

pub(crate) async fn a_machine_is_judged_when_something_happens_and_when_a_limit_passes(house: &House) {
    let (tenant, owner) = house.owner().await;
    let client = house.client(&owner, tenant, "Harbour Dental").await;
    let cloud = Destination {
        id: DestinationId::made(start(), house.random()),
        tenant,
        name: "Vault".into(),
        place: Place::Copies("s3:https://store/vault".into()),
        distance: Distance::Offsite,
    };
    let view = house.store.within(&owner);
    view.save_destination(&cloud).await.unwrap();
    let policy = Policy { copies: vec![cloud.id], ..house.policy(tenant) };
    view.save_policy(&policy).await.unwrap();
    let machine = house.machine(&owner, client, "files", MachineClass::Server, Some(policy.id)).await;
    well(house, machine).await;
    assert_eq!(judge(house, after(1)).await, 1);
    assert_eq!(judge(house, after(2)).await, 0, "nothing happened since");
    assert_eq!(view.card(machine).await.unwrap().sentence, "Never copied offsite.");
    let made = CopyMade {
        id: fleet::CopyId::made(start(), house.random()),
        machine,
        destination: cloud.id,
        distance: Distance::Offsite,
        ended: after(3),
        newest: start(),
        verdict: Verdict::Good,
    };
    let system = house.store.system();
    system.copy_made(&made).await.unwrap();
    system.copy_made(&made).await.unwrap();
    judge(house, after(4)).await;
    let card = view.card(machine).await.unwrap();
    assert_eq!((card.state, card.sentence.as_str()), (State::Good, "Good 4 min ago."));
    assert_eq!(view.copies(machine, 10).await.unwrap(), [made], "told twice, it is there once");
    assert_eq!(card.bar.good(), 1);

    // Nothing happens any more: the heartbeat is late after fifteen minutes.
    assert_eq!(judge(house, after(14)).await, 0);
    assert_eq!(judge(house, after(16)).await, 1);
    let card = view.card(machine).await.unwrap();
    assert_eq!((card.state, card.lights[0].kind), (State::Late, LightKind::Heartbeat));
    assert_eq!(card.sentence, "Not seen: last 16 min ago.");
    system.hear(&[beat(machine, after(17)), beat(MachineId::made(start(), [9; 10]), after(17))]).await.unwrap();
    assert_eq!(judge(house, after(17)).await, 1, "it is back");
    assert_eq!(view.card(machine).await.unwrap().state, State::Good);
    system.hear(&[beat(machine, after(1))]).await.unwrap();
    let facts = system.judge(&[machine], None, after(18)).await.unwrap();
    assert_eq!(facts[0].1.lights[0].at, Some(after(17)), "an older beat changes nothing");
}

pub(crate) async fn all_of_a_sites_servers_silent_means_unknown(house: &House) {
    let (tenant, owner) = house.owner().await;
    let client = house.client(&owner, tenant, "Harbour Dental").await;
    let site = Site { id: SiteId::made(start(), house.random()), client, name: "Graz".into() };
    let view = house.store.within(&owner);
    view.add_site(&site).await.unwrap();
    assert_eq!(view.sites(client).await.unwrap(), [site.clone()]);
    let mut machines = Vec::new();
    for name in ["one", "two"] {
        let machine = house.machine(&owner, client, name, MachineClass::Server, None).await;
        view.change_machine(machine, MachineChange::Site(Some(site.id))).await.unwrap();
        well(house, machine).await;
        machines.push(machine);
    }
    let system = house.store.system();
    let light = async |now| system.judge(&machines, None, now).await.unwrap()[0].1.lights[0].clone();
    assert_eq!(light(after(60)).await.state, None);
    assert!(light(after(60)).await.sentence.ends_with("because all of Graz is silent."));
    system.hear(&[beat(machines[1], after(60))]).await.unwrap();
    assert_eq!(light(after(60)).await.state, Some(State::Late), "it is this machine alone");
    let doubted = system.judge(&machines, Some("we suspect our own connection"), after(60)).await.unwrap();
    assert_eq!(doubted[0].1.lights[0].state, None);
}

pub(crate) async fn who_may_not_change_retention_does_not_by_policy_either(house: &House) {
    let (tenant, owner) = house.owner().await;
    let client = house.client(&owner, tenant, "Harbour Dental").await;
    let (long, short) =
        (house.policy(tenant), Policy { keep: Keep { last: 1, ..Keep::default() }, ..house.policy(tenant) });
    let technician = house.member(&owner, tenant, "tess", Role::Technician).await;
    let view = house.store.within(&technician);
    view.save_policy(&long).await.unwrap();
    view.save_policy(&short).await.unwrap();
    let machine = house.machine(&technician, client, "files", MachineClass::Server, Some(long.id)).await;
    let refused = |result: Result<(), Error>| {
        assert!(matches!(result, Err(Error::NotAllowed(Act::ChangeRetention))), "{result:?}")
    };
    refused(view.save_policy(&Policy { keep: short.keep.clone(), ..long.clone() }).await);
    refused(view.change_machine(machine, MachineChange::Policy(Some(short.id))).await);
    refused(view.change_machine(machine, MachineChange::Policy(None)).await);
    view.save_policy(&Policy { name: "Offices, all".into(), ..long.clone() }).await.unwrap();
    house.store.within(&owner).change_machine(machine, MachineChange::Policy(Some(short.id))).await.unwrap();
    let used = view.remove_policy(short.id, tenant).await;
    assert!(matches!(used, Err(Error::Conflict(_))), "{used:?}");
    view.remove_policy(long.id, tenant).await.unwrap();
    let left: BTreeSet<_> = view.policies(tenant).await.unwrap().into_iter().map(|policy| policy.id).collect();
    assert_eq!(left, [short.id].into());
}
