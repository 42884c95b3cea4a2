//! `stead server`: what the operator of a server does beside it.

mod audit;
mod backup;
mod keeper;
mod limit;
mod link;
mod move_database;
pub(crate) mod own_backup;
mod restore;
mod run;

use std::path::{Path, PathBuf};

use store::Store;

use crate::commands::up::place::Place;
use crate::environment;
use crate::failure::{Failure, Outcome};
use crate::open::Context;

/// Run a server by itself, and do what only its operator can do
///
/// Example: stead server run --data /var/lib/stead/server
/// Example: stead server link owner@localhost
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
    /// Where the server keeps database and keys [default: stead/server in your data directory]
    #[arg(long, global = true, value_name = "DIRECTORY")]
    data: Option<PathBuf>,
    /// The server's database, if it is no file there [env: STEAD_DATABASE_URL]
    #[arg(long, global = true, value_name = "URL")]
    database_url: Option<String>,
}

#[derive(clap::Subcommand)]
enum Command {
    Run(Box<run::Args>),
    Link(link::Args),
    Limit(limit::Args),
    Backup(backup::Args),
    Restore(restore::Args),
    MoveDatabase(move_database::Args),
    /// Keepers: who tends repositories
    Keeper {
        #[command(subcommand)]
        verb: keeper::Verb,
    },
    /// Look at audit logs
    Audit {
        #[command(subcommand)]
        verb: audit::Verb,
    },
}

/// A server that is not running, or runs beside us.
pub(crate) struct Site {
    /// Where it keeps its things.
    pub(crate) place: Place,
    /// The address of its database.
    pub(crate) database: String,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        if let Command::Audit { verb } = &self.command {
            return verb.run(context.output());
        }
        let place = Place::usual(self.data.clone(), false)?;
        let database = database(place.root(), self.database_url.as_deref());
        let site = Site { place, database };
        let runtime = tokio::runtime::Runtime::new()?;
        match self.command {
            Command::Link(args) => runtime.block_on(args.run(&site, context.output())),
            Command::Limit(args) => runtime.block_on(args.run(&site, context.output())),
            Command::Backup(args) => args.run(&site, context, runtime.handle()),
            Command::Restore(args) => args.run(&site, context, runtime.handle()),
            Command::MoveDatabase(args) => runtime.block_on(args.run(&site, context.output())),
            Command::Audit { verb } => verb.run(context.output()),
            Command::Run(args) => args.run(self.data, self.database_url, context),
            Command::Keeper { verb } => runtime.block_on(verb.run(&site, context.output())),
        }
    }
}

impl Site {
    /// Opens its database, which must be there.
    async fn open(&self) -> Outcome<Store> {
        match self.database_file().filter(|path| !path.exists()) {
            None => Ok(Store::open(&self.database).await?),
            Some(path) => {
                Err(Failure::new(format!("there is no database {}", path.display())).hint("name the server's `--data`"))
            }
        }
    }

    /// The database's file, if it is one.
    fn database_file(&self) -> Option<&Path> {
        self.database.strip_prefix("sqlite:").map(Path::new)
    }
}

/// The address of a server's database: the one that was given, or that of the surroundings, where `ps` does not show its
/// password; else a file in the server's directory.
pub(crate) fn database(root: &Path, given: Option<&str>) -> String {
    let given = given.map(str::to_owned).or_else(|| environment::text("DATABASE_URL"));
    given.unwrap_or_else(|| file_beside(root))
}

/// The address of the file that is a server's database where nothing else is named.
pub(crate) fn file_beside(root: &Path) -> String {
    format!("sqlite:{}", root.join("stead.db").display())
}
