//! Answers of the JSON API. Times are RFC 3339 in UTC, identities UUIDs, states the seven words.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub mod backups;
pub mod firm;
pub mod messages;
pub mod people;
pub mod settings;
pub mod sheet;
pub mod silences;

/// Why a request was not answered as asked.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// The status of HTTP, once more.
    pub status: u16,
    /// What happened.
    pub sentence: String,
    /// What it means for the backups.
    pub meaning: String,
    /// What to do.
    pub advice: String,
}

/// One of the five lights.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Light {
    /// Which: heartbeat, backup, offsite, proven or storage.
    pub kind: String,
    /// How it stands; none where nothing is claimed.
    pub state: Option<String>,
    /// The same in a sentence.
    pub sentence: String,
    /// Of when its evidence is.
    pub at: Option<String>,
}

/// How a machine stands.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Machine {
    /// Which.
    pub id: String,
    /// Whose.
    pub client: String,
    /// What people call it.
    pub name: String,
    /// server, workstation or laptop.
    pub class: String,
    /// The worst of its lights.
    pub state: String,
    /// Whether somebody paused it, beside that.
    pub paused: bool,
    /// What matters most.
    pub sentence: String,
    /// The five, always in the same order.
    pub lights: Vec<Light>,
    /// How far a backup is, if one goes on.
    pub percent: Option<u8>,
    /// A date, a space, and a letter for each of the 28 days up to it: g good, i incomplete, f failed, r running,
    /// - nothing attempted.
    pub bar: String,
    /// When all this was found.
    pub judged: String,
}

/// A page of machines, the worst first.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Fleet {
    /// What there is to know, in one sentence.
    pub sentence: String,
    /// How many machines stand how; a paused one counts as paused alone.
    pub counts: BTreeMap<String, u64>,
    /// The machines.
    pub machines: Vec<Machine>,
    /// What to give as `after` for the next page; none on the last.
    pub next: Option<String>,
}

/// One attempt at a job.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Run {
    /// Which.
    pub id: String,
    /// The job that it is an attempt at; none: the machine's own policy began it.
    #[serde(default)]
    pub job: Option<String>,
    /// backup, restore, drill, check, prune or copy.
    pub kind: String,
    /// When it began.
    pub started: String,
    /// When it ended; none while it goes on.
    pub ended: Option<String>,
    /// running, good, incomplete or failed.
    pub state: String,
    /// How far it is.
    pub percent: u8,
    /// The same in words, with reasons.
    pub words: String,
    /// The snapshots that it made, in hexadecimal digits.
    #[serde(default)]
    pub snapshots: Vec<String>,
}

/// A machine's newest runs.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Runs {
    /// The newest first; at most 50.
    pub runs: Vec<Run>,
}

/// Something that was asked for.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Asked {
    /// The job that it became.
    pub job: String,
}

/// A machine with its newest runs.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MachineWithRuns {
    /// How it stands.
    pub machine: Machine,
    /// Its newest runs, the newest first.
    pub runs: Vec<Run>,
}

/// Something that needs somebody.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Alert {
    /// Which.
    pub id: String,
    /// About which machine, if about one.
    pub machine: Option<String>,
    /// silent, backup, offsite, proven, storage or quarantined.
    pub condition: String,
    /// What is wrong.
    pub sentence: String,
    /// Since when.
    pub opened: String,
    /// open or acknowledged.
    pub state: String,
    /// Who has it.
    pub by: Option<String>,
}

/// What needs somebody, the newest first.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Alerts {
    /// The alerts; at most 200.
    pub alerts: Vec<Alert>,
}

/// A machine that wants to join.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// The code, as it was typed.
    pub code: String,
    /// What the machine calls itself; 1 to 100 characters.
    pub name: String,
    /// The public key of its identity (Ed25519), 64 hexadecimal digits.
    pub identity: String,
    /// What its hardware looks like, so that a copy is noticed.
    pub hardware: Option<String>,
}

/// What a machine became.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Enrolled {
    /// Its identity from now on.
    pub machine: String,
    /// Whose it is.
    pub client: String,
    /// What it shows to the gateway; told once.
    pub credential: String,
}
