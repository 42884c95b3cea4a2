//! A server with repositories, a machine that backs up with restic, and a keeper's directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::time::Duration;

use api::wire::keeper::Work;
use backend::{Clock, SystemClock};
use fleet::{ClientId, MachineId, Outcome, Uuid};
use jiff::{SignedDuration, Timestamp};
use repo::Repository;
use repo::lock::LockOwner;
use stead_keeper::catalogue::Catalogues;
use stead_keeper::home::Home;
use stead_keeper::memory::Memory;
use stead_keeper::recovery::Sheets;
use stead_keeper::reporter::Reporter;
use stead_keeper::storage::{Access, Gateway, Stop};
use stead_keeper::vault::Vault;
use stead_keeper::work::{self, Done, Shop, Site};
use tempfile::TempDir;
use testkit::peer::Peer;
use testkit::server::{Server, free_port};
use zeroize::Zeroizing;

/// The system's clock, moved.
#[derive(Default)]
pub(crate) struct Jumping(AtomicI64);

impl Jumping {
    pub(crate) fn jump(&self, hours: i64) {
        self.0.fetch_add(hours * 3_600, SeqCst);
    }
}

impl Clock for Jumping {
    fn now(&self) -> Timestamp {
        SystemClock.now() + SignedDuration::from_secs(self.0.load(SeqCst))
    }
    fn monotonic(&self) -> Duration {
        SystemClock.monotonic()
    }
    fn sleep(&self, time: Duration) {
        SystemClock.sleep(time);
    }
}

/// All that is needed.
pub(crate) struct House {
    pub(crate) room: TempDir,
    pub(crate) restic: Peer,
    pub(crate) clock: Arc<Jumping>,
    pub(crate) machine: MachineId,
    pub(crate) client: ClientId,
    pub(crate) gateway: Gateway,
    shop: Arc<Shop>,
    _server: Server,
}

impl House {
    /// A house with a repository that restic made; none where a peer is missing.
    pub(crate) fn open() -> Option<House> {
        let (restic, rest) = (Peer::find("restic")?, Peer::find("restic-rest-server")?);
        let room = tempfile::tempdir().expect("room");
        let port = free_port();
        let mut command = rest.command();
        command.arg("--no-auth").arg("--path").arg(room.path().join("data"));
        command.arg("--listen").arg(format!("127.0.0.1:{port}"));
        let server = Server::start(&mut command, port);
        let home = Home::at(room.path().join("keeper")).expect("a directory");
        let shop = Arc::new(Shop {
            memory: Memory::open(&home.memory()).expect("memory"),
            vault: Vault::new(&[7; 32]),
            sheets: Sheets::at(home.sheets(), &Vault::new(&[7; 32])),
            secrets: home.destinations(),
            drills: home.drills(),
            catalogues: Catalogues::at(home.catalogue()),
            origin: ("keeper-host".into(), "keeper".into()),
        });
        let (machine, client) = (MachineId::new(Uuid::from_u128(5)), ClientId::new(Uuid::from_u128(6)));
        let address = format!("http://127.0.0.1:{port}/");
        let gateway = Gateway { address, authority: None, account: String::new(), credential: String::new() };
        let clock = Arc::default();
        let house = House { room, restic, clock, machine, client, gateway, shop, _server: server };
        std::fs::create_dir_all(house.repository()).expect("a directory");
        house.restic.succeeds(&house.repository(), ["init"]);
        std::fs::create_dir_all(house.files()).expect("a directory");
        Some(house)
    }

    /// Where the machine's repository is on the disk.
    pub(crate) fn repository(&self) -> PathBuf {
        self.room.path().join("data").join(self.machine.to_string())
    }

    /// What the machine backs up.
    pub(crate) fn files(&self) -> PathBuf {
        self.room.path().join("files")
    }

    /// Backs up with restic; the snapshot's name.
    pub(crate) fn backup(&self, more: &[&str]) -> repo::Id {
        let files = self.files();
        let mut args = vec!["backup", "--json", "--host", "pc", "--force", files.to_str().expect("a path")];
        args.extend(more);
        let told = self.restic.succeeds(&self.repository(), args);
        let last = told.lines().last().expect("a summary");
        let summary: serde_json::Value = serde_json::from_str(last).expect("JSON");
        summary["snapshot_id"].as_str().expect("an id").parse().expect("an id")
    }

    pub(crate) fn site(&self, stop: Stop) -> Site {
        let owner = LockOwner::this_process("keeper-host", "keeper");
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        Site {
            machine: self.machine,
            client: Some(self.client),
            place: self.gateway.place(self.machine),
            password: Zeroizing::new(b"test".to_vec()),
            access: Access { cache: self.room.path().join("keeper/cache"), owner, clock },
            stop,
            shop: Arc::clone(&self.shop),
        }
    }

    pub(crate) fn shop(&self) -> &Arc<Shop> {
        &self.shop
    }

    pub(crate) fn reporter(&self) -> Reporter {
        Reporter::new(Arc::clone(&self.clock) as Arc<dyn Clock>, |_| ())
    }

    /// Does a keeper's work.
    pub(crate) fn work(&self, work: &Work) -> Done {
        work::run(&self.site(Stop::default()), work, &self.reporter())
            .unwrap_or_else(|error| panic!("{}", error.words()))
    }

    /// Does it, and fails the test unless it went well.
    pub(crate) fn works(&self, work: &Work) -> Done {
        let done = self.work(work);
        assert_eq!(done.outcome, Outcome::Good, "{work:?}");
        done
    }

    /// The repository as stead's engine has it, past the server.
    pub(crate) fn direct(&self) -> Arc<Repository> {
        let storage = Arc::new(backend::Local::new(self.repository(), 4));
        let options = repo::repository::OpenOptions {
            key_hint: None,
            cache: None,
            compression: Default::default(),
            pack_size: 16 << 20,
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            cancel: Default::default(),
        };
        Arc::new(Repository::open(storage, b"test", options).expect("a repository"))
    }

    /// Names of restic's snapshots.
    pub(crate) fn snapshots(&self) -> Vec<repo::Id> {
        let mut ids: Vec<repo::Id> =
            self.direct().snapshots().expect("snapshots").all.iter().map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids
    }
}

/// Why something failed; fails the test if it did not.
pub(crate) fn why(done: &Done) -> &str {
    match &done.outcome {
        Outcome::Failed { why } => why,
        other => panic!("it did not fail: {other:?}"),
    }
}

/// The packs of a repository on the disk.
pub(crate) fn packs(repository: &Path) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(repository.join("data")).expect("packs");
    let files = folders.flat_map(|folder| std::fs::read_dir(folder.expect("a folder").path()).expect("a folder"));
    files.map(|file| file.expect("a file").path()).collect()
}

/// Flips a bit in the middle of a file.
pub(crate) fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let mut rights = std::fs::metadata(path).expect("a file").permissions();
    #[expect(clippy::permissions_set_readonly_false, reason = "a file of this test")]
    rights.set_readonly(false);
    std::fs::set_permissions(path, rights).expect("rights");
    std::fs::write(path, bytes).expect("a file");
}
