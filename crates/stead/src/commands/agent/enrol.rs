//! `stead agent enrol`: the machine joins a server by a code.

use std::io::IsTerminal;

use agent::{EnrolError, Fingerprint, Joined, Place, Wish, enrol};
use jiff::Timestamp;
use platform::hardware::System;
use serde::Serialize;

use super::unit;
use crate::failure::{Failure, Outcome};
use crate::output::Output;

/// Join a server by a code from its page
///
/// The server is checked against the fingerprint that its enrol page shows, before anything is sent. Without one, its
/// certificate must be one that this system trusts.
///
/// Example: stead agent enrol backup.example ABCD-EFGH-JKMN --fingerprint 12:34:…
///          stead agent enrol https://10.0.0.7:8443/enrol#ABCD-EFGH-JKMN --service
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The server's name or address, or the whole of what the QR code says
    server: String,
    /// The code
    code: Option<String>,
    /// SHA-256 of the server's authority, as the enrol page shows it
    #[arg(long, value_name = "SHA256")]
    fingerprint: Option<Fingerprint>,
    /// What the machine is called [default: this host's name]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Start the agent with the machine: as root a systemd unit is installed and started, else its text is printed
    #[arg(long)]
    service: bool,
}

#[derive(Serialize)]
struct Told<'t> {
    message_type: &'static str,
    server: &'t str,
    machine: String,
    client: &'t str,
    fingerprint: Option<String>,
}

impl Args {
    pub(crate) fn run(self, place: &Place, output: Output) -> Outcome {
        let wish = self.wish(output)?;
        let place = Place::made(place.root())?;
        let joined = enrol(&place, &wish, Timestamp::now()).map_err(advised)?;
        tell(&joined, output)?;
        match self.service {
            true => unit::install_or_print(&place, output),
            false => {
                output.remark("`stead agent run` starts its work; `--service` would have it start with the machine.")
            }
        }
    }

    fn wish(&self, output: Output) -> Outcome<Wish> {
        let (server, within) = match self.server.split_once('#') {
            Some((server, code)) => (server, Some(code.to_owned())),
            None => (self.server.as_str(), None),
        };
        let code = match self.code.clone().or(within) {
            Some(code) => code,
            None => asked(output)?,
        };
        Ok(Wish {
            server: server.to_owned(),
            code,
            fingerprint: self.fingerprint,
            name: self.name.clone().unwrap_or_else(platform::hostname),
            hardware: System::this().identities(),
        })
    }
}

/// The code, from whoever sits there, or from a pipe.
fn asked(output: Output) -> Outcome<String> {
    if std::io::stdin().is_terminal() {
        output.notice("The code, from the server's enrol page:")?;
    }
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    match line.trim() {
        "" => Err(Failure::new("no code was given").hint("the server's enrol page makes one")),
        code => Ok(code.to_owned()),
    }
}

fn tell(joined: &Joined, output: Output) -> Outcome {
    let membership = &joined.membership;
    let (server, fingerprint) = (membership.server.as_str(), joined.fingerprint.map(|print| print.to_string()));
    let machine = membership.machine.to_string();
    output.message(&Told { message_type: "enrolled", server, machine, client: &membership.client, fingerprint })?;
    output.result(format_args!("this machine has joined {server} as {}", membership.machine))?;
    match joined.fingerprint {
        Some(fingerprint) => output.remark(format_args!("the server is known by the fingerprint {fingerprint}")),
        None => Ok(()),
    }
}

/// What helps.
fn advised(error: EnrolError) -> Failure {
    let hint = match &error {
        EnrolError::Unbelieved { pinned: false, .. } => {
            Some("give the fingerprint that the server's enrol page shows: `--fingerprint 12:34:…`".to_owned())
        }
        EnrolError::Unbelieved { pinned: true, .. } => Some(
            "compare it with the server's enrol page; if that shows the one you gave, somebody is between you and the server"
                .to_owned(),
        ),
        EnrolError::Refused { advice, .. } => Some(advice.clone()),
        EnrolError::Known => Some("make a new code on the server's enrol page and run this again".to_owned()),
        EnrolError::Unreachable { .. } => Some("nothing has changed here; the same code works until it ends".to_owned()),
        _ => None,
    };
    hint.into_iter().fold(Failure::from(error), Failure::hint)
}
