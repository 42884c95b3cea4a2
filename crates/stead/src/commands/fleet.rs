//! `stead fleet`: what the server's pages show and do, from a terminal.

mod alerts;
mod audit;
mod call;
mod clients;
mod codes;
mod destinations;
mod download;
mod grants;
mod jobs;
mod machine;
mod machines;
mod messages;
mod named;
mod pause;
mod people;
mod policies;
mod restore;
mod settings;
mod sheet;
mod silences;
mod snapshots;

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
///          stead fleet restore reception-pc latest /home/anna/letters
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
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

/// Machines first, then what was backed up, what needs somebody, what the firm set up.
#[derive(clap::Subcommand)]
enum Command {
    Machines(machines::Args),
    Machine(machine::Args),
    Runs(jobs::Args),
    Jobs(jobs::JobsArgs),
    Backup(machine::BackupArgs),
    Cancel(jobs::CancelArgs),
    Pause(pause::Args),
    Resume(pause::ResumeArgs),
    Settings(settings::Args),
    Retire(settings::RetireArgs),
    ReleaseMachine(settings::ReleaseArgs),
    Snapshots(snapshots::Args),
    Ls(snapshots::LsArgs),
    Find(snapshots::FindArgs),
    Restore(restore::Args),
    Download(download::Args),
    Alerts(alerts::Args),
    Acknowledge(alerts::AcknowledgeArgs),
    Release(alerts::ReleaseArgs),
    Silence(silences::Args),
    Silences(silences::ListArgs),
    Clients(clients::Args),
    Enrol(codes::Args),
    Codes(codes::CodesArgs),
    Sheet(sheet::Args),
    Policies(policies::Args),
    Destinations(destinations::Args),
    People(people::Args),
    Grants(grants::Args),
    Messages(messages::Args),
    Audit(audit::Args),
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        let (call, output) = (Call::new(self.server, self.token_file, context)?, context.output());
        match self.command {
            Command::Machines(args) => args.run(&call, output),
            Command::Machine(args) => args.run(&call, output),
            Command::Runs(args) => args.run(&call, output),
            Command::Jobs(args) => args.run(&call, output),
            Command::Backup(args) => args.run(&call, output),
            Command::Cancel(args) => args.run(&call, output),
            Command::Pause(args) => args.run(&call, output),
            Command::Resume(args) => args.run(&call, output),
            Command::Settings(args) => args.run(&call, output),
            Command::Retire(args) => args.run(&call, output),
            Command::ReleaseMachine(args) => args.run(&call, output),
            Command::Snapshots(args) => args.run(&call, output),
            Command::Ls(args) => args.run(&call, output),
            Command::Find(args) => args.run(&call, output),
            Command::Restore(args) => args.run(&call, output),
            Command::Download(args) => args.run(&call, output),
            Command::Alerts(args) => args.run(&call, output),
            Command::Acknowledge(args) => args.run(&call, output),
            Command::Release(args) => args.run(&call, output),
            Command::Silence(args) => args.run(&call, output),
            Command::Silences(args) => args.run(&call, output),
            Command::Clients(args) => args.run(&call, output),
            Command::Enrol(args) => args.run(&call, output),
            Command::Codes(args) => args.run(&call, output),
            Command::Sheet(args) => args.run(&call, output),
            Command::Policies(args) => args.run(&call, output),
            Command::Destinations(args) => args.run(&call, output),
            Command::People(args) => args.run(&call, output),
            Command::Grants(args) => args.run(&call, output),
            Command::Messages(args) => args.run(&call, output),
            Command::Audit(args) => args.run(&call, output),
        }
    }
}
