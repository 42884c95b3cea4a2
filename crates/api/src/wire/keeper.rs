//! What a keeper says and hears. A task names a machine and hands over its sealed key; a question is answered at once or
//! not at all.

use std::collections::BTreeMap;

use fleet::{ClientId, Destination, DestinationId, Distance, Drill, JobKind, Keep, MachineId, Outcome, Report, RunId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::agent::Taken;

/// What a keeper says. Pieces of a download are binary messages: the question's number (8 bytes, big endian), then bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromKeeper {
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
        /// Whose.
        machine: MachineId,
        /// Which run.
        run: RunId,
        /// How far.
        report: Report,
    },
    /// The answer to a question.
    Answer {
        /// The question's number.
        ask: u64,
        /// The answer, or why there is none.
        answer: Result<Answer, String>,
    },
}

/// Something that happened at a keeper.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A run began.
    Begun {
        /// For which machine.
        machine: MachineId,
        /// Which.
        run: RunId,
        /// The task.
        job: Taken,
        /// What it does.
        kind: JobKind,
        /// When.
        at: Timestamp,
    },
    /// A run ended; the task is done, whatever the outcome.
    Ended {
        /// For which machine.
        machine: MachineId,
        /// Which.
        run: RunId,
        /// The task.
        job: Taken,
        /// When.
        at: Timestamp,
        /// How.
        outcome: Outcome,
        /// What came of it.
        found: Option<Found>,
    },
    /// A task cannot be done now; it comes again.
    Postponed {
        /// Which.
        job: Taken,
        /// Not before.
        again: Timestamp,
        /// Why.
        why: String,
    },
    /// A task that is not done: the keeper is too old to know it.
    Declined {
        /// Which.
        job: Taken,
        /// Why.
        why: String,
    },
}

/// What came of a run, beside its outcome.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// A copy.
    Copied {
        /// Where.
        destination: DestinationId,
        /// How far away that is.
        distance: Distance,
        /// The time of the newest snapshot that is there.
        newest: Timestamp,
    },
    /// A drill.
    Drilled {
        /// Which.
        drill: Drill,
        /// What was compared, in a sentence.
        evidence: String,
    },
}

/// What a keeper hears.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToKeeper {
    /// Where repositories are; at first, and whenever it changes.
    Gateway {
        /// The gateway's address without credentials. A machine's repository is below it, at the machine's identity.
        address: String,
        /// The authority (PEM) that its certificate must come from; none: one that the system trusts.
        authority: Option<String>,
        /// The name that the keeper comes in with.
        account: String,
        /// Its password there.
        credential: String,
    },
    /// Something to do. It may come twice.
    Task {
        /// Which, and in which attempt.
        job: Taken,
        /// For which machine.
        machine: Kept,
        /// What.
        work: Work,
    },
    /// A task that is not wanted any more.
    Cancel {
        /// Which.
        job: fleet::JobId,
    },
    /// Something that somebody wants to know now.
    Ask {
        /// Its number; none is used twice on a connection.
        ask: u64,
        /// About which machine.
        machine: Kept,
        /// What.
        question: Question,
    },
    /// Nobody waits for the answer any more.
    Forget {
        /// The question's number.
        ask: u64,
    },
    /// Events up to this one need not be said again.
    Heard {
        /// The last one's number.
        number: u64,
    },
}

/// What somebody waits for, in a message to a keeper that does not understand it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// A task.
    Task(Taken),
    /// The answer to a question, by its number.
    Question(u64),
}

/// What whoever said this message to a keeper waits for, whatever else stands in it.
pub fn waited_for(text: &str) -> Option<Waited> {
    #[derive(Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Said {
        Task { job: Taken },
        Ask { ask: u64 },
    }
    match serde_json::from_str(text).ok()? {
        Said::Task { job } => Some(Waited::Task(job)),
        Said::Ask { ask } => Some(Waited::Question(ask)),
    }
}

/// A machine whose repository is tended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Which.
    pub machine: MachineId,
    /// Whose it is: copies are opened by that client's recovery password. None from servers that did not say it yet.
    #[serde(default)]
    pub client: Option<ClientId>,
    /// What people call it.
    pub name: String,
    /// The key of its repository, sealed to this keeper, in hexadecimal digits.
    pub sealed: String,
}

/// What a keeper is given to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Check the repository's structure, and read this share of its packs.
    Check {
        /// Which slice, counted from 1.
        slice: u32,
        /// Of how many.
        of: u32,
    },
    /// Forget by these rules, then prune with the delay of a fleet.
    Prune {
        /// What is kept.
        keep: Keep,
        /// When the gateway received each snapshot (its name in hexadecimal digits): time counts from then. A snapshot that is
        /// not here is kept.
        received: BTreeMap<String, Timestamp>,
    },
    /// Copy what is missing to a destination.
    Copy(Destination),
    /// Practise a restore.
    Drill(Drill),
}

/// What somebody wants to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// The snapshots.
    Snapshots,
    /// What is in a folder of one.
    List {
        /// The snapshot, in hexadecimal digits.
        snapshot: String,
        /// The folder; `/` is the top.
        path: String,
        /// What comes after this name.
        after: Option<String>,
    },
    /// Where names contain this text, in any snapshot, the newest first.
    Search {
        /// The text.
        text: String,
    },
    /// The bytes of a file, or of a folder as a tar archive; they follow as binary messages after the answer.
    Fetch {
        /// The snapshot, in hexadecimal digits.
        snapshot: String,
        /// The path.
        path: String,
    },
    /// The first bytes of a file, to look at.
    Preview {
        /// The snapshot, in hexadecimal digits.
        snapshot: String,
        /// The path.
        path: String,
    },
    /// What the recovery sheet of a client opens; it is made if there is none. Its password is told to nobody.
    RecoverySheet {
        /// The client, a UUID.
        client: String,
    },
    /// Whether somebody has the sheet.
    ProveSheet {
        /// The client, a UUID.
        client: String,
        /// The two groups of it that [`Answer::RecoverySheet`] asks for, as they were typed.
        groups: [String; 2],
    },
}

/// What is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The snapshots, the newest first.
    Snapshots(Vec<Snapshot>),
    /// What is in a folder, by name.
    Entries {
        /// The entries.
        entries: Vec<Entry>,
        /// Whether there are more.
        more: bool,
    },
    /// Where the names are.
    Places {
        /// The places.
        places: Vec<Place>,
        /// Whether there are more.
        more: bool,
        /// Why names may be missing, as a sentence; none: all names are known.
        #[serde(default)]
        incomplete: Option<String>,
    },
    /// A download begins.
    Fetching {
        /// What to call it.
        name: String,
        /// Its bytes, if they are known before.
        size: Option<u64>,
    },
    /// A download has ended; all its bytes were sent.
    Fetched,
    /// A file's first bytes, as text if they are.
    Preview {
        /// The text; none if the file is no text.
        text: Option<String>,
        /// Bytes of the whole file.
        size: u64,
    },
    /// What the recovery sheet of a client opens.
    RecoverySheet {
        /// Which two groups prove that somebody has it, counted from 1; always the same two of a client.
        asks: [u8; 2],
        /// The machines whose repositories it opens.
        opens: Vec<MachineId>,
        /// The machines whose repositories it does not open yet, and why.
        missing: Vec<(MachineId, String)>,
    },
    /// Whether the groups that were typed are those of the sheet.
    SheetProved {
        /// They are.
        right: bool,
    },
}

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its name, in hexadecimal digits.
    pub id: String,
    /// When it was made, by the machine's clock.
    pub at: Timestamp,
    /// What it holds.
    pub paths: Vec<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// Bytes of what it holds, if it was counted.
    pub size: Option<u64>,
}

/// Something in a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
    /// Its bytes; of files.
    pub size: u64,
    /// When it was changed last.
    pub changed: Option<Timestamp>,
}

/// What something in a folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// A link, a device, or something else.
    Other,
    /// The image of a disk: a folder whose partitions can be looked into.
    Image,
}

/// Where a name was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The newest snapshot that has it so.
    pub snapshot: String,
    /// When that was made.
    pub at: Timestamp,
    /// Its path.
    pub path: String,
    /// What it is.
    pub kind: EntryKind,
    /// Its bytes.
    pub size: u64,
}
