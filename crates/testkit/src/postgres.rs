//! PostgreSQL, as Debian packages it: a server of one test's own, on a socket, with as many databases as it asks for.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{Peer, Server};

/// A server, gone with its data when dropped.
#[derive(Debug)]
pub struct Postgres {
    room: TempDir,
    programs: PathBuf,
    // Ends before its room goes.
    server: Option<Server>,
}

impl Postgres {
    /// Starts one; `None` (a skip) where it is not installed.
    pub fn start() -> Option<Postgres> {
        let programs = programs()?;
        let room = TempDir::new().expect("room");
        // It refuses to run as root, and its own user must get at the room.
        std::fs::set_permissions(room.path(), PermissionsExt::from_mode(0o777)).expect("permissions");
        let mut postgres = Postgres { room, programs, server: None };
        let mut make = postgres.command("initdb");
        make.args(["--auth=trust", "--username=stead", "--no-sync", "--encoding=UTF8", "--locale=C"]);
        run(make.arg("-D").arg(postgres.data()));
        postgres.start_again();
        Some(postgres)
    }

    /// Starts it once more after [`Postgres::stop`]; what was committed is there.
    pub fn start_again(&mut self) {
        let mut serve = self.command("postgres");
        serve.args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=200", "-D"]);
        serve.arg(self.data()).arg("-k").arg(self.room.path());
        let answers = || self.client("pg_isready").output().is_ok_and(|output| output.status.success());
        self.server = Some(Server::start_until(&mut serve, answers));
    }

    /// Ends it as a crash does: connections break, and new ones are refused.
    pub fn stop(&mut self) {
        let mut stop = self.command("pg_ctl");
        _ = stop.args(["stop", "-m", "immediate", "-D"]).arg(self.data()).output();
        drop(self.server.take());
    }

    /// Lets all its processes stand still: connections stay, and nothing answers.
    pub fn freeze(&self) {
        self.each(Signal::STOP);
    }

    /// Lets them go on.
    pub fn thaw(&self) {
        self.each(Signal::CONT);
    }

    fn each(&self, signal: Signal) {
        let postmaster = self.server.as_ref().expect("it runs").pid();
        for pid in std::iter::once(postmaster).chain(children(postmaster)) {
            // One that has ended meanwhile needs no signal.
            _ = Pid::from_raw(pid as i32).map(|pid| kill_process(pid, signal));
        }
    }

    /// Makes an empty database; its address.
    pub fn database(&self, name: &str) -> String {
        run(self.client("createdb").arg(name));
        format!("postgres://stead@localhost/{name}?host={}", self.room.path().display())
    }

    fn data(&self) -> PathBuf {
        self.room.path().join("data")
    }

    /// A program that talks to it.
    fn client(&self, program: &str) -> Command {
        let mut command = self.command(program);
        command.arg("-h").arg(self.room.path()).args(["-U", "stead"]);
        command
    }

    /// One of its programs, run by its own user where we are root.
    fn command(&self, program: &str) -> Command {
        let program = self.programs.join(program);
        let mut command = match rustix::process::geteuid().is_root() {
            true => Command::new("setpriv"),
            false => Command::new(&program),
        };
        if rustix::process::geteuid().is_root() {
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(&program);
        }
        command.current_dir(self.room.path());
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The processes that a process has begun.
fn children(parent: u32) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| parent_of(*pid) == Some(parent)).collect()
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it is in brackets and may hold anything.
    stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
}

/// Where Debian has the newest one's programs; else the folder of a `postgres` on the path.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let folders = versions.map(|version| version.path().join("bin")).filter(|bin| bin.join("postgres").is_file());
    let newest = folders.max();
    newest.or_else(|| Peer::find("postgres")?.path().parent().map(Path::to_path_buf))
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
