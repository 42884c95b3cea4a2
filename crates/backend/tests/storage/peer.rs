//! Real servers on this machine: found, started on a free port, ended with the test.
#![expect(clippy::print_stderr, reason = "a skipped test says so")]

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::free_port;

/// A program among the peers, in the path, or where the system keeps it.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/stead-peers"));
    let peers = std::env::var_os("STEAD_PEERS").map(PathBuf::from).or(home);
    let mut folders: Vec<PathBuf> = peers.iter().flat_map(|peers| [peers.join("bin"), peers.clone()]).collect();
    folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    folders.extend(["/usr/lib/openssh", "/usr/libexec/openssh", "/usr/lib/ssh"].map(PathBuf::from));
    folders.into_iter().map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// The peer's path, or nothing after saying that the test is skipped; with `STEAD_NO_SKIP=1` that is a failure.
pub(crate) fn need(test: &str, name: &str) -> Option<PathBuf> {
    let found = find(name);
    if found.is_none() {
        eprintln!("SKIPPED {test}: {name} not found");
        assert!(std::env::var("STEAD_NO_SKIP").as_deref() != Ok("1"), "{test} needs {name}, and no skip is allowed");
    }
    found
}

/// An rclone that can serve S3, which the one in some distributions cannot.
pub(crate) fn need_s3(test: &str) -> Option<PathBuf> {
    let program = need(test, "rclone")?;
    let help = Command::new(&program).args(["serve", "s3", "--help"]).output().expect("rclone starts");
    let knows = String::from_utf8_lossy(&help.stdout).contains("--auth-key");
    if !knows {
        eprintln!("SKIPPED {test}: {} cannot serve s3", program.display());
        assert!(std::env::var("STEAD_NO_SKIP").as_deref() != Ok("1"), "{test} needs an rclone that serves S3");
    }
    knows.then_some(program)
}

/// A server with its port.
pub(crate) struct Server {
    _process: testkit::Server,
    pub(crate) port: u16,
}

impl Server {
    /// Starts `program` with arguments that are made from a free port, and waits until it listens.
    pub(crate) fn start(program: &Path, arguments: impl FnOnce(u16) -> Vec<String>) -> Server {
        let port = free_port();
        Server::start_at(program, port, arguments(port))
    }

    /// Starts `program`, which listens on `port`.
    pub(crate) fn start_at(program: &Path, port: u16, arguments: Vec<String>) -> Server {
        let process = testkit::Server::start(Command::new(program).args(arguments), port);
        Server { _process: process, port }
    }

    /// Starts `program`, which listens on a Unix socket; it has no port.
    pub(crate) fn start_on_socket(program: &Path, socket: &Path, arguments: Vec<String>) -> Server {
        let listens = || UnixStream::connect(socket).is_ok();
        let process = testkit::Server::start_until(Command::new(program).args(arguments), listens);
        Server { _process: process, port: 0 }
    }
}

pub(crate) fn arguments<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}

/// restic's own REST server on `folder`.
pub(crate) fn rest_server(program: &Path, folder: &Path, more: &[&str]) -> Server {
    Server::start(program, |port| rest_server_arguments(port, folder, more))
}

/// What restic's own REST server is started with.
pub(crate) fn rest_server_arguments(port: u16, folder: &Path, more: &[&str]) -> Vec<String> {
    let listen = format!("127.0.0.1:{port}");
    let mut words = arguments(["--listen", &listen, "--path", folder.to_str().unwrap(), "--no-auth"]);
    words.extend(more.iter().map(|word| (*word).to_owned()));
    words
}
