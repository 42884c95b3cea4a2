//! PostgreSQL on a disk that is captured while pgbench runs: the copy starts, and its data are of one instant.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use stead_disks::capture::{Start, View};
use testkit::loop_device::is_root_or_skip;

use crate::live::{patient, print};
use crate::{FileSink, LiveDisk, run, tracked};

/// A server on a folder, run as the user postgres, reached by a socket in the same folder.
struct Server {
    programs: PathBuf,
    data: PathBuf,
    sockets: PathBuf,
}

fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    versions.flatten().map(|entry| entry.path().join("bin")).find(|folder| folder.join("pgbench").exists())
}

impl Server {
    fn new(programs: PathBuf, main: &Path) -> Server {
        Server { programs, data: main.join("postgres"), sockets: PathBuf::from("/tmp") }
    }

    fn port(&self) -> String {
        (20_000 + std::process::id() % 20_000).to_string()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(self.programs.join(program));
        command.current_dir("/").env("PGHOST", &self.sockets).env("PGPORT", self.port()).env("PGUSER", "postgres");
        command
    }

    fn succeeds(&self, program: &str, args: &[&str]) -> String {
        let output = self.command(program).args(args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {args:?}: {said}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn init(&self) {
        fs::create_dir(&self.data).unwrap();
        fs::set_permissions(&self.data, fs::Permissions::from_mode(0o700)).unwrap();
        let id = |option: &str| {
            let output = Command::new("id").args([option, "postgres"]).output().unwrap();
            String::from_utf8_lossy(&output.stdout).trim().parse::<u32>().unwrap()
        };
        chown(&self.data, Some(id("-u")), Some(id("-g"))).unwrap();
        self.succeeds("initdb", &["-D", self.data.to_str().unwrap(), "--auth=trust", "-E", "UTF8"]);
    }

    fn start(&self) -> Running<'_> {
        let options = format!("-k {} -p {} -c listen_addresses=", self.sockets.display(), self.port());
        // Its own files must not keep this test's pipes open.
        let started = self
            .command("pg_ctl")
            .args(["-D", self.data.to_str().unwrap(), "-w", "-t", "120", "-o", &options, "-l"])
            .arg(self.data.join("log"))
            .arg("start")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(started.success(), "{}", fs::read_to_string(self.data.join("log")).unwrap_or_default());
        Running { server: self }
    }

    fn ask(&self, sql: &str) -> String {
        self.succeeds("psql", &["-qAtX", "-v", "ON_ERROR_STOP=1", "-c", sql, "postgres"])
    }
}

/// A server that is stopped when this is dropped.
struct Running<'a> {
    server: &'a Server,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let data = self.server.data.to_str().unwrap();
        let _ = self.server.command("pg_ctl").args(["-D", data, "-m", "immediate", "-w", "stop"]).output();
    }
}

fn load(server: &Server, folder: &Path) -> Child {
    server.succeeds("pgbench", &["-i", "-q", "-s", "2", "postgres"]);
    server.ask("create table one (n bigint); create table two (n bigint); create sequence numbers");
    let script = folder.join("script.sql");
    let sequence = "select nextval('numbers') as n \\gset\nbegin;\ninsert into one values (:n);\ninsert into two values (:n);\n\
                    end;\nupdate pgbench_accounts set abalance = abalance + 1 where aid = :n % 200000 + 1;\n";
    fs::write(&script, sequence).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = server.command("pgbench");
    command.args(["-n", "-c", "2", "-T", "600", "-R", "300", "-f"]).arg(&script).arg("postgres");
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn postgresql_starts_from_an_image_that_was_taken_under_load() {
    if !is_root_or_skip() {
        return;
    }
    let Some(programs) = programs() else {
        testkit::peer::skip("PostgreSQL not found; run `cargo xtask setup`");
        return;
    };
    let disk = LiveDisk::new("ext4", 512 << 20);
    let folder = disk.image().parent().unwrap().to_owned();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    let server = Server::new(programs, &disk.main());
    server.init();
    let running = server.start();
    let mut bench = load(&server, &folder);
    std::thread::sleep(Duration::from_secs(2));
    let tracker = tracked(disk.device());
    let sink = FileSink::create(&disk.image(), disk.size());
    let outcome = run(disk.device(), View::Tracked(&tracker), Start::Everything, &sink, patient());
    let written: i64 = server.ask("select count(*) from one").parse().unwrap();
    bench.kill().unwrap();
    bench.wait().unwrap();
    drop(running);
    let outcome = outcome.unwrap();
    print("PostgreSQL on ext4", &outcome);

    let copy = disk.becomes_its_image();
    // A machine that starts has no such process; this one may not have waited for it yet.
    fs::remove_file(server.data.join("postmaster.pid")).unwrap();
    let again = server.start();
    let count: i64 = server.ask("select count(*) from one").parse().unwrap();
    assert!(count > 0 && count <= written, "{count} of {written}");
    let differing = "select count(*) from (select n from one except select n from two) d, (select count(*) from two) c";
    assert_eq!(server.ask(differing), "0");
    assert_eq!(server.ask("select (select count(*) from one) = (select count(*) from two)"), "t");
    assert_eq!(server.ask("select count(*) from pgbench_accounts"), "200000");
    drop(again);
    copy.proves_sound();
}
