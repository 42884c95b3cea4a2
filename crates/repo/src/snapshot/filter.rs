//! Which snapshots are meant: restic's `--host`, `--tag` and `--path`.

use super::Snapshot;

/// Which snapshots are meant: any of the hosts, any of the tag lists (all tags of a list), all of the paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotFilter {
    /// Hosts, any of them; empty means all.
    pub hosts: Vec<String>,
    /// Tag lists, any of them; within a list all tags. A list that is empty, or whose only tag is empty, means "no tags".
    /// Empty means all.
    pub tags: Vec<Vec<String>>,
    /// Paths, all of them.
    pub paths: Vec<String>,
}

impl SnapshotFilter {
    /// The tag list that somebody wrote as `--tag a,b`.
    pub fn tag_list(text: &str) -> Vec<String> {
        text.split(',').map(|tag| tag.trim().to_owned()).collect()
    }

    /// True if the snapshot is meant.
    pub fn matches(&self, snapshot: &Snapshot) -> bool {
        let host = self.hosts.is_empty() || self.hosts.contains(&snapshot.hostname);
        let tags = self.tags.is_empty() || self.tags.iter().any(|list| matches_tags(list, snapshot));
        host && tags && self.paths.iter().all(|path| snapshot.paths.contains(path))
    }

    /// True if every snapshot is meant.
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty() && self.tags.is_empty() && self.paths.is_empty()
    }
}

/// True if the snapshot has all tags of the list. An empty tag stands for having none.
fn matches_tags(list: &[String], snapshot: &Snapshot) -> bool {
    if list.is_empty() {
        return snapshot.tags.is_empty();
    }
    list.iter().all(|tag| if tag.is_empty() { snapshot.tags.is_empty() } else { snapshot.has_tag(tag) })
}
