//! Light: one of the five answers to "is it safe?", always in the same order, each with a sentence and its evidence.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{CopyId, DrillId, RunId, State};

/// Which question a light answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LightKind {
    /// Is the agent heard?
    Heartbeat,
    /// Is there a recent good backup?
    Backup,
    /// Is there a recent copy away from the machine?
    Offsite,
    /// Was a restore proven lately?
    Proven,
    /// Is storage whole, and is there room?
    Storage,
}

impl LightKind {
    /// All five, in the order in which they are always shown.
    pub const ALL: [LightKind; 5] =
        [LightKind::Heartbeat, LightKind::Backup, LightKind::Offsite, LightKind::Proven, LightKind::Storage];

    /// What it is called.
    pub fn words(self) -> &'static str {
        match self {
            LightKind::Heartbeat => "heartbeat",
            LightKind::Backup => "last good backup",
            LightKind::Offsite => "offsite copy",
            LightKind::Proven => "proven restore",
            LightKind::Storage => "storage",
        }
    }
}

/// What a light relies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// A run: a backup, or a check of storage.
    Run(RunId),
    /// A copy.
    Copy(CopyId),
    /// A drill.
    Drill(DrillId),
}

/// One of the five answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Light {
    /// Which question.
    pub kind: LightKind,
    /// The answer; none where nothing is claimed: nobody asked for it, or it cannot be known now. Never `Paused`.
    pub state: Option<State>,
    /// The answer in a sentence, with its age.
    pub sentence: String,
    /// What it relies on.
    pub evidence: Option<Evidence>,
    /// Of when that is.
    pub at: Option<Timestamp>,
}
