//! What an agent says and hears. Its orders are a closed set: nothing here runs a command that somebody typed.

use fleet::{Drill, JobId, JobKind, Outcome, Report, RunId, Selection};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::duties::Duties;

/// What an agent says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromAgent {
    /// It is there.
    Beat {
        /// When, by its own clock.
        at: Timestamp,
    },
    /// Something happened that must not be lost.
    Event {
        /// Greater than that of every event before.
        number: u64,
        /// What.
        event: Event,
    },
    /// How far a run is. Only the newest of a run matters.
    Progress {
        /// Which run.
        run: RunId,
        /// How far.
        report: Report,
    },
    /// The machine leaves for good: it is to be looked after no more. Answered by [`ToAgent::Retired`]; servers that do not
    /// know it end the line.
    Farewell,
}

/// Something that happened at a machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A run began.
    Begun {
        /// Which.
        run: RunId,
        /// The order that it carries out; none: its own policy's.
        job: Option<Taken>,
        /// What it does.
        kind: JobKind,
        /// When, by the machine's clock.
        at: Timestamp,
    },
    /// A run ended. If it carried out an order, that is done, whatever the outcome.
    Ended {
        /// Which.
        run: RunId,
        /// The order that it carried out.
        job: Option<Taken>,
        /// When, by the machine's clock.
        at: Timestamp,
        /// How.
        outcome: Outcome,
        /// The snapshots that it made, in hexadecimal digits.
        snapshots: Vec<String>,
    },
    /// A drill was held in a run.
    Drilled {
        /// In which run.
        run: RunId,
        /// Which.
        drill: Drill,
        /// When it ended.
        at: Timestamp,
        /// How.
        outcome: Outcome,
        /// What was compared, in a sentence.
        evidence: String,
    },
    /// An order cannot be carried out now; it comes again.
    Postponed {
        /// Which.
        job: Taken,
        /// Not before.
        again: Timestamp,
        /// Why.
        why: String,
    },
    /// An order is not carried out: the machine's own settings forbid it, or it makes no sense.
    Declined {
        /// Which.
        job: Taken,
        /// Why.
        why: String,
    },
    /// The key of the machine's repository, sealed to the keeper.
    Sealed {
        /// The keeper's public key, as it was told in the duties.
        keeper: String,
        /// The sealed key, in hexadecimal digits (`agent::sealed`).
        key: String,
    },
}

/// An order that somebody has, and in which attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Which.
    pub job: JobId,
    /// In which attempt it was handed out.
    pub attempt: u32,
}

/// What an agent hears.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToAgent {
    /// What to do from now on; at first, and whenever it changes.
    Duties(Box<Duties>),
    /// Something to do once. It may come twice; whoever has it, or has done it, says so again.
    Order {
        /// Which, and in which attempt.
        job: Taken,
        /// What.
        order: Order,
    },
    /// A run or an order that is not wanted any more; what is done of it stays.
    Cancel {
        /// Which order.
        job: JobId,
    },
    /// Events up to this one need not be said again.
    Heard {
        /// The last one's number.
        number: u64,
    },
    /// The machine is retired; its backups are kept.
    Retired,
}

/// What an agent can be ordered to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Back up now.
    Backup {
        /// What; none: what the policy names.
        what: Option<Vec<Selection>>,
    },
    /// Put something back.
    Restore {
        /// The snapshot, in hexadecimal digits.
        snapshot: String,
        /// What of it, as paths in the snapshot; empty: all.
        paths: Vec<String>,
        /// Where to.
        to: RestoreTo,
    },
    /// Practise a restore.
    Drill(Drill),
}

/// Where a restore goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestoreTo {
    /// Into a new folder that the machine's settings name; nothing that exists is touched.
    NewFolder,
    /// Where it was; what exists stays as it is.
    MissingOnly,
    /// Where it was; what exists is overwritten. Only if the machine's own settings allow it.
    Overwrite,
}
