//! The house: `stead up` with all its parts, a firm with a client and a policy for disks, and a partner of another firm.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use continuity::{Grant, GrantId, GrantedOn, Person, PersonId, Scope, Verb};
use fleet::{
    Client, ClientId, Drill, JobId, JobKey, JobKind, Keep, KeyCustody, MachineClass, MachineId, Policy, PolicyId,
    Power, Roaming, Run, Schedule, Selection, Tenant, TenantId, Times, Zone,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use store::{CodeId, DrillMade, NewCode, NewJob, Secret, Store};
use tokio::runtime::Runtime;

/// What lets machines in.
pub(crate) const CODE: &str = "ABCDEFGHJKMN";

const OWNER: &str = "owner@localhost";
const PARTNER: &str = "pia@partner.example";

/// A running `stead up`, and a look into its database.
pub(crate) struct House {
    room: PathBuf,
    up: Child,
    told: Value,
    store: Store,
    runtime: Runtime,
    tenant: TenantId,
    client: ClientId,
    partner: PersonId,
}

pub(crate) fn stead(room: &Path, mut command: Command) -> Command {
    command.env("HOME", room).env_remove("XDG_STATE_HOME").env_remove("XDG_DATA_HOME").stdin(Stdio::null());
    command
}

impl House {
    /// Starts it at an address of this machine; `disk` is what its policy protects.
    pub(crate) fn open(room: &Path, address: &str, disk: &str) -> House {
        let data = room.join("server");
        std::fs::create_dir(room.join("protected")).expect("a folder");
        std::fs::write(room.join("protected/file"), "content").expect("a file");
        let log = std::fs::File::create(room.join("server.log")).expect("a log");
        let mut command = stead(room, Command::new(env!("CARGO_BIN_EXE_stead")));
        command.args(["up", "--json", "--listen", "0.0.0.0:0", "--name", address, "--firm", "Harbour IT", "--data"]);
        command.arg(&data).arg(room.join("protected")).stdout(Stdio::piped()).stderr(log);
        let mut up = command.spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(up.stdout.as_mut().expect("a pipe")).read_line(&mut line).expect("it speaks");
        let told: Value = serde_json::from_str(&line).expect("JSON");
        let runtime = Runtime::new().expect("a runtime");
        let store = runtime.block_on(Store::open(&format!("sqlite:{}", data.join("stead.db").display())));
        let (store, nobody) = (store.expect("its database"), PersonId::made(Timestamp::now(), rand::random()));
        let (tenant, client) = (TenantId::made(Timestamp::now(), [0; 10]), ClientId::made(Timestamp::now(), [0; 10]));
        let mut house = House { room: room.to_owned(), up, told, store, runtime, tenant, client, partner: nobody };
        house.furnish(disk);
        house
    }

    pub(crate) fn address(&self) -> &str {
        self.told["address"].as_str().expect("an address")
    }

    pub(crate) fn fingerprint(&self) -> &str {
        self.told["fingerprint"].as_str().expect("a fingerprint")
    }

    fn scope(&self) -> Scope {
        self.runtime.block_on(async {
            let known = self.store.system().sign_in(OWNER).await.expect("a database").expect("its owner");
            self.store.system().scope(known.person.id, Timestamp::now()).await.expect("a database").expect("a scope")
        })
    }

    /// The client, its policy, codes for two laptops, and the partner's firm.
    fn furnish(&mut self, disk: &str) {
        let (scope, now) = (self.scope(), Timestamp::now());
        let view = self.store.within(&scope);
        (self.tenant, self.client, self.partner) = self.runtime.block_on(async {
            let tenant = view.tenants().await.expect("tenants")[0].id;
            let client = ClientId::made(now, rand::random());
            let (zone, custody) = (Zone::utc(), KeyCustody::Managed);
            let new = Client { id: client, tenant, name: "Bakery".into(), zone, custody, sheet_confirmed: None };
            view.add_client(&new).await.expect("a client");
            let policy = policy(tenant, disk);
            view.save_policy(&policy).await.expect("a policy");
            let (id, expires) = (CodeId::made(now, rand::random()), now + SignedDuration::from_hours(1));
            let new = NewCode { id, client, class: MachineClass::Laptop, policy: Some(policy.id), uses: 2, expires };
            view.add_code(&new, &Secret::received(CODE)).await.expect("a code");
            let firm = Tenant { id: TenantId::made(now, rand::random()), name: "Partners & Co".into() };
            let partner = Person { id: PersonId::made(now, rand::random()), name: "Pia".into(), email: PARTNER.into() };
            let partner = self.store.system().found_tenant(&firm, &partner, now).await.expect("another firm");
            (tenant, client, partner)
        });
    }

    /// The links by which the owner and the partner come in.
    pub(crate) fn links(&self) -> (String, String) {
        let owner = self.told["link"].as_str().expect("a link").to_owned();
        let mut command = stead(&self.room, Command::new(env!("CARGO_BIN_EXE_stead")));
        command.args(["server", "link", PARTNER, "--address", self.address(), "--data"]).arg(self.room.join("server"));
        let made = command.output().expect("it runs");
        let partner = String::from_utf8_lossy(&made.stdout).lines().next().expect("a link").to_owned();
        (owner, partner)
    }

    /// Lets the partner back up one machine until then.
    pub(crate) fn grants(&self, machine: MachineId, until: Timestamp) -> GrantId {
        let (scope, from) = (self.scope(), Timestamp::now());
        let grant = Grant {
            id: GrantId::made(from, rand::random()),
            tenant: self.tenant,
            person: self.partner,
            on: GrantedOn::Machines(self.client, [machine].into()),
            verbs: BTreeSet::from([Verb::Look, Verb::Backup]),
            from,
            to: until,
            reason: "stands in tonight".into(),
            approved_by: scope.person(),
            ended: None,
        };
        self.runtime.block_on(self.store.within(&scope).give_grant(&grant)).expect("a grant");
        grant.id
    }

    pub(crate) fn ends(&self, grant: GrantId) {
        let scope = self.scope();
        self.runtime.block_on(self.store.within(&scope).end_grant(grant)).expect("its end");
    }

    /// The owner asks for a backup.
    pub(crate) fn asks_for_a_backup(&self, machine: MachineId) {
        let (scope, due) = (self.scope(), Timestamp::now());
        let id = JobId::made(due, rand::random());
        let key = JobKey::requested(machine, JobKind::Backup, &id.to_string());
        let new = NewJob { id, machine, kind: JobKind::Backup, key, due, orders: "{}".into() };
        self.runtime.block_on(self.store.within(&scope).ask_for(&new)).expect("a job");
    }

    /// The newest run of a machine, as the server knows it.
    pub(crate) fn run(&self, machine: MachineId) -> Option<Run> {
        let scope = self.scope();
        let runs = self.runtime.block_on(self.store.within(&scope).runs(machine, 20)).expect("runs");
        runs.into_iter().map(|row| row.run).find(|run| run.kind == JobKind::Backup)
    }

    pub(crate) fn drills(&self, machine: MachineId) -> Vec<DrillMade> {
        let scope = self.scope();
        self.runtime.block_on(self.store.within(&scope).drills(machine, 5)).expect("drills")
    }

    /// Where the gateway keeps the machine's repository.
    pub(crate) fn repository(&self, machine: MachineId) -> PathBuf {
        let found = find(&self.room.join("server"), &machine.to_string(), 3);
        found.expect("the gateway has its repository")
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.room.join("server.log")).unwrap_or_default()
    }
}

fn find(folder: &Path, name: &str, depth: u32) -> Option<PathBuf> {
    let mut folders = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).filter(|path| path.is_dir());
    folders.find_map(|path| match path.file_name().is_some_and(|its| its == name) && path.join("config").exists() {
        true => Some(path),
        false if depth > 0 => find(&path, name, depth - 1),
        false => None,
    })
}

/// Images of a disk when somebody asks, looked into by the keeper; on battery not below 30 %.
fn policy(tenant: TenantId, disk: &str) -> Policy {
    let times = Times::cron("0 0 29 2 *").expect("times");
    Policy {
        id: PolicyId::made(Timestamp::now(), rand::random()),
        tenant,
        name: "Laptops".into(),
        what: vec![Selection::Disks { devices: vec![disk.to_owned()] }],
        schedule: Schedule { zone: Zone::utc(), times, spread: 0, windows: vec![] },
        copies: vec![],
        keep: Keep::default(),
        drills: vec![Drill::ImageCheck],
        roaming: Roaming { power: Power::Floor(30), ..Roaming::default() },
    }
}

impl Drop for House {
    fn drop(&mut self) {
        _ = self.up.kill();
        _ = self.up.wait();
        if std::thread::panicking() {
            eprintln!("the server said:\n{}", self.log());
        }
    }
}
