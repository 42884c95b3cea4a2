//! Gate 2: the whole way of a backup on real storages: rest-server, `rclone serve restic`, OpenSSH's sftp-server,
//! `rclone serve s3`, azurite, and rclone as a child.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use testkit::{Peer, Picture, Server, free_port, sample};

/// A traveller's machine: a folder, and `stead` on some storage.
struct Machine {
    room: TempDir,
    stead: Peer,
    location: String,
    options: Vec<String>,
    environment: Vec<(&'static str, &'static str)>,
}

impl Machine {
    fn on(location: String) -> Machine {
        let room = TempDir::new().expect("room");
        fs::create_dir(room.path().join("source")).expect("a folder");
        sample::office(&room.path().join("source"), 1, 100);
        let stead = Peer::at(env!("CARGO_BIN_EXE_stead"));
        Machine { room, stead, location, options: Vec::new(), environment: Vec::new() }
    }

    fn source(&self) -> PathBuf {
        self.room.path().join("source")
    }

    /// With a cache of its own, as on every machine: what is said of storages must hold with it.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.stead.command();
        command.env("RESTIC_REPOSITORY", &self.location).env("RESTIC_PASSWORD", "test");
        command.env_remove("STEAD_REPOSITORY").env_remove("STEAD_PASSWORD");
        command
            .arg("--cache-dir")
            .arg(self.cache())
            .args(self.options.iter().flat_map(|option| ["-o", option]))
            .args(words);
        command.envs(self.environment.iter().copied()).env("HOME", self.room.path());
        command
    }

    #[track_caller]
    fn succeeds(&self, words: &[&str]) -> String {
        let output = self.command(words).output().expect("runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{words:?} on {}: {said}", self.location);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn cache(&self) -> PathBuf {
        self.room.path().join("cache")
    }

    /// What a command says when it fails, as it must.
    #[track_caller]
    fn fails(&self, words: &[&str]) -> String {
        let output = self.command(words).output().expect("runs");
        assert!(!output.status.success(), "{words:?} on {} succeeds", self.location);
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Backs up twice, checks, forgets, prunes, restores.
    #[track_caller]
    fn lives_a_week(&self) {
        let source = self.source();
        let source = source.to_str().expect("UTF-8");
        self.succeeds(&["init"]);
        self.succeeds(&["backup", source]);
        sample::a_day_of_work(&self.source(), 2, 4);
        self.succeeds(&["backup", source]);
        self.succeeds(&["forget", "--keep-last", "1", "--prune", "--max-unused", "0"]);
        self.succeeds(&["check", "--read-data"]);
        let target = self.room.path().join("restored");
        let below = format!("latest:{source}");
        self.succeeds(&["restore", &below, "--target", target.to_str().expect("UTF-8")]);
        Picture::of(&self.source()).assert_same(&Picture::of(&target));
    }
}

/// restic's REST server on a folder, and where a laptop's repository is on it.
fn rest_server(store: &Path, more: &[&str]) -> Option<(Server, String)> {
    let server = Peer::find("restic-rest-server")?;
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    let mut command = server.command();
    command.args(["--no-auth", "--listen", &listen, "--path"]).arg(store).args(more);
    let server = Server::start(&mut command, port);
    Some((server, format!("rest:http://{listen}/laptop/")))
}

#[test]
fn a_week_on_rest_server() {
    let store = TempDir::new().expect("room");
    let Some((_server, location)) = rest_server(store.path(), &[]) else { return };
    Machine::on(location).lives_a_week();
}

/// Swaps two bits of every pack of folders that the server holds; their sizes stay.
fn damage_trees(store: &Path) {
    let mut packs = 0;
    for folder in fs::read_dir(store.join("laptop/data")).expect("folders").flatten() {
        for pack in fs::read_dir(folder.path()).expect("packs").flatten() {
            let mut content = fs::read(pack.path()).expect("a pack");
            content[20] ^= 0x18;
            // rest-server stores files read-only.
            fs::remove_file(pack.path()).expect("removed");
            fs::write(pack.path(), content).expect("written");
            packs += 1;
        }
    }
    assert!(packs > 0);
}

/// What this machine remembers says nothing about what the storage holds.
#[test]
fn a_check_believes_the_cache_only_if_it_is_told_to() {
    let store = TempDir::new().expect("room");
    let Some((_server, location)) = rest_server(store.path(), &[]) else { return };
    let machine = Machine::on(location);
    machine.succeeds(&["init"]);
    machine.succeeds(&["backup", machine.source().to_str().expect("UTF-8")]);
    machine.succeeds(&["check"]);
    damage_trees(store.path());
    machine.succeeds(&["check", "--with-cache"]);
    let said = machine.fails(&["check"]);
    assert!(said.contains("tree"), "{said}");
    let rooms = fs::read_dir(machine.cache()).expect("the cache").flatten();
    assert_eq!(rooms.filter(|room| room.file_name().to_string_lossy().starts_with("check-")).count(), 0);
}

#[test]
fn a_week_on_rclone_serve_restic() {
    let Some(rclone) = Peer::find("rclone") else { return };
    let store = TempDir::new().expect("room");
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    let mut command = rclone.command();
    let _server = Server::start(command.args(["serve", "restic", "--addr", &listen]).arg(store.path()), port);
    Machine::on(format!("rest:http://{listen}/laptop/")).lives_a_week();
}

#[test]
fn a_week_on_an_s3_server() {
    let Some(rclone) = Peer::find("rclone") else { return };
    let store = TempDir::new().expect("room");
    fs::create_dir(store.path().join("bucket")).expect("a bucket");
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    let mut command = rclone.command();
    command.args(["serve", "s3", "--addr", &listen, "--auth-key", "anna,secret"]).arg(store.path());
    let _server = Server::start(&mut command, port);
    let mut machine = Machine::on(format!("s3:http://{listen}/bucket/laptop"));
    machine.environment = vec![("AWS_ACCESS_KEY_ID", "anna"), ("AWS_SECRET_ACCESS_KEY", "secret")];
    machine.lives_a_week();
}

/// The account that azurite knows, and its key, which is public.
const AZURITE: [(&str, &str); 2] = [
    ("AZURE_ACCOUNT_NAME", "devstoreaccount1"),
    ("AZURE_ACCOUNT_KEY", "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="),
];

#[test]
fn a_week_on_azure() {
    let (Some(azurite), Some(rclone)) = (Peer::find("azurite-blob"), Peer::find("rclone")) else { return };
    let store = TempDir::new().expect("room");
    let port = free_port();
    let mut command = azurite.command();
    command.args(["--silent", "--disableTelemetry", "--skipApiVersionCheck", "--blobPort", &port.to_string()]);
    let _server = Server::start(command.arg("--location").arg(store.path()), port);
    let [(_, account), (_, key)] = AZURITE;
    let endpoint = format!("http://127.0.0.1:{port}/{account}");
    let container = format!(":azureblob,account={account},key='{key}',endpoint='{endpoint}':container");
    let made = rclone.command().args(["mkdir", "--config", "/dev/null", &container]).output().expect("runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let mut machine = Machine::on("azure:container:/laptop".into());
    machine.environment = AZURITE.to_vec();
    machine.options = vec![format!("azure.endpoint={endpoint}")];
    machine.lives_a_week();
}

#[test]
fn a_week_over_a_unix_socket() {
    let Some(server) = Peer::find("restic-rest-server") else { return };
    let store = TempDir::new().expect("room");
    let socket = store.path().join("rest.sock");
    let mut command = server.command();
    command.args(["--no-auth", "--listen", &format!("unix:{}", socket.display()), "--path"]).arg(store.path());
    let _server = Server::start_until(&mut command, || UnixStream::connect(&socket).is_ok());
    Machine::on(format!("rest:http+unix://{}:/laptop/", socket.display())).lives_a_week();
}

#[test]
fn a_week_over_sftp() {
    let server = Path::new("/usr/lib/openssh/sftp-server");
    if !server.exists() {
        testkit::peer::skip("OpenSSH's sftp-server is not installed; run `cargo xtask setup`");
        return;
    }
    let store = TempDir::new().expect("room");
    let mut machine = Machine::on(format!("sftp:anna@box:{}/laptop", store.path().display()));
    machine.options = vec![format!("sftp.command={}", server.display())];
    machine.lives_a_week();
}

#[test]
fn a_week_through_rclone() {
    let Some(rclone) = Peer::find("rclone") else { return };
    let store = TempDir::new().expect("room");
    let mut machine = Machine::on(format!("rclone:{}", store.path().join("laptop").display()));
    machine.options = vec![format!("rclone.program={}", rclone.path().display())];
    machine.lives_a_week();
}

#[test]
fn an_append_only_server_takes_backups_and_refuses_to_forget() {
    let store = TempDir::new().expect("room");
    let Some((_server, location)) = rest_server(store.path(), &["--append-only"]) else { return };
    let machine = Machine::on(location);
    let source = machine.source();
    let source = source.to_str().expect("UTF-8");
    machine.succeeds(&["init"]);
    for day in 0..3 {
        sample::a_day_of_work(&machine.source(), day, 4);
        machine.succeeds(&["backup", source]);
    }
    let mut forget = machine.stead.repository_command(Path::new(&machine.location));
    let output = forget.args(["forget", "--keep-last", "1"]).output().expect("runs");
    assert_ne!(output.status.code(), Some(0));
    let listed: serde_json::Value = serde_json::from_str(&machine.succeeds(&["snapshots", "--json"])).expect("JSON");
    assert_eq!(listed.as_array().map(Vec::len), Some(3), "the server must have refused");
}
