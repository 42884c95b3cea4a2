//! `stead server`: what the operator of a server does beside it.

mod keeper;

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;
use server::first;
use store::Store;

use crate::commands::up::place::Place;
use crate::failure::{Doing, Failure, Outcome};
use crate::output::Output;

/// Do what only the operator of a server can do
///
/// Example: stead server link owner@localhost
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
    /// Where the server keeps database and keys [default: stead/server in your data directory]
    #[arg(long, global = true, value_name = "DIRECTORY")]
    data: Option<PathBuf>,
    /// The server's database, if it is no file there
    #[arg(long, global = true, value_name = "URL")]
    database_url: Option<String>,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Print a one-time link by which somebody sets a new password and signs in
    ///
    /// Example: stead server link owner@localhost
    Link {
        /// What they sign in with
        email: String,
        /// How browsers reach the server
        #[arg(long, value_name = "URL", default_value = "https://localhost:8443")]
        address: String,
    },
    /// Keepers: who tends repositories
    Keeper {
        #[command(subcommand)]
        verb: keeper::Verb,
    },
}

#[derive(Serialize)]
struct Made<'a> {
    message_type: &'static str,
    link: &'a str,
}

impl Args {
    pub(crate) fn run(self, output: Output) -> Outcome {
        let place = Place::usual(self.data, false)?;
        let database = database(place.root(), self.database_url.as_deref());
        let runtime = tokio::runtime::Runtime::new()?;
        match self.command {
            Command::Link { email, address } => runtime.block_on(link(&database, &email, &address, output)),
            Command::Keeper { verb } => runtime.block_on(verb.run(&database, output)),
        }
    }
}

/// Opens a database that is there: opening would make an empty one.
async fn open(database: &str) -> Outcome<Store> {
    if let Some(path) = database.strip_prefix("sqlite:").filter(|path| !Path::new(path).exists()) {
        return Err(Failure::new(format!("there is no database {path}")).hint("name the server's `--data`"));
    }
    Ok(Store::open(database).await?)
}

async fn link(database: &str, email: &str, address: &str, output: Output) -> Outcome {
    let store = open(database).await?;
    let path =
        first::link(&store, email, Timestamp::now()).await.doing(|| format!("cannot make a link for {email}"))?;
    let link = format!("{}{path}", address.trim_end_matches('/'));
    output.message(&Made { message_type: "link", link: &link })?;
    output.result(format_args!("{link}"))?;
    output.remark(format_args!("Good once, within {} hours.", first::LINK_HOURS))
}

/// The address of a server's database.
pub(crate) fn database(root: &Path, given: Option<&str>) -> String {
    given.map_or_else(|| format!("sqlite:{}", root.join("stead.db").display()), str::to_owned)
}
