//! A house: a store with a tenant, an owner and what the stories need, built through the store's own doors.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};

use continuity::{Membership, Person, PersonId, Role, Scope};
use fleet::{
    Client, ClientId, Keep, KeyCustody, MachineClass, MachineId, Policy, PolicyId, Schedule, Selection, Tenant,
    TenantId, Times, Zone,
};
use jiff::{SignedDuration, Timestamp};
use sea_orm::{ConnectionTrait, DatabaseConnection};
use stead_store::{CodeId, Enrolment, NewCode, Secret, Store};
use tempfile::TempDir;

pub(crate) struct House {
    pub(crate) store: Store,
    /// A second server on the same database.
    pub(crate) second: Store,
    /// The database itself, for what nobody can do through the store.
    pub(crate) database: DatabaseConnection,
    runtime: tokio::runtime::Runtime,
    ids: AtomicU64,
}

/// When stories begin.
pub(crate) fn start() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

pub(crate) fn after(minutes: i64) -> Timestamp {
    start() + SignedDuration::from_mins(minutes)
}

impl House {
    pub(crate) fn on_sqlite() -> (TempDir, House) {
        let room = TempDir::new().unwrap();
        let house = House::at(&format!("sqlite:{}", room.path().join("db").display()));
        (room, house)
    }

    pub(crate) fn at(address: &str) -> House {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let store = runtime.block_on(Store::open(address)).unwrap();
        let second = runtime.block_on(Store::open(address)).unwrap();
        let database = runtime.block_on(sea_orm::Database::connect(address)).unwrap();
        House { store, second, database, runtime, ids: AtomicU64::new(1) }
    }

    pub(crate) fn tell<T>(&self, story: impl Future<Output = T>) -> T {
        self.runtime.block_on(story)
    }

    pub(crate) fn open_error(address: &str) -> String {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(Store::open(address)).unwrap_err().to_string()
    }

    /// As a program of the year after would leave it.
    pub(crate) fn make_newer(&self) {
        self.tell(self.raw("insert into migrations (version, checksum) values (999, 'x')"));
    }

    /// What nobody can do through the store.
    pub(crate) async fn raw(&self, sql: &str) {
        self.database.execute_unprepared(sql).await.unwrap();
    }

    /// Ten bytes that no other identity of this house has.
    pub(crate) fn random(&self) -> [u8; 10] {
        let number = self.ids.fetch_add(1, Ordering::Relaxed);
        let mut bytes = [0; 10];
        bytes[2..].copy_from_slice(&number.to_be_bytes());
        bytes
    }

    pub(crate) fn person(&self, name: &str) -> Person {
        let id = PersonId::made(start(), self.random());
        Person { id, name: name.into(), email: format!("{}@example.org", name.replace(' ', "-")) }
    }

    /// A tenant and its owner.
    pub(crate) async fn owner(&self) -> (TenantId, Scope) {
        let tenant = Tenant { id: TenantId::made(start(), self.random()), name: "Nordlicht IT".into() };
        let owner = self.person(&format!("owner of {}", tenant.id));
        let id = self.store.system().found_tenant(&tenant, &owner, start()).await.unwrap();
        (tenant.id, self.scope(id, start()).await)
    }

    pub(crate) async fn scope(&self, person: PersonId, at: Timestamp) -> Scope {
        self.store.system().scope(person, at).await.unwrap().unwrap()
    }

    /// Somebody whom the owner invites.
    pub(crate) async fn member(&self, owner: &Scope, tenant: TenantId, name: &str, role: Role) -> Scope {
        let id = self.store.within(owner).invite(&self.person(name), tenant, role).await.unwrap();
        self.scope(id, start()).await
    }

    pub(crate) async fn client(&self, owner: &Scope, tenant: TenantId, name: &str) -> ClientId {
        let client = Client {
            id: ClientId::made(start(), self.random()),
            tenant,
            name: name.into(),
            zone: Zone::named("Europe/Vienna").unwrap(),
            custody: KeyCustody::Managed,
            sheet_confirmed: None,
        };
        self.store.within(owner).add_client(&client).await.unwrap();
        client.id
    }

    pub(crate) fn new_code(&self, client: ClientId, class: MachineClass, policy: Option<PolicyId>) -> NewCode {
        NewCode { id: CodeId::made(start(), self.random()), client, class, policy, uses: 1, expires: after(30) }
    }

    pub(crate) fn enrolment(&self, name: &str) -> (Enrolment, Secret) {
        let credential = Secret::random();
        let machine = MachineId::made(start(), self.random());
        let mut identity = [0; 32];
        identity[..16].copy_from_slice(machine.uuid().as_bytes());
        let enrolment = Enrolment {
            machine,
            name: name.into(),
            identity: Some(identity),
            hardware: Some("board 1".into()),
            sealed_key: Some(vec![1, 2, 3]),
            credential: credential.hash(),
        };
        (enrolment, credential)
    }

    /// A machine that joined by a code.
    pub(crate) async fn machine(
        &self,
        owner: &Scope,
        client: ClientId,
        name: &str,
        class: MachineClass,
        policy: Option<PolicyId>,
    ) -> MachineId {
        let code = Secret::random();
        let new = self.new_code(client, class, policy);
        self.store.within(owner).add_code(&new, &code).await.unwrap();
        let (enrolment, _) = self.enrolment(name);
        self.store.system().enrol(&code, &enrolment, start()).await.unwrap();
        enrolment.machine
    }

    pub(crate) fn policy(&self, tenant: TenantId) -> Policy {
        Policy {
            id: PolicyId::made(start(), self.random()),
            tenant,
            name: "Offices".into(),
            what: vec![Selection::Disks { devices: vec![] }],
            schedule: Schedule {
                zone: Zone::named("Europe/Vienna").unwrap(),
                times: Times::daily(vec![jiff::civil::time(2, 30, 0, 0)]).unwrap(),
                spread: 600,
                windows: vec![],
            },
            copies: vec![],
            keep: Keep { daily: 14, ..Keep::default() },
            drills: vec![],
            roaming: Default::default(),
        }
    }
}

/// The membership of whoever a scope belongs to.
pub(crate) fn membership(scope: &Scope, tenant: TenantId, role: Role) -> Membership {
    Membership { person: scope.person(), tenant, role }
}
