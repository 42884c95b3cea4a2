//! A server with people, clients and machines, and a clock that tests move.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use continuity::{Grant, GrantId, GrantedOn, Person, PersonId, Role, Scope, Verb};
use fleet::{Client, ClientId, KeyCustody, MachineClass, MachineId, Tenant, TenantId, Zone};
use jiff::{SignedDuration, Timestamp};
use stead_server::certificate::Certificate;
use stead_server::first;
use stead_server::listen::{Door, Protection};
use stead_server::seal::Seal;
use stead_server::{Facade, Running, Setup};
use store::{CodeId, Enrolment, NewCode, Secret, Store};
use tempfile::TempDir;

use crate::browser::Browser;

/// What callers pin; any text, because only callers compare it.
pub(crate) const FINGERPRINT: &str = "AA:BB";

/// What everybody's password is.
pub(crate) const PASSWORD: &str = "four words of mine";

/// A running server.
pub(crate) struct Shop {
    pub(crate) origin: String,
    pub(crate) store: Store,
    pub(crate) address: SocketAddr,
    pub(crate) troubles: Arc<parking_lot::Mutex<Vec<String>>>,
    clock: Arc<AtomicI64>,
    drawn: AtomicU64,
    running: Option<Running>,
    folder: TempDir,
}

impl Shop {
    /// Without TLS, on the loopback.
    pub(crate) async fn open() -> Shop {
        Shop::with(|_| Protection::Plain).await
    }

    /// Without TLS, on the loopback, by a name: what browsers take passkeys for.
    pub(crate) async fn named() -> Shop {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite:{}", folder.path().join("stead.db").display())).await.unwrap();
        let mut shop = Shop::at(store, folder, |_| Protection::Plain).await;
        shop.ends().await;
        let door = Door::open("127.0.0.1:0".parse().unwrap(), &Protection::Plain).await.unwrap();
        shop.address = door.address();
        shop.origin = format!("http://localhost:{}", shop.address.port());
        shop.running = Some(shop.setup(door, Protection::Plain).start());
        shop
    }

    /// With a certificate of its own authority.
    pub(crate) async fn with_tls() -> Shop {
        Shop::with(|folder| {
            let names = vec!["localhost".into(), "127.0.0.1".into()];
            Protection::Tls(Arc::new(Certificate::own(folder.path(), names, Timestamp::now()).unwrap()))
        })
        .await
    }

    /// Another server on a database, with a clock and identities of its own.
    pub(crate) async fn on(database: &str, number: u64) -> Shop {
        let folder = tempfile::tempdir().unwrap();
        let shop = Shop::at(Store::open(database).await.unwrap(), folder, |_| Protection::Plain).await;
        shop.drawn.store(number << 32, Ordering::SeqCst);
        shop
    }

    /// Another server on a database, with the same key as this one.
    pub(crate) async fn beside(&self, database: &str, number: u64) -> Shop {
        let folder = tempfile::tempdir().unwrap();
        std::fs::copy(self.folder.path().join("server.key"), folder.path().join("server.key")).unwrap();
        let shop = Shop::at(Store::open(database).await.unwrap(), folder, |_| Protection::Plain).await;
        shop.drawn.store(number << 32, Ordering::SeqCst);
        shop
    }

    async fn with(protection: impl FnOnce(&TempDir) -> Protection) -> Shop {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite:{}", folder.path().join("stead.db").display())).await.unwrap();
        Shop::at(store, folder, protection).await
    }

    /// The same server once more, after its process ended and began again: at another port, and it knows only what is
    /// stored.
    pub(crate) async fn begun_again(mut self) -> Shop {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
        let drawn = self.drawn.load(Ordering::SeqCst);
        let shop = Shop::at(self.store, self.folder, |_| Protection::Plain).await;
        shop.drawn.store(drawn, Ordering::SeqCst);
        shop
    }

    async fn at(store: Store, folder: TempDir, protection: impl FnOnce(&TempDir) -> Protection) -> Shop {
        let protection = protection(&folder);
        let door = Door::open("127.0.0.1:0".parse().unwrap(), &protection).await.unwrap();
        let address = door.address();
        let scheme = if matches!(protection, Protection::Plain) { "http" } else { "https" };
        let origin = format!("{scheme}://127.0.0.1:{}", address.port());
        let clock = Arc::new(AtomicI64::new(Timestamp::now().as_second()));
        let troubles = Arc::default();
        let mut shop =
            Shop { origin, store, address, troubles, clock, drawn: AtomicU64::new(1), running: None, folder };
        shop.running = Some(shop.setup(door, protection).start());
        shop
    }

    fn setup(&self, door: Door, protection: Protection) -> Setup {
        let (read, heard) = (Arc::clone(&self.clock), Arc::clone(&self.troubles));
        let facade = Facade {
            address: self.origin.clone(),
            fingerprint: FINGERPRINT.into(),
            own_authority: true,
            zone: Zone::utc(),
            demo: false,
        };
        Setup {
            store: self.store.clone(),
            door,
            protection,
            public: None,
            facade,
            seal: Seal::at(&self.folder.path().join("server.key")).unwrap(),
            clock: Arc::new(move || Timestamp::from_second(read.load(Ordering::SeqCst)).unwrap()),
            observer: Arc::new(move |event| {
                if let stead_server::observer::Event::Problem(words) = event {
                    heard.lock().push(words);
                }
            }),
        }
    }

    /// The server ends; its database and files stay.
    pub(crate) async fn ends(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
    }

    /// Where its database and files are.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// The server goes away in the middle of whatever it does, and another one begins on the same database.
    pub(crate) async fn replace(&mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
        let door = Door::open("127.0.0.1:0".parse().unwrap(), &Protection::Plain).await.unwrap();
        self.address = door.address();
        self.running = Some(self.setup(door, Protection::Plain).start());
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_second(self.clock.load(Ordering::SeqCst)).unwrap()
    }

    pub(crate) fn wait(&self, seconds: i64) {
        self.clock.fetch_add(seconds, Ordering::SeqCst);
    }

    pub(crate) fn bits(&self) -> [u8; 10] {
        let mut bits = [0; 10];
        bits[2..].copy_from_slice(&self.drawn.fetch_add(1, Ordering::SeqCst).to_be_bytes());
        bits
    }

    /// A firm with its owner, who has no password yet.
    pub(crate) async fn firm(&self, name: &str, email: &str) -> TenantId {
        let tenant = Tenant { id: TenantId::made(self.now(), self.bits()), name: name.into() };
        let person = Person { id: PersonId::made(self.now(), self.bits()), name: email.into(), email: email.into() };
        self.store.system().found_tenant(&tenant, &person, self.now()).await.unwrap();
        tenant.id
    }

    /// What somebody may do now.
    pub(crate) async fn scope(&self, email: &str) -> Scope {
        let known = self.store.system().sign_in(email).await.unwrap().unwrap();
        self.store.system().scope(known.person.id, self.now()).await.unwrap().unwrap()
    }

    /// Another member.
    pub(crate) async fn member(&self, owner: &str, tenant: TenantId, email: &str, role: Role) -> PersonId {
        let scope = self.scope(owner).await;
        let person = Person { id: PersonId::made(self.now(), self.bits()), name: email.into(), email: email.into() };
        self.store.within(&scope).invite(&person, tenant, role).await.unwrap()
    }

    /// A client of the firm.
    pub(crate) async fn client(&self, owner: &str, tenant: TenantId, name: &str) -> ClientId {
        let scope = self.scope(owner).await;
        let id = ClientId::made(self.now(), self.bits());
        let custody = KeyCustody::Managed;
        let client = Client { id, tenant, name: name.into(), zone: Zone::utc(), custody, sheet_confirmed: None };
        self.store.within(&scope).add_client(&client).await.unwrap();
        id
    }

    /// A machine of the client.
    pub(crate) async fn machine(&self, owner: &str, client: ClientId, name: &str) -> MachineId {
        let mut identity = [0; 32];
        identity[22..].copy_from_slice(&self.bits());
        self.machine_by(owner, client, name, identity).await.0
    }

    /// A machine of the client that proves itself with this key, and what it shows to the gateway.
    pub(crate) async fn machine_by(
        &self,
        owner: &str,
        client: ClientId,
        name: &str,
        identity: [u8; 32],
    ) -> (MachineId, Secret) {
        let scope = self.scope(owner).await;
        let (id, expires) = (CodeId::made(self.now(), self.bits()), self.now() + SignedDuration::from_hours(1));
        let new = NewCode { id, client, class: MachineClass::Server, policy: None, uses: 1, expires };
        let secret = Secret::random();
        self.store.within(&scope).add_code(&new, &secret).await.unwrap();
        let (machine, credential) = (MachineId::made(self.now(), self.bits()), Secret::random());
        let new = Enrolment {
            machine,
            name: name.into(),
            identity: Some(identity),
            hardware: None,
            sealed_key: None,
            credential: credential.hash(),
        };
        self.store.system().enrol(&secret, &new, self.now()).await.unwrap();
        self.store.system().judge(&[machine], None, self.now()).await.unwrap();
        (machine, credential)
    }

    /// A grant of a week.
    pub(crate) async fn grant(&self, owner: &str, tenant: TenantId, client: ClientId, email: &str) -> GrantId {
        let scope = self.scope(owner).await;
        let person = self.store.system().sign_in(email).await.unwrap().unwrap().person.id;
        let (id, from) = (GrantId::made(self.now(), self.bits()), self.now());
        let grant = Grant {
            id,
            tenant,
            person,
            on: GrantedOn::Client(client),
            verbs: [Verb::Look].into(),
            from,
            to: from + SignedDuration::from_hours(168),
            reason: "holiday".into(),
            approved_by: scope.person(),
            ended: None,
        };
        self.store.within(&scope).give_grant(&grant).await.unwrap();
        id
    }

    /// A one-time link's path.
    pub(crate) async fn link(&self, email: &str) -> String {
        first::link(&self.store, email, self.now()).await.unwrap()
    }

    /// A browser that trusts the server, if it has something to trust.
    pub(crate) fn browser(&self) -> Browser {
        match std::fs::read(self.folder.path().join("authority.pem")) {
            Ok(authority) => Browser::trusting(self.address, &authority),
            Err(_) => Browser::new(self.address),
        }
    }

    /// Somebody who came by a one-time link and is signed in.
    pub(crate) async fn signed_in(&self, email: &str) -> Browser {
        let mut browser = self.browser();
        let path = self.link(email).await;
        let answer = browser.send(&path, &[("password", PASSWORD), ("again", PASSWORD)]).await;
        assert_eq!(answer.status, 303, "{}", answer.text);
        browser
    }

    /// The authority that its certificate is signed by.
    pub(crate) fn authority(&self) -> reqwest::Certificate {
        reqwest::Certificate::from_pem(&std::fs::read(self.folder.path().join("authority.pem")).unwrap()).unwrap()
    }

    /// Ends the server; nothing inside it may have failed.
    pub(crate) async fn close(mut self) {
        if let Some(running) = self.running.take() {
            running.stop().await;
        }
        assert_eq!(*self.troubles.lock(), Vec::<String>::new());
    }
}
