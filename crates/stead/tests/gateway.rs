//! The gateway as a program: stock restic, rustic, rclone and stead itself through it, and a gateway that is killed.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use testkit::{Authority, Peer, Picture, sample};

/// A gateway's process with its files; killed with signal 9 when dropped.
struct Gateway {
    room: TempDir,
    process: Option<Child>,
    address: String,
    authority: Option<Authority>,
}

/// A machine's location and its secret.
struct Machine {
    location: String,
}

impl Gateway {
    fn new() -> Gateway {
        Gateway::start_with(None)
    }

    fn over_tls() -> Gateway {
        Gateway::start_with(Some(Authority::new()))
    }

    fn start_with(authority: Option<Authority>) -> Gateway {
        let room = TempDir::new().expect("room");
        let mut gateway = Gateway { room, process: None, address: "127.0.0.1:0".into(), authority };
        gateway.start();
        gateway
    }

    /// Starts it, on the port that it had.
    fn start(&mut self) {
        let mut command = self.command(&["serve", "--json"]);
        command.arg("--data").arg(self.data()).args(["--listen", &self.address]);
        if let Some(authority) = &self.authority {
            let issued = authority.for_this_machine();
            command.arg("--tls-cert").arg(issued.certificate).arg("--tls-key").arg(issued.key);
        }
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(process.stdout.take().expect("a pipe")).read_line(&mut line).expect("it speaks");
        let told: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
        self.address = told["address"].as_str().expect("an address").to_owned();
        self.process = Some(process);
    }

    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("our own child");
            process.wait().expect("our own child");
        }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stead"));
        command.arg("gateway").args(words).arg("--access").arg(self.room.path().join("gateway.json"));
        command.env("HOME", self.room.path());
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().expect("it runs")
    }

    #[track_caller]
    fn succeeds(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn add(&self, words: &[&str]) -> Machine {
        let scheme = if self.authority.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}/", self.address);
        let said = self.succeeds(&[&["add", "--json", "--url", &url], words].concat());
        let added: serde_json::Value = serde_json::from_str(&said).expect("JSON");
        Machine { location: added["location"].as_str().expect("a location").replace("REPOSITORY", "pc") }
    }

    fn data(&self) -> PathBuf {
        self.room.path().join("data")
    }

    fn source(&self) -> PathBuf {
        let source = self.room.path().join("source");
        if !source.exists() {
            std::fs::create_dir(&source).expect("a folder");
            sample::office(&source, 1, 200);
        }
        source
    }

    /// A program's command on a machine's repository.
    fn command_of(&self, program: &Peer, machine: &Machine, words: &[&str]) -> Command {
        let mut command = program.repository_command(Path::new(&machine.location));
        command.env("HOME", self.room.path());
        if let Some(authority) = &self.authority {
            command.arg("--cacert").arg(authority.certificate());
        }
        command.args(words);
        command
    }

    #[track_caller]
    fn works(&self, program: &Peer, machine: &Machine, words: &[&str]) -> String {
        let output = self.command_of(program, machine, words).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{} {words:?}: {said}", program.path().display());
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Everything a machine does: init, backup, check of all data, restore.
    fn whole_life(&self, program: &Peer, machine: &Machine) {
        let (source, target) = (self.source(), tempfile::tempdir_in(self.room.path()).expect("room"));
        let (source, to) = (source.to_str().expect("a path"), target.path().to_str().expect("a path"));
        self.works(program, machine, &["init"]);
        self.works(program, machine, &["backup", source]);
        std::fs::write(self.source().join("one more"), sample::random_bytes(7, 3 << 20)).expect("a file");
        self.works(program, machine, &["backup", source]);
        self.works(program, machine, &["check", "--read-data"]);
        match program.path().ends_with("rustic") {
            true => self.works(program, machine, &["restore", "latest", to]),
            false => self.works(program, machine, &["restore", "latest", "--target", to]),
        };
        let restored = target.path().join(source.strip_prefix('/').expect("absolute"));
        Picture::of(Path::new(source)).assert_same(&Picture::of(&restored));
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.kill();
    }
}

fn stead() -> Peer {
    Peer::at(env!("CARGO_BIN_EXE_stead"))
}

#[test]
fn restic_lives_on_a_gateway_and_deletes_nothing() {
    let Some(restic) = Peer::find("restic") else { return };
    let gateway = Gateway::new();
    let machine = gateway.add(&["pc"]);
    gateway.whole_life(&restic, &machine);
    gateway.succeeds(&["seal", "pc"]);
    let before = gateway.works(&restic, &machine, &["snapshots", "--json"]);
    for words in [
        &["forget", "latest"][..],
        &["forget", "--keep-last", "1", "--prune"],
        &["prune"],
        &["key", "add", "--new-insecure-no-password"],
        &["repair", "index", "--read-all-packs"],
        &["tag", "--add", "x", "latest"],
    ] {
        let output = gateway.command_of(&restic, &machine, words).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() || said.contains("403"), "{words:?}: {said}");
    }
    let after = gateway.works(&restic, &machine, &["snapshots", "--json"]);
    let ids = |text: &str| -> Vec<String> {
        let snapshots: Vec<serde_json::Value> = serde_json::from_str(text).expect("JSON");
        snapshots.iter().map(|snapshot| snapshot["id"].to_string()).collect()
    };
    let after = ids(&after);
    assert!(ids(&before).iter().all(|id| after.contains(id)), "every snapshot is still there");
    gateway.works(&restic, &machine, &["check", "--read-data"]);
    // A keeper may: with the same password, through another credential.
    let keeper = gateway.add(&["keeper", "--keeper"]);
    gateway.works(&restic, &keeper, &["unlock", "--remove-all"]);
    gateway.works(&restic, &keeper, &["forget", "--keep-last", "1", "--group-by", "", "--prune"]);
    gateway.works(&restic, &machine, &["check", "--read-data"]);
    let list = gateway.succeeds(&["list"]);
    assert!(list.contains("pc") && list.contains("sealed") && list.contains("(all)"), "{list}");
}

#[test]
fn restic_and_stead_live_on_a_gateway_over_tls() {
    let Some(restic) = Peer::find("restic") else { return };
    let gateway = Gateway::over_tls();
    gateway.whole_life(&restic, &gateway.add(&["restic-pc"]));
    gateway.whole_life(&stead(), &gateway.add(&["stead-pc"]));
}

#[test]
fn stead_lives_on_a_gateway() {
    let gateway = Gateway::new();
    gateway.whole_life(&stead(), &gateway.add(&["pc"]));
}

#[test]
fn rustic_lives_on_a_gateway() {
    let Some(rustic) = Peer::find("rustic") else { return };
    let gateway = Gateway::new();
    gateway.whole_life(&rustic, &gateway.add(&["pc"]));
}

/// rclone has no client for restic's protocol; as an HTTP client it fetches what is stored, whole and in parts.
#[test]
fn rclone_fetches_what_is_stored() {
    let Some(rclone) = Peer::find("rclone") else { return };
    let gateway = Gateway::new();
    let machine = gateway.add(&["pc"]);
    gateway.works(&stead(), &machine, &["init"]);
    gateway.works(&stead(), &machine, &["backup", gateway.source().to_str().expect("a path")]);
    let pack = largest(&gateway.data().join("pc/data"));
    let name = pack.file_name().expect("a name").to_str().expect("text");
    let copy = gateway.room.path().join("copy");
    let url = format!("{}data/{name}", machine.location.strip_prefix("rest:").expect("a location"));
    let parts = ["--multi-thread-streams", "4", "--multi-thread-cutoff", "1k", "--multi-thread-chunk-size", "64k"];
    let mut command = rclone.command();
    command.arg("copyurl").args(parts).arg(&url).arg(&copy).env("HOME", gateway.room.path());
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(std::fs::read(&pack).expect("a pack") == std::fs::read(copy).expect("a copy"));
}

fn largest(directory: &Path) -> PathBuf {
    let shards = std::fs::read_dir(directory).expect("packs").map(|shard| shard.expect("a shard").path());
    let packs =
        shards.flat_map(|shard| std::fs::read_dir(shard).expect("packs").map(|pack| pack.expect("a pack").path()));
    packs.max_by_key(|pack| pack.metadata().expect("a file").len()).expect("there is one")
}

/// Nothing that was answered with success is lost, however often the gateway is killed while it is told many things at once.
#[test]
fn a_gateway_that_is_killed_loses_nothing_that_it_answered_for() {
    let mut gateway = Gateway::new();
    let machine = gateway.add(&["pc"]);
    gateway.works(&stead(), &machine, &["init"]);
    let (stop, number) = (AtomicBool::new(false), std::sync::atomic::AtomicU64::new(0));
    let location: backend::Location = machine.location.parse().expect("a location");
    let open = || backend::open(&location, &backend::Options::default()).expect("a client");
    let mut stored: Vec<backend::FileName> = Vec::new();
    let kills = if std::env::var_os("STEAD_ALL").is_some() { 30 } else { 6 };
    for _ in 0..kills {
        stop.store(false, SeqCst);
        std::thread::scope(|scope| {
            let write = || {
                let (client, mut answered) = (open(), Vec::new());
                while !stop.load(SeqCst) {
                    let seed = number.fetch_add(1, SeqCst);
                    let length = if seed % 3 == 0 { 3 << 20 } else { 2000 };
                    let content = sample::random_bytes(seed, length);
                    let kind = if length > 5000 { backend::FileKind::Pack } else { backend::FileKind::Index };
                    let file = backend::FileName::new(kind, backend::Id::of(&content));
                    if client.write(&file, &content).is_ok() {
                        answered.push(file);
                    }
                }
                answered
            };
            let writers: Vec<_> = (0..4).map(|_| scope.spawn(write)).collect();
            let begin = number.load(SeqCst);
            let patience = Instant::now();
            while number.load(SeqCst) < begin + 20 && patience.elapsed() < Duration::from_secs(60) {
                std::thread::sleep(Duration::from_millis(5));
            }
            gateway.kill();
            stop.store(true, SeqCst);
            stored.extend(writers.into_iter().flat_map(|writer| writer.join().expect("a writer")));
        });
        gateway.start();
    }
    assert!(stored.len() > 20, "{} files were answered for", stored.len());
    let client = open();
    let mut content = Vec::new();
    for file in &stored {
        client.read(file, backend::Part::Whole, &mut content).expect("it is there");
        assert_eq!(backend::Id::of(&content), file.id);
    }
    let receipts =
        std::fs::read_to_string(gateway.room.path().join("gateway.state/receipts/pc.ledger")).expect("receipts");
    for file in &stored {
        assert!(receipts.contains(&file.id.to_string()), "{file:?} has a receipt");
    }
    let scrub = gateway.succeeds(&["scrub", "--data", gateway.data().to_str().expect("a path")]);
    assert!(scrub.contains("0 are bad"), "{scrub}");
    let stray = walk(&gateway.data()).into_iter().filter(|path| path.to_string_lossy().contains("-tmp-")).count();
    assert!(stray <= kills * 4, "{stray} stray files: only small ones have temporary names");
}

fn walk(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

/// A backup that is on its way when the gateway is killed goes on when it is back.
#[test]
fn a_backup_outlives_a_gateway_that_is_killed() {
    let mut gateway = Gateway::new();
    let machine = gateway.add(&["pc"]);
    gateway.works(&stead(), &machine, &["init"]);
    std::fs::write(gateway.source().join("large"), sample::random_bytes(3, 60 << 20)).expect("a file");
    let source = gateway.source();
    let words = ["--limit-upload", "20000", "backup", source.to_str().expect("a path")];
    let mut backup = gateway.command_of(&stead(), &machine, &words);
    let mut backup = backup.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let begin = Instant::now();
    while walk(&gateway.data().join("pc/data")).is_empty() && begin.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(10));
    }
    gateway.kill();
    gateway.start();
    assert!(backup.wait().expect("our own child").success());
    gateway.works(&stead(), &machine, &["check", "--read-data"]);
}

#[test]
fn a_scrub_names_what_is_bad_and_fails() {
    let gateway = Gateway::new();
    let machine = gateway.add(&["pc", "--quota", "1G", "--daily-snapshots", "100"]);
    gateway.works(&stead(), &machine, &["init"]);
    gateway.works(&stead(), &machine, &["backup", gateway.source().to_str().expect("a path")]);
    let data = gateway.data();
    let words = ["scrub", "--json", "--data", data.to_str().expect("a path")];
    let good: serde_json::Value = serde_json::from_str(&gateway.succeeds(&words)).expect("JSON");
    assert_eq!((good["complete"].as_bool(), good["bad"].as_array().map(Vec::len)), (Some(true), Some(0)));
    let pack = largest(&gateway.data().join("pc/data"));
    let mut content = std::fs::read(&pack).expect("a pack");
    content[100] ^= 1;
    std::fs::remove_file(&pack).expect("removed");
    std::fs::write(&pack, content).expect("damaged");
    let output = gateway.run(&[&words[..], &["--again-after", "0s"]].concat());
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.contains(pack.file_name().expect("a name").to_str().expect("text")), "{told}");
    let list: serde_json::Value = serde_json::from_str(&gateway.succeeds(&["list", "--json"])).expect("JSON");
    assert_eq!((list[0]["bad_files"].as_u64(), list[0]["snapshots"].as_u64()), (Some(1), Some(1)));
}

#[test]
fn mistakes_are_told() {
    let gateway = Gateway::new();
    gateway.add(&["pc"]);
    for (words, told) in [
        (&["add", "pc"][..], "an account of that name exists"),
        (&["add", "../x"], "is no name"),
        (&["add", "metrics"], "is no name"),
        (&["add", "x", "--url", "ftp://x"], "is no address"),
        (&["seal", "nobody"], "no repository of that name"),
        (&["scrub", "nobody", "--data", "/nowhere"], "no repository nobody"),
        (&["serve", "--data", "ftp:x"], "is no kind of storage"),
        (
            &["serve", "--data", "/x", "--tls-cert", "/nowhere.pem", "--tls-key", "/nowhere.pem"],
            "cannot use the certificate",
        ),
    ] {
        let output = gateway.run(words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(told), "{words:?}: {said}");
    }
}

#[test]
fn figures_are_for_this_machine_or_for_a_token() {
    let gateway = Gateway::new();
    let machine = gateway.add(&["pc"]);
    gateway.works(&stead(), &machine, &["init"]);
    let get = |line: &str| {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(&gateway.address).expect("it listens");
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{line}\r\n").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    };
    let figures = get("");
    assert!(figures.contains("gateway_received_files_total{kind=\"keys\"} 1"), "{figures}");
    assert!(!figures.contains("pc"), "no names among the labels: {figures}");
}
