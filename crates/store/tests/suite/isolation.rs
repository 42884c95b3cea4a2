//! Random people with random memberships and grants: what none of these gives is neither found nor changed.

use std::collections::BTreeSet;

use continuity::{Act, Grant, GrantId, GrantedOn, Membership, PersonId, Role, Scope, Verb};
use fleet::{
    Actor, AlertId, AlertKey, Client, ClientId, Condition, CopyId, Destination, DestinationId, Distance, Drill,
    DrillId, Finding, JobId, JobKey, JobKind, Keep, MachineClass, MachineId, Observation, Place, Policy, Run, RunId,
    Silence, SilenceId, SilenceScope, Site, SiteId, Subject, TenantId, Verdict, Zone,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use sea_orm::{ConnectionTrait, DatabaseBackend, Statement};
use stead_store::{CodeId, CopyMade, DrillMade, Error, FleetFilter, MachineChange, NewCode, NewJob, Secret};

use crate::house::{House, after as minutes, start};

/// A machine and everything that hangs on it.
struct Place3 {
    tenant: TenantId,
    client: ClientId,
    machine: MachineId,
    site: SiteId,
    code: CodeId,
    job: JobId,
    run: RunId,
    copy: CopyId,
    drill: DrillId,
    alert: AlertId,
    silence: SilenceId,
    policy: PolicyOf,
    grant: GrantId,
    member: Membership,
}

#[derive(Clone)]
struct PolicyOf(Policy, Destination);

/// Three tenants, two clients each, two machines each.
struct World {
    places: Vec<Place3>,
    owners: Vec<(TenantId, Scope)>,
}

/// What a random person is given: tenants and places by number.
#[derive(Clone, Debug)]
struct Given {
    memberships: Vec<(usize, u8, usize)>,
    grants: Vec<(usize, bool, BTreeSet<Verb>, i64, i64)>,
    now: i64,
}

fn some_given() -> impl Strategy<Value = Given> {
    let memberships = proptest::collection::vec((0usize..3, 0u8..3, 0usize..4), 0..3);
    let verbs = proptest::collection::btree_set(proptest::sample::select(&Verb::ALL[..]), 1..4);
    let grants = proptest::collection::vec((0usize..12, any::<bool>(), verbs, 0i64..10, 1i64..20), 0..4);
    (memberships, grants, 0i64..20).prop_map(|(memberships, grants, now)| Given { memberships, grants, now })
}

impl World {
    async fn build(house: &House) -> World {
        let mut world = World { places: Vec::new(), owners: Vec::new() };
        for _ in 0..3 {
            let (tenant, owner) = house.owner().await;
            let policy = world.policy(house, tenant, &owner).await;
            for name in ["one", "two"] {
                let client = house.client(&owner, tenant, name).await;
                for name in ["pc", "server"] {
                    let place = world.place(house, (tenant, &owner), client, name, policy.clone()).await;
                    world.places.push(place);
                }
            }
            world.owners.push((tenant, owner));
        }
        world
    }

    async fn policy(&self, house: &House, tenant: TenantId, owner: &Scope) -> PolicyOf {
        let view = house.store.within(owner);
        let destination = Destination {
            id: DestinationId::made(start(), house.random()),
            tenant,
            name: "vault".into(),
            place: Place::Copies("sftp:vault".into()),
            distance: Distance::Offsite,
        };
        view.save_destination(&destination).await.unwrap();
        let policy = house.policy(tenant);
        view.save_policy(&policy).await.unwrap();
        view.set_setting(tenant, "mail from", "us").await.unwrap();
        PolicyOf(policy, destination)
    }

    async fn place(
        &self,
        house: &House,
        (tenant, owner): (TenantId, &Scope),
        client: ClientId,
        name: &str,
        policy: PolicyOf,
    ) -> Place3 {
        let (view, system) = (house.store.within(owner), house.store.system());
        let machine = house.machine(owner, client, name, MachineClass::Server, Some(policy.0.id)).await;
        let site = Site { id: SiteId::made(start(), house.random()), client, name: name.into() };
        view.add_site(&site).await.unwrap();
        let code = NewCode { uses: 5, expires: minutes(1_000), ..house.new_code(client, MachineClass::Server, None) };
        view.add_code(&code, &Secret::random()).await.unwrap();
        let job = view.ask_for(&backup(house, machine)).await.unwrap();
        let run = RunId::made(start(), house.random());
        system.begin_run(&Run::begin(run, machine, None, JobKind::Backup, start())).await.unwrap();
        let copy = CopyId::made(start(), house.random());
        let made = CopyMade {
            id: copy,
            machine,
            destination: policy.1.id,
            distance: Distance::Offsite,
            ended: start(),
            newest: start(),
            verdict: Verdict::Good,
        };
        system.copy_made(&made).await.unwrap();
        let drill = DrillId::made(start(), house.random());
        let (kind, evidence) = (Drill::FileSample, String::new());
        let held = DrillMade { id: drill, machine, kind, ended: start(), verdict: Verdict::Good, evidence };
        system.drill_held(&held).await.unwrap();
        let alert = AlertId::made(start(), house.random());
        let key = AlertKey { subject: Subject::Machine(client, machine), condition: Condition::Backup };
        let seen = vec![Observation { key, finding: Finding::Wrong("bad".into()) }];
        let observe = system.on_board(tenant, start(), |board| {
            board.board.observe(seen, start(), || alert);
            Vec::new()
        });
        observe.await.unwrap();
        let silence = self::silence(house, machine);
        view.add_silence(&silence).await.unwrap();
        let other = house.person(&format!("{machine}"));
        let person = view.invite(&other, tenant, Role::ClientViewer(client)).await.unwrap();
        let member = Membership { person, tenant, role: Role::ClientViewer(client) };
        let grant = grant(house, tenant, person, GrantedOn::Client(client), [Verb::Power].into(), (0, 600));
        view.give_grant(&grant).await.unwrap();
        let (site, code, silence, grant) = (site.id, code.id, silence.id, grant.id);
        Place3 { tenant, client, machine, site, code, job, run, copy, drill, alert, silence, policy, grant, member }
    }

    /// A new person with what they are given, and it again as plain lists to judge by.
    async fn person(&self, house: &House, given: &Given) -> (Scope, Vec<Membership>, Vec<Grant>) {
        let new = house.person(&format!("p{}", house.random()[9]));
        let new = continuity::Person { email: format!("{}@example.org", new.id), ..new };
        let mut person = None;
        let (mut memberships, mut grants) = (Vec::new(), Vec::new());
        // Somebody of no tenant of these: a tenant of their own, with nothing in it.
        let own = fleet::Tenant { id: TenantId::made(start(), house.random()), name: "own".into() };
        if given.memberships.is_empty() {
            person = Some(house.store.system().found_tenant(&own, &new, start()).await.unwrap());
        }
        for (tenant, role, place) in &given.memberships {
            let (tenant, owner) = &self.owners[*tenant];
            let place = self.places.iter().filter(|place| place.tenant == *tenant).nth(*place).unwrap();
            let role = [Role::Owner, Role::Technician, Role::ClientViewer(place.client)][usize::from(*role)];
            let id = house.store.within(owner).invite(&new, *tenant, role).await.unwrap();
            memberships.push(Membership { person: id, tenant: *tenant, role });
            person = Some(id);
        }
        let person = person.unwrap();
        for (place, whole, verbs, from, long) in &given.grants {
            let place = &self.places[*place];
            let on = match whole {
                true => GrantedOn::Client(place.client),
                false => GrantedOn::Machines(place.client, [place.machine].into()),
            };
            let grant = grant(house, place.tenant, person, on, verbs.clone(), (*from, from + long));
            let owner = &self.owners.iter().find(|(tenant, _)| *tenant == place.tenant).unwrap().1;
            house.store.within(owner).give_grant(&grant).await.unwrap();
            grants.push(grant);
        }
        (house.scope(person, minutes(given.now)).await, memberships, grants)
    }
}

fn backup(house: &House, machine: MachineId) -> NewJob {
    let (id, kind) = (JobId::made(start(), house.random()), JobKind::Backup);
    let key = JobKey::requested(machine, kind, &id.to_string());
    NewJob { id, machine, kind, key, due: start(), orders: "{}".into() }
}

fn silence(house: &House, machine: MachineId) -> Silence {
    Silence {
        id: SilenceId::made(start(), house.random()),
        scope: SilenceScope::Machine(machine),
        by: Actor { key: "x".into(), name: "x".into() },
        reason: "work".into(),
        from: start(),
        until: minutes(600),
        suppressed: 0,
    }
}

fn grant(
    house: &House,
    tenant: TenantId,
    person: PersonId,
    on: GrantedOn,
    verbs: BTreeSet<Verb>,
    (from, to): (i64, i64),
) -> Grant {
    Grant {
        id: GrantId::made(start(), house.random()),
        tenant,
        person,
        on,
        verbs,
        from: minutes(from),
        to: minutes(to),
        reason: "holiday".into(),
        approved_by: PersonId::made(start(), [1; 10]),
        ended: None,
    }
}

/// The judge: memberships and grants, looked at one by one, without a scope.
struct Judge {
    memberships: Vec<Membership>,
    grants: Vec<Grant>,
    now: jiff::Timestamp,
}

impl Judge {
    fn tenant(&self, act: Act, tenant: TenantId) -> bool {
        let whole = |member: &&Membership| member.tenant == tenant && !matches!(member.role, Role::ClientViewer(_));
        self.memberships.iter().filter(whole).any(|member| member.role.acts().contains(&act))
    }

    fn client(&self, act: Act, place: &Place3) -> bool {
        let viewer = |member: &Membership| member.role == Role::ClientViewer(place.client) && act == Act::LOOK;
        let granted = |grant: &Grant| grant.on == GrantedOn::Client(place.client) && self.gives(grant, act);
        self.tenant(act, place.tenant) || self.memberships.iter().any(viewer) || self.grants.iter().any(granted)
    }

    fn machine(&self, act: Act, place: &Place3) -> bool {
        let named =
            |grant: &Grant| matches!(&grant.on, GrantedOn::Machines(_, those) if those.contains(&place.machine));
        self.client(act, place) || self.grants.iter().any(|grant| named(grant) && self.gives(grant, act))
    }

    fn sees_client_of(&self, place: &Place3) -> bool {
        let some = |grant: &Grant| grant.on.client() == place.client && self.gives(grant, Act::LOOK);
        self.client(Act::LOOK, place) || self.grants.iter().any(some)
    }

    fn gives(&self, grant: &Grant, act: Act) -> bool {
        let verb = match act {
            Act::Do(verb) => verb == Verb::Look || grant.verbs.contains(&verb),
            _ => false,
        };
        verb && grant.from <= self.now && self.now < grant.to
    }
}

pub(crate) async fn nothing_outside_a_scope_is_found_or_changed(house: &House) {
    let world = World::build(house).await;
    let mut runner = TestRunner::default();
    for _ in 0..12 {
        let given = some_given().new_tree(&mut runner).unwrap().current();
        let (scope, memberships, grants) = world.person(house, &given).await;
        let judge = Judge { memberships, grants, now: scope.at() };
        reads(house, &world, &scope, &judge, &given).await;
        let before = dump(house).await;
        for place in &world.places {
            for (number, (allowed, answer)) in changes(house, &world, &scope, &judge, place).await.iter().enumerate() {
                assert!(*allowed || *answer == Answer::Refused, "change {number}, outside: {given:?}");
                assert!(!*allowed || *answer != Answer::Refused, "change {number}, inside: {given:?}");
            }
        }
        let after = dump(house).await;
        let tenants = world.owners.iter().filter(|(tenant, _)| !owned(&judge, *tenant));
        for (tenant, _) in tenants {
            let (mine, was) = (lines_of(&after, *tenant), lines_of(&before, *tenant));
            assert_eq!(mine, was, "{given:?}");
        }
    }
}

/// Whether anything of a tenant may be changed at all.
fn owned(judge: &Judge, tenant: TenantId) -> bool {
    let acts = Act::ALL.into_iter().filter(|act| *act != Act::LOOK);
    let granted = judge.grants.iter().any(|grant| grant.tenant == tenant);
    granted || acts.into_iter().any(|act| judge.tenant(act, tenant))
}

async fn reads(house: &House, world: &World, scope: &Scope, judge: &Judge, given: &Given) {
    let view = house.store.within(scope);
    let fleet = view.fleet(&FleetFilter::default(), None, 100).await.unwrap();
    let shown: BTreeSet<_> = fleet.cards.iter().map(|card| card.machine).collect();
    let seen = || world.places.iter().filter(|place| judge.machine(Act::LOOK, place));
    assert_eq!(shown, seen().map(|place| place.machine).collect(), "{given:?}");
    assert_eq!(fleet.counts.all(), shown.len() as u64, "{given:?}");
    let clients: BTreeSet<_> = view.clients().await.unwrap().into_iter().map(|client: Client| client.id).collect();
    let visible = world.places.iter().filter(|place| judge.sees_client_of(place)).map(|place| place.client);
    assert_eq!(clients, visible.collect(), "{given:?}");
    let alerts: BTreeSet<_> = view.alerts(100).await.unwrap().into_iter().map(|alert| alert.id).collect();
    assert_eq!(alerts, seen().map(|place| place.alert).collect(), "{given:?}");
    let open: BTreeSet<_> = view.open_alerts(100).await.unwrap().into_iter().map(|alert| alert.id).collect();
    assert_eq!(open, alerts);
    let going: BTreeSet<_> = view.runs_going_on(100).await.unwrap().into_iter().map(|run| run.run.id).collect();
    assert_eq!(going, seen().map(|place| place.run).collect(), "{given:?}");
    for place in &world.places {
        let sees = judge.machine(Act::LOOK, place);
        assert_eq!(view.machine(place.machine).await.is_ok(), sees, "{given:?}");
        assert_eq!(view.card(place.machine).await.is_ok(), sees);
        assert_eq!(view.quarantine(place.machine).await.is_ok(), sees);
        assert_eq!(view.run(place.run).await.is_ok(), sees);
        assert_eq!(view.job(place.job).await.is_ok(), sees);
        assert_eq!(view.runs(place.machine, 10).await.unwrap().iter().any(|run| run.run.id == place.run), sees);
        assert_eq!(!view.jobs(place.machine, 10).await.unwrap().is_empty(), sees);
        assert_eq!(view.copies(place.machine, 10).await.unwrap().iter().any(|copy| copy.id == place.copy), sees);
        assert_eq!(view.drills(place.machine, 10).await.unwrap().iter().any(|drill| drill.id == place.drill), sees);
        assert_eq!(view.client(place.client).await.is_ok(), judge.sees_client_of(place));
        assert_eq!(!view.sites(place.client).await.unwrap().is_empty(), judge.client(Act::LOOK, place));
        assert_eq!(view.silences(1_000).await.unwrap().iter().any(|silence| silence.id == place.silence), sees);
        assert_eq!(!view.codes(place.client).await.unwrap().is_empty(), judge.client(Act::Configure, place));
        assert_eq!(view.sealed_key(place.machine).await.is_ok(), judge.tenant(Act::ExportKeys, place.tenant));
        let whole = judge.tenant(Act::LOOK, place.tenant);
        assert_eq!(view.policies(place.tenant).await.is_ok(), whole);
        assert_eq!(view.destinations(place.tenant).await.is_ok(), whole);
        assert_eq!(view.members(place.tenant).await.is_ok(), whole);
        assert_eq!(view.setting(place.tenant, "mail from").await.is_ok(), whole);
        assert_eq!(view.audit_newest(place.tenant, None, 10).await.is_ok(), whole);
        assert_eq!(view.audit_from(place.tenant, 0, 10).await.is_ok(), whole);
        assert_eq!(view.grants().await.unwrap().iter().any(|grant| grant.id == place.grant), whole);
        let names = view.tenants().await.unwrap();
        let some =
            world.places.iter().filter(|other| other.tenant == place.tenant).any(|other| judge.sees_client_of(other));
        assert_eq!(names.iter().any(|tenant| tenant.id == place.tenant), some, "{given:?}");
    }
}

/// How a change was answered.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Done,
    /// Not found, or not allowed.
    Refused,
    /// It cannot be now: it was changed before.
    Conflict,
}

fn answer<T: std::fmt::Debug>(result: Result<T, Error>) -> Answer {
    match result {
        Ok(_) => Answer::Done,
        Err(Error::NotFound(_) | Error::NotAllowed(_)) => Answer::Refused,
        Err(Error::Conflict(_)) => Answer::Conflict,
        Err(other) => panic!("{other:?}"),
    }
}

/// Every change that there is, on a place: whether it is allowed, and how it was answered. None is undone.
async fn changes(house: &House, world: &World, scope: &Scope, judge: &Judge, place: &Place3) -> Vec<(bool, Answer)> {
    let view = house.store.within(scope);
    let Place3 { tenant, client, machine, .. } = *place;
    let (configure, backs_up) = (judge.machine(Act::Configure, place), judge.machine(Act::Do(Verb::Backup), place));
    let (whole, restores) = (judge.client(Act::Configure, place), judge.machine(Act::Do(Verb::Restore), place));
    let of_tenant = |act| judge.tenant(act, tenant);
    let mut answers = Vec::new();
    let mut ask = |allowed: bool, answer: Answer| answers.push((allowed, answer));

    for change in [
        MachineChange::Name("renamed".into()),
        MachineChange::Class(MachineClass::Laptop),
        MachineChange::Site(Some(place.site)),
        MachineChange::Policy(Some(place.policy.0.id)),
        MachineChange::Limits(None),
        MachineChange::Pause(None),
        MachineChange::Release,
    ] {
        ask(configure, answer(view.change_machine(machine, change).await));
    }
    let stranger = world.places.iter().find(|other| other.tenant != tenant).unwrap();
    let theirs = MachineChange::Policy(Some(stranger.policy.0.id));
    ask(false, answer(view.change_machine(machine, theirs).await));
    ask(false, answer(view.change_machine(machine, MachineChange::Site(Some(stranger.site))).await));
    let utc = Zone::utc();
    ask(whole, answer(view.change_client(client, "renamed", &utc).await));
    ask(judge.client(Act::ExportKeys, place), answer(view.confirm_sheet(client, start()).await));
    let site = Site { id: SiteId::made(start(), house.random()), client, name: "new".into() };
    ask(whole, answer(view.add_site(&site).await));
    let code = NewCode { expires: minutes(900), ..house.new_code(client, MachineClass::Server, None) };
    ask(whole, answer(view.add_code(&code, &Secret::random()).await));
    let with_theirs = NewCode { id: CodeId::made(start(), house.random()), policy: Some(stranger.policy.0.id), ..code };
    ask(false, answer(view.add_code(&with_theirs, &Secret::random()).await));
    ask(
        whole,
        answer(match view.remove_code(code.id).await {
            Err(Error::NotFound(_)) if whole => panic!("it was made just now"),
            other => other,
        }),
    );
    if !whole {
        ask(false, answer(view.remove_code(place.code).await));
    }
    ask(backs_up, answer(view.ask_for(&backup(house, machine)).await));
    let restore = NewJob { kind: JobKind::Restore, ..backup(house, machine) };
    ask(restores, answer(view.ask_for(&restore).await));
    let prune = NewJob { kind: JobKind::Prune, ..backup(house, machine) };
    ask(configure, answer(view.ask_for(&prune).await));
    ask(backs_up, answer(view.cancel_job(place.job).await));
    ask(configure, answer(view.acknowledge(place.alert).await));
    ask(configure, answer(view.add_silence(&silence(house, machine)).await));
    ask(configure, answer(view.end_silence(place.silence).await));
    let for_client = Silence { scope: SilenceScope::Client(client), ..silence(house, machine) };
    ask(whole, answer(view.add_silence(&for_client).await));
    let for_site = Silence { scope: SilenceScope::Site(place.site), ..silence(house, machine) };
    ask(whole, answer(view.add_silence(&for_site).await));

    let PolicyOf(policy, destination) = &place.policy;
    ask(of_tenant(Act::Configure), answer(view.save_policy(policy).await));
    let keep = Keep { last: 1, ..Keep::default() };
    if !of_tenant(Act::ChangeRetention) {
        ask(false, answer(view.save_policy(&Policy { keep, ..policy.clone() }).await));
    }
    ask(of_tenant(Act::Configure), answer(view.remove_policy(policy.id, tenant).await));
    ask(of_tenant(Act::Configure), answer(view.save_destination(destination).await));
    // Taken over into a tenant of one's own.
    for (own, _) in world.owners.iter().filter(|(own, _)| *own != tenant) {
        ask(false, answer(view.save_policy(&Policy { tenant: *own, ..policy.clone() }).await));
        ask(false, answer(view.remove_policy(policy.id, *own).await));
        ask(false, answer(view.save_destination(&Destination { tenant: *own, ..destination.clone() }).await));
        let on = GrantedOn::Client(client);
        let grant = grant(house, *own, place.member.person, on, [Verb::Look].into(), (0, 60));
        ask(false, answer(view.give_grant(&grant).await));
        let viewer = Role::ClientViewer(client);
        ask(false, answer(view.invite(&house.person(&format!("new{}", grant.id)), *own, viewer).await));
    }
    ask(of_tenant(Act::Configure), answer(view.set_setting(tenant, "mail from", "them").await));
    let person = house.person(&format!("invited{}", site.id));
    ask(of_tenant(Act::Invite), answer(view.invite(&person, tenant, Role::Technician).await));
    if !of_tenant(Act::Invite) {
        ask(false, answer(view.remove_member(place.member).await));
    }
    let on = GrantedOn::Machines(client, [machine].into());
    let new = grant(house, tenant, place.member.person, on, [Verb::Look].into(), (0, 60));
    ask(of_tenant(Act::ChangeGrants), answer(view.give_grant(&new).await));
    ask(of_tenant(Act::ChangeGrants), answer(view.end_grant(place.grant).await));
    let client = Client {
        id: ClientId::made(start(), house.random()),
        tenant,
        name: "new".into(),
        zone: Zone::utc(),
        custody: fleet::KeyCustody::Blind,
        sheet_confirmed: None,
    };
    if !of_tenant(Act::Configure) {
        ask(false, answer(view.add_client(&client).await));
    }
    answers
}

/// Every row of every table, as text.
async fn dump(house: &House) -> Vec<String> {
    let db = &house.database;
    let backend = db.get_database_backend();
    let lines = async |sql: &str| -> Vec<String> {
        let rows = db.query_all_raw(Statement::from_string(backend, sql)).await.unwrap();
        rows.iter().map(|row| row.try_get("", "line").unwrap()).collect()
    };
    let tables = match backend {
        DatabaseBackend::Sqlite => lines("select name as line from sqlite_schema where type = 'table'").await,
        _ => lines("select tablename::text as line from pg_tables where schemaname = 'public'").await,
    };
    let mut all = Vec::new();
    for table in tables {
        let row = match backend {
            DatabaseBackend::Sqlite => {
                let columns = lines(&format!("select name as line from pragma_table_info('{table}')")).await;
                columns.iter().map(|column| format!("quote(\"{column}\")")).collect::<Vec<_>>().join(" || '|' || ")
            }
            _ => "t::text".into(),
        };
        let rows = lines(&format!("select {row} as line from \"{table}\" t order by 1")).await;
        all.extend(rows.into_iter().map(|row| format!("{table}: {row}").to_lowercase()));
    }
    all
}

/// The rows that name a tenant.
fn lines_of(dump: &[String], tenant: TenantId) -> Vec<&String> {
    let (dashed, plain) = (tenant.to_string(), tenant.uuid().simple().to_string());
    dump.iter().filter(|line| line.contains(&dashed) || line.contains(&plain)).collect()
}
