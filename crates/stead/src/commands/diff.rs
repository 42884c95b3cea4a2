//! `stead diff`: what changed between two snapshots.

use files::diff::{self, Metadata, Side, Statistics};
use repo::snapshot::SnapshotFilter;
use serde::Serialize;

use crate::failure::Outcome;
use crate::open::Context;
use crate::output::{Lines, Output};
use crate::render::size;
use crate::render::table::printable;
use crate::select;

/// Show what changed between two snapshots
///
/// Letters: + added, - removed, M content changed, T type changed, U metadata changed, ? content changed but nothing else.
///
/// Example: stead diff 97880184 latest
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The earlier one: `latest` or the start of an id; ID:FOLDER for a folder of it
    #[arg(value_name = "SNAPSHOT")]
    first: String,
    /// The later one
    #[arg(value_name = "SNAPSHOT")]
    second: String,
    /// Show what changed in metadata only, too
    #[arg(long)]
    metadata: bool,
}

#[derive(Serialize)]
struct ChangeJson<'a> {
    message_type: &'static str,
    path: &'a str,
    modifier: &'a str,
}

#[derive(Serialize)]
struct StatisticsJson<'a> {
    message_type: &'static str,
    source_snapshot: &'a str,
    target_snapshot: &'a str,
    #[serde(flatten)]
    statistics: Statistics,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        let output = context.output();
        let opened = context.open_shared()?;
        let find = |what: &str| opened.repo.find_snapshot(what, &SnapshotFilter::default());
        let (first, second) = (find(&self.first)?, find(&self.second)?);
        let roots = (select::root(&opened.repo, &first)?, select::root(&opened.repo, &second)?);
        let (first, second) = (first.id.short().to_string(), second.id.short().to_string());
        output.remark(format_args!("comparing snapshot {first} to {second}:\n"))?;
        opened.repo.index()?;
        let metadata = if self.metadata { Metadata::Compared } else { Metadata::Ignored };
        let mut lines = Lines::new();
        let statistics = diff::diff(&opened.repo, (&roots.0, &roots.1), metadata, &mut |path, change| -> Outcome {
            let (path, modifier) = (String::from_utf8_lossy(path), change.letters());
            match output.is_json() {
                true => lines.message(&ChangeJson { message_type: "change", path: &path, modifier: &modifier }),
                false => lines.line(format_args!("{modifier:<4} {}", printable(&path))),
            }
        })?;
        lines.finish()?;
        report(output, &first, &second, statistics)
    }
}

fn report(output: Output, first: &str, second: &str, statistics: Statistics) -> Outcome {
    output.message(&StatisticsJson {
        message_type: "statistics",
        source_snapshot: first,
        target_snapshot: second,
        statistics,
    })?;
    let Statistics { changed_files, added, removed } = statistics;
    let row = |name: &str, count: fn(&Side) -> u64| {
        format!("{name:<12} {:>5} new, {:>5} removed", count(&added), count(&removed))
    };
    output.remark(format_args!("\n{}, {changed_files:>5} changed", row("Files:", |side| side.files)))?;
    output.remark(row("Dirs:", |side| side.dirs))?;
    output.remark(row("Others:", |side| side.others))?;
    output.remark(row("Data Blobs:", |side| side.data_blobs))?;
    output.remark(row("Tree Blobs:", |side| side.tree_blobs))?;
    output.remark(format_args!("  Added:   {}", size::bytes(added.bytes)))?;
    output.remark(format_args!("  Removed: {}", size::bytes(removed.bytes)))
}
