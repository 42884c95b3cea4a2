//! `stead fleet restore`: a machine puts something back at itself.

use api::answer::Asked;
use api::answer::backups::NewRestore;

use super::call::Call;
use super::jobs;
use crate::failure::Outcome;
use crate::output::Output;
use crate::render::table::printable;

/// Have a machine put files back from one of its snapshots
///
/// Nothing that exists is overwritten. What is meant for another machine is downloaded (`stead fleet download`).
///
/// Example: stead fleet restore reception-pc latest /home/anna/letters --to missing-only --wait
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Its name or id
    #[arg(value_name = "MACHINE")]
    machine: String,
    /// Which snapshot: `latest`, or the start of an id
    #[arg(value_name = "SNAPSHOT")]
    snapshot: String,
    /// Files and folders, as absolute paths; none: all of the snapshot
    #[arg(value_name = "PATH")]
    paths: Vec<String>,
    /// Where to
    #[arg(long, value_name = "WHERE", value_enum, default_value_t = To::NewFolder)]
    to: To,
    /// Wait until it is done, and fail if it fails
    #[arg(long)]
    wait: bool,
}

/// Where a restore goes.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum To {
    /// Into a new folder, which the machine's own settings name
    NewFolder,
    /// Where it was; what exists stays as it is
    MissingOnly,
}

impl To {
    fn word(self) -> &'static str {
        match self {
            To::NewFolder => "new_folder",
            To::MissingOnly => "missing_only",
        }
    }
}

impl Args {
    pub(super) fn run(self, call: &Call, output: Output) -> Outcome {
        let machine = call.machine(&self.machine)?;
        let snapshot = call.snapshot(&machine, &self.snapshot)?.id;
        let new = NewRestore { snapshot, paths: self.paths, to: self.to.word().into(), request: None };
        let asked: Asked = call.send(&format!("/api/v1/machines/{}/restore", machine.id), &new)?;
        output.message(&asked)?;
        if self.wait {
            return jobs::wait(call, &machine, &asked.job, output);
        }
        output.remark(format_args!("asked for; `stead fleet runs {}` shows how it goes", printable(&machine.name)))
    }
}
