//! Job: a piece of work with a due time; everything due happens, effectively once. A job that has ended never begins again.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{DestinationId, Drill, JobId, MachineId};

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Back up what the policy names.
    Backup,
    /// Restore on request.
    Restore,
    /// Practise a restore.
    Drill(Drill),
    /// Check the repository.
    Check,
    /// Forget and prune by the policy.
    Prune,
    /// Copy to a destination.
    Copy(DestinationId),
}

impl JobKind {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            JobKind::Backup => "backup",
            JobKind::Restore => "restore",
            JobKind::Drill(_) => "drill",
            JobKind::Check => "check",
            JobKind::Prune => "prune",
            JobKind::Copy(_) => "copy",
        }
    }
}

/// What makes a job the same job: asked for twice, it is there once.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct JobKey(String);

impl JobKey {
    /// The job that a schedule makes due at a moment.
    pub fn scheduled(machine: MachineId, kind: JobKind, due: Timestamp) -> JobKey {
        let about = match kind {
            JobKind::Copy(destination) => destination.to_string(),
            JobKind::Drill(drill) => format!("{drill:?}"),
            _ => String::new(),
        };
        JobKey(format!("{machine}/{}/{about}/{}", kind.word(), due.as_second()))
    }

    /// The job that somebody asked for; `request` is theirs and the same when they ask again.
    pub fn requested(machine: MachineId, kind: JobKind, request: &str) -> JobKey {
        JobKey(format!("{machine}/{}/request/{request}", kind.word()))
    }

    /// As it is stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Nobody works at it.
    Waiting,
    /// Somebody works at it, and must say so again before `until`.
    Taken {
        /// When it may be given to somebody else.
        until: Timestamp,
    },
    /// It was done.
    Done,
    /// It was tried as often as it may be.
    Failed,
    /// It was called back before it was done.
    Cancelled,
}

impl JobState {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            JobState::Waiting => "waiting",
            JobState::Taken { .. } => "taken",
            JobState::Done => "done",
            JobState::Failed => "failed",
            JobState::Cancelled => "cancelled",
        }
    }

    /// Whether nothing happens to it any more.
    pub fn is_over(self) -> bool {
        matches!(self, JobState::Done | JobState::Failed | JobState::Cancelled)
    }
}

/// Why something cannot happen to a job.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// Somebody works at it, or it is not due.
    #[error("job {0} is being worked at, or not due yet")]
    Taken(JobId),
    /// It has ended.
    #[error("job {job} is {state}")]
    Over {
        /// Which.
        job: JobId,
        /// How it ended.
        state: &'static str,
    },
    /// Whoever speaks does not have it, or not any more.
    #[error("job {0} is not yours any more: the time for it had passed, and somebody else may have it")]
    NotYours(JobId),
}

/// A piece of work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Which.
    pub id: JobId,
    /// For which machine.
    pub machine: MachineId,
    /// What.
    pub kind: JobKind,
    /// What makes it the same job.
    pub key: JobKey,
    /// From when on it may be done.
    pub due: Timestamp,
    /// How often it was taken.
    pub attempts: u32,
    /// Where it stands.
    pub state: JobState,
}

/// How often a job is taken before it counts as failed.
const MOST_ATTEMPTS: u32 = 8;

impl Job {
    /// Somebody takes it until `until`. It can be taken when it is due and nobody has it, or their time has passed. One
    /// that too many have taken and never given back fails instead.
    pub fn take(&mut self, now: Timestamp, until: Timestamp) -> Result<(), JobError> {
        self.not_over()?;
        if matches!(self.state, JobState::Taken { until } if now < until) || now < self.due {
            return Err(JobError::Taken(self.id));
        }
        if self.attempts >= MOST_ATTEMPTS {
            self.state = JobState::Failed;
            return self.not_over();
        }
        self.attempts += 1;
        self.state = JobState::Taken { until };
        Ok(())
    }

    /// Who took it in `attempt` is still at it.
    pub fn hold(&mut self, attempt: u32, until: Timestamp) -> Result<(), JobError> {
        self.held_in(attempt)?;
        self.state = JobState::Taken { until };
        Ok(())
    }

    /// Who took it in `attempt` has done it.
    pub fn done(&mut self, attempt: u32) -> Result<(), JobError> {
        self.held_in(attempt)?;
        self.state = JobState::Done;
        Ok(())
    }

    /// Who took it in `attempt` could not do it: it is due again at `again`, or failed when it was tried often enough.
    pub fn give_back(&mut self, attempt: u32, again: Timestamp) -> Result<(), JobError> {
        self.held_in(attempt)?;
        self.due = again;
        self.state = if self.attempts >= MOST_ATTEMPTS { JobState::Failed } else { JobState::Waiting };
        Ok(())
    }

    /// Somebody calls it back.
    pub fn cancel(&mut self) -> Result<(), JobError> {
        self.not_over()?;
        self.state = JobState::Cancelled;
        Ok(())
    }

    fn not_over(&self) -> Result<(), JobError> {
        match self.state.is_over() {
            true => Err(JobError::Over { job: self.id, state: self.state.word() }),
            false => Ok(()),
        }
    }

    fn held_in(&self, attempt: u32) -> Result<(), JobError> {
        self.not_over()?;
        match self.state {
            JobState::Taken { .. } if self.attempts == attempt => Ok(()),
            _ => Err(JobError::NotYours(self.id)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Uuid;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn job() -> Job {
        let machine = MachineId::new(Uuid::from_u128(1));
        Job {
            id: JobId::new(Uuid::from_u128(2)),
            machine,
            kind: JobKind::Backup,
            key: JobKey::scheduled(machine, JobKind::Backup, at(100)),
            due: at(100),
            attempts: 0,
            state: JobState::Waiting,
        }
    }

    #[test]
    fn a_job_has_one_worker_at_a_time() {
        let mut job = job();
        assert!(job.take(at(99), at(200)).is_err(), "it is not due");
        job.take(at(100), at(200)).unwrap();
        assert_eq!(job.take(at(199), at(300)), Err(JobError::Taken(job.id)));
        job.take(at(200), at(300)).unwrap();
        assert_eq!(job.done(1), Err(JobError::NotYours(job.id)), "the first worker comes too late");
        job.done(2).unwrap();
        assert!(job.take(at(400), at(500)).is_err(), "what is done stays done");
        assert!(job.cancel().is_err());
    }

    #[test]
    fn a_job_that_never_works_fails_after_eight_attempts() {
        let mut job = job();
        for attempt in 1..=8 {
            assert_eq!(job.state, JobState::Waiting);
            job.take(at(1_000), at(2_000)).unwrap();
            job.give_back(attempt, at(1_000)).unwrap();
        }
        assert_eq!(job.state, JobState::Failed);
    }

    #[test]
    fn a_job_whose_workers_vanish_fails_in_the_end() {
        let mut job = job();
        for attempt in 1..=8 {
            job.take(at(1_000 * attempt), at(1_000 * attempt + 1)).unwrap();
        }
        assert!(job.take(at(9_000), at(9_001)).is_err());
        assert_eq!(job.state, JobState::Failed);
    }

    #[test]
    fn the_same_due_time_is_the_same_job() {
        let machine = MachineId::new(Uuid::from_u128(1));
        let key = |kind, due| JobKey::scheduled(machine, kind, at(due));
        assert_eq!(key(JobKind::Backup, 5), key(JobKind::Backup, 5));
        assert_ne!(key(JobKind::Backup, 5), key(JobKind::Backup, 6));
        assert_ne!(key(JobKind::Drill(Drill::BootTest), 5), key(JobKind::Drill(Drill::FileSample), 5));
    }
}
