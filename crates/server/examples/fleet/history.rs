//! History: clients and machines are made through the store as everything is; the year of their runs, copies and drills is
//! copied from one of each by the database itself, because three and a half million are many.

use continuity::{Person, PersonId, Scope};
use fleet::{
    Amount, Client, ClientId, CopyId, Destination, DestinationId, Distance, Drill, DrillId, JobKind, Keep, KeyCustody,
    MachineClass, MachineId, Outcome as Ending, Phase, Place, Policy, PolicyId, Report, Roaming, Run, RunCondition,
    RunId, Schedule, Selection, Tenant, TenantId, Times, Verdict, Zone,
};
use jiff::{SignedDuration, Timestamp};
use sea_orm::{ConnectionTrait, Database};
use store::{CodeId, CopyMade, DrillMade, Enrolment, NewCode, Secret, Store};

use crate::crowd::public_key;
use crate::{OF_A_CLIENT, Outcome};

const OWNER: &str = "owner@example.org";

/// Days of history.
const DAYS: i64 = 365;

/// What was invented.
pub(crate) struct History {
    pub(crate) owner: PersonId,
    pub(crate) a_machine: MachineId,
    pub(crate) runs: u64,
}

/// Fills an empty database.
pub(crate) async fn invent(store: &Store, database: &str, machines: usize) -> Outcome<History> {
    let mut world = World { store, now: Timestamp::now(), drawn: 0 };
    let (scope, owner, policy, destination) = world.firm().await?;
    let mut first = None;
    for client in 0..machines.div_ceil(OF_A_CLIENT) {
        let count = OF_A_CLIENT.min(machines - client * OF_A_CLIENT);
        let made = world.client(&scope, policy, client, count).await?;
        first = first.or(made);
    }
    let a_machine = first.ok_or("no machine at all")?;
    world.template(a_machine, destination).await?;
    let runs = multiply(database).await?;
    Ok(History { owner, a_machine, runs })
}

struct World<'s> {
    store: &'s Store,
    now: Timestamp,
    drawn: u64,
}

impl World<'_> {
    fn bits(&mut self) -> [u8; 10] {
        self.drawn += 1;
        let mut bits = [0; 10];
        bits[2..].copy_from_slice(&self.drawn.to_be_bytes());
        bits
    }

    fn ago(&self, hours: i64) -> Timestamp {
        self.now - SignedDuration::from_hours(hours)
    }

    async fn firm(&mut self) -> Outcome<(Scope, PersonId, PolicyId, DestinationId)> {
        let begun = self.ago(DAYS * 24);
        let tenant = Tenant { id: TenantId::made(begun, self.bits()), name: "A large provider".into() };
        let owner = Person { id: PersonId::made(begun, self.bits()), name: "Owner".into(), email: OWNER.into() };
        let owner = self.store.system().found_tenant(&tenant, &owner, begun).await?;
        let scope = self.store.system().scope(owner, self.now).await?.ok_or("no owner")?;
        let view = self.store.within(&scope);
        let place = Place::Copies("/srv/copies".into());
        let (id, distance) = (DestinationId::made(begun, self.bits()), Distance::Offsite);
        view.save_destination(&Destination { id, tenant: tenant.id, name: "Vault".into(), place, distance }).await?;
        let policy = self.policy(tenant.id, id)?;
        view.save_policy(&policy).await?;
        Ok((scope, owner, policy.id, id))
    }

    fn policy(&mut self, tenant: TenantId, copies: DestinationId) -> Outcome<Policy> {
        let times = Times::cron("0 2 * * *")?;
        Ok(Policy {
            id: PolicyId::made(self.now, self.bits()),
            tenant,
            name: "Every night".into(),
            what: vec![Selection::Disks { devices: Vec::new() }],
            schedule: Schedule { zone: Zone::utc(), times, spread: 3_600, windows: Vec::new() },
            copies: vec![copies],
            keep: Keep { daily: 30, weekly: 12, monthly: 24, ..Keep::default() },
            drills: vec![Drill::FileSample],
            roaming: Roaming::default(),
        })
    }

    /// A client with its machines, each with a key of its number; the first one of them.
    async fn client(
        &mut self,
        scope: &Scope,
        policy: PolicyId,
        number: usize,
        machines: usize,
    ) -> Outcome<Option<MachineId>> {
        let id = ClientId::made(self.ago(DAYS * 24), self.bits());
        let tenant = *scope.reach(continuity::Act::LOOK).tenants.iter().next().ok_or("no tenant")?;
        let (name, custody) = (format!("Client {number:03}"), KeyCustody::Managed);
        let client = Client { id, tenant, name, zone: Zone::utc(), custody, sheet_confirmed: None };
        self.store.within(scope).add_client(&client).await?;
        let expires = self.now + SignedDuration::from_hours(1);
        let (code, class, uses) = (CodeId::made(self.now, self.bits()), MachineClass::Workstation, machines as u64);
        let code = NewCode { id: code, client: id, class, policy: Some(policy), uses, expires };
        let secret = Secret::random();
        self.store.within(scope).add_code(&code, &secret).await?;
        let mut first = None;
        for place in 0..machines {
            let machine = self.machine(&secret, number * OF_A_CLIENT + place).await?;
            first = first.or(Some(machine));
        }
        Ok(first)
    }

    async fn machine(&mut self, code: &Secret, number: usize) -> Outcome<MachineId> {
        let joined = self.ago(DAYS * 24);
        let machine = MachineId::made(joined, self.bits());
        let new = Enrolment {
            machine,
            name: format!("machine-{number:05}"),
            identity: Some(public_key(number)?),
            hardware: None,
            sealed_key: None,
            credential: Secret::random().hash(),
        };
        self.store.system().enrol(code, &new, joined).await?;
        Ok(machine)
    }

    /// One run, copy and drill, of last night.
    async fn template(&mut self, machine: MachineId, destination: DestinationId) -> Outcome {
        let (started, ended) = (self.ago(20), self.ago(19));
        let system = self.store.system();
        let id = RunId::made(started, [7; 10]);
        system.begin_run(&Run::begin(id, machine, None, JobKind::Backup, started)).await?;
        let amount = Amount { done: 250_000_000_000, total: 250_000_000_000, new: 1_300_000_000 };
        let (phase, condition) = (Phase::Finishing, RunCondition::Moving);
        system.report(machine, id, Report { number: 40, at: ended, phase, condition, amount, setback: None }).await?;
        system.end_run(machine, id, ended, Ending::Good).await?;
        let (id, distance, verdict) = (CopyId::made(ended, self.bits()), Distance::Offsite, Verdict::Good);
        let copy = CopyMade { id, machine, destination, distance, ended, newest: started, verdict };
        system.copy_made(&copy).await?;
        let (id, kind, verdict) = (DrillId::made(ended, self.bits()), Drill::FileSample, Verdict::Good);
        system.drill_held(&DrillMade { id, machine, kind, ended, verdict, evidence: "{}".into() }).await?;
        Ok(())
    }
}

/// Gives every machine a year of what one has: a run each day, a copy and a drill each week, spread over two hours.
async fn multiply(database: &str) -> Outcome<u64> {
    let (days, identity) = match database.starts_with("sqlite") {
        true => {
            ("with recursive days (n) as (select 1 union all select n + 1 from days where n < 364)", "randomblob(16)")
        }
        false => ("with days as (select generate_series(1, 364) as n)", "gen_random_uuid()"),
    };
    let connection = Database::connect(database).await?;
    let places = "create table places as select id, tenant, client, \
                  (row_number() over (order by name)) * 720000 as late from machines";
    let past = "n * 86400000000 - places.late";
    let weekly = |table: &str, columns: &str| {
        format!(
            "{days}, one as (select * from {table} limit 1) insert into {table} (id, tenant, client, machine, {columns}) \
             select {identity}, places.tenant, places.client, places.id, {} from days cross join places cross join one \
             where n % 7 = 1 order by n desc",
            columns.replace("ended", &format!("one.ended - {past}")).replace("newest", &format!("one.newest - {past}"))
        )
    };
    let runs = format!(
        "{days}, one as (select * from runs limit 1) \
         insert into runs (id, tenant, client, machine, job, word, kind, started, progress, ended, state, outcome) \
         select {identity}, places.tenant, places.client, places.id, null, one.word, one.kind, one.started - {past}, \
         one.progress, one.ended - {past}, one.state, one.outcome \
         from days cross join places cross join one order by n desc"
    );
    connection.execute_unprepared(places).await?;
    let count = connection.execute_unprepared(&runs).await?.rows_affected();
    connection.execute_unprepared(&weekly("copies", "destination, offsite, ended, newest, verdict")).await?;
    connection.execute_unprepared(&weekly("drills", "kind, ended, verdict, evidence")).await?;
    let bar = format!("update machines set bar = '{} {}'", Zone::utc().date(Timestamp::now()), "g".repeat(28));
    connection.execute_unprepared(&bar).await?;
    connection.execute_unprepared("drop table places").await?;
    if !database.starts_with("sqlite") {
        connection.execute_unprepared("analyze").await?;
    }
    connection.close().await?;
    Ok(count)
}
