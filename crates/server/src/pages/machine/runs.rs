//! Runs: what a machine did, the newest first, with what was missed and why.

use askama::Template;
use askama::filters::HtmlSafe;
use fleet::{Missed, Outcome, Run, RunState};
use jiff::Timestamp;

use super::{capital, what};
use crate::parts::Mark;
use crate::when::When;

/// A machine's newest runs.
#[derive(Template)]
#[template(path = "runs.html")]
pub(super) struct Runs {
    by_agent: bool,
    runs: Vec<RunLine>,
}

impl HtmlSafe for Runs {}

struct RunLine {
    id: String,
    mark: Mark,
    sentence: String,
    at: When,
    missed: Vec<(String, String)>,
}

impl Runs {
    /// These, of a machine that an agent backs up, or plain restic.
    pub(super) fn of(runs: &[Run], by_agent: bool, now: Timestamp) -> Runs {
        Runs { by_agent, runs: runs.iter().map(|run| run_line(run, now)).collect() }
    }
}

fn run_line(run: &Run, now: Timestamp) -> RunLine {
    let (at, words) = match &run.state {
        RunState::Running => (run.started, format!("{} % done", run.progress.percent())),
        RunState::Ended { at, outcome } => (*at, ended(run, *at, outcome)),
    };
    let missed = match &run.state {
        RunState::Ended { outcome: Outcome::Incomplete { missed, .. }, .. } => missed.as_slice(),
        _ => &[],
    };
    RunLine {
        id: run.id.to_string(),
        mark: Mark::of(Some(run.state()), what(run.kind)),
        sentence: format!("{}, {words}", capital(what(run.kind))),
        at: When::past(at, now),
        missed: missed.iter().map(|Missed { what, why }| (what.clone(), why.clone())).collect(),
    }
}

fn ended(run: &Run, at: Timestamp, outcome: &Outcome) -> String {
    let seconds = at.duration_since(run.started).as_secs().max(0);
    let took = match seconds {
        ..90 => format!("{seconds} s"),
        90..5_400 => format!("{} min", seconds / 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    };
    match outcome {
        Outcome::Good => {
            let amount = run.progress.amount;
            let size = fleet::size_in_words;
            format!("good: {} read, {} new, in {took}", size(amount.total), size(amount.new))
        }
        other => format!("{}, after {took}", other.words()),
    }
}
