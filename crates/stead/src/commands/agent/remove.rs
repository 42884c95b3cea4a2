//! `stead agent remove`: the machine leaves its server, and nothing of the agent stays.

use agent::{Farewell, Leaver, Place, remove};
use platform::hardware::System;
use serde::Serialize;

use super::unit;
use crate::consent;
use crate::failure::Outcome;
use crate::output::Output;

/// Remove the agent from this machine; its backups stay
///
/// The server is told, if it can be reached: the machine is retired there, and raises no alert for being silent.
///
/// Example: stead agent remove --yes
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

#[derive(Serialize)]
struct Told<'t> {
    message_type: &'static str,
    server: Option<&'t str>,
    server_told: bool,
    files_removed: usize,
    events_lost: u64,
}

impl Args {
    pub(crate) fn run(self, place: &Place, output: Output) -> Outcome {
        if !self.yes {
            confirm(place, output)?;
        }
        let unit = unit::remove(place, output)?;
        let leaver = Leaver { hardware: System::this().identities(), version: env!("CARGO_PKG_VERSION").into() };
        let removed = remove(place, &leaver)?;
        let files_removed = removed.files.len() + usize::from(unit);
        let server = removed.server.as_deref();
        let (server_told, events_lost) = (removed.farewell == Farewell::Told, removed.unheard);
        output.message(&Told { message_type: "removed", server, server_told, files_removed, events_lost })?;
        if files_removed == 0 {
            return output.result(format_args!("there was no agent in {}", place.root().display()));
        }
        output.result(format_args!("removed the agent: {files_removed} files and folders"))?;
        if let Some(server) = server {
            output.remark(match &removed.farewell {
                Farewell::Untold(why) => format!(
                    "The backups stay where they are. {server} could not be told ({why}) and waits for this machine until \
                     somebody retires it there."
                ),
                _ => format!("The backups stay where they are. {server} knows that this machine has left."),
            })?;
        }
        if place.root().exists() {
            let root = place.root().display();
            output.remark(format_args!("{root} stays: what is in it was put there by somebody else."))?;
        }
        Ok(())
    }
}

/// Says what goes and what stays, and asks.
fn confirm(place: &Place, output: Output) -> Outcome {
    let what = format!(
        "This removes the agent's key, its memory and the password of its repository in {}.\n\
         The backups stay at the gateway; they can be read by whoever has the recovery sheet, or a copy of the password.\n\
         Remove it?",
        place.root().display()
    );
    consent::ask(&what, "`--yes` removes without asking", output)
}
