//! `stead server run`: the server alone, as a process of its own.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::commands::front::{AcmeArgs, FrontArgs};
use crate::commands::up::{Alone, Args as Up, BeginArgs};
use crate::failure::Outcome;
use crate::open::Context;

/// Be the server, until it is stopped: decide, answer, show
///
/// The gateway and the keepers are processes of their own then, best of other users: `stead gateway run`, `stead keeper
/// run`. Several servers share one PostgreSQL database and one `--server-key`. The first start makes the firm and prints a
/// one-time link; `stead server link` prints another.
///
/// Example: stead server run --data /var/lib/stead/server --database-url postgres://stead@db/stead --name stead.example
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Listen here
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:8443")]
    listen: SocketAddr,
    #[command(flatten)]
    front: FrontArgs,
    #[command(flatten)]
    acme: AcmeArgs,
    #[command(flatten)]
    begin: BeginArgs,
}

impl Args {
    pub(super) fn run(self, data: Option<PathBuf>, database_url: Option<String>, context: &Context) -> Outcome {
        let Args { listen, front, acme, begin } = self;
        Up::from(Alone { data, database_url, listen, front, acme, begin }).run(context)
    }
}
