//! A software TPM 2.0 (swtpm), which programs reach as they reach a real one: through tpm2-tools.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::{Peer, Server, lasting_port};

/// A TPM that works until it is dropped. What it is, and what it sealed, stays in its folder.
#[derive(Debug)]
pub struct SoftTpm {
    program: Peer,
    folder: PathBuf,
    port: u16,
    server: Option<Server>,
}

impl SoftTpm {
    /// The TPM whose state is in this folder; a new one where it is empty. A skip where there is no swtpm.
    pub fn start(folder: &Path) -> Option<SoftTpm> {
        let (program, _tools) = (Peer::find("swtpm")?, Peer::find("tpm2_getrandom")?);
        std::fs::create_dir_all(folder).expect("a folder");
        let mut tpm = SoftTpm { program, folder: folder.to_owned(), port: two_ports(), server: None };
        tpm.switch_on();
        Some(tpm)
    }

    /// What tpm2-tools must be told.
    pub fn tcti(&self) -> String {
        format!("swtpm:host=127.0.0.1,port={}", self.port)
    }

    /// The machine is switched off and on: nothing but its state stays.
    pub fn reboot(&mut self) {
        self.server = None;
        self.switch_on();
    }

    fn switch_on(&mut self) {
        let at = |port: u16| format!("type=tcp,port={port},bindaddr=127.0.0.1");
        let mut command = self.program.command();
        command.args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear", "--tpmstate"]);
        command.arg(format!("dir={}", self.folder.display()));
        command.args(["--server", &at(self.port), "--ctrl", &at(self.port + 1)]);
        self.server = Some(Server::start_until(&mut command, || self.answers()));
    }

    fn answers(&self) -> bool {
        let mut ask = std::process::Command::new("tpm2_getrandom");
        ask.args(["--hex", "8", "-T", &self.tcti()]).stdout(Stdio::null()).stderr(Stdio::null());
        ask.status().is_ok_and(|status| status.success())
    }
}

/// A port that nobody listens on, nor on the one after it: tpm2-tools expect both.
fn two_ports() -> u16 {
    loop {
        let port = lasting_port();
        if TcpListener::bind(("127.0.0.1", port + 1)).is_ok() {
            return port;
        }
    }
}
