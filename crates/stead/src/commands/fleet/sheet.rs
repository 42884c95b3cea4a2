//! `stead fleet sheet`: how it stands with a client's recovery sheet.

use api::answer::sheet::{Sheet, SheetProof};

use super::call::Call;
use crate::failure::Outcome;
use crate::output::{self, Output};
use crate::render::table::{Table, printable};
use crate::render::time::local_text;

/// Show what a client's recovery sheet opens, or show that you have it
///
/// What stands on it never passes the server: it is printed on the keeper's machine by the command that is shown.
///
/// Example: stead fleet sheet "Harbour Dental"
///          stead fleet sheet "Harbour Dental" --confirm 0a1b 2c3d
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The client's name or id
    #[arg(value_name = "CLIENT")]
    client: String,
    /// The two groups of the paper that are asked for
    #[arg(long, value_name = "GROUP", num_args = 2)]
    confirm: Vec<String>,
}

impl Args {
    pub(super) fn run(self, call: &Call, output: Output) -> Outcome {
        let client = call.client(&self.client)?;
        let address = format!("/api/v1/clients/{}/sheet", client.id);
        if let [first, second] = self.confirm.as_slice() {
            call.tell(&address, &SheetProof { first: first.clone(), second: second.clone() })?;
            return output.remark("confirmed: somebody has it");
        }
        show(&call.get(&address, &[])?, output)
    }
}

fn show(sheet: &Sheet, output: Output) -> Outcome {
    output.message(sheet)?;
    let confirmed = sheet.confirmed.as_deref().map(local_text);
    let confirmed = confirmed.map_or_else(|| "nobody has shown to have it".into(), |at| format!("confirmed {at}"));
    output.result(confirmed)?;
    if let Some(problem) = &sheet.problem {
        output.warn(printable(problem));
    }
    output.result(format_args!("it is printed on the keeper's machine:\n{}", printable(&sheet.command)))?;
    if let Some([first, second]) = sheet.asks.as_deref() {
        let confirm = format!("--confirm GROUP{first} GROUP{second}");
        output.result(format_args!("who has it types its groups {first} and {second}: `{confirm}`"))?;
    }
    let mut table = Table::new(&["Machine", "Opened by it"]);
    for name in &sheet.opens {
        table.row(vec![printable(name), "yes".into()]);
    }
    for missing in &sheet.missing {
        table.row(vec![printable(&missing.machine), format!("not yet: {}", printable(&missing.why))]);
    }
    output.result(table.render(output::width()).trim_end())
}
