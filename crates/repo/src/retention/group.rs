//! Groups of snapshots, by host, paths and tags: those that a policy is applied to separately, and those that a backup
//! takes its parent from.

use std::collections::BTreeMap;

use super::{Stored, own_tags};

/// What makes a group. restic's default is host and paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupBy {
    /// The host name.
    pub host: bool,
    /// The set of paths.
    pub paths: bool,
    /// The set of tags.
    pub tags: bool,
}

impl Default for GroupBy {
    fn default() -> GroupBy {
        GroupBy { host: true, paths: true, tags: false }
    }
}

impl std::str::FromStr for GroupBy {
    type Err = String;

    /// Reads `host,paths,tags`, any of them, in singular or plural; nothing means one group.
    fn from_str(text: &str) -> Result<GroupBy, String> {
        let mut by = GroupBy { host: false, paths: false, tags: false };
        for word in text.split(',') {
            match word {
                "host" | "hosts" => by.host = true,
                "path" | "paths" => by.paths = true,
                "tag" | "tags" => by.tags = true,
                "" => {}
                _ => return Err(format!("unknown grouping option: {word:?}")),
            }
        }
        Ok(by)
    }
}

/// What the snapshots of a group have in common; what is not grouped by is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct GroupKey {
    /// Host name.
    #[serde(rename = "host")]
    pub hostname: String,
    /// Paths, sorted.
    pub paths: Vec<String>,
    /// Tags, sorted.
    pub tags: Vec<String>,
}

impl std::fmt::Display for GroupKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut parts = Vec::new();
        if !self.hostname.is_empty() {
            parts.push(format!("host {}", self.hostname));
        }
        if !self.paths.is_empty() {
            parts.push(format!("path [{}]", self.paths.join(" ")));
        }
        if !self.tags.is_empty() {
            parts.push(format!("tags [{}]", self.tags.join(" ")));
        }
        f.write_str(&parts.join(", "))
    }
}

/// Sorts snapshots into groups. The mark of a checkpoint is not a tag here: it belongs to its backup's group.
pub fn group_snapshots(snapshots: Vec<Stored>, by: GroupBy) -> BTreeMap<GroupKey, Vec<Stored>> {
    let mut groups: BTreeMap<GroupKey, Vec<Stored>> = BTreeMap::new();
    for stored in snapshots {
        groups.entry(key(&stored, by)).or_default().push(stored);
    }
    groups
}

fn key((_, snapshot): &Stored, by: GroupBy) -> GroupKey {
    let mut key = GroupKey::default();
    if by.host {
        key.hostname.clone_from(&snapshot.hostname);
    }
    if by.paths {
        key.paths.clone_from(&snapshot.paths);
        key.paths.sort();
    }
    if by.tags {
        key.tags = own_tags(snapshot);
        key.tags.sort();
    }
    key
}
