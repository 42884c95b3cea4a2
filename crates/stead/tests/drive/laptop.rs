//! A laptop: an agent in a network namespace of its own, which can be stopped and continued as sleep does it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Child;

use fleet::MachineId;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use testkit::Peer;

use crate::house::{CODE, House, stead};
use crate::road::command_within;

/// A laptop that has joined.
pub(crate) struct Laptop {
    room: PathBuf,
    state: PathBuf,
    agent: Child,
    pub(crate) machine: MachineId,
}

impl Laptop {
    /// Joins over whatever road is open in the namespace, and begins its work. `bus` is where desktop services are.
    pub(crate) fn joins(house: &House, room: &Path, namespace: &str, name: &str, bus: &str) -> Laptop {
        let state = room.join(name);
        let command = |words: &[&str]| {
            let mut command = stead(room, command_within(namespace, env!("CARGO_BIN_EXE_stead")));
            command.arg("agent").args(words).arg("--state").arg(&state).env("DBUS_SYSTEM_BUS_ADDRESS", bus);
            command
        };
        let (address, right) = (house.address(), house.fingerprint());
        let joined = command(&["enrol", address, CODE, "--fingerprint", right, "--name", name, "--json"]).output();
        let joined = joined.expect("it runs");
        assert!(joined.status.success(), "{}", String::from_utf8_lossy(&joined.stderr));
        let told: Value = serde_json::from_slice(&joined.stdout).expect("JSON");
        let machine = told["machine"].as_str().expect("a machine").parse().expect("a UUID");
        let log = File::create(room.join(format!("{name}.log"))).expect("a log");
        let mut run = command(&["run"]);
        run.arg("--hooks").arg(room.join("no hooks")).stdout(log.try_clone().expect("a log")).stderr(log);
        Laptop { room: room.to_owned(), agent: run.spawn().expect("it starts"), state, machine }
    }

    /// What its agent says of itself.
    pub(crate) fn status(&self) -> String {
        let mut command = stead(&self.room, std::process::Command::new(env!("CARGO_BIN_EXE_stead")));
        let told = command.args(["agent", "status", "--state"]).arg(&self.state).output().expect("it runs");
        String::from_utf8_lossy(&told.stdout).into_owned()
    }

    /// Nothing of the agent moves until it is continued.
    pub(crate) fn stops(&self) {
        kill_process(Pid::from_child(&self.agent), Signal::STOP).expect("our own child");
    }

    pub(crate) fn goes_on(&self) {
        kill_process(Pid::from_child(&self.agent), Signal::CONT).expect("our own child");
    }

    /// Bytes that the repository holds, and those of them that its snapshots need: the rest is what was written again
    /// while it was read.
    pub(crate) fn stored(&self, house: &House, restic: &Peer) -> (u64, u64) {
        let repository = house.repository(self.machine);
        let mut command = restic.command();
        command.args(["stats", "--mode", "raw-data", "--json", "--no-cache", "--no-lock", "-r"]).arg(&repository);
        let stats = command.arg("--password-file").arg(self.password()).output().expect("it runs");
        assert!(stats.status.success(), "{}", String::from_utf8_lossy(&stats.stderr));
        let stats: Value = serde_json::from_slice(&stats.stdout).expect("JSON");
        (bytes_below(&repository.join("data")), stats["total_size"].as_u64().expect("bytes"))
    }

    /// Restores the newest image of a disk into a new file.
    pub(crate) fn restores(&self, house: &House, disk: &str) -> PathBuf {
        let image = self.room.join("restored");
        let mut command = stead(&self.room, std::process::Command::new(env!("CARGO_BIN_EXE_stead")));
        command.args(["disk", "restore", &format!("latest:{disk}")]).arg(&image).arg("-r");
        command.arg(house.repository(self.machine)).arg("--password-file").arg(self.password()).arg("--no-cache");
        let restored = command.output().expect("it runs");
        assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
        image
    }

    fn password(&self) -> PathBuf {
        self.state.join("repository.password")
    }

    /// Kills it, stopped or not.
    pub(crate) fn ends(&mut self) {
        _ = self.agent.kill();
        _ = self.agent.wait();
    }
}

fn bytes_below(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten();
    let sizes = entries.map(|entry| match entry.file_type().expect("a kind").is_dir() {
        true => bytes_below(&entry.path()),
        false => entry.metadata().expect("a size").len(),
    });
    sizes.sum()
}

impl Drop for Laptop {
    fn drop(&mut self) {
        self.ends();
        if std::thread::panicking() {
            let name = self.state.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let log = std::fs::read_to_string(self.room.join(format!("{name}.log"))).unwrap_or_default();
            eprintln!("{name} says:\n{}\n{log}", self.status());
        }
    }
}
