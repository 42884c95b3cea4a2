//! What was backed up, on the wire: snapshots, what is in them, and what is to be put back.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A snapshot of a machine.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Snapshot {
    /// Which: 64 hexadecimal digits.
    pub id: String,
    /// When it was made, by the machine's clock.
    pub at: String,
    /// What was backed up.
    pub paths: Vec<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// Bytes of what it holds, if they were counted.
    pub size: Option<u64>,
}

/// A machine's snapshots.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Snapshots {
    /// The newest first.
    pub snapshots: Vec<Snapshot>,
}

/// Something in a folder of a snapshot.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// The path of it in the snapshot.
    pub path: String,
    /// file, folder, image or other.
    pub kind: String,
    /// Its bytes; of files.
    pub size: u64,
    /// When it was changed last.
    pub changed: Option<String>,
}

/// A folder of a snapshot, or a page of one.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Folder {
    /// What is in it, by name.
    pub entries: Vec<Entry>,
    /// What to give as `after` for the next page; none on the last.
    pub next: Option<String>,
}

/// Where a name was found.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Place {
    /// The newest snapshot that has it so.
    pub snapshot: String,
    /// When that was made.
    pub at: String,
    /// Its path in the snapshot.
    pub path: String,
    /// file, folder, image or other.
    pub kind: String,
    /// Its bytes.
    pub size: u64,
}

/// Where names were found, in any snapshot.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Places {
    /// The newest first.
    pub places: Vec<Place>,
    /// Whether there are more than were told.
    pub more: bool,
    /// Why names may be missing; none: all names are known.
    pub incomplete: Option<String>,
}

/// What the machine is to put back. Nothing that exists is overwritten.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRestore {
    /// From which snapshot: 64 hexadecimal digits.
    pub snapshot: String,
    /// Absolute paths in the snapshot, at most 100; empty: all of it.
    #[serde(default)]
    pub paths: Vec<String>,
    /// new_folder: into a new folder that the machine's own settings name; missing_only: where it was, what exists stays
    /// as it is.
    pub to: String,
    /// The same for what is asked for once more because an answer was lost; none: it is asked for anew.
    #[serde(default)]
    pub request: Option<String>,
}

/// Something that was asked for, or is due.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Job {
    /// Which.
    pub id: String,
    /// backup, restore, drill, check, prune or copy.
    pub kind: String,
    /// waiting, taken, done, failed or cancelled.
    pub state: String,
    /// Since when it may be done.
    pub due: String,
    /// Who asked for it; none: a schedule did.
    pub asked_by: Option<String>,
}

/// A machine's newest jobs.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Jobs {
    /// The newest first; at most 50.
    pub jobs: Vec<Job>,
}
