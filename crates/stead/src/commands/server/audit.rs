//! `stead server audit`: an exported log is judged without any server.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::Serialize;
use store::{AuditChain, AuditEntry};

use crate::failure::{Doing, Outcome};
use crate::output::Output;

#[derive(clap::Subcommand)]
pub(super) enum Verb {
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

/// Bytes of a line of an audit log; longer ones are nobody's.
const LINE: u64 = 1 << 20;

impl Verb {
    pub(super) fn run(&self, output: Output) -> Outcome {
        let Verb::Verify { file } = self;
        verify(file, output)
    }
}

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
