//! `stead fleet download`: a file of a snapshot, or a folder as a tar archive, onto this machine.

use std::fs::{self, File};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::call::{Call, Incoming};
use crate::failure::{Failure, Outcome};
use crate::output::{Lines, Output};
use crate::render::size::bytes;

/// Download a file of a snapshot, or a folder as a tar archive
///
/// It streams from the keeper through the server, which stores nothing of it, and leaves a line in the audit log. A download
/// that is broken off leaves no file.
///
/// Example: stead fleet download reception-pc latest /home/anna/letter.odt
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Its name or id
    #[arg(value_name = "MACHINE")]
    machine: String,
    /// Which snapshot: `latest`, or the start of an id
    #[arg(value_name = "SNAPSHOT")]
    snapshot: String,
    /// The file or folder, as an absolute path
    #[arg(value_name = "PATH")]
    path: String,
    /// Write to this file, which may not exist yet; `-` is standard output [default: its name, in this folder]
    #[arg(short, long, value_name = "FILE")]
    target: Option<PathBuf>,
}

#[derive(Serialize)]
struct Downloaded<'d> {
    message_type: &'static str,
    target: &'d Path,
    bytes: u64,
}

impl Args {
    pub(super) fn run(self, call: &Call, output: Output) -> Outcome {
        let machine = call.machine(&self.machine)?;
        let snapshot = call.snapshot(&machine, &self.snapshot)?;
        let address = format!("/api/v1/machines/{}/snapshots/{}/download", machine.id, snapshot.id);
        let incoming = call.begin(&address, &[("path", &self.path)])?;
        if self.target.as_deref() == Some(Path::new("-")) {
            return to_stdout(incoming);
        }
        let name = incoming.name().unwrap_or_else(|| "download".into());
        let target = self.target.unwrap_or_else(|| name.into());
        let count = to_file(incoming, &target)?;
        output.message(&Downloaded { message_type: "downloaded", target: &target, bytes: count })?;
        output.result(format_args!("{}: {}", target.display(), bytes(count)))
    }
}

fn to_stdout(incoming: Incoming<'_>) -> Outcome {
    if std::io::stdout().is_terminal() {
        return Err(Failure::new("a download is no sight for a terminal")
            .hint("write it to a file with `--target`, or into a pipe"));
    }
    let mut lines = Lines::new();
    incoming.each(|piece| lines.bytes(piece))?;
    lines.finish()
}

/// Under another name until it is whole.
fn to_file(incoming: Incoming<'_>, target: &Path) -> Outcome<u64> {
    if target.exists() {
        return Err(
            Failure::new(format!("{} is there already", target.display())).hint("name another file with `--target`")
        );
    }
    let mut part = target.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let received = receive(incoming, &part);
    if received.is_err() {
        // Half of a file is of use to nobody.
        _ = fs::remove_file(&part);
        return received;
    }
    fs::rename(&part, target).map_err(|error| Failure::io("rename to", target, error))?;
    received
}

fn receive(incoming: Incoming<'_>, part: &Path) -> Outcome<u64> {
    let cannot = |error| Failure::io("write", part, error);
    let mut file = File::create(part).map_err(cannot)?;
    let count = incoming.each(|piece| file.write_all(piece).map_err(cannot))?;
    file.sync_all().map_err(cannot)?;
    Ok(count)
}
