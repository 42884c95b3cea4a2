//! Storage below the gateway that answers 503, answers 200 with rubbish, breaks off, or says yes and keeps nothing.

#[allow(dead_code, reason = "what other stories do to a client is not done to a gateway here")]
#[path = "../../../backend/tests/storage/proxy.rs"]
mod proxy;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use proxy::{Fault, Proxy};
use tempfile::TempDir;
use testkit::{Peer, Server, free_port};

use crate::part::{Part, stead, told};

/// A gateway whose repositories are in an object store, behind something that spoils answers.
struct House {
    location: String,
    proxy: Proxy,
    gateway: Part,
    _store: Server,
    room: TempDir,
}

impl House {
    fn open() -> Option<House> {
        let rclone = Peer::find("rclone")?;
        let (room, port) = (TempDir::new().expect("room"), free_port());
        let home = room.path().to_owned();
        std::fs::create_dir_all(home.join("store/bucket")).expect("a folder");
        let mut serve = rclone.command();
        serve.args(["serve", "s3", "--auth-key", "key,secret", "--addr", &format!("127.0.0.1:{port}")]);
        let store = Server::start(serve.arg(home.join("store")), port);
        let proxy = Proxy::start(port);
        let access = home.join("access.json");
        let (access, listen) = (access.to_str().expect("text"), testkit::lasting_port());
        let machine = "0198a1b2-0000-7000-8000-000000000001";
        let address = format!("http://127.0.0.1:{listen}/");
        let add = ["gateway", "add", machine, "--json", "--url", &address, "--access", access];
        let added = stead(&home).args(add).output().expect("it runs");
        let added: serde_json::Value = serde_json::from_slice(&added.stdout).expect("JSON");
        let location = added["location"].as_str().expect("a location").to_owned();
        let data = format!("s3:http://127.0.0.1:{}/bucket", proxy.port);
        let listen_at = format!("127.0.0.1:{listen}");
        let words = ["gateway", "serve", "--listen", &listen_at, "--access", access, "--data", &data];
        let mut gateway = Part::new(&home, "gateway", Some(listen), words.map(str::to_owned).to_vec());
        gateway.knows("AWS_ACCESS_KEY_ID", "key");
        gateway.knows("AWS_SECRET_ACCESS_KEY", "secret");
        gateway.start();
        Some(House { location, proxy, gateway, _store: store, room })
    }

    fn files(&self) -> std::path::PathBuf {
        self.room.path().join("files")
    }

    fn machine(&self, words: &[&str]) -> Output {
        let mut command = stead(self.room.path());
        command.env("RESTIC_REPOSITORY", &self.location).env("RESTIC_PASSWORD", "test").stdin(Stdio::null());
        command.args(["--no-cache"]).args(words).output().expect("it runs")
    }

    /// A backup of something new while these requests to storage are spoiled; it must work, or say why and work then.
    #[track_caller]
    fn survives(&self, seed: u64, method: &'static str, faults: &[Fault]) {
        let new = testkit::sample::random_bytes(seed, 5 << 20);
        std::fs::write(self.files().join(format!("{seed}.bin")), new).expect("a file");
        self.proxy.next(method, faults);
        let files = self.files();
        let backup = ["backup", files.to_str().expect("text")];
        let first = self.machine(&backup);
        if !first.status.success() {
            let words = told(&first);
            assert!(["503", "storage", "gateway"].iter().any(|word| words.contains(word)), "it says why: {words}");
            let again = self.machine(&backup);
            assert!(again.status.success(), "{method} {faults:?}: {}", told(&again));
        }
        assert!(self.proxy.is_done(), "{method}: not every fault came");
        let checked = self.machine(&["check", "--read-data"]);
        assert!(checked.status.success(), "{method} {faults:?}: {}\n{}", told(&checked), told(&first));
    }
}

#[test]
fn storage_that_spoils_its_answers_below_the_gateway_loses_nothing() {
    let Some(house) = House::open() else { return };
    let restic = Peer::find("restic");
    std::fs::create_dir(house.files()).expect("a folder");
    let init = house.machine(&["init"]);
    assert!(init.status.success(), "{}\n{}", told(&init), house.gateway.log());
    use Fault::{CutAnswer, Lie, LoseAnswer, Pass, Rubbish, Status};
    house.survives(1, "PUT", &[Status(503), Pass, Rubbish, LoseAnswer]);
    house.survives(2, "PUT", &[Lie, Pass, Lie]);
    house.survives(3, "GET", &[Status(503), CutAnswer, Rubbish]);
    house.survives(4, "HEAD", &[Status(503), LoseAnswer]);
    let Some(restic) = restic else { return };
    let mut check = restic.repository_command(Path::new(&house.location));
    let checked = check.args(["check", "--read-data"]).output().expect("it runs");
    assert!(checked.status.success(), "{}", told(&checked));
    let target = house.room.path().join("restored");
    let mut restore: Command = restic.repository_command(Path::new(&house.location));
    let restored = restore.args(["restore", "latest", "--target"]).arg(&target).output().expect("it runs");
    assert!(restored.status.success(), "{}", told(&restored));
    let inner = target.join(house.files().strip_prefix("/").expect("absolute"));
    testkit::Picture::of(&house.files()).assert_same(&testkit::Picture::of(&inner));
}
