//! `stead agent remove`: the machine leaves its server, and nothing of the agent stays.

use std::io::{BufRead, IsTerminal};

use agent::{Place, remove};
use serde::Serialize;

use super::unit;
use crate::failure::{Failure, Outcome};
use crate::output::Output;

/// Remove the agent from this machine; its backups stay
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
    files_removed: usize,
    events_lost: u64,
}

impl Args {
    pub(crate) fn run(self, place: &Place, output: Output) -> Outcome {
        if !self.yes {
            confirm(place, output)?;
        }
        let unit = unit::remove(place, output)?;
        let removed = remove(place)?;
        let files_removed = removed.files.len() + usize::from(unit);
        let server = removed.server.as_deref();
        output.message(&Told { message_type: "removed", server, files_removed, events_lost: removed.unheard })?;
        if files_removed == 0 {
            return output.result(format_args!("there was no agent in {}", place.root().display()));
        }
        output.result(format_args!("removed the agent: {files_removed} files and folders"))?;
        if let Some(server) = server {
            output.remark(format_args!(
                "The backups stay where they are. {server} waits for this machine until somebody retires it there."
            ))?;
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
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::new("nobody is there to be asked").hint("`--yes` removes without asking"));
    }
    output.notice(format_args!(
        "This removes the agent's key, its memory and the password of its repository in {}.\n\
         The backups stay at the gateway; they can be read by whoever has the recovery sheet, or a copy of the password.\n\
         Remove it? [y/N]",
        place.root().display()
    ))?;
    let mut line = String::new();
    stdin.lock().read_line(&mut line)?;
    match line.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::new("nothing was removed")),
    }
}
