//! `stead fleet`: what the server's pages show and do, from a terminal.

mod alerts;
mod call;
mod machine;
mod machines;

use std::path::PathBuf;

use crate::failure::Outcome;
use crate::open::Context;
use call::Call;

/// See and handle what a server looks after
///
/// Make a token on the server's settings page and keep it in a file. A server with an authority of its own is
/// trusted with --cacert (its authority.pem); on the server's own machine that is found.
///
/// Example: stead fleet machines --server https://backup.example:8443 --token-file token
/// Example: stead fleet machine reception-pc
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
    /// The server's address [env: STEAD_SERVER; default: https://localhost:8443]
    #[arg(long, global = true, value_name = "URL")]
    server: Option<String>,
    /// Read the token from a file [env: STEAD_TOKEN_FILE; or STEAD_TOKEN with the token itself]
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

#[derive(clap::Subcommand)]
enum Command {
    Machines(machines::Args),
    Machine(machine::Args),
    Backup(machine::BackupArgs),
    Alerts(alerts::Args),
    Acknowledge(alerts::AcknowledgeArgs),
    Release(alerts::ReleaseArgs),
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        let (call, output) = (Call::new(self.server, self.token_file, context)?, context.output());
        match self.command {
            Command::Machines(args) => args.run(&call, output),
            Command::Machine(args) => args.run(&call, output),
            Command::Backup(args) => args.run(&call, output),
            Command::Alerts(args) => args.run(&call, output),
            Command::Acknowledge(args) => args.run(&call, output),
            Command::Release(args) => args.run(&call, output),
        }
    }
}
