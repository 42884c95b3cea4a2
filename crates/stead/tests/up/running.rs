//! A server of this program, as its users start it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

pub(crate) fn up(folder: &TempDir, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stead"));
    command.args(["up", "--json", "--data"]).arg(folder.path()).args(args);
    command
}

/// One that runs until it is stopped.
pub(crate) struct Server {
    child: Child,
    pub(crate) told: Value,
}

impl Server {
    pub(crate) fn start(folder: &TempDir) -> Server {
        Server::start_by(up(folder, &["--only-server", "--plain", "--listen", "127.0.0.1:0"]))
    }

    pub(crate) fn start_with_tls(folder: &TempDir) -> Server {
        Server::start_by(up(folder, &["--only-server", "--listen", "127.0.0.1:0"]))
    }

    pub(crate) fn start_by(mut command: Command) -> Server {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        Server { child, told: serde_json::from_str(&line).unwrap() }
    }

    pub(crate) fn get(&self, path: &str) -> String {
        let host = self.told["address"].as_str().unwrap().rsplit('/').next().unwrap();
        let mut stream = TcpStream::connect(host.replace("localhost", "127.0.0.1")).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    pub(crate) fn stop(mut self) -> bool {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap().success()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Of one that was stopped nothing is left to be killed.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
