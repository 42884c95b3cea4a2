//! `stead stats`: how much there is.

use repo::stats::{self, Stats, StatsMode};

use crate::failure::{Doing, Outcome};
use crate::open::Context;
use crate::output::Output;
use crate::render::progress::StepLine;
use crate::render::size;
use crate::select::{self, FilterArgs};

/// Tell how much there is
///
/// Modes: restore-size (what restoring every snapshot would write), files-by-contents (each content once),
/// blobs-per-file (blobs of files with different content), raw-data (what is stored).
///
/// Example: stead stats --mode raw-data
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these snapshots (start of an id, or `latest`); without any, all that the filters let through
    #[arg(value_name = "SNAPSHOT")]
    ids: Vec<String>,
    /// How to count: restore-size, files-by-contents, blobs-per-file or raw-data
    #[arg(long, default_value = "restore-size")]
    mode: StatsMode,
    #[command(flatten)]
    filter: FilterArgs,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        let output = context.output();
        let opened = context.open_shared()?;
        let snapshots = select::several(&opened.repo, &self.ids, &self.filter.filter(), output)?;
        let line = StepLine::new(output);
        let stats = stats::stats(&opened.repo, &snapshots, self.mode, &line).doing(|| "cannot count".into())?;
        drop(line);
        output.message(&stats)?;
        if output.is_json() { Ok(()) } else { show(output, &stats, self.mode) }
    }
}

fn show(output: Output, stats: &Stats, mode: StatsMode) -> Outcome {
    let name = match mode {
        StatsMode::RestoreSize => "restore-size",
        StatsMode::FilesByContents => "files-by-contents",
        StatsMode::BlobsPerFile => "blobs-per-file",
        StatsMode::RawData => "raw-data",
    };
    let is_raw = mode == StatsMode::RawData;
    let has_compression = is_raw && stats.compression_ratio > 0.0;
    let figures = [
        ("Snapshots processed", true, stats.snapshots_count.to_string()),
        ("Total Blob Count", stats.total_blob_count > 0, stats.total_blob_count.to_string()),
        ("Total File Count", stats.total_file_count > 0, stats.total_file_count.to_string()),
        ("Total Uncompressed Size", stats.total_uncompressed_size > 0, size::bytes(stats.total_uncompressed_size)),
        ("Total Size", true, size::bytes(stats.total_size)),
        ("Compression Progress", has_compression, format!("{:.2}%", stats.compression_progress)),
        ("Compression Ratio", has_compression, format!("{:.2}x", stats.compression_ratio)),
        ("Compression Space Saving", has_compression, format!("{:.2}%", stats.compression_space_saving)),
    ];
    output.result(format_args!("Stats in {name} mode:"))?;
    for (what, _, figure) in figures.iter().filter(|(_, is_counted, _)| *is_counted) {
        output.result(format_args!("{what:>24}:  {figure}"))?;
    }
    Ok(())
}
