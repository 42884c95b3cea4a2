//! What the program's options for speaking to servers do, as servers see it: certificates, names, patience.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use testkit::{Authority, Peer, Server, Validity, free_port};

/// rclone serving a folder to those whose certificate `authority` issued.
fn particular_server(authority: &Authority, store: &TempDir) -> Option<(Server, String)> {
    let rclone = Peer::find("rclone")?;
    let own = authority.for_this_machine();
    let port = free_port();
    let mut command = rclone.command();
    command.args(["serve", "restic", "--config", "/dev/null", "--addr", &format!("127.0.0.1:{port}"), "--cert"]);
    command.arg(own.certificate).arg("--key").arg(own.key).arg("--client-ca").arg(authority.certificate());
    Some((Server::start(command.arg(store.path()), port), format!("rest:https://127.0.0.1:{port}/repo/")))
}

fn stead(location: &str, home: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stead"));
    command.env_clear().env("HOME", home.path()).env("RESTIC_PASSWORD", "test").env("RESTIC_REPOSITORY", location);
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn certificates_are_named_by_flags_or_variables() {
    let (authority, room) = (Authority::new(), TempDir::new().expect("room"));
    let Some((_server, location)) = particular_server(&authority, &room) else { return };
    let own = authority.issue("anna", "DNS:anna", Validity::Today);
    let (trusted, own) = (authority.certificate(), own.both);
    let by_flags = |command: &str| {
        let mut stead = stead(&location, &room);
        stead.arg("--cacert").arg(&trusted).arg("--tls-client-cert").arg(&own).arg(command).output().expect("runs")
    };
    let by_variables = |command: &str| {
        let mut stead = stead(&location, &room);
        stead.env("RESTIC_CACERT", &trusted).env("RESTIC_TLS_CLIENT_CERT", &own).arg(command).output().expect("runs")
    };
    let insecure = |command: &str| {
        let mut stead = stead(&location, &room);
        stead.arg("--insecure-tls").arg("--tls-client-cert").arg(&own).arg(command).output().expect("runs")
    };
    for output in [by_flags("init"), by_flags("snapshots"), by_variables("snapshots"), insecure("snapshots")] {
        assert!(output.status.success(), "{}", said(&output));
    }
}

/// Nobody waits for a certificate: it is an error at once, with advice, and never "there is no repository".
#[test]
fn who_is_not_believed_is_told_at_once_what_to_do() {
    let (authority, room) = (Authority::new(), TempDir::new().expect("room"));
    let Some((_server, location)) = particular_server(&authority, &room) else { return };
    let expired = authority.issue("expired", "DNS:anna", Validity::Past);
    let run = |flags: &[&std::ffi::OsStr]| stead(&location, &room).args(flags).arg("snapshots").output().expect("runs");
    let trusted = authority.certificate();
    let trusting = ["--cacert".as_ref(), trusted.as_os_str()];
    let showing = [trusting[0], trusting[1], "--tls-client-cert".as_ref(), expired.both.as_os_str()];
    let started = Instant::now();
    for (flags, words) in [
        (&[][..], "the server's certificate is not believed"),
        (&trusting[..], "certificate"),
        (&showing[..], "the server does not believe our certificate"),
    ] {
        let output = run(flags);
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains(words), "{}", said(&output));
        assert!(said(&output).contains("--cacert") && said(&output).contains("--tls-client-cert"), "{}", said(&output));
    }
    assert!(started.elapsed() < Duration::from_secs(60), "somebody waited");
}

#[test]
fn a_wrong_password_for_the_server_is_told_at_once() {
    let Some(server) = Peer::find("restic-rest-server") else { return };
    let room = TempDir::new().expect("room");
    std::fs::write(room.path().join(".htpasswd"), "anna:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n").expect("a file");
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    let mut command = server.command();
    let _server = Server::start(command.args(["--listen", &listen, "--path"]).arg(room.path()), port);
    let run = |user: &str, password: &str, command: &str| {
        let mut stead = stead(&format!("rest:http://{user}{listen}/repo/"), &room);
        stead.env("RESTIC_REST_USERNAME", if password.is_empty() { "" } else { "anna" });
        stead.env("RESTIC_REST_PASSWORD", password).arg(command).output().expect("runs")
    };
    for output in [run("anna:secret@", "", "init"), run("", "secret", "snapshots")] {
        assert!(output.status.success(), "{}", said(&output));
    }
    for output in [run("anna:mistaken@", "", "snapshots"), run("", "mistaken", "snapshots"), run("", "", "snapshots")] {
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains("401 Unauthorized"), "{}", said(&output));
        assert!(said(&output).contains("check the credentials"), "{}", said(&output));
        assert!(!said(&output).contains("mistaken"), "{}", said(&output));
    }
}

/// A server that writes down the heads of requests and answers each with `answer`, or never where that is empty.
fn listener(answer: &'static str) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let heads: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&heads);
    std::thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            let seen = Arc::clone(&seen);
            std::thread::spawn(move || converse(connection, answer, &seen));
        }
    });
    (port, heads)
}

fn converse(connection: TcpStream, answer: &str, seen: &Mutex<Vec<String>>) {
    let mut requests = BufReader::new(connection.try_clone().expect("a handle"));
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if requests.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        seen.lock().expect("a lock").push(head);
        _ = (&connection).write_all(answer.as_bytes());
    }
}

#[test]
fn the_server_sees_the_name_that_was_chosen() {
    let room = TempDir::new().expect("room");
    let (port, heads) = listener("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    for location in [format!("rest:http://127.0.0.1:{port}/repo/"), format!("s3:http://127.0.0.1:{port}/bucket/repo")] {
        for (flags, expected) in [(&["--http-user-agent", "our proxy/7"][..], "our proxy/7"), (&[], "stead/")] {
            heads.lock().expect("a lock").clear();
            let mut stead = stead(&location, &room);
            stead.env("AWS_ACCESS_KEY_ID", "anna").env("AWS_SECRET_ACCESS_KEY", "secret");
            let output = stead.args(flags).arg("snapshots").output().expect("runs");
            assert_eq!(output.status.code(), Some(10), "{}", said(&output));
            let heads = heads.lock().expect("a lock");
            let named = |head: &String| head.to_lowercase().contains(&format!("\r\nuser-agent: {expected}"));
            assert!(!heads.is_empty() && heads.iter().all(named), "{heads:?}");
        }
    }
}

/// The server takes the request and never answers: it is asked again, and the user hears why.
#[test]
fn a_request_that_is_stuck_is_sent_again_after_the_time_that_was_chosen() {
    let room = TempDir::new().expect("room");
    let (port, heads) = listener("");
    let started = Instant::now();
    let mut stead = stead(&format!("rest:http://127.0.0.1:{port}/repo/"), &room);
    stead
        .args(["--stuck-request-timeout", "1s", "--verbose", "snapshots"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut waiting = stead.spawn().expect("runs");
    while heads.lock().expect("a lock").len() < 3 {
        assert!(started.elapsed() < Duration::from_secs(60), "no third request");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(started.elapsed() >= Duration::from_secs(2), "two requests were given a second each");
    _ = waiting.kill();
    _ = waiting.wait();
    let mut text = String::new();
    waiting.stderr.take().expect("a pipe").read_to_string(&mut text).expect("text");
    assert!(text.contains("no progress for 1 seconds"), "{text}");
}
