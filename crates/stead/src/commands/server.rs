//! `stead server`: what the operator of a server does beside it.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;
use server::first;
use store::{AuditChain, AuditEntry, Store};

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
    /// Look at audit logs
    Audit {
        #[command(subcommand)]
        audit: Audit,
    },
}

#[derive(clap::Subcommand)]
enum Audit {
    /// Verify an exported audit log: that no line was changed, moved or taken away
    ///
    /// Needs no server and no database. Keep the hash that is printed: a log that was shortened at its end ends in
    /// another one.
    ///
    /// Example: stead server audit verify stead-audit.jsonl
    Verify {
        /// The export: JSON, one line for each act
        file: PathBuf,
    },
}

#[derive(Serialize)]
struct Verified<'a> {
    message_type: &'static str,
    lines: u64,
    head: &'a str,
}

#[derive(Serialize)]
struct Made<'a> {
    message_type: &'static str,
    link: &'a str,
}

impl Args {
    pub(crate) fn run(self, output: Output) -> Outcome {
        if let Command::Audit { audit: Audit::Verify { file } } = &self.command {
            return verify(file, output);
        }
        let place = Place::usual(self.data, false)?;
        let database = database(place.root(), self.database_url.as_deref());
        let runtime = tokio::runtime::Runtime::new()?;
        match self.command {
            Command::Link { email, address } => runtime.block_on(link(&database, &email, &address, output)),
            Command::Audit { audit: Audit::Verify { file } } => verify(&file, output),
        }
    }
}

async fn link(database: &str, email: &str, address: &str, output: Output) -> Outcome {
    // Opening would make an empty one.
    if let Some(path) = database.strip_prefix("sqlite:").filter(|path| !Path::new(path).exists()) {
        return Err(Failure::new(format!("there is no database {path}")).hint("name the server's `--data`"));
    }
    let store = Store::open(database).await?;
    let path =
        first::link(&store, email, Timestamp::now()).await.doing(|| format!("cannot make a link for {email}"))?;
    let link = format!("{}{path}", address.trim_end_matches('/'));
    output.message(&Made { message_type: "link", link: &link })?;
    output.result(format_args!("{link}"))?;
    output.remark(format_args!("Good once, within {} hours.", first::LINK_HOURS))
}

/// Bytes of a line of an audit log; longer ones are nobody's.
const LINE: u64 = 1 << 20;

fn verify(file: &Path, output: Output) -> Outcome {
    let opened = File::open(file).doing(|| format!("cannot open {}", file.display()))?;
    let (mut reader, mut chain, mut line) = (BufReader::new(opened), AuditChain::default(), String::new());
    while reader.by_ref().take(LINE).read_line(&mut line).doing(|| format!("cannot read {}", file.display()))? > 0 {
        let place = || format!("cannot read line {} of {}", chain.lines + 1, file.display());
        let entry: AuditEntry = serde_json::from_str(&line).doing(place)?;
        chain = store::verify_chain(Some(&chain), &[entry]).doing(|| format!("{} is not whole", file.display()))?;
        line.clear();
    }
    output.message(&Verified { message_type: "verified", lines: chain.lines, head: &chain.head })?;
    output.result(format_args!("{} lines, all verified; ends in {}", chain.lines, chain.head))
}

/// The address of a server's database.
pub(crate) fn database(root: &Path, given: Option<&str>) -> String {
    given.map_or_else(|| format!("sqlite:{}", root.join("stead.db").display()), str::to_owned)
}
