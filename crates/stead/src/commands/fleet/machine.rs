//! `stead fleet machine` and `stead fleet backup`: one machine.

use api::answer::{Asked, Light, MachineWithRuns, Run};

use super::call::Call;
use super::jobs;
use crate::failure::Outcome;
use crate::output::{self, Output};
use crate::render::table::{Table, printable};

/// Show a machine: its five lights with their evidence, and its newest runs
///
/// Example: stead fleet machine reception-pc
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Its name or id
    #[arg(value_name = "MACHINE")]
    name: String,
}

/// Ask for a backup of a machine now
///
/// It backs up what its policy names, or images of disks. A disk that it does not have fails the run, which then says which
/// ones there are.
///
/// Example: stead fleet backup reception-pc
///          stead fleet backup reception-pc --disk system
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct BackupArgs {
    /// Its name or id
    #[arg(value_name = "MACHINE")]
    name: String,
    /// Image this disk instead of what the policy names: a path such as /dev/sda, `system` for the system disk, or `all` for
    /// all that stay in the machine (may be repeated)
    #[arg(long, value_name = "DEVICE|system|all")]
    disk: Vec<String>,
    /// Wait until it is done, and fail if it fails
    #[arg(long)]
    wait: bool,
}

impl Args {
    pub(super) fn run(self, call: &Call, output: Output) -> Outcome {
        let id = call.machine(&self.name)?.id;
        let found: MachineWithRuns = call.get(&format!("/api/v1/machines/{id}"), &[])?;
        output.message(&found)?;
        let machine = &found.machine;
        output.result(format_args!("{}: {}", printable(&machine.name), printable(&machine.sentence)))?;
        let mut lights = Table::new(&["Light", "State", "Evidence"]);
        for Light { kind, state, sentence, .. } in &machine.lights {
            lights.row(vec![kind.clone(), state.clone().unwrap_or_else(|| "-".into()), printable(sentence)]);
        }
        output.result(format_args!("\n{}", lights.render(output::width())))?;
        let mut runs = Table::new(&["Began", "What", "How it went"]);
        for Run { kind, started, words, .. } in &found.runs {
            runs.row(vec![started.clone(), kind.clone(), printable(words)]);
        }
        output.result(runs.render(output::width()).trim_end())
    }
}

impl BackupArgs {
    pub(super) fn run(self, call: &Call, output: Output) -> Outcome {
        let machine = call.machine(&self.name)?;
        let disks = self.disk.join(",");
        let asked: Asked = call.ask(&format!("/api/v1/machines/{}/backup", machine.id), &[("disks", &disks)])?;
        output.message(&asked)?;
        if self.wait {
            return jobs::wait(call, &machine, &asked.job, output);
        }
        output.remark(format_args!("asked for; `stead fleet machine {}` shows how far it is", printable(&machine.name)))
    }
}
