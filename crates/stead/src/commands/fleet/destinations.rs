//! `stead fleet destinations`: where copies of backups go.

use api::answer::firm::{Destination, Destinations, NewDestination};

use super::call::Call;
use super::named::one;
use crate::failure::Outcome;
use crate::output::{self, Output};
use crate::render::table::{Table, printable};

/// List destinations, or save one
///
/// Example: stead fleet destinations
///          stead fleet destinations save Vault --new --address sftp:stead@vault:/copies --distance offsite
#[derive(clap::Args)]
#[command(verbatim_doc_comment, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Change a destination, or add one
    ///
    /// Passwords do not belong into an address: the keeper has them.
    ///
    /// Example: stead fleet destinations save Vault --new --address sftp:stead@vault:/copies --distance offsite
    Save(SaveArgs),
}

#[derive(clap::Args)]
struct SaveArgs {
    /// Its name or id; of a new one the name
    #[arg(value_name = "DESTINATION")]
    destination: String,
    /// It is a new one
    #[arg(long, requires = "address", requires = "distance")]
    new: bool,
    /// Call it this from now on
    #[arg(long, value_name = "NAME", conflicts_with = "new")]
    name: Option<String>,
    /// A directory of the keeper's machine, sftp:USER@HOST:/DIRECTORY or s3:https://HOST/BUCKET
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,
    /// Whether it is away from the machines
    #[arg(long, value_name = "DISTANCE", value_enum)]
    distance: Option<Distance>,
    /// Of which firm; needed by those who belong to several
    #[arg(long, value_name = "FIRM")]
    firm: Option<String>,
}

/// How far a destination is from the machines.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Distance {
    /// Away from them: what happens to them does not happen to it
    Offsite,
    /// Where they are
    OnSite,
}

impl Distance {
    fn word(self) -> &'static str {
        match self {
            Distance::Offsite => "offsite",
            Distance::OnSite => "on_site",
        }
    }
}

impl Args {
    pub(super) fn run(self, call: &Call, output: Output) -> Outcome {
        match self.verb {
            None => list(call, output),
            Some(Verb::Save(args)) => args.run(call, output),
        }
    }
}

fn list(call: &Call, output: Output) -> Outcome {
    let Destinations { destinations } = call.get("/api/v1/destinations", &[])?;
    let mut table = Table::new(&["Destination", "Where", "Distance", "Id"]);
    for destination in &destinations {
        output.message(destination)?;
        let Destination { id, name, address, distance, .. } = destination;
        let place = address.as_deref().map_or_else(|| "beside the gateway".into(), printable);
        table.row(vec![printable(name), place, distance.replace('_', " "), id.clone()]);
    }
    match destinations.len() {
        0 => output.result("there is no destination yet"),
        _ => output.result(table.render(output::width()).trim_end()),
    }
}

impl SaveArgs {
    fn run(self, call: &Call, output: Output) -> Outcome {
        let new = if self.new { self.fresh(call)? } else { self.changed(call)? };
        let saved: Destination = call.send("/api/v1/destinations", &new)?;
        output.message(&saved)?;
        output.remark(format_args!("saved {}", printable(&saved.name)))
    }

    fn fresh(self, call: &Call) -> Outcome<NewDestination> {
        let tenant = call.firm(self.firm.as_deref())?.tenant;
        let distance = self.distance.map(Distance::word).unwrap_or_default().into();
        Ok(NewDestination {
            tenant,
            id: None,
            name: self.destination,
            address: self.address.unwrap_or_default(),
            distance,
        })
    }

    /// The one that is there, with what was named instead.
    fn changed(self, call: &Call) -> Outcome<NewDestination> {
        let Destinations { mut destinations } = call.get("/api/v1/destinations", &[])?;
        let name = &self.destination;
        destinations.retain(|known| known.id == *name || known.name == *name);
        let list = "`stead fleet destinations` lists them, `--new` adds one";
        let found: Destination = one("destination", name, destinations, list)?;
        Ok(NewDestination {
            tenant: found.tenant,
            id: Some(found.id),
            name: self.name.unwrap_or(found.name),
            address: self.address.or(found.address).unwrap_or_default(),
            distance: self.distance.map_or(found.distance, |distance| distance.word().into()),
        })
    }
}
