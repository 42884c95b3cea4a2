//! `stead agent`: this machine joins a server, and is backed up from then on whether the server is there or not.

mod enrol;
mod imaging;
mod remove;
pub(crate) mod run;
mod status;
mod surroundings;
mod unit;

use std::path::PathBuf;

use agent::Place;

use crate::environment;
use crate::failure::{Failure, Outcome};
use crate::open::Context;
use crate::output::Output;

/// Let a server look after this machine
///
/// The machine joins by a code from the server's page, and backs itself up by the server's policy, to the server's gateway.
/// It goes on for weeks without the server. Nobody can send it commands: it knows to back up, to restore without
/// overwriting, and to practise a restore. Programs that are to run before and after a backup are files on this machine,
/// `before-backup` and `after-backup` in /etc/stead/hooks, that only root may change.
///
/// Example: stead agent enrol backup.example ABCD-EFGH-JKMN --fingerprint 12:34:…
///          stead agent run
///          stead agent status
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
    /// Where the agent keeps its identity and what it must not lose [default: /var/lib/stead/agent for root, else
    /// stead/agent in your state directory]
    #[arg(long, global = true, value_name = "DIRECTORY")]
    state: Option<PathBuf>,
}

#[derive(clap::Subcommand)]
enum Verb {
    Enrol(enrol::Args),
    Run(run::Args),
    Status(status::Args),
    Remove(remove::Args),
}

impl Args {
    pub(crate) fn run(self, context: impl FnOnce() -> Outcome<Context>, output: Output) -> Outcome {
        let place = place(self.state)?;
        match self.verb {
            Verb::Enrol(args) => args.run(&place, output),
            Verb::Run(args) => args.run(place, context()?),
            Verb::Status(args) => args.run(&place, output),
            Verb::Remove(args) => args.run(&place, output),
        }
    }
}

/// Whether this user is root.
pub(crate) fn is_root() -> bool {
    platform::effective_uid() == 0
}

/// The agent's directory.
fn place(given: Option<PathBuf>) -> Outcome<Place> {
    let usual = || match is_root() {
        true => Some(PathBuf::from(agent::service::USUAL)),
        false => environment::state_directory().map(|state| state.join("agent")),
    };
    let nowhere =
        || Failure::new("there is no home directory to keep the agent's state in").hint("name one with `--state`");
    let given = given.map(|path| std::path::absolute(&path).unwrap_or(path));
    given.or_else(usual).map(|path| Place::at(&path)).ok_or_else(nowhere)
}
