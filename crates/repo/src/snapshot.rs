//! A snapshot: a root tree plus who, when, what.

mod filter;

use backend::Id;
use serde::{Deserialize, Deserializer};

use crate::node::NodeTime;

pub use filter::SnapshotFilter;

/// Figures of the backup that made a snapshot.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
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
    #[serde(default, deserialize_with = "null_is_default")]
    pub paths: Vec<String>,
    /// Whose machine.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// Which user ran the backup.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub username: String,
    /// That user's number.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_zero")]
    pub uid: u32,
    /// That user's group.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "is_zero")]
    pub gid: u32,
    /// Patterns that were left out.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub excludes: Vec<String>,
    /// Tags.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Id of the first version, if metadata was changed since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<Id>,
    /// Program that wrote it.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub program_version: String,
    /// Figures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
    /// What other programs add; kept when we rewrite a snapshot.
    #[serde(flatten)]
    pub other: serde_json::Map<String, serde_json::Value>,
}

/// Go writes nil slices as `null`, and other programs may do so elsewhere.
fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The tag of checkpoint snapshots: they serve as parents, are never `latest` and never counted by retention.
pub const PARTIAL_TAG: &str = "stead:partial";

impl Snapshot {
    /// Parses the JSON of a snapshot file; errors in words. Times are checked, so that [`Snapshot::timestamp`] of what
    /// was parsed does not fail.
    pub fn parse(json: &[u8]) -> Result<Snapshot, String> {
        let snapshot: Snapshot = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        snapshot.timestamp()?;
        Ok(snapshot)
    }

    /// The JSON that is stored, members in restic's order, then other programs'.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a snapshot is JSON")
    }

    /// The moment it was taken.
    pub fn timestamp(&self) -> Result<jiff::Timestamp, String> {
        self.zoned().map(|zoned| zoned.timestamp())
    }

    /// The moment, in the zone offset under which it was written: people's calendar for retention.
    pub fn zoned(&self) -> Result<jiff::Zoned, String> {
        let words = |error: jiff::Error| format!("{:?} is no time: {error}", self.time);
        let time = NodeTime::parse(&self.time).ok_or_else(|| format!("{:?} is no time", self.time))?;
        let timestamp = jiff::Timestamp::new(time.seconds, time.nanoseconds as i32).map_err(words)?;
        let offset = jiff::tz::Offset::from_seconds(time.offset).map_err(words)?;
        Ok(timestamp.to_zoned(jiff::tz::TimeZone::fixed(offset)))
    }

    /// True for a checkpoint of an unfinished backup.
    pub fn is_partial(&self) -> bool {
        self.has_tag(PARTIAL_TAG)
    }

    /// True if it has this tag.
    pub fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|own| own == tag)
    }

    /// Adds tags that it does not have yet; true if there were any.
    pub fn add_tags(&mut self, tags: &[String]) -> bool {
        let before = self.tags.len();
        for tag in tags {
            if !self.has_tag(tag) {
                self.tags.push(tag.clone());
            }
        }
        self.tags.len() > before
    }

    /// Removes tags; true if it had any of them.
    pub fn remove_tags(&mut self, tags: &[String]) -> bool {
        let before = self.tags.len();
        self.tags.retain(|tag| !tags.contains(tag));
        self.tags.len() < before
    }
}

#[cfg(test)]
mod tests;
