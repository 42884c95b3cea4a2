//! A certificate that browsers know, from an authority that speaks ACME: pebble, as Debian packages it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use testkit::{Authority, Peer, Server as Servant, Validity, free_port};

use super::running::{Server, up};

/// The name that the server is to be known by; pebble's own names lead to this machine.
const NAME: &str = "backup.example.com";

/// What must come, comes within this time, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// An authority that looks for every name on this machine, at one port.
struct Pebble {
    directory: String,
    ours: Authority,
    _room: TempDir,
    servers: Vec<Servant>,
}

impl Pebble {
    fn start(door: u16) -> Option<Pebble> {
        let (pebble, names) = (Peer::find("pebble")?, Peer::find("pebble-challtestsrv")?);
        let (room, ours) = (tempfile::tempdir().unwrap(), Authority::new());
        let shown = ours.issue("pebble", "DNS:localhost", Validity::Today);
        let [listen, management, resolver, asked] = [free_port(), free_port(), free_port(), free_port()];
        let config = serde_json::json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{listen}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": shown.certificate, "privateKey": shown.key,
            "httpPort": 1, "tlsPort": door, "ocspResponderURL": "", "externalAccountBindingRequired": false,
        }});
        let file = room.path().join("pebble.json");
        std::fs::write(&file, config.to_string()).unwrap();
        let mut command = names.command();
        command.args([
            "-http01",
            "",
            "-https01",
            "",
            "-tlsalpn01",
            "",
            "-defaultIPv6",
            "",
            "-defaultIPv4",
            "127.0.0.1",
        ]);
        command.args(["-dns01", &format!("127.0.0.1:{resolver}"), "-management", &format!("127.0.0.1:{asked}")]);
        let resolves = Servant::start(&mut command, asked);
        let mut command = pebble.command();
        command.env("PEBBLE_VA_NOSLEEP", "1").arg("-config").arg(&file);
        let issues = Servant::start(command.args(["-dnsserver", &format!("127.0.0.1:{resolver}")]), listen);
        let directory = format!("https://localhost:{listen}/dir");
        Some(Pebble { directory, ours, _room: room, servers: vec![resolves, issues] })
    }
}

fn known_by_name(folder: &TempDir, door: u16, directory: &str, root: &Path) -> Command {
    let listen = format!("127.0.0.1:{door}");
    let mut command = up(folder, &["--only-server", "--listen", &listen, "--name", NAME, "--acme"]);
    command.args(["--acme-directory", directory, "--acme-root"]).arg(root).stderr(Stdio::null());
    command
}

/// Who signed what is shown to somebody who speaks these protocols, and its number.
fn shown(door: u16, protocols: &str) -> String {
    let mut ask = Command::new("sh");
    ask.arg("-c").arg(format!(
        "openssl s_client -connect 127.0.0.1:{door} -servername {NAME} -alpn {protocols} </dev/null 2>/dev/null | \
         openssl x509 -noout -issuer -serial -ext subjectAltName"
    ));
    String::from_utf8(ask.output().unwrap().stdout).unwrap()
}

fn public(door: u16) -> String {
    let begin = Instant::now();
    loop {
        let found = shown(door, "h2,http/1.1");
        if found.contains("Pebble") {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "browsers are still shown {found}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn browsers_are_shown_a_certificate_that_they_know_and_agents_the_one_that_they_pin() {
    let door = free_port();
    let Some(mut pebble) = Pebble::start(door) else { return };
    let folder = tempfile::tempdir().unwrap();
    let root = pebble.ours.certificate();
    let directory = pebble.directory.clone();
    let start = || Server::start_by(known_by_name(&folder, door, &directory, &root));
    let server = start();
    let first = public(door);
    assert!(first.contains(&format!("DNS:{NAME}")), "{first}");
    assert!(shown(door, "http/1.1,stead-pinned").contains("authority of this stead server"));
    let machine = tempfile::tempdir().unwrap();
    let address = format!("https://localhost:{door}");
    let fingerprint = server.told["fingerprint"].as_str().unwrap();
    let mut enrol = Command::new(env!("CARGO_BIN_EXE_stead"));
    enrol.args(["agent", "--state"]).arg(machine.path());
    enrol.args(["enrol", &address, "AAAA-BBBB", "--fingerprint", fingerprint]);
    let told = String::from_utf8(enrol.output().unwrap().stderr).unwrap();
    assert!(told.contains("This code lets nobody in"), "the pin must hold, the code must not: {told}");
    assert!(server.stop());
    pebble.servers.clear();
    let again = start();
    assert_eq!(public(door), first, "what was got is kept, and shown though its authority is away");
    assert!(again.stop());
}

#[test]
fn without_its_authority_the_server_answers_all_the_same() {
    let (door, folder) = (free_port(), tempfile::tempdir().unwrap());
    let ours = Authority::new();
    let directory = format!("https://localhost:{}/dir", free_port());
    let server = Server::start_by(known_by_name(&folder, door, &directory, &ours.certificate()));
    assert!(shown(door, "h2,http/1.1").contains("authority of this stead server"));
    assert!(server.stop());
}

#[test]
fn an_address_is_no_name_that_an_authority_vouches_for() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["192.0.2.7", "server"] {
        let output = up(&folder, &["--only-server", "--name", name, "--acme"]).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains("no name that an authority vouches for"), "{told}");
    }
}

#[test]
fn a_given_certificate_is_shown_anew_when_its_files_change() {
    let (door, folder, ours) = (free_port(), tempfile::tempdir().unwrap(), Authority::new());
    let given = ours.issue("first", &format!("DNS:{NAME}"), Validity::Today);
    let listen = format!("127.0.0.1:{door}");
    let mut command = up(&folder, &["--only-server", "--listen", &listen, "--name", NAME, "--tls-cert"]);
    let server = Server::start_by({
        command.arg(&given.certificate).arg("--tls-key").arg(&given.key);
        command
    });
    let serial = |text: &str| text.lines().find(|line| line.starts_with("serial")).map(str::to_owned);
    let begin = Instant::now();
    while shown(door, "h2").contains("authority of this stead server") {
        assert!(begin.elapsed() < PATIENCE, "the given certificate is not shown");
        std::thread::sleep(Duration::from_millis(100));
    }
    let first = shown(door, "h2");
    let renewed = ours.issue("second", &format!("DNS:{NAME}"), Validity::Today);
    std::fs::copy(&renewed.key, &given.key).unwrap();
    std::fs::copy(&renewed.certificate, &given.certificate).unwrap();
    let begin = Instant::now();
    while serial(&shown(door, "h2")) == serial(&first) {
        assert!(begin.elapsed() < PATIENCE, "the renewed certificate is not shown");
        std::thread::sleep(Duration::from_millis(500));
    }
    assert!(shown(door, "stead-pinned,http/1.1").contains("authority of this stead server"));
    assert!(server.stop());
}
