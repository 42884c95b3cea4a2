//! A task in hand: durable from the moment it was taken until its end was noted, so that a keeper that was killed goes on.

use api::wire::agent::Taken;
use api::wire::keeper::{Event, Kept, Work};
use fleet::{JobId, RunId};
use serde::{Deserialize, Serialize};

use crate::memory::{Changes, Memory};
use crate::{Error, Result};

/// Tasks in hand, by job.
const TASKS: &str = "task";

/// How tasks ended, by job.
const ENDED: &str = "ended";

/// How many ends are kept, to be said again to whoever hands out a task that was done.
const ENDS: usize = 2_000;

/// A task in hand.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) job: Taken,
    pub(crate) machine: Kept,
    pub(crate) work: Work,
    /// The run that carries it out.
    pub(crate) run: RunId,
    /// Whether it was said that the run began.
    pub(crate) begun: bool,
}

impl Task {
    /// What notes that it is in hand.
    pub(crate) fn held<'c>(&self) -> Result<Changes<'c>> {
        let text = serde_json::to_vec(self).map_err(|error| Error::Refused(format!("cannot note a task: {error}")))?;
        Ok(Changes { put: vec![(TASKS, key(self.job.job), text)], ..Changes::default() })
    }

    /// What notes that it came to this end, or that it is given back.
    pub(crate) fn released<'c>(&self, end: &Event) -> Changes<'c> {
        let mut changes = Changes { remove: vec![(TASKS, key(self.job.job))], ..Changes::default() };
        if matches!(end, Event::Ended { .. }) {
            changes.put.extend(serde_json::to_vec(end).ok().map(|text| (ENDED, key(self.job.job), text)));
        }
        changes
    }

    /// All tasks in hand.
    pub(crate) fn all(memory: &Memory) -> Result<Vec<Task>> {
        let all = memory.all(TASKS, b"")?;
        Ok(all.iter().filter_map(|(_, text)| serde_json::from_slice(text).ok()).collect())
    }

    /// How a task ended, if it did, as it is said to whoever hands it out in this attempt.
    pub(crate) fn end_of(memory: &Memory, taken: Taken) -> Result<Option<Event>> {
        let Some(text) = memory.get(ENDED, &key(taken.job))? else { return Ok(None) };
        Ok(match serde_json::from_slice(&text) {
            Ok(Event::Ended { machine, run, at, outcome, found, .. }) => {
                Some(Event::Ended { machine, run, job: taken, at, outcome, found })
            }
            _ => None,
        })
    }
}

/// Forgets the oldest ends. Jobs' names begin with the time of their making.
pub(crate) fn forget_old_ends(memory: &Memory) -> Result<()> {
    let all = memory.all(ENDED, b"")?;
    let old = all.len().saturating_sub(ENDS);
    let remove = all.into_iter().take(old).map(|(key, _)| (ENDED, key)).collect();
    memory.apply(Changes { remove, ..Changes::default() }).map(drop)
}

fn key(job: JobId) -> Vec<u8> {
    job.uuid().as_bytes().to_vec()
}
