//! `stead fleet runs`, `jobs`, `cancel`: what a machine did and does, what it was asked for, and waiting for that.

use std::thread;
use std::time::Duration;

use api::answer::backups::{Job, Jobs};
use api::answer::{Machine, Run, Runs};

use super::call::Call;
use super::snapshots::short;
use crate::failure::{Failure, Outcome};
use crate::output::{self, Output};
use crate::render::table::{Table, printable};
use crate::render::time::local_text;

/// How often whoever waits looks.
const LOOK: Duration = Duration::from_secs(2);

/// Looks after the end of a job, until its run must have been told.
const LATE: u32 = 15;

/// List a machine's newest runs, with reasons
///
/// Example: stead fleet runs reception-pc
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Its name or id
    #[arg(value_name = "MACHINE")]
    machine: String,
}

/// List what a machine, or the keeper for it, was asked for
///
/// Example: stead fleet jobs reception-pc
#[derive(clap::Args)]
pub(crate) struct JobsArgs {
    /// Its name or id
    #[arg(value_name = "MACHINE")]
    machine: String,
}

/// Call a job back that is not over; what is done of it stays
///
/// Example: stead fleet cancel 0190b1c2-3d4e-7f50-8a6b-7c8d9e0f1a2b
#[derive(clap::Args)]
pub(crate) struct CancelArgs {
    /// Its id, as `stead fleet jobs` shows it
    #[arg(value_name = "JOB")]
    id: fleet::JobId,
}

impl Args {
    pub(super) fn run(self, call: &Call, output: Output) -> Outcome {
        let runs = runs(call, &call.machine(&self.machine)?)?;
        for run in &runs {
            output.message(run)?;
        }
        match runs.len() {
            0 => output.result("nothing was done yet"),
            _ => output.result(table(&runs).render(output::width()).trim_end()),
        }
    }
}

fn runs(call: &Call, machine: &Machine) -> Outcome<Vec<Run>> {
    let Runs { runs } = call.get(&format!("/api/v1/machines/{}/runs", machine.id), &[])?;
    Ok(runs)
}

/// Runs as people read them.
pub(super) fn table(runs: &[Run]) -> Table {
    let mut table = Table::new(&["Began", "What", "State", "How it went", "Snapshots"]);
    for run in runs {
        let snapshots: Vec<String> = run.snapshots.iter().map(|id| short(id)).collect();
        let (began, state) = (local_text(&run.started), run.state.clone());
        table.row(vec![began, run.kind.clone(), state, printable(&run.words), snapshots.join("\n")]);
    }
    table
}

impl JobsArgs {
    pub(super) fn run(self, call: &Call, output: Output) -> Outcome {
        let jobs = jobs(call, &call.machine(&self.machine)?)?;
        let mut table = Table::new(&["Id", "What", "State", "Due", "Asked for by"]);
        for job in &jobs {
            output.message(job)?;
            let Job { id, kind, state, due, asked_by } = job;
            let by = asked_by.as_deref().map_or_else(|| "its schedule".into(), printable);
            table.row(vec![id.clone(), kind.clone(), state.clone(), local_text(due), by]);
        }
        match jobs.len() {
            0 => output.result("nothing was asked for yet"),
            _ => output.result(table.render(output::width()).trim_end()),
        }
    }
}

fn jobs(call: &Call, machine: &Machine) -> Outcome<Vec<Job>> {
    let Jobs { jobs } = call.get(&format!("/api/v1/machines/{}/jobs", machine.id), &[])?;
    Ok(jobs)
}

impl CancelArgs {
    pub(super) fn run(self, call: &Call, output: Output) -> Outcome {
        call.post(&format!("/api/v1/jobs/{}/cancel", self.id))?;
        output.remark("called back; what is done of it stays")
    }
}

/// Waits until a job is over, tells how far it is on the way and what came of it.
pub(super) fn wait(call: &Call, machine: &Machine, job: &str, output: Output) -> Outcome {
    let (mut told, mut late) = (String::new(), 0);
    loop {
        let run = runs(call, machine)?.into_iter().find(|run| run.job.as_deref() == Some(job));
        match run {
            Some(run) if run.ended.is_some() => return ended(&run, output),
            Some(run) if run.words != told => {
                output.remark(printable(&run.words))?;
                told = run.words;
            }
            _ => {}
        }
        let is_over = |asked: &Job| asked.id == job && !matches!(asked.state.as_str(), "waiting" | "taken");
        if let Some(over) = jobs(call, machine)?.into_iter().find(is_over) {
            late += 1;
            if late > LATE || over.state == "cancelled" {
                return Err(Failure::new(format!("the job is {}, and no run was told", over.state))
                    .hint(format!("`stead fleet machine {}` may say why", printable(&machine.name))));
            }
        }
        thread::sleep(LOOK);
    }
}

/// What came of a run; one that is not good fails.
fn ended(run: &Run, output: Output) -> Outcome {
    output.message(run)?;
    let words = printable(&run.words);
    match run.state.as_str() {
        "good" => output.result(words),
        "incomplete" => Err(Failure::incomplete(words)),
        _ => Err(Failure::new(words)),
    }
}
