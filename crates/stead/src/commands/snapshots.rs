//! `stead snapshots`: what there is to restore from.

use repo::retention::{GroupBy, GroupKey, Stored, group_snapshots};
use serde::Serialize;

use crate::failure::Outcome;
use crate::open::Context;
use crate::output::{self, Output};
use crate::render::snapshots::{Columns, Line, SnapshotJson, table};
use crate::select::{self, FilterArgs};

/// List snapshots
///
/// Example: stead snapshots --host laptop --latest 3
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these snapshots (start of an id, or `latest`)
    #[arg(value_name = "SNAPSHOT")]
    ids: Vec<String>,
    #[command(flatten)]
    filter: FilterArgs,
    /// Fewer columns
    #[arg(short, long)]
    compact: bool,
    /// Group by host, paths and/or tags, separated by commas
    #[arg(short, long, value_name = "GROUP")]
    group_by: Option<GroupBy>,
    /// Only the newest N of each host and paths
    #[arg(long, value_name = "N")]
    latest: Option<usize>,
}

/// A group as restic's JSON has it.
#[derive(Serialize)]
struct GroupJson<'s> {
    group_key: KeyJson<'s>,
    snapshots: Vec<SnapshotJson<'s>>,
}

#[derive(Serialize)]
struct KeyJson<'s> {
    hostname: &'s str,
    paths: Option<&'s [String]>,
    tags: Option<&'s [String]>,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        let output = context.output();
        let opened = context.open_shared()?;
        let snapshots = select::several(&opened.repo, &self.ids, &self.filter.filter(), output)?;
        let Some(by) = self.group_by.filter(|by| by.host || by.paths || by.tags) else {
            let chosen = newest(snapshots, self.latest);
            output.message(&SnapshotJson::all(&chosen))?;
            return self.show(output, &chosen);
        };
        let groups = group_snapshots(snapshots, by).into_iter();
        let groups: Vec<_> = groups.map(|(key, stored)| (key, newest(stored, self.latest))).collect();
        output.message(&groups.iter().map(|(key, stored)| group_json(key, stored)).collect::<Vec<_>>())?;
        for (key, stored) in &groups {
            output.result(format_args!("snapshots for ({}):", heading(key)))?;
            self.show(output, stored)?;
        }
        Ok(())
    }

    fn show(&self, output: Output, snapshots: &[Stored]) -> Outcome {
        if output.is_json() || snapshots.is_empty() {
            return Ok(());
        }
        let columns = if self.compact { Columns::Compact } else { Columns::Full };
        let lines: Vec<Line<'_>> =
            snapshots.iter().map(|(id, snapshot)| Line { id: *id, snapshot, reasons: None }).collect();
        output.result(table(&lines, columns).render(output::width()).trim_end())
    }
}

/// Oldest first; of each host and paths the newest `count`.
fn newest(mut snapshots: Vec<Stored>, count: Option<usize>) -> Vec<Stored> {
    if let Some(count) = count {
        let groups = group_snapshots(snapshots, GroupBy::default()).into_values();
        snapshots = groups.flat_map(|group| by_time(group).into_iter().rev().take(count)).collect();
    }
    by_time(snapshots)
}

fn by_time(mut snapshots: Vec<Stored>) -> Vec<Stored> {
    snapshots.sort_by_cached_key(|(id, snapshot)| (snapshot.timestamp().unwrap_or_default(), *id));
    snapshots
}

fn group_json<'s>(key: &'s GroupKey, snapshots: &'s [Stored]) -> GroupJson<'s> {
    let some = |list: &'s Vec<String>| Some(list.as_slice()).filter(|list| !list.is_empty());
    let group_key = KeyJson { hostname: &key.hostname, paths: some(&key.paths), tags: some(&key.tags) };
    GroupJson { group_key, snapshots: SnapshotJson::all(snapshots) }
}

/// restic's heading of a group: `host [vm], tags [a, b], paths [/home]`.
fn heading(key: &GroupKey) -> String {
    let mut parts = Vec::new();
    if !key.hostname.is_empty() {
        parts.push(format!("host [{}]", key.hostname));
    }
    if !key.tags.is_empty() {
        parts.push(format!("tags [{}]", key.tags.join(", ")));
    }
    if !key.paths.is_empty() {
        parts.push(format!("paths [{}]", key.paths.join(", ")));
    }
    parts.join(", ")
}
