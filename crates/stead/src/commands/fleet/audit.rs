//! `stead fleet audit`: what was done, in a chain that is verified.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use api::answer::firm::{AuditLine, AuditLog};
use serde::Serialize;

use super::call::{Call, Incoming};
use crate::failure::{Failure, Outcome};
use crate::output::{self, Lines, Output};
use crate::render::table::{Table, printable};
use crate::render::time::local_text;

/// Show the newest lines of a firm's audit log, or export all of it
///
/// Example: stead fleet audit
///          stead fleet audit export stead-audit.jsonl
#[derive(clap::Args)]
#[command(verbatim_doc_comment, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// Lines before this one
    #[arg(long, value_name = "NUMBER")]
    before: Option<u64>,
    /// Of which firm; needed by those who belong to several
    #[arg(long, value_name = "FIRM")]
    firm: Option<String>,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Write the whole chain as JSON lines; `stead server audit verify` judges it without any server
    ///
    /// Example: stead fleet audit export stead-audit.jsonl
    Export {
        /// Write to this file; `-` is standard output
        #[arg(value_name = "FILE", default_value = "-")]
        file: PathBuf,
        /// Of which firm; needed by those who belong to several
        #[arg(long, value_name = "FIRM")]
        firm: Option<String>,
    },
}

#[derive(Serialize)]
struct Exported {
    message_type: &'static str,
    bytes: u64,
}

impl Args {
    pub(super) fn run(self, call: &Call, output: Output) -> Outcome {
        match self.verb {
            Some(Verb::Export { file, firm }) => export(call, file, firm.as_deref(), output),
            None => list(call, self.firm.as_deref(), self.before, output),
        }
    }
}

fn list(call: &Call, firm: Option<&str>, before: Option<u64>, output: Output) -> Outcome {
    let (tenant, before) = (call.firm(firm)?.tenant, before.map(|number| number.to_string()).unwrap_or_default());
    let log: AuditLog = call.get("/api/v1/audit", &[("tenant", &tenant), ("before", &before)])?;
    let mut table = Table::new(&["Number", "When", "Who", "What", "About"]);
    for line in &log.lines {
        output.message(line)?;
        let AuditLine { number, at, by, act, about, detail, .. } = line;
        let about = if detail.is_empty() { about } else { detail };
        table.row(vec![number.to_string(), local_text(at), printable(by), printable(act), printable(about)]);
    }
    if let Some(next) = log.next {
        table.foot(format!("older ones: `--before {next}`"));
    }
    table.foot(log.verdict.clone());
    output.result(table.render(output::width()).trim_end())?;
    match log.whole {
        true => Ok(()),
        false => Err(Failure::new(format!("the audit log was changed: {}", log.verdict))
            .hint("compare it with an export, and find out who can write to the database")),
    }
}

fn export(call: &Call, file: PathBuf, firm: Option<&str>, output: Output) -> Outcome {
    let tenant = call.firm(firm)?.tenant;
    let incoming = call.begin("/api/v1/audit/export", &[("tenant", &tenant)])?;
    if file.as_os_str() == "-" {
        return to_stdout(incoming);
    }
    let cannot = |error| Failure::io("write", &file, error);
    let mut written = BufWriter::new(File::create(&file).map_err(cannot)?);
    let bytes = incoming.each(|piece| written.write_all(piece).map_err(cannot))?;
    written.into_inner().map_err(|error| cannot(error.into_error()))?.sync_all().map_err(cannot)?;
    output.message(&Exported { message_type: "exported", bytes })?;
    output.remark(format_args!("`stead server audit verify {}` says whether it is whole", file.display()))
}

fn to_stdout(incoming: Incoming<'_>) -> Outcome {
    let mut lines = Lines::new();
    incoming.each(|piece| lines.bytes(piece))?;
    lines.finish()
}
