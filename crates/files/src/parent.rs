//! Which snapshot unchanged files are taken from.

use backend::Id;
use jiff::Timestamp;
use repo::retention::GroupBy;
use repo::snapshot::Snapshot;
use repo::{Repository, Result};

/// How the parent is chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParentChoice {
    /// The newest snapshot of the group that is not newer than the backup; checkpoints count.
    Newest(GroupBy),
    /// This one.
    Given(Id),
    /// None: everything is read.
    Nothing,
}

/// What a backup is compared with to find its parent.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'c> {
    /// The host.
    pub host: &'c str,
    /// Absolute paths.
    pub paths: &'c [String],
    /// Tags.
    pub tags: &'c [String],
    /// When the backup is said to be made.
    pub time: Timestamp,
}

/// Finds the parent.
pub fn find(repo: &Repository, choice: &ParentChoice, of: Candidate<'_>) -> Result<Option<(Id, Snapshot)>> {
    match choice {
        ParentChoice::Nothing => Ok(None),
        ParentChoice::Given(id) => Ok(Some((*id, repo.read_snapshot(id)?))),
        ParentChoice::Newest(group) => {
            let snapshots = repo.snapshots()?.all.into_iter();
            let fitting =
                snapshots.filter_map(|(id, snapshot)| fits(&snapshot, *group, of).map(|time| (time, id, snapshot)));
            // Of several of the same moment the last one listed.
            Ok(fitting.max_by_key(|(time, ..)| *time).map(|(_, id, snapshot)| (id, snapshot)))
        }
    }
}

/// The time of a snapshot that may be the parent.
fn fits(snapshot: &Snapshot, group: GroupBy, of: Candidate<'_>) -> Option<Timestamp> {
    let time = snapshot.timestamp().ok()?;
    let host = !group.host || snapshot.hostname == of.host;
    let paths = !group.paths || of.paths.iter().all(|path| snapshot.paths.contains(path));
    let tags = !group.tags || of.tags.iter().all(|tag| snapshot.tags.contains(tag));
    (host && paths && tags && time <= of.time).then_some(time)
}
