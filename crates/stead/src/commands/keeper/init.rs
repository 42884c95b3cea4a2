//! `stead keeper init`: keys for a new keeper, and what its server must know.

use agent::Fingerprint;
use keeper::Dial;
use keeper::home::Home;
use keeper::keys::{Keys, Public, public_of};
use keeper::status::join;
use serde::Serialize;

use super::{OpenerArgs, Phrase};
use crate::failure::{Failure, Outcome};
use crate::output::Output;

/// Make a keeper's keys, and tell what the server must know of it
///
/// Run again on a keeper that has keys, it tells them again, and takes another server.
///
/// Example: stead keeper init --server backup.example --fingerprint 12:34:…
///          stead keeper init --server http://localhost:8080 --passphrase
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// The server's name or address
    #[arg(long, value_name = "ADDRESS")]
    server: Option<String>,
    /// SHA-256 of the server's authority, as `stead up` prints it; without one its certificate must be one that this
    /// system trusts
    #[arg(long, value_name = "SHA256", requires = "server")]
    fingerprint: Option<Fingerprint>,
    #[command(flatten)]
    opener: OpenerArgs,
}

#[derive(Serialize)]
struct Told<'t> {
    message_type: &'static str,
    #[serde(flatten)]
    public: &'t Public,
    server: Option<&'t str>,
}

impl Args {
    pub(super) fn run(self, home: &Home, output: Output) -> Outcome {
        let dial = self.server.as_deref().map(|server| Dial::to(server, self.fingerprint)).transpose()?;
        let public = match home.keys().exists() {
            true => public_of(&home.keys())?,
            false => Keys::init(&home.keys(), &self.opener.opener(home, Phrase::New)?)?.public(),
        };
        if let Some(dial) = &dial {
            join(home, dial)?;
        }
        let server = dial.as_ref().map(|dial| dial.server.as_str());
        output.message(&Told { message_type: "keeper", public: &public, server })?;
        output.remark("The server lets this keeper in after this command there:\n")?;
        let Public { identity, public } = &public;
        output.result(format_args!("stead server keeper add NAME --identity {identity} --public {public}"))?;
        output.remark(
            "\nKeep a copy of the keeper's directory, with what opens its keys: who loses both loses what it can open.",
        )?;
        match keeper::status::server_of(home)? {
            Some(_) => Ok(()),
            None => Err(Failure::new("the keeper does not know its server yet").hint("run this again with `--server`")),
        }
    }
}
