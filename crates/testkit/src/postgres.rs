//! PostgreSQL, as Debian packages it: a server of one test's own, on a socket, with as many databases as it asks for.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

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
        let mut serve = postgres.command("postgres");
        serve.args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=200", "-D"]);
        serve.arg(postgres.data()).arg("-k").arg(postgres.room.path());
        let answers = || postgres.client("pg_isready").output().is_ok_and(|output| output.status.success());
        let server = Server::start_until(&mut serve, answers);
        postgres.server = Some(server);
        Some(postgres)
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
        let mut stop = self.command("pg_ctl");
        _ = stop.args(["stop", "-m", "immediate", "-D"]).arg(self.data()).output();
        drop(self.server.take());
    }
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
