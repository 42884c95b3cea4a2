//! `stead fleet clients`: the businesses that are looked after.

use api::answer::firm::{Client, NewClient};
use api::answer::people::Made;

use super::call::Call;
use crate::failure::{Failure, Outcome};
use crate::output::{self, Output};
use crate::render::table::{Table, printable};

/// List clients, or add one
///
/// Example: stead fleet clients
///          stead fleet clients add "Harbour Dental" --zone Europe/Vienna
#[derive(clap::Args)]
#[command(verbatim_doc_comment, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Add a client
    ///
    /// Example: stead fleet clients add "Harbour Dental" --zone Europe/Vienna
    Add(AddArgs),
}

#[derive(clap::Args)]
struct AddArgs {
    /// What it is called
    #[arg(value_name = "NAME")]
    name: String,
    /// Its days and quiet hours are those of this zone, such as Europe/Vienna [default: this machine's]
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
    /// Of which firm; needed by those who belong to several
    #[arg(long, value_name = "FIRM")]
    firm: Option<String>,
}

impl Args {
    pub(super) fn run(self, call: &Call, output: Output) -> Outcome {
        match self.verb {
            None => list(call, output),
            Some(Verb::Add(args)) => args.run(call, output),
        }
    }
}

fn list(call: &Call, output: Output) -> Outcome {
    let clients = call.clients()?;
    let mut table = Table::new(&["Client", "Zone", "Keys", "Recovery sheet", "Id"]);
    for client in &clients {
        output.message(client)?;
        let Client { id, name, zone, custody, sheet_confirmed, .. } = client;
        let sheet = sheet_confirmed.as_deref().unwrap_or("nobody has it");
        table.row(vec![printable(name), zone.clone(), custody.clone(), sheet.to_owned(), id.clone()]);
    }
    match clients.len() {
        0 => output.result("there is no client yet; `stead fleet clients add NAME` adds one"),
        _ => output.result(table.render(output::width()).trim_end()),
    }
}

impl AddArgs {
    fn run(self, call: &Call, output: Output) -> Outcome {
        let zone = match self.zone {
            Some(zone) => zone,
            None => own_zone()?,
        };
        let tenant = call.firm(self.firm.as_deref())?.tenant;
        let made: Made = call.send("/api/v1/clients", &NewClient { tenant, name: self.name, zone })?;
        output.message(&made)?;
        output.result(format_args!("added; `stead fleet enrol {}` lets a machine in", made.id))
    }
}

fn own_zone() -> Outcome<String> {
    let zone = jiff::tz::TimeZone::system();
    let name = zone.iana_name().map(str::to_owned);
    name.ok_or_else(|| Failure::new("this machine's zone has no name").hint("give the client's with `--zone`"))
}
