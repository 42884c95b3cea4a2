//! Snapshots as tables and as restic's JSON.

use repo::Id;
use repo::retention::Stored;
use repo::snapshot::Snapshot;
use serde::Serialize;

use super::table::{Table, printable};
use super::{size, time};

/// A snapshot as restic's JSON has it: what is stored, and its names.
#[derive(Serialize)]
pub(crate) struct SnapshotJson<'s> {
    #[serde(flatten)]
    snapshot: &'s Snapshot,
    id: Id,
    short_id: String,
}

impl<'s> SnapshotJson<'s> {
    /// A stored snapshot for JSON.
    pub(crate) fn new(id: Id, snapshot: &'s Snapshot) -> SnapshotJson<'s> {
        SnapshotJson { snapshot, id, short_id: id.short().to_string() }
    }

    /// Several of them.
    pub(crate) fn all(snapshots: &'s [Stored]) -> Vec<SnapshotJson<'s>> {
        snapshots.iter().map(|(id, snapshot)| SnapshotJson::new(*id, snapshot)).collect()
    }
}

/// How many columns a table of snapshots has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Columns {
    /// Paths too, one tag list per line.
    Full,
    /// Without paths, one tag per line.
    Compact,
}

/// One line of a table of snapshots.
pub(crate) struct Line<'s> {
    /// Its name.
    pub(crate) id: Id,
    /// The snapshot.
    pub(crate) snapshot: &'s Snapshot,
    /// Why it is kept, where that is the question.
    pub(crate) reasons: Option<&'s [String]>,
}

/// A table of snapshots, in the order given.
pub(crate) fn table(lines: &[Line<'_>], columns: Columns) -> Table {
    let with_reasons = lines.iter().any(|line| line.reasons.is_some()) && columns == Columns::Full;
    let mut head = vec!["ID", "Time", "Host", "Tags"];
    head.extend(with_reasons.then_some("Reasons"));
    head.extend((columns == Columns::Full).then_some("Paths"));
    head.push("Size");
    let mut table = Table::new(&head);
    for line in lines {
        table.row(row(line, columns, with_reasons));
    }
    table.foot("Timestamps shown in local time");
    table.foot(format!("{} snapshots", lines.len()));
    table
}

fn row(line: &Line<'_>, columns: Columns, with_reasons: bool) -> Vec<String> {
    let snapshot = line.snapshot;
    let tags = snapshot.tags.join(if columns == Columns::Full { "," } else { "\n" });
    let mut cells =
        vec![line.id.short().to_string(), time::local_text(&snapshot.time), printable(&snapshot.hostname), tags];
    if with_reasons {
        cells.push(line.reasons.unwrap_or_default().join("\n"));
    }
    if columns == Columns::Full {
        cells.push(snapshot.paths.iter().map(|path| printable(path)).collect::<Vec<_>>().join("\n"));
    }
    cells.push(snapshot.summary.as_ref().map(|summary| size::bytes(summary.total_bytes_processed)).unwrap_or_default());
    cells
}

/// `snapshot 2ff3b129 of [/home] at 2026-11-22 01:39:21.7 +0000 UTC by root@vm`, as restic begins several reports.
pub(crate) fn sentence(id: Id, snapshot: &Snapshot) -> String {
    let paths: Vec<String> = snapshot.paths.iter().map(|path| printable(path)).collect();
    let (user, host) = (printable(&snapshot.username), printable(&snapshot.hostname));
    format!("snapshot {} of [{}] at {} by {user}@{host}", id.short(), paths.join(" "), time::full(&snapshot.time))
}
