//! `stead up` from outside: it answers where it says, lets its owner in once, and stops when told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

fn up(folder: &TempDir, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stead"));
    command.args(["up", "--json", "--data"]).arg(folder.path()).args(args);
    command
}

struct Server {
    child: Child,
    told: Value,
}

impl Server {
    fn start(folder: &TempDir) -> Server {
        let mut command = up(folder, &["--plain", "--listen", "127.0.0.1:0"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        Server { child, told: serde_json::from_str(&line).unwrap() }
    }

    fn get(&self, path: &str) -> String {
        let host = self.told["address"].as_str().unwrap().rsplit('/').next().unwrap();
        let mut stream = TcpStream::connect(host.replace("localhost", "127.0.0.1")).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn stop(mut self) -> bool {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap().success()
    }
}

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
