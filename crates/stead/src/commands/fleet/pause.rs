//! `stead fleet pause`, `resume`: no run of a machine starts for a while.

use api::answer::firm::NewPause;

use super::call::Call;
use crate::failure::Outcome;
use crate::output::Output;

/// Start no runs of a machine for a while
///
/// Example: stead fleet pause reception-pc --hours 12 --reason "moved to another room"
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Its name or id
    #[arg(value_name = "MACHINE")]
    machine: String,
    /// For how many hours, 1 to 744
    #[arg(long, value_name = "NUMBER")]
    hours: u16,
    /// Why; it stands on the machine's page
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// Let runs of a machine start again
///
/// Example: stead fleet resume reception-pc
#[derive(clap::Args)]
pub(crate) struct ResumeArgs {
    /// Its name or id
    #[arg(value_name = "MACHINE")]
    machine: String,
}

impl Args {
    pub(super) fn run(self, call: &Call, output: Output) -> Outcome {
        let Args { machine, hours, reason } = self;
        let machine = call.machine(&machine)?.id;
        call.tell(&format!("/api/v1/machines/{machine}/pause"), &NewPause { reason, hours })?;
        output.remark("paused; it ends by itself")
    }
}

impl ResumeArgs {
    pub(super) fn run(self, call: &Call, output: Output) -> Outcome {
        let machine = call.machine(&self.machine)?.id;
        call.post(&format!("/api/v1/machines/{machine}/resume"))?;
        output.remark("runs start again")
    }
}
