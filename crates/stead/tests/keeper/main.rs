//! The keeper as a program, with the gateway as a program: killed anywhere, and looking into disks.

#[path = "../../../keeper/tests/tend/front.rs"]
mod front;
mod tpm;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use api::wire::keeper::{Answer, EntryKind, Event, Found, Kept, Question, ToKeeper, Work};
use fleet::{
    ClientId, Destination, DestinationId, Distance, Drill, JobId, Keep, MachineId, Outcome, Place, TenantId, Uuid,
};
use front::{Front, Line, Repositories, job, kept};
use jiff::Timestamp;
use rand::Rng;
use tempfile::TempDir;
use testkit::loop_device::succeeds;
use testkit::{Peer, sample};

/// A gateway with a machine's repository, and a keeper that calls us.
struct House {
    room: TempDir,
    gateway: Child,
    address: String,
    /// The machine's repository, credential included.
    location: String,
    secret: String,
    identity: String,
    machine: Kept,
    front: Front,
}

impl Drop for House {
    fn drop(&mut self) {
        // Our own child.
        let _ = self.gateway.kill();
        let _ = self.gateway.wait();
    }
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

fn stead(room: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stead"));
    command.args(words).env("HOME", room).env_remove("STEAD_REPOSITORY").env_remove("RESTIC_REPOSITORY");
    command
}

#[track_caller]
fn says(command: &mut Command) -> String {
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

impl House {
    fn new() -> House {
        let room = TempDir::new().expect("room");
        let at = room.path().to_owned();
        let access = at.join("gateway.json").to_str().expect("a path").to_owned();
        let data = at.join("data").to_str().expect("a path").to_owned();
        let serve = ["gateway", "serve", "--json", "--data", &data, "--access", &access, "--listen", "127.0.0.1:0"];
        let mut gateway = stead(&at, &serve).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(gateway.stdout.take().expect("a pipe")).read_line(&mut line).expect("it speaks");
        let address = format!("http://{}/", json(&line)["address"].as_str().expect("an address"));
        let add = |words: &[&str]| {
            let all = [&["gateway", "add", "--json", "--access", &access, "--url", &address], words].concat();
            json(&says(&mut stead(&at, &all)))
        };
        let machine = MachineId::new(Uuid::from_u128(5));
        let location = add(&[&machine.to_string()])["location"].as_str().expect("a location").to_owned();
        let secret = add(&["keeper", "--keeper"])["secret"].as_str().expect("a secret").to_owned();
        let front = Front::open();
        let state = at.join("keeper").to_str().expect("a path").to_owned();
        let init = ["keeper", "--state", &state, "init", "--json", "--server", &front.address()];
        let public = json(&says(&mut stead(&at, &init)));
        let text = |name: &str| public[name].as_str().expect("a key").to_owned();
        let machine = kept(machine, ClientId::new(Uuid::from_u128(6)), &text("public"));
        House { room, gateway, address, location, secret, identity: text("identity"), machine, front }
    }

    fn path(&self, name: &str) -> String {
        self.room.path().join(name).to_str().expect("a path").to_owned()
    }

    /// `stead` on the machine's repository, as the machine.
    fn machine(&self, words: &[&str]) -> String {
        says(Peer::at(env!("CARGO_BIN_EXE_stead")).repository_command(Path::new(&self.location)).args(words))
    }

    /// Starts the keeper's program, and takes its call.
    fn call(&mut self) -> (Child, Line) {
        let mut command = stead(self.room.path(), &["keeper", "--state", &self.path("keeper"), "run"]);
        let keeper = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        let at = Repositories { address: &self.address, account: "keeper", credential: &self.secret };
        (keeper, self.front.call(&self.identity, &at))
    }

    fn vault(&self) -> Destination {
        Destination {
            id: DestinationId::new(Uuid::from_u128(7)),
            tenant: TenantId::new(Uuid::from_u128(1)),
            name: "Vault".into(),
            place: Place::Copies(self.path("vault")),
            distance: Distance::Offsite,
        }
    }
}

fn end(mut keeper: Child) {
    keeper.kill().expect("our own child");
    keeper.wait().expect("our own child");
}

/// Jobs that ended, with the runs that they ended in, and how.
#[derive(Default)]
struct Ends(BTreeMap<JobId, BTreeSet<String>>);

impl Ends {
    fn hear(&mut self, event: &Event) {
        if let Event::Ended { job, run, outcome, .. } = event {
            self.0.entry(job.job).or_default().insert(format!("{run} {outcome:?}"));
        }
    }
}

#[test]
fn a_keeper_that_is_killed_anywhere_does_everything_in_the_end_and_harms_nothing() {
    let Some(restic) = Peer::find("restic") else { return };
    let mut house = House::new();
    let files = house.path("files");
    sample::office(Path::new(&files), 1, 40);
    house.machine(&["init", "--chunker", "rabin"]);
    for seed in 0..3 {
        std::fs::write(Path::new(&files).join("changing.bin"), sample::random_bytes(seed, 12 << 20)).unwrap();
        house.machine(&["backup", &files]);
    }
    let snapshots = json(&house.machine(&["snapshots", "--json"]));
    let long_ago = Timestamp::now() - jiff::SignedDuration::from_hours(100);
    let received = snapshots.as_array().unwrap().iter().enumerate().map(|(number, snapshot)| {
        let id = snapshot["id"].as_str().unwrap().to_owned();
        (id, long_ago + jiff::SignedDuration::from_hours(number as i64))
    });
    let work = [
        Work::Copy(house.vault()),
        Work::Prune { keep: Keep { last: 1, ..Keep::default() }, received: received.collect() },
        Work::Drill(Drill::FileSample),
        Work::Check { slice: 1, of: 1 },
    ];
    let (mut ends, mut rng) = (Ends::default(), rand::rng());
    for round in 0..10 {
        let (keeper, mut line) = house.call();
        for (number, work) in (1..).zip(&work) {
            line.order(job(number, 1), &house.machine, work.clone());
        }
        // Not a wait for something: the moment at which the power goes.
        std::thread::sleep(Duration::from_millis(rng.random_range(0..150 * (round + 1))));
        end(keeper);
        line.events_to_the_end().iter().for_each(|event| ends.hear(event));
    }
    let (keeper, mut line) = house.call();
    while ends.0.len() < work.len() {
        ends.hear(&line.event().1);
    }
    for (job, ends) in &ends.0 {
        assert_eq!(ends.len(), 1, "{job} ended once, however often that was said: {ends:?}");
        assert!(ends.iter().all(|end| end.ends_with("Good")), "{job}: {ends:?}");
    }
    let sheet = line.ask(1, &house.machine, Question::RecoverySheet { client: Uuid::from_u128(6).to_string() });
    assert!(matches!(sheet, Ok(Answer::RecoverySheet { .. })), "{sheet:?}");
    end(keeper);
    let client = Uuid::from_u128(6).to_string();
    let words = ["keeper", "--state", &house.path("keeper"), "sheet", &client, "--json"];
    let told = json(&says(&mut stead(house.room.path(), &words)));
    let password = told["password"].as_str().expect("a password").to_owned();
    let copy = house.room.path().join("vault").join(house.machine.machine.to_string());
    for place in [Path::new(&house.location), &copy] {
        let mut command = restic.repository_command(place);
        says(command.env("RESTIC_PASSWORD", &password).args(["check", "--read-data"]));
    }
    let mut command = restic.repository_command(&copy);
    let copied = json(&says(command.env("RESTIC_PASSWORD", &password).args(["snapshots", "--json"])));
    assert!((1..=3).contains(&copied.as_array().unwrap().len()));
    let left = json(&house.machine(&["snapshots", "--json"]));
    assert_eq!(left.as_array().unwrap().len(), 3, "who leaves is there for two days");
}

/// A disk with an ext4 partition that holds a folder, and one with FAT.
fn make_disk(house: &House, folder: &str) -> String {
    let (disk, volume) = (house.path("office"), house.path("volume"));
    std::fs::File::create(&disk).unwrap().set_len(120 << 20).unwrap();
    let script = house.path("script");
    std::fs::write(&script, "label: gpt\nstart=2048, size=131072\nstart=135168, size=81920\n").unwrap();
    succeeds("sh", &["-c", &format!("sfdisk --quiet {disk} < {script}")]);
    for (number, (words, at, size)) in
        [(&["mkfs.ext4", "-q", "-F", "-d", folder][..], 1, 64_u64), (&["mkfs.fat", "-F32", "-s1"], 66, 40)]
            .into_iter()
            .enumerate()
    {
        std::fs::File::create(&volume).unwrap().set_len(size << 20).unwrap();
        succeeds(words[0], &[&words[1..], &[&volume]].concat());
        if number == 1 {
            succeeds("mcopy", &["-i", &volume, &format!("{folder}/note.txt"), "::note.txt"]);
        }
        let words = [format!("if={volume}"), format!("of={disk}"), format!("seek={at}")];
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        succeeds("dd", &[&words[..], &["bs=1M", "conv=notrunc,sparse", "status=none"]].concat());
    }
    disk
}

#[test]
fn a_disks_image_is_proven_and_files_are_listed_and_fetched_out_of_it() {
    if ["sfdisk", "mkfs.ext4", "mkfs.fat", "mcopy"].iter().any(|tool| Peer::find(tool).is_none()) {
        return;
    }
    let mut house = House::new();
    let folder = house.path("folder");
    let content = sample::random_bytes(5, 6 << 20);
    let long = "n".repeat(120);
    std::fs::create_dir_all(Path::new(&folder).join("one/two").join(&long)).unwrap();
    std::fs::write(Path::new(&folder).join("large"), &content).unwrap();
    std::fs::write(Path::new(&folder).join("one/two").join(&long).join("deep"), "deep\n").unwrap();
    std::os::unix::fs::symlink("two", Path::new(&folder).join("one/link")).unwrap();
    std::fs::write(Path::new(&folder).join("note.txt"), "hello\n").unwrap();
    let disk = make_disk(&house, &folder);
    house.machine(&["init"]);
    house.machine(&["disk", "backup", &disk]);
    let machine = house.machine.clone();
    let (keeper, mut line) = house.call();

    line.order(job(1, 1), &machine, Work::Drill(Drill::ImageCheck));
    let evidence = loop {
        let (number, event) = line.event();
        line.say(&ToKeeper::Heard { number });
        if let Event::Ended { outcome, found, .. } = event {
            assert_eq!(outcome, Outcome::Good, "{found:?}");
            let Some(Found::Drilled { evidence, .. }) = found else { panic!("{found:?}") };
            break evidence;
        }
    };
    assert!(
        evidence.contains("2 partitions") && evidence.contains("office/1") && evidence.contains("office/2"),
        "{evidence}"
    );

    let Ok(Answer::Snapshots(snapshots)) = line.ask(1, &machine, Question::Snapshots) else { panic!() };
    let snapshot = snapshots[0].id.clone();
    let mut list = |ask: u64, path: &str| {
        let question = Question::List { snapshot: snapshot.clone(), path: path.into(), after: None };
        let Ok(Answer::Entries { entries, .. }) = line.ask(ask, &machine, question) else { panic!("{path}") };
        entries.into_iter().map(|entry| (entry.name, entry.kind)).collect::<Vec<_>>()
    };
    assert!(list(2, "/").contains(&("office.img".into(), EntryKind::Image)));
    assert_eq!(list(3, "/office.img"), [("1".into(), EntryKind::Folder), ("2".into(), EntryKind::Folder)]);
    assert!(list(4, "/office.img/1").contains(&("large".into(), EntryKind::File)));
    assert_eq!(list(5, "/office.img/1/one"), [("link".into(), EntryKind::Other), ("two".into(), EntryKind::Folder)]);

    assert_eq!(line.fetched(6, &machine, &snapshot, "/office.img/1/large"), content);
    assert_eq!(line.fetched(7, &machine, &snapshot, "/office.img/2/note.txt"), b"hello\n");
    let preview = Question::Preview { snapshot: snapshot.clone(), path: "/office.img/1/note.txt".into() };
    assert_eq!(line.ask(8, &machine, preview), Ok(Answer::Preview { text: Some("hello\n".into()), size: 6 }));
    std::fs::write(house.path("one.tar"), line.fetched(9, &machine, &snapshot, "/office.img/1/one")).unwrap();
    std::fs::create_dir(house.path("out")).unwrap();
    succeeds("tar", &["-xf", &house.path("one.tar"), "-C", &house.path("out")]);
    let deep = Path::new(&house.path("out")).join("two").join(&long).join("deep");
    assert_eq!(std::fs::read_to_string(deep).unwrap(), "deep\n");
    assert_eq!(std::fs::read_link(house.path("out/link")).unwrap(), Path::new("two"));
    let whole = Question::Fetch { snapshot, path: "/office.img".into() };
    assert!(line.ask(10, &machine, whole).is_err());
    end(keeper);
}
