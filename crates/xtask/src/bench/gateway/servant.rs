//! A server that is measured: started on a free port with an empty directory, killed when dropped.

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Receiver, Wire};
use crate::program::{self, Outcome, at};
use crate::workspace;

/// The server's process.
pub(super) struct Servant {
    process: Child,
    location: String,
}

impl Servant {
    /// Starts it; `keys` has the certificate, `room` is its own.
    pub(super) fn start(stead: &Path, who: Receiver, wire: Wire, keys: &Path, room: &Path) -> Outcome<Servant> {
        let port = free_port()?;
        let scheme = if wire == Wire::Tls { "https" } else { "http" };
        let address = format!("127.0.0.1:{port}");
        let (mut command, location) = match who {
            Receiver::RestServer => (rest_server(&address, room), format!("rest:{scheme}://{address}/pc/")),
            Receiver::Gateway => gateway(stead, scheme, &address, room)?,
        };
        if wire == Wire::Tls {
            command.arg("--tls-cert").arg(keys.join("certificate.pem")).arg("--tls-key").arg(keys.join("key.pem"));
            command.args((who == Receiver::RestServer).then_some("--tls"));
        }
        let log = room.join("server.log");
        let said = at(&log, File::create(&log))?;
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said).spawn();
        let process = process.map_err(|error| format!("cannot run {:?}: {error}", command.get_program()))?;
        let servant = Servant { process, location };
        wait_for(&address)?;
        Ok(servant)
    }

    /// The repository, as restic names it.
    pub(super) fn location(&self) -> &str {
        &self.location
    }
}

impl Drop for Servant {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn rest_server(address: &str, room: &Path) -> Command {
    let mut command = Command::new(workspace::peers().join("restic-rest-server"));
    command.args(["--no-auth", "--listen", address, "--path"]).arg(room.join("data"));
    command
}

fn gateway(stead: &Path, scheme: &str, address: &str, room: &Path) -> Outcome<(Command, String)> {
    let access = room.join("gateway.json");
    let url = format!("{scheme}://{address}/");
    let mut add = Command::new(stead);
    let said = program::output(add.args(["gateway", "add", "pc", "-q", "--url", &url, "--access"]).arg(&access))?;
    let location = said.split_whitespace().find(|word| word.starts_with("rest:")).ok_or("no location was printed")?;
    let mut command = Command::new(stead);
    command
        .args(["gateway", "serve", "--listen", address, "--access"])
        .arg(access)
        .arg("--data")
        .arg(room.join("data"));
    Ok((command, location.to_owned()))
}

fn free_port() -> Outcome<u16> {
    let bound = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    bound.map(|address| address.port()).map_err(|error| format!("no port: {error}"))
}

fn wait_for(address: &str) -> Outcome {
    let begin = Instant::now();
    while TcpStream::connect(address).is_err() {
        if begin.elapsed() > Duration::from_secs(30) {
            return Err(format!("nobody answers at {address}"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
