//! A disk, and a repository on a server that comes and goes.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;
use testkit::bench::{as_str, succeeded, told};
use testkit::loop_device::is_root_or_skip;
use testkit::{LoopDevice, Peer, Server, Wire, free_port, sample};

pub(crate) const MIB: u64 = 1 << 20;

/// The disk, the server, and a spool.
pub(crate) struct Road {
    pub(crate) disk: LoopDevice,
    server: Option<Server>,
    pub(crate) port: u16,
    pub(crate) wire: Wire,
    stead: Peer,
    spool: PathBuf,
    pub(crate) room: TempDir,
}

impl Road {
    /// With a disk that has no file system and is full. None if this is not for root, or there is no server.
    pub(crate) fn new(size: u64) -> Option<Road> {
        Road::with(|path| fs::write(path, sample::random_bytes(1, size as usize)).expect("a disk"))
    }

    /// With a disk that is made so.
    pub(crate) fn with(make: impl FnOnce(&Path)) -> Option<Road> {
        if !is_root_or_skip() {
            return None;
        }
        Peer::find("restic-rest-server")?;
        let room = tempfile::tempdir().expect("room");
        make(&room.path().join("disk"));
        let disk = LoopDevice::attach(&room.path().join("disk"));
        let (port, spool) = (free_port(), room.path().join("spool"));
        let stead = Peer::at(env!("CARGO_BIN_EXE_stead"));
        let mut road = Road { disk, server: None, port, wire: Wire::to(port), stead, spool, room };
        road.arrive();
        road.says(&["init"]);
        Some(road)
    }

    /// There is a network.
    pub(crate) fn arrive(&mut self) {
        let mut command = Peer::find("restic-rest-server").expect("it was there").command();
        let listen = format!("127.0.0.1:{}", self.port);
        command.args(["--no-auth", "--listen", &listen, "--path"]).arg(self.room.path().join("store"));
        self.server = Some(Server::start(&mut command, self.port));
    }

    /// There is none.
    pub(crate) fn leave(&mut self) {
        self.server = None;
    }

    /// The spool is there from now on.
    pub(crate) fn puts_its_spool(&mut self, spool: PathBuf) {
        self.spool = spool;
    }

    pub(crate) fn spool(&self) -> String {
        as_str(&self.spool).to_owned()
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.room.path().join(name)
    }

    pub(crate) fn command_to(&self, port: u16, words: &[&str]) -> Command {
        let place = format!("rest:http://127.0.0.1:{port}/laptop/");
        let mut command = self.stead.command();
        command.env("RESTIC_REPOSITORY", place).env("RESTIC_PASSWORD", "test").args(words);
        command
            .env("XDG_STATE_HOME", self.room.path().join("state"))
            .env("XDG_CACHE_HOME", self.room.path().join("cache"));
        command
    }

    pub(crate) fn run(&self, words: &[&str]) -> Output {
        self.command_to(self.port, words).output().expect("runs")
    }

    pub(crate) fn says(&self, words: &[&str]) -> String {
        succeeded(&self.run(words))
    }

    /// What a backup says that has to wait.
    pub(crate) fn captures(&self) -> Vec<Value> {
        let spool = self.spool();
        let words = ["disk", "backup", self.disk.name(), "--spool", &spool, "--pack-size", "4", "--json"];
        let output = self.run(&words);
        let said = told(&output);
        assert!(output.status.code() == Some(20) && said.contains("captured, not sent: 0 of"), "{said}");
        messages(&output)
    }

    pub(crate) fn snapshots(&self) -> usize {
        let all: Value = serde_json::from_str(&self.says(&["snapshots", "--json"])).expect("JSON");
        all.as_array().expect("a list").len()
    }

    /// Writes to the disk, so that it stays there.
    pub(crate) fn write(&self, seed: u64, offset: u64, bytes: u64) {
        let disk = File::options().write(true).open(self.disk.path()).expect("the disk");
        disk.write_all_at(&sample::random_bytes(seed, bytes as usize), offset).expect("written");
        disk.sync_all().expect("synced");
    }

    /// The newest image is the disk, and the repository is sound.
    pub(crate) fn is_right(&self) {
        let target = self.room.path().join("restored");
        self.says(&["disk", "restore", "latest", target.to_str().expect("UTF-8")]);
        let disk = fs::read(self.disk.path()).expect("the disk");
        assert!(fs::read(&target).expect("the image") == disk, "the image differs");
        fs::remove_file(target).expect("removed");
        self.says(&["check"]);
    }

    /// Bytes of packs in the repository.
    pub(crate) fn stored(&self) -> u64 {
        files(&self.at("store")).iter().filter(|path| is_pack(path)).map(|path| length(path)).sum()
    }

    /// Bytes of packs that wait.
    pub(crate) fn waiting(&self) -> u64 {
        files(Path::new(&self.spool())).iter().filter(|path| is_pack(path)).map(|path| length(path)).sum()
    }
}

pub(crate) fn messages(output: &Output) -> Vec<Value> {
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    printed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        // It may not be there yet, and what is in it is written.
        for entry in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            if entry.is_dir() { folders.push(entry) } else { found.push(entry) }
        }
    }
    found
}

fn is_pack(path: &Path) -> bool {
    let is_named_by_hash = path.file_name().is_some_and(|name| name.len() == 64);
    is_named_by_hash && path.components().any(|part| part.as_os_str() == "data")
}

/// Whatever is written there meanwhile.
fn length(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.len())
}
