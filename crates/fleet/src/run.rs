//! Run: one attempt at a job, from its start through its reports to its outcome. What has ended never changes.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::age::count_of;
use crate::{JobId, JobKind, MachineId, Progress, Report, RunId, State};

/// Something that a run could not read or do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    /// What: a path, a device and range.
    pub what: String,
    /// Why.
    pub why: String,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All of it was done.
    Good,
    /// Not all of it was done.
    Incomplete {
        /// What was missed, as far as it is listed.
        missed: Vec<Missed>,
        /// How much was missed in all; not less than the list is long.
        count: u64,
    },
    /// It did not work, or was stopped.
    Failed {
        /// Why, as a clause.
        why: String,
    },
}

/// How many missed things are kept of a run.
const MOST_LISTED: usize = 100;

impl Outcome {
    /// Incomplete, with at most the first 100 of what was missed; good if nothing was.
    pub fn missing(mut missed: Vec<Missed>, count: u64) -> Outcome {
        let count = count.max(missed.len() as u64);
        missed.truncate(MOST_LISTED);
        if count == 0 { Outcome::Good } else { Outcome::Incomplete { missed, count } }
    }

    /// The state that it is.
    pub fn state(&self) -> State {
        match self {
            Outcome::Good => State::Good,
            Outcome::Incomplete { .. } => State::Incomplete,
            Outcome::Failed { .. } => State::Failed,
        }
    }

    /// What happened, as a clause: "incomplete: 3 things were missed, first /home/a/x: permission denied".
    pub fn words(&self) -> String {
        match self {
            Outcome::Good => "good".into(),
            Outcome::Failed { why } => format!("failed: {why}"),
            Outcome::Incomplete { missed, count } => {
                let were = if *count == 1 { "was" } else { "were" };
                let first = missed.first().map(|first| format!(", first {}: {}", first.what, first.why));
                let first = first.unwrap_or_default();
                format!("incomplete: {} {were} missed{first}", count_of(*count, "thing"))
            }
        }
    }
}

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// It goes on.
    Running,
    /// It ended.
    Ended {
        /// When.
        at: Timestamp,
        /// How.
        outcome: Outcome,
    },
}

/// One attempt at a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Which.
    pub id: RunId,
    /// For which machine.
    pub machine: MachineId,
    /// At which job; none when the machine's own policy made it, without a server.
    pub job: Option<JobId>,
    /// What it does.
    pub kind: JobKind,
    /// When it began.
    pub started: Timestamp,
    /// How far it is.
    pub progress: Progress,
    /// Where it stands.
    pub state: RunState,
}

impl Run {
    /// One that begins now.
    pub fn begin(id: RunId, machine: MachineId, job: Option<JobId>, kind: JobKind, started: Timestamp) -> Run {
        Run { id, machine, job, kind, started, progress: Progress::default(), state: RunState::Running }
    }

    /// Takes a report in, and says whether it changed anything: late ones and those after the end do not.
    pub fn hear(&mut self, report: Report) -> bool {
        let before = self.progress.number;
        if self.state == RunState::Running {
            self.progress.hear(report);
        }
        self.progress.number != before
    }

    /// It ended, and says whether that is news: the first end stays.
    pub fn end(&mut self, at: Timestamp, outcome: Outcome) -> bool {
        if self.state != RunState::Running {
            return false;
        }
        if !matches!(outcome, Outcome::Failed { .. }) {
            self.progress.finish();
        }
        self.state = RunState::Ended { at, outcome };
        true
    }

    /// The state that it is.
    pub fn state(&self) -> State {
        match &self.state {
            RunState::Running => State::Running,
            RunState::Ended { outcome, .. } => outcome.state(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Uuid;

    fn run() -> Run {
        let machine = MachineId::new(Uuid::from_u128(1));
        Run::begin(RunId::new(Uuid::from_u128(2)), machine, None, JobKind::Backup, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn the_first_end_stays() {
        let mut run = run();
        assert!(run.end(Timestamp::UNIX_EPOCH, Outcome::Failed { why: "the disk is gone".into() }));
        assert!(!run.end(Timestamp::UNIX_EPOCH, Outcome::Good));
        assert_eq!(run.state(), State::Failed);
        assert_eq!(run.progress.percent(), 0, "what failed is not all done");
    }

    #[test]
    fn what_was_missed_is_counted_even_where_it_is_not_listed() {
        let missed = |n| Missed { what: format!("/home/{n}"), why: "permission denied".into() };
        let outcome = Outcome::missing((0..300).map(missed).collect(), 300);
        let Outcome::Incomplete { missed, count } = &outcome else { panic!("{outcome:?}") };
        assert_eq!((missed.len(), *count), (100, 300));
        assert_eq!(outcome.words(), "incomplete: 300 things were missed, first /home/0: permission denied");
        assert_eq!(Outcome::missing(vec![], 0), Outcome::Good);
    }
}
