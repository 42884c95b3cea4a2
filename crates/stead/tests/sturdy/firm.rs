//! A firm: `stead up` with all parts, or the parts apart, machines with agents of their own, and a webhook that is told of
//! every alert.

use std::path::{Path, PathBuf};

use continuity::Scope;
use fleet::{
    Client, ClientId, Drill, JobId, JobKey, JobKind, Keep, KeyCustody, MachineClass, MachineId, Policy, PolicyId,
    Schedule, Selection, TenantId, Times, Zone,
};
use jiff::{SignedDuration, Timestamp};
use store::{CodeId, Enrolment, NewCode, NewJob, Secret, Store};
use tempfile::TempDir;
use testkit::lasting_port;

use crate::apart;
use crate::hook::Hook;
use crate::part::{Machine, Part};

/// Signs messages.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A firm and everything that works for it.
pub(crate) struct Firm {
    // Parts end before their room goes.
    pub(crate) machines: Vec<Machine>,
    /// All parts, or the server alone.
    pub(crate) up: Part,
    /// Gateway and keeper, where they are processes of their own.
    pub(crate) beside: Vec<Part>,
    pub(crate) hook: Hook,
    pub(crate) port: u16,
    pub(crate) data: PathBuf,
    pub(crate) database: String,
    pub(crate) tenant: TenantId,
    pub(crate) client: ClientId,
    pub(crate) store: Store,
    pub(crate) runtime: tokio::runtime::Runtime,
    pub(crate) room: TempDir,
}

impl Firm {
    /// One on this database, or on SQLite; its data at its usual place.
    pub(crate) fn open(database: Option<String>) -> Firm {
        let room = TempDir::new().expect("room");
        let data = room.path().join("data");
        Firm::at(room, data, database)
    }

    /// The same, with its data somewhere.
    pub(crate) fn at(room: TempDir, data: PathBuf, database: Option<String>) -> Firm {
        let (home, port) = (room.path().to_owned(), lasting_port());
        std::fs::create_dir_all(home.join("own")).expect("a folder");
        std::fs::write(home.join("own/letter"), "Dear Anna").expect("a file");
        let database = database.unwrap_or_else(|| file_in(&data));
        let mut up = Part::new(&home, "up", Some(port), words(&home, &data, &database, port));
        up.start();
        Firm::with(Site { room, data, database, port }, up, Vec::new())
    }

    /// One whose server, gateway and keeper are processes of their own.
    pub(crate) fn apart(database: Option<String>) -> Firm {
        let room = TempDir::new().expect("room");
        let (data, port) = (room.path().join("data"), lasting_port());
        let database = database.unwrap_or_else(|| file_in(&data));
        let site = Site { room, data, database, port };
        let mut server = apart::server(&site);
        server.start();
        let mut beside = vec![apart::gateway(&site), apart::keeper(&site)];
        beside.iter_mut().for_each(Part::start);
        Firm::with(site, server, beside)
    }

    fn with(site: Site, up: Part, beside: Vec<Part>) -> Firm {
        let Site { room, data, database, port } = site;
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let store = runtime.block_on(Store::open(&database)).expect("its database");
        let hook = Hook::open();
        let (tenant, client) = runtime.block_on(furnish(&store, &hook));
        Firm { machines: Vec::new(), up, beside, hook, port, data, database, tenant, client, store, runtime, room }
    }

    /// A further server on the same database, without anything else; its port.
    pub(crate) fn another_server(&self, name: &str) -> (Part, u16) {
        let (home, port) = (self.room.path(), lasting_port());
        let (data, listen) = (home.join(name), format!("127.0.0.1:{port}"));
        let data = data.to_str().expect("text");
        let words = ["up", "--json", "--only-server", "--plain", "--listen", &listen, "--data", data];
        // All servers of a database have the same key.
        let key = self.data.join("server.key");
        let words = words.into_iter().chain(["--database-url", &self.database]);
        let words = words.chain(["--server-key", key.to_str().expect("text")]);
        (Part::new(home, name, Some(port), words.map(str::to_owned).collect()), port)
    }

    /// A machine that joins at a port; its agent does not run yet.
    pub(crate) fn gets_a_machine(&mut self, port: u16) {
        let home = self.room.path().join(format!("machine-{}", self.machines.len()));
        let policy = Policy { what: files(&home.join("work")), ..self.policy() };
        let (scope, code, typed) = (self.scope(), self.code(Some(policy.id)), typed());
        self.runtime.block_on(async {
            let view = self.store.within(&scope);
            view.save_policy(&policy).await.expect("a policy");
            view.add_code(&code, &Secret::received(&typed)).await.expect("a code");
        });
        self.machines.push(Machine::joined(&home, port, &typed));
    }

    fn code(&self, policy: Option<PolicyId>) -> NewCode {
        let (now, class) = (Timestamp::now(), MachineClass::Workstation);
        let expires = now + SignedDuration::from_hours(1);
        NewCode { id: CodeId::made(now, rand::random()), client: self.client, class, policy, uses: 1, expires }
    }

    fn policy(&self) -> Policy {
        Policy {
            id: PolicyId::made(Timestamp::now(), rand::random()),
            tenant: self.tenant,
            name: "By order".into(),
            what: Vec::new(),
            schedule: Schedule {
                zone: Zone::utc(),
                times: Times::cron("0 0 29 2 *").expect("times"),
                spread: 0,
                windows: Vec::new(),
            },
            copies: Vec::new(),
            keep: Keep { last: 100, ..Keep::default() },
            drills: vec![Drill::FileSample],
            roaming: Default::default(),
        }
    }

    /// Machines that joined long ago and were never heard of: each is an alert.
    pub(crate) fn forgets(&self, count: usize) {
        let scope = self.scope();
        let long_ago = Timestamp::now() - SignedDuration::from_hours(400);
        self.runtime.block_on(async {
            for number in 0..count {
                let (code, machine) = (Secret::random(), MachineId::made(long_ago, rand::random()));
                let (view, new) = (self.store.within(&scope), self.code(None));
                view.add_code(&new, &code).await.expect("a code");
                let identity = Some(rand::random());
                let credential = Secret::random().hash();
                let (hardware, sealed_key, name) = (None, None, format!("forgotten {number}"));
                let enrolment = Enrolment { machine, name, identity, hardware, sealed_key, credential };
                self.store.system().enrol(&code, &enrolment, long_ago).await.expect("it joins");
            }
        });
    }

    pub(crate) fn scope(&self) -> Scope {
        self.runtime.block_on(owner(&self.store))
    }

    /// Asks a machine for a backup.
    pub(crate) fn orders(&self, machine: MachineId) -> JobId {
        let (scope, now) = (self.scope(), Timestamp::now());
        let id = JobId::made(now, rand::random());
        let key = JobKey::requested(machine, JobKind::Backup, &id.to_string());
        let new = NewJob { id, machine, kind: JobKind::Backup, key, due: now, orders: "{}".into() };
        self.runtime.block_on(self.store.within(&scope).ask_for(&new)).expect("a job")
    }

    /// Asks every machine.
    pub(crate) fn orders_all(&self) -> Vec<(MachineId, JobId)> {
        self.machines.iter().map(|machine| (machine.id, self.orders(machine.id))).collect()
    }

    /// Where the gateway keeps a machine's repository.
    pub(crate) fn repository(&self, machine: MachineId) -> PathBuf {
        self.data.join("repositories").join(machine.to_string())
    }
}

/// Where a firm is.
pub(crate) struct Site {
    pub(crate) room: TempDir,
    pub(crate) data: PathBuf,
    pub(crate) database: String,
    pub(crate) port: u16,
}

/// A database that is a file.
fn file_in(data: &Path) -> String {
    format!("sqlite:{}", data.join("stead.db").display())
}

/// What somebody types to let a machine in.
fn typed() -> String {
    std::iter::repeat_with(|| char::from(rand::random_range(b'A'..=b'H'))).take(12).collect()
}

/// What `stead up` is told: all parts, on the loopback without TLS.
fn words(home: &Path, data: &Path, database: &str, port: u16) -> Vec<String> {
    let (listen, gateway) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{}", lasting_port()));
    let (data, own) = (data.to_string_lossy(), home.join("own"));
    let words = ["up", "--json", "--plain", "--listen", &listen, "--gateway-listen", &gateway, "--data", &data];
    let more = ["--database-url", database, &own.to_string_lossy()].map(str::to_owned);
    words.map(str::to_owned).into_iter().chain(more).collect()
}

fn files(folder: &Path) -> Vec<Selection> {
    vec![Selection::Files { paths: vec![folder.to_string_lossy().into_owned()], excludes: Vec::new() }]
}

async fn owner(store: &Store) -> Scope {
    let known = store.system().sign_in("owner@localhost").await.expect("an answer").expect("the owner");
    store.system().scope(known.person.id, Timestamp::now()).await.expect("an answer").expect("a scope")
}

/// A client, and a webhook that is told at once.
async fn furnish(store: &Store, hook: &Hook) -> (TenantId, ClientId) {
    let (scope, now) = (owner(store).await, Timestamp::now());
    let view = store.within(&scope);
    let tenant = view.tenants().await.expect("tenants")[0].id;
    let id = ClientId::made(now, rand::random());
    let (zone, custody) = (Zone::utc(), KeyCustody::Managed);
    let client = Client { id, tenant, name: "Bakery".into(), zone, custody, sheet_confirmed: None };
    view.add_client(&client).await.expect("a client");
    let messages = serde_json::json!({
        "webhook": { "address": hook.address, "secret": SECRET },
        "steps": [{ "after": 0, "people": [], "webhook": true }],
        "inside": "allowed",
    });
    view.set_setting(tenant, "messages", &messages.to_string()).await.expect("a setting");
    (tenant, id)
}
