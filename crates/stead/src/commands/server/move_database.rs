//! `stead server move-database`: SQLite becomes PostgreSQL, or the other way round.

use serde::Serialize;
use store::Store;

use super::Site;
use crate::failure::{Doing, Outcome};
use crate::output::Output;

/// Write everything in the server's database into another one, which must be empty
///
/// Stop the server first: what it changes meanwhile would be lost. The old database stays as it is; start the server with
/// `--database-url` of the new one. All of it is written, or nothing.
///
/// Example: stead server move-database postgres://stead@db.example/stead
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where to: postgres://USER@HOST/NAME or sqlite:PATH
    #[arg(value_name = "URL")]
    to: String,
}

#[derive(Serialize)]
struct MovedRows {
    message_type: &'static str,
    table: &'static str,
    rows: u64,
}

impl Args {
    pub(super) async fn run(self, site: &Site, output: Output) -> Outcome {
        let from = site.open().await?;
        let to = Store::open(&self.to).await?;
        let moved = from.transfer(&to).await.doing(|| "cannot move the database; nothing was written".into())?;
        for moved in &moved {
            output.message(&MovedRows { message_type: "moved", table: moved.table, rows: moved.rows })?;
        }
        let rows: u64 = moved.iter().map(|moved| moved.rows).sum();
        output.remark(format_args!(
            "{rows} rows of {} tables are there; start the server with `--database-url`",
            moved.len()
        ))
    }
}
