//! `stead fleet alerts`, `acknowledge`, `release`: what needs somebody.

use api::answer::{Alert, Alerts};

use super::call::Call;
use crate::failure::Outcome;
use crate::output::{self, Output};
use crate::render::table::{Table, printable};

/// List what needs somebody, the newest first
///
/// Example: stead fleet alerts
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Take an alert on: the others see that you have it
///
/// Example: stead fleet acknowledge 0190b1c2-3d4e-7f50-8a6b-7c8d9e0f1a2b
#[derive(clap::Args)]
pub(crate) struct AcknowledgeArgs {
    /// Its id, as `stead fleet alerts` shows it
    #[arg(value_name = "ALERT")]
    id: fleet::AlertId,
}

/// Give an alert back
///
/// Example: stead fleet release 0190b1c2-3d4e-7f50-8a6b-7c8d9e0f1a2b
#[derive(clap::Args)]
pub(crate) struct ReleaseArgs {
    /// Its id, as `stead fleet alerts` shows it
    #[arg(value_name = "ALERT")]
    id: fleet::AlertId,
}

impl Args {
    pub(super) fn run(self, call: &Call, output: Output) -> Outcome {
        let found: Alerts = call.get("/api/v1/alerts", &[])?;
        let mut table = Table::new(&["Id", "Since", "What is wrong", "Who has it"]);
        for alert in &found.alerts {
            output.message(alert)?;
            let Alert { id, opened, sentence, by, .. } = alert;
            let by = by.as_deref().map_or_else(|| "nobody".into(), printable);
            table.row(vec![id.clone(), opened.clone(), printable(sentence), by]);
        }
        match found.alerts.len() {
            0 => output.result("nothing needs anybody"),
            _ => output.result(table.render(output::width()).trim_end()),
        }
    }
}

impl AcknowledgeArgs {
    pub(super) fn run(self, call: &Call, output: Output) -> Outcome {
        call.post(&format!("/api/v1/alerts/{}/acknowledge", self.id))?;
        output.remark("it is yours")
    }
}

impl ReleaseArgs {
    pub(super) fn run(self, call: &Call, output: Output) -> Outcome {
        call.post(&format!("/api/v1/alerts/{}/release", self.id))?;
        output.remark("it is open again")
    }
}
