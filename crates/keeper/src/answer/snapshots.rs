//! The snapshots of a machine, the newest first. One that leaves carries a tag that says when it goes.

use api::wire::keeper::{Answer, Snapshot};

use crate::Result;
use crate::storage::Believes;
use crate::work::{Site, leaving};

/// How many are told at most: the newest.
const MOST: usize = 10_000;

/// What begins the tag of a snapshot that is removed and can still be fetched back.
const LEAVING_TAG: &str = "removed; gone after ";

pub(super) fn snapshots(site: &Site) -> Result<Answer> {
    let repo = site.open(Believes::Cache)?;
    let leaving = leaving(site)?;
    let told = |(id, snapshot): (repo::Id, repo::snapshot::Snapshot)| {
        let gone = leaving.get(&id).map(|time| format!("{LEAVING_TAG}{time}"));
        Some(Snapshot {
            id: id.to_string(),
            at: snapshot.timestamp().ok()?,
            paths: snapshot.paths,
            tags: snapshot.tags.into_iter().chain(gone).collect(),
            size: snapshot.summary.map(|summary| summary.total_bytes_processed),
        })
    };
    Ok(Answer::Snapshots(repo.snapshots()?.all.into_iter().rev().filter_map(told).take(MOST).collect()))
}
