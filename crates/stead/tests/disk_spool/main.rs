//! Images that wait in a spool: captured without the repository, sent later, cut off as often as it happens, never half there.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use testkit::loop_device::{is_root_or_skip, succeeds};
use testkit::{LoopDevice, Mounted, Peer, Server, Wire, free_port, sample};

const MIB: u64 = 1 << 20;

/// A disk without a file system, and a repository on a server that comes and goes.
struct Road {
    disk: LoopDevice,
    server: Option<Server>,
    port: u16,
    wire: Wire,
    stead: Peer,
    room: TempDir,
}

impl Road {
    fn new(size: u64) -> Option<Road> {
        if !is_root_or_skip() {
            return None;
        }
        Peer::find("restic-rest-server")?;
        let room = tempfile::tempdir().expect("room");
        fs::write(room.path().join("disk"), sample::random_bytes(1, size as usize)).expect("a disk");
        let disk = LoopDevice::attach(&room.path().join("disk"));
        let port = free_port();
        let stead = Peer::at(env!("CARGO_BIN_EXE_stead"));
        let mut road = Road { disk, server: None, port, wire: Wire::to(port), stead, room };
        road.arrive();
        road.says(&["init"]);
        Some(road)
    }

    /// There is a network.
    fn arrive(&mut self) {
        let mut command = Peer::find("restic-rest-server").expect("it was there").command();
        let listen = format!("127.0.0.1:{}", self.port);
        command.args(["--no-auth", "--listen", &listen, "--path"]).arg(self.room.path().join("store"));
        self.server = Some(Server::start(&mut command, self.port));
    }

    /// There is none.
    fn leave(&mut self) {
        self.server = None;
    }

    fn spool(&self) -> String {
        self.room.path().join("spool").to_str().expect("UTF-8").to_owned()
    }

    fn command_to(&self, port: u16, words: &[&str]) -> Command {
        let place = format!("rest:http://127.0.0.1:{port}/laptop/");
        let mut command = self.stead.command();
        command.env("RESTIC_REPOSITORY", place).env("RESTIC_PASSWORD", "test").args(words);
        command
            .env("XDG_STATE_HOME", self.room.path().join("state"))
            .env("XDG_CACHE_HOME", self.room.path().join("cache"));
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command_to(self.port, words).output().expect("runs")
    }

    fn says(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What a backup says that has to wait.
    fn captures(&self) -> Vec<Value> {
        let spool = self.spool();
        let words = ["disk", "backup", self.disk.name(), "--spool", &spool, "--pack-size", "4", "--json"];
        let output = self.run(&words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(20) && said.contains("captured, not sent: 0 of"), "{said}");
        messages(&output)
    }

    fn snapshots(&self) -> usize {
        let all: Value = serde_json::from_str(&self.says(&["snapshots", "--json"])).expect("JSON");
        all.as_array().expect("a list").len()
    }

    /// Writes to the disk, so that it stays there.
    fn write(&self, seed: u64, offset: u64, bytes: u64) {
        let disk = File::options().write(true).open(self.disk.path()).expect("the disk");
        disk.write_all_at(&sample::random_bytes(seed, bytes as usize), offset).expect("written");
        disk.sync_all().expect("synced");
    }

    /// The newest image is the disk, and the repository is sound.
    fn is_right(&self) {
        let target = self.room.path().join("restored");
        self.says(&["disk", "restore", "latest", target.to_str().expect("UTF-8")]);
        let disk = fs::read(self.disk.path()).expect("the disk");
        assert!(fs::read(&target).expect("the image") == disk, "the image differs");
        fs::remove_file(target).expect("removed");
        self.says(&["check"]);
    }

    /// Bytes of packs that wait.
    fn waiting(&self) -> u64 {
        files(Path::new(&self.spool())).iter().filter(|path| is_pack(path)).map(|path| length(path)).sum()
    }
}

fn messages(output: &Output) -> Vec<Value> {
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    printed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            if entry.is_dir() { folders.push(entry) } else { found.push(entry) }
        }
    }
    found
}

fn is_pack(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "data")
}

fn length(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.len())
}

#[test]
fn an_image_is_captured_without_network_and_sent_when_there_is_one() {
    let Some(mut road) = Road::new(48 * MIB) else { return };
    road.leave();
    let spool = road.spool();
    let early = road.run(&["disk", "backup", road.disk.name(), "--spool", &spool]);
    let said = String::from_utf8_lossy(&early.stderr).into_owned();
    assert!(early.status.code() == Some(1) && said.contains("once it was used with it"), "{said}");

    road.arrive();
    road.says(&["disk", "watch", road.disk.name()]);
    road.says(&["disk", "backup", road.disk.name(), "--spool", &spool, "--pack-size", "4"]);
    assert_eq!((road.snapshots(), road.waiting()), (1, 0));

    road.write(2, 7 * MIB + 512, 3 * MIB);
    road.leave();
    let first = road.captures();
    let told = first.iter().find(|message| message["message_type"] == "spool").expect("what became of it");
    assert!(told["state"] == "captured" && told["packs_sent"] == 0 && told["packs_total"].as_u64() > Some(0), "{told}");
    // What the repository has is not captured again.
    assert!((3 * MIB..8 * MIB).contains(&road.waiting()), "{}", road.waiting());
    let summary =
        |all: &[Value]| all.iter().find(|message| message["message_type"] == "summary").cloned().expect("one");
    road.write(3, 20 * MIB, MIB);
    let second = road.captures();
    // The kernel's count may be wrong, and then everything is read; else the image continues one that waits.
    let (first, second) = (summary(&first), summary(&second));
    assert!(second["base"].is_null() || second["base"] == first["snapshot_id"], "{second}");
    assert_eq!(road.run(&["disk", "send", "--spool", &spool]).status.code(), Some(20));

    road.arrive();
    assert_eq!(road.snapshots(), 1);
    road.says(&["disk", "send", "--spool", &spool]);
    assert_eq!((road.snapshots(), road.waiting()), (3, 0));
    road.is_right();
    let again = road.says(&["disk", "send", "--spool", &spool]);
    assert!(again.contains("0 packs sent"), "{again}");
    road.says(&["disk", "unwatch", road.disk.name()]);
}

#[test]
fn sending_that_is_killed_goes_on_and_nothing_is_half_there() {
    let Some(mut road) = Road::new(64 * MIB) else { return };
    let spool = road.spool();
    // With the network it was used once.
    fs::write(road.room.path().join("small"), sample::random_bytes(9, MIB as usize)).expect("a file");
    let small = road.room.path().join("small");
    road.says(&["disk", "backup", small.to_str().expect("UTF-8"), "--spool", &spool]);
    road.leave();
    road.captures();
    let waiting = road.waiting();
    road.arrive();
    let begin = road.wire.sent();
    // The wire is another address of the repository, and spools are found by address.
    let through_wire = spool_for(&road);
    for round in 1..=5 {
        let mut send = road.command_to(road.wire.port(), &["disk", "send", "--spool", &through_wire]);
        send.args(["--limit-upload", "16000"]).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = send.spawn().expect("starts");
        while road.wire.sent() - begin < waiting / 7 * round {
            assert!(child.try_wait().expect("our child").is_none(), "it ended by itself");
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        child.kill().expect("killed");
        child.wait().expect("ended");
        assert_eq!(road.snapshots(), 1);
    }
    let send = road.command_to(road.wire.port(), &["disk", "send", "--spool", &through_wire]).output().expect("runs");
    assert!(send.status.success(), "{}", String::from_utf8_lossy(&send.stderr));
    let sent = road.wire.sent() - begin;
    // Of packs that were on their way, a part is sent twice: five times some packs of 4 MiB.
    assert!(sent < waiting + 5 * 5 * 5 * MIB, "{sent} bytes for {waiting}");
    assert_eq!(road.snapshots(), 2);
    road.is_right();
}

/// The same spool under the address that leads through the wire.
fn spool_for(road: &Road) -> String {
    let spool = PathBuf::from(road.spool());
    let of = |port: u16| {
        let location = format!("rest:http://127.0.0.1:{port}/laptop/");
        spool.join(backend::Id::of(location.as_bytes()).short())
    };
    fs::rename(of(road.port), of(road.wire.port())).expect("renamed");
    spool.to_str().expect("UTF-8").to_owned()
}

#[test]
fn a_spool_that_is_full_sends_the_rest_at_once() {
    let Some(road) = Road::new(64 * MIB) else { return };
    let spool = road.room.path().join("spool");
    fs::create_dir(&spool).expect("a folder");
    let folder = spool.to_str().expect("UTF-8");
    succeeds("mount", &["-t", "tmpfs", "-o", "size=28m", "tmpfs", folder]);
    let output = road.run(&["disk", "backup", road.disk.name(), "--spool", folder, "--pack-size", "4"]);
    let left = road.waiting();
    succeeds("umount", &[folder]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!((road.snapshots(), left), (1, 0));
    road.is_right();
}

#[test]
fn a_spool_on_the_disk_itself_is_refused() {
    if !is_root_or_skip() {
        return;
    }
    let room = tempfile::tempdir().expect("room");
    let device = LoopDevice::create(&room.path().join("disk"), 64 * MIB);
    succeeds("mkfs.ext4", &["-q", device.name()]);
    let mounted = Mounted::new(device.name(), &room.path().join("mounted"));
    let stead = Peer::at(env!("CARGO_BIN_EXE_stead"));
    let repository = room.path().join("repository");
    stead.succeeds(&repository, ["init"]);
    let spool = mounted.folder().join("spool");
    let output = stead.on(&repository, ["disk", "backup", device.name(), "--spool", spool.to_str().expect("UTF-8")]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("lies on it"), "{said}");
    // A repository on this machine needs no spool.
    let mut auto = stead.repository_command(&repository);
    let state = room.path().join("state");
    let output = auto.env("XDG_STATE_HOME", &state).args(["disk", "backup", device.name(), "--spool", "auto"]).output();
    assert!(output.expect("runs").status.success());
    assert!(!state.join("stead/spool").exists());
}
