//! `stead fleet silence`, `silences`: messages about something are held back for a while; the red stays.

use api::answer::people::Made;
use api::answer::silences::{NewSilence, Silence, Silences};

use super::call::Call;
use crate::failure::Outcome;
use crate::output::{self, Output};
use crate::render::table::{Table, printable};
use crate::render::time::local_text;

/// Hold back messages about an alert, or about all of a client
///
/// Example: stead fleet silence --client "Harbour Dental" --hours 8 --reason "they move house"
///          stead fleet silence --alert 0190b1c2-3d4e-7f50-8a6b-7c8d9e0f1a2b --hours 2 --reason "disk is on its way"
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// About what this alert is about: its id, as `stead fleet alerts` shows it
    #[arg(long, value_name = "ALERT", required_unless_present = "client", conflicts_with = "client")]
    alert: Option<fleet::AlertId>,
    /// About a client: its name or id
    #[arg(long, value_name = "CLIENT")]
    client: Option<String>,
    /// For how many hours
    #[arg(long, value_name = "NUMBER")]
    hours: u16,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// List silences that hold, or end one
///
/// Example: stead fleet silences
///          stead fleet silences end 0190b1c2-3d4e-7f50-8a6b-7c8d9e0f1a2b
#[derive(clap::Args)]
#[command(verbatim_doc_comment, args_conflicts_with_subcommands = true)]
pub(crate) struct ListArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Send messages again
    ///
    /// Example: stead fleet silences end 0190b1c2-3d4e-7f50-8a6b-7c8d9e0f1a2b
    End {
        /// Its id, as `stead fleet silences` shows it
        #[arg(value_name = "SILENCE")]
        id: fleet::SilenceId,
    },
}

impl Args {
    pub(super) fn run(self, call: &Call, output: Output) -> Outcome {
        let Args { alert, client, hours, reason } = self;
        let about = match (alert, client) {
            (Some(alert), _) => format!("alerts/{alert}"),
            (None, client) => format!("clients/{}", call.client(&client.unwrap_or_default())?.id),
        };
        let made: Made = call.send(&format!("/api/v1/{about}/silence"), &NewSilence { reason, hours })?;
        output.message(&made)?;
        output.result(format_args!("silenced: {}; it ends by itself", made.id))
    }
}

impl ListArgs {
    pub(super) fn run(self, call: &Call, output: Output) -> Outcome {
        match self.verb {
            None => list(call, output),
            Some(Verb::End { id }) => {
                call.post(&format!("/api/v1/silences/{id}/end"))?;
                output.remark("messages are sent again")
            }
        }
    }
}

fn list(call: &Call, output: Output) -> Outcome {
    let Silences { silences } = call.get("/api/v1/silences", &[])?;
    let mut table = Table::new(&["About", "Until", "By", "Why", "Held back", "Id"]);
    for silence in &silences {
        output.message(silence)?;
        let Silence { id, about, condition, by, reason, until, suppressed, .. } = silence;
        let about = condition.as_ref().map_or_else(|| about.clone(), |condition| format!("{condition} of a machine"));
        let (by, why) = (printable(by), printable(reason));
        table.row(vec![about, local_text(until), by, why, suppressed.to_string(), id.clone()]);
    }
    match silences.len() {
        0 => output.result("nothing is silenced"),
        _ => output.result(table.render(output::width()).trim_end()),
    }
}
