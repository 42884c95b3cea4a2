//! `stead agent status`: what the agent does and waits for, in words.

use agent::{Contact, Place, Status};
use jiff::Timestamp;
use serde::Serialize;

use crate::failure::Outcome;
use crate::output::Output;
use crate::render::time;

/// Tell what the agent does, what it waits for and what comes next
///
/// Example: stead agent status --json
#[derive(clap::Args)]
pub(crate) struct Args {}

#[derive(Serialize)]
struct Told<'t> {
    message_type: &'static str,
    #[serde(flatten)]
    status: &'t Status,
}

impl Args {
    pub(crate) fn run(self, place: &Place, output: Output) -> Outcome {
        let status = agent::status(place, Timestamp::now())?;
        output.message(&Told { message_type: "status", status: &status })?;
        for line in lines(&status) {
            output.result(line)?;
        }
        Ok(())
    }
}

fn lines(status: &Status) -> Vec<String> {
    let mut lines = vec![format!("server    {}", status.server), format!("machine   {}", status.machine)];
    lines.push(format!("agent     {}", standing(status)));
    if let Some(at) = status.last_contact {
        lines.push(format!("heard     the server was heard last at {}", time::local(at)));
    }
    for run in &status.runs {
        lines.push(format!("{:<9} {}", run.kind, run.words));
    }
    if status.runs.is_empty() {
        lines.push("now       nothing goes on".into());
    }
    lines.extend(status.paused.iter().map(|paused| format!("paused    {paused}")));
    lines.push(match status.last_backup {
        Some(at) => format!("last      the last good backup began at {}", time::local(at)),
        None => "last      there was no good backup yet".into(),
    });
    lines.push(match status.next {
        Some(at) => format!("next      the next backup is due at {}", time::local(at)),
        None => "next      nothing is due".into(),
    });
    if status.unheard > 0 {
        lines.push(format!("untold    {} events wait until the server hears them", status.unheard));
    }
    lines.extend(status.surroundings.iter().map(|sentence| format!("around    {sentence}")));
    lines
}

fn standing(status: &Status) -> String {
    match &status.contact {
        None if !status.running => "does not run; `stead agent run` starts it".into(),
        None | Some(Contact::Calling) => "runs, and calls the server".into(),
        Some(Contact::Connected { since }) => format!("runs, connected since {}", time::local(*since)),
        Some(Contact::Apart { since, why }) => {
            format!("runs, without the server since {}: {why}", time::local(*since))
        }
    }
}
