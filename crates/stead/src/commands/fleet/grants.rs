//! `stead fleet grants`: leave for somebody to do some things on a client's machines for a while.

use api::answer::people::{Grant, Grants, Made, NewGrant};

use super::call::Call;
use crate::failure::Outcome;
use crate::output::{self, Output};
use crate::render::table::{Table, printable};
use crate::render::time::local_text;

/// List grants, give one, or end one before its time
///
/// Example: stead fleet grants
///          stead fleet grants give ben@elsewhere.example "Harbour Dental" --verb restore --hours 12 --reason holiday
#[derive(clap::Args)]
#[command(verbatim_doc_comment, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Give a grant; it ends by itself
    ///
    /// Example: stead fleet grants give ben@elsewhere.example "Harbour Dental" --verb restore --hours 12 --reason holiday
    Give(GiveArgs),
    /// End a grant now
    ///
    /// Example: stead fleet grants end 0190b1c2-3d4e-7f50-8a6b-7c8d9e0f1a2b
    End {
        /// Its id, as `stead fleet grants` shows it
        #[arg(value_name = "GRANT")]
        id: continuity::GrantId,
    },
}

#[derive(clap::Args)]
struct GiveArgs {
    /// To whom: the address that they sign in with on this server
    #[arg(value_name = "EMAIL")]
    email: String,
    /// On machines of which client: its name or id
    #[arg(value_name = "CLIENT")]
    client: String,
    /// Only on this machine: its name or id (may be repeated) [default: all of the client, those that come too]
    #[arg(long = "machine", value_name = "MACHINE")]
    machines: Vec<String>,
    /// What they may do: backup, restore, migrate or power (may be repeated); looking goes with everything
    #[arg(long = "verb", value_name = "VERB")]
    verbs: Vec<String>,
    /// For how many hours, at most 744
    #[arg(long, value_name = "NUMBER")]
    hours: u16,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

impl Args {
    pub(super) fn run(self, call: &Call, output: Output) -> Outcome {
        match self.verb {
            None => list(call, output),
            Some(Verb::Give(args)) => args.run(call, output),
            Some(Verb::End { id }) => {
                call.post(&format!("/api/v1/grants/{id}/end"))?;
                output.remark("it has ended")
            }
        }
    }
}

fn list(call: &Call, output: Output) -> Outcome {
    let Grants { grants } = call.get("/api/v1/grants", &[])?;
    let clients = call.clients()?;
    let mut table = Table::new(&["Client", "Verbs", "Until", "Why", "Id"]);
    for grant in &grants {
        output.message(grant)?;
        let Grant { id, client, verbs, to, reason, holds, .. } = grant;
        let known = clients.iter().find(|known| known.id == *client);
        let client = known.map_or_else(|| client.clone(), |known| printable(&known.name));
        let until = format!("{}{}", local_text(to), if *holds { "" } else { " (does not hold)" });
        table.row(vec![client, verbs.join(", "), until, printable(reason), id.clone()]);
    }
    match grants.len() {
        0 => output.result("there is no grant"),
        _ => output.result(table.render(output::width()).trim_end()),
    }
}

impl GiveArgs {
    fn run(self, call: &Call, output: Output) -> Outcome {
        let GiveArgs { email, client, machines, verbs, hours, reason } = self;
        let client = call.client(&client)?;
        let machines = machines.iter().map(|name| Ok(call.machine(name)?.id)).collect::<Outcome<_>>()?;
        let new = NewGrant { tenant: client.tenant, client: client.id, machines, email, verbs, reason, hours };
        let made: Made = call.send("/api/v1/grants", &new)?;
        output.message(&made)?;
        output.result(format_args!("given: {}; it ends by itself", made.id))
    }
}
