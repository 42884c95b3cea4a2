//! A snapshot: a root tree plus who, when, what.

use backend::Id;

/// Figures of the backup that made a snapshot.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[expect(missing_docs, reason = "restic's names say it")]
pub struct Summary {
    pub backup_start: String,
    pub backup_end: String,
    pub files_new: u64,
    pub files_changed: u64,
    pub files_unmodified: u64,
    pub dirs_new: u64,
    pub dirs_changed: u64,
    pub dirs_unmodified: u64,
    pub data_blobs: u64,
    pub tree_blobs: u64,
    pub data_added: u64,
    pub data_added_packed: u64,
    pub total_files_processed: u64,
    pub total_bytes_processed: u64,
    /// What other programs add.
    #[serde(flatten)]
    pub other: serde_json::Map<String, serde_json::Value>,
}

/// A snapshot as it is stored. Times are RFC 3339 with their zone's offset, kept as written.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Snapshot {
    /// When the backup began.
    pub time: String,
    /// The snapshot that unchanged files were taken from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Id>,
    /// Root tree.
    pub tree: Id,
    /// What was backed up, absolute.
    #[serde(default)]
    pub paths: Vec<String>,
    /// Whose machine.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// Which user ran the backup.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub username: String,
    /// That user's number.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub uid: u32,
    /// That user's group.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub gid: u32,
    /// Patterns that were left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excludes: Vec<String>,
    /// Tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Id of the first version, if metadata was changed since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<Id>,
    /// Program that wrote it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub program_version: String,
    /// Figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
    /// What other programs add; kept when we rewrite a snapshot.
    #[serde(flatten)]
    pub other: serde_json::Map<String, serde_json::Value>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The tag of checkpoint snapshots: they serve as parents, are never `latest` and never counted by retention.
pub const PARTIAL_TAG: &str = "stead:partial";

impl Snapshot {
    /// The moment it was taken.
    pub fn timestamp(&self) -> Result<jiff::Timestamp, String> {
        todo!()
    }

    /// The moment, in the zone offset under which it was written: people's calendar for retention.
    pub fn zoned(&self) -> Result<jiff::Zoned, String> {
        todo!()
    }

    /// True for a checkpoint of an unfinished backup.
    pub fn is_partial(&self) -> bool {
        self.tags.iter().any(|tag| tag == PARTIAL_TAG)
    }
}

/// Which snapshots are meant: any of the hosts, any of the tag lists (all tags of a list), all of the paths.
#[derive(Clone, Debug, Default)]
pub struct SnapshotFilter {
    /// Hosts, any of them; empty means all.
    pub hosts: Vec<String>,
    /// Tag lists, any of them; within a list all tags; an empty list entry means "no tags". Empty means all.
    pub tags: Vec<Vec<String>>,
    /// Paths, all of them.
    pub paths: Vec<String>,
}

impl SnapshotFilter {
    /// True if the snapshot is meant.
    pub fn matches(&self, _snapshot: &Snapshot) -> bool {
        todo!()
    }
}
