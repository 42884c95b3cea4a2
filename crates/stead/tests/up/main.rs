//! `stead up` from outside: it answers where it says, lets its owner in once, stops when told, and comes back when lost.

mod fleet;
mod protects;
mod public;
mod running;
mod sheet;
mod terminal;
mod week;

use std::path::Path;
use std::process::Command;

use running::{Server, up};

#[test]
fn a_server_answers_where_it_says_and_stops_when_told() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder);
    let link = server.told["link"].as_str().unwrap().to_owned();
    let path = link.strip_prefix(server.told["address"].as_str().unwrap()).unwrap();
    assert!(server.get(path).starts_with("HTTP/1.1 200"), "{link}");
    assert!(server.get("/").contains("location: /sign-in"));
    assert!(server.stop());
    let again = Server::start(&folder);
    assert_ne!(again.told["link"].as_str().unwrap(), link, "nobody has set a password yet");
    assert!(again.stop());
    let made = Command::new(env!("CARGO_BIN_EXE_stead"))
        .args(["server", "link", "owner@localhost", "--data"])
        .arg(folder.path())
        .output()
        .unwrap();
    let made = String::from_utf8(made.stdout).unwrap();
    assert!(made.starts_with("https://localhost:8443/welcome/"), "{made}");
}

#[test]
fn without_tls_nobody_else_may_connect() {
    let folder = tempfile::tempdir().unwrap();
    let output = up(&folder, &["--plain", "--listen", "0.0.0.0:0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("not on the loopback"), "{told}");
}

#[test]
fn a_link_for_nobody_or_from_nowhere_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let command = |email: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stead"));
        let output = command.args(["server", "link", email, "--data"]).arg(folder.path()).output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(command("owner@localhost").contains("there is no database"));
    assert!(Server::start(&folder).stop());
    assert!(command("nobody@localhost").contains("cannot make a link for nobody@localhost"));
}

fn server_command(folder: &Path, args: &[&str]) -> std::process::Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stead"));
    command
        .arg("server")
        .args(args)
        .arg("--data")
        .arg(folder)
        .env("HOME", folder)
        .env("STEAD_PASSWORD", "kept elsewhere");
    command.output().unwrap()
}

fn told(output: &std::process::Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_server_whose_disk_is_lost_comes_back_as_it_was() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let safe = elsewhere.path().join("safe");
    let safe = safe.to_str().unwrap();
    let authority = |folder: &Path| std::fs::read(folder.join("tls/authority.pem")).unwrap();
    let begun = Server::start_with_tls(&folder);
    let link = begun.told["link"].as_str().unwrap().to_owned();
    for round in ["while it runs", "and once more"] {
        let made = server_command(folder.path(), &["backup", "-r", safe]);
        assert!(made.status.success(), "{round}: {}", told(&made));
    }
    let fingerprint = begun.told["fingerprint"].clone();
    assert!(begun.stop());
    let known = authority(folder.path());

    let refused = server_command(folder.path(), &["restore", "-r", safe]);
    assert!(told(&refused).contains("there is a server"), "{}", told(&refused));
    drop(folder);
    let anew = tempfile::tempdir().unwrap();
    let wrong = server_command(anew.path(), &["restore", "-r", elsewhere.path().to_str().unwrap()]);
    assert!(!wrong.status.success());
    let back = server_command(anew.path(), &["restore", "-r", safe]);
    assert!(back.status.success(), "{}", told(&back));
    assert_eq!(authority(anew.path()), known);
    let again = Server::start_with_tls(&anew);
    assert_eq!(again.told["fingerprint"], fingerprint, "agents that pinned it believe it");
    assert!(again.told["link"].as_str().is_some_and(|new| new != link), "its owner is known, without a password yet");
    assert!(again.stop());
}

#[test]
fn a_database_moves_to_postgresql_and_a_backup_comes_back_into_it() {
    let Some(postgres) = testkit::Postgres::start() else { return };
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    assert!(Server::start(&folder).stop());
    let moved_to = postgres.database("moved");
    let moved = server_command(folder.path(), &["move-database", &moved_to]);
    assert!(told(&moved).contains("rows of"), "{}", told(&moved));
    let again = server_command(folder.path(), &["move-database", &moved_to]);
    assert!(told(&again).contains("give an empty one"), "{}", told(&again));

    let safe = elsewhere.path().join("safe");
    let safe = safe.to_str().unwrap();
    let made = server_command(folder.path(), &["backup", "-r", safe, "--database-url", &moved_to]);
    assert!(made.status.success(), "{}", told(&made));
    let anew = tempfile::tempdir().unwrap();
    let url = postgres.database("anew");
    let back = server_command(anew.path(), &["restore", "-r", safe, "--database-url", &url]);
    assert!(back.status.success(), "{}", told(&back));
    let link = server_command(anew.path(), &["link", "owner@localhost", "--database-url", &url]);
    assert!(told(&link).contains("/welcome/"), "{}", told(&link));
}
