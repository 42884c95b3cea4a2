//! `stead check`: is everything there, and does it read back as it was written?

use std::collections::HashSet;
use std::time::Duration;

use repo::check::{self, CheckOptions, CheckReport, Problem, ReadData, Subset};
use serde::Serialize;

use crate::failure::{Doing, Failure, Outcome};
use crate::open::{Believes, Context, Opened};
use crate::output::Output;
use crate::render::progress::StepLine;
use crate::render::size;
use crate::render::table::printable;
use crate::render::time::parse_duration;
use crate::select::{self, FilterArgs};

/// Check a repository for damage
///
/// Without options structure is checked: everything that snapshots need is listed and of the right size. Whether content
/// is good only reading it tells: all of it, or a part each time.
///
/// Example: stead check --read-data-subset 5%
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Read and verify all data
    #[arg(long, conflicts_with_all = ["read_data_subset", "read_data_older_than"])]
    read_data: bool,
    /// Read and verify a part: n/t (part n of t), a share such as 5%, or a size such as 10G
    #[arg(long, value_name = "SUBSET", value_parser = subset, conflicts_with = "read_data_older_than")]
    read_data_subset: Option<Subset>,
    /// Read and verify what this machine did not verify for so long, such as 720h, the longest ago first
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    read_data_older_than: Option<Duration>,
    /// Also tell what no snapshot uses
    #[arg(long)]
    check_unused: bool,
    /// Take metadata from this machine's cache where it has it: quicker, but what the storage holds of it is not looked at
    #[arg(long)]
    with_cache: bool,
    #[command(flatten)]
    filter: FilterArgs,
}

fn subset(text: &str) -> Result<Subset, String> {
    let invalid =
        || format!("`{text}` is no subset; write n/t with 1 <= n <= t, a share such as 5%, or a size such as 10G");
    if let Some((bucket, of)) = text.split_once('/') {
        let (bucket, of) = (bucket.parse().map_err(|_| invalid())?, of.parse().map_err(|_| invalid())?);
        let is_good = bucket >= 1 && bucket <= of && of <= 256;
        return is_good.then_some(Subset::Bucket { bucket, of }).ok_or_else(invalid);
    }
    if let Some(percent) = text.strip_suffix('%') {
        let percent: f64 = percent.parse().map_err(|_| invalid())?;
        return (percent > 0.0 && percent <= 100.0).then_some(Subset::Percent(percent)).ok_or_else(invalid);
    }
    size::parse(text).ok().filter(|size| *size > 0).map(Subset::Bytes).ok_or_else(invalid)
}

/// restic's summary, and how much was read.
#[derive(Serialize)]
struct SummaryJson {
    message_type: &'static str,
    num_errors: usize,
    broken_packs: Option<Vec<String>>,
    suggest_repair_index: bool,
    suggest_prune: bool,
    packs_read: u64,
    bytes_read: u64,
}

#[derive(Serialize)]
struct ErrorJson<'a> {
    message_type: &'static str,
    message: &'a str,
}

/// How many damaged paths are named.
const NAMED_PATHS: usize = 20;

impl Args {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        let output = context.output();
        let believes = if self.with_cache { Believes::Cache } else { Believes::Storage };
        let opened = context.open_for_check(believes)?;
        let options = self.options(&opened, output)?;
        output.remark("checking that everything is there")?;
        let line = StepLine::new(output);
        let report = check::check(&opened.repo, &options, &line).doing(|| "cannot finish the check".into())?;
        drop(line);
        tell(output, &report)?;
        if report.is_good() {
            opened.close(output);
            return output.remark("no errors were found");
        }
        tell_affected(output, &opened, &report)?;
        Err(Failure::new(format!("the repository has {} errors", report.errors.len()))
            .hint("what is damaged can be stored again where the original files exist: `stead backup --force`"))
    }

    fn options(&self, opened: &Opened, output: Output) -> Outcome<CheckOptions> {
        let read_data = match (self.read_data, self.read_data_subset, self.read_data_older_than) {
            (true, ..) => ReadData::All,
            (_, Some(subset), _) => ReadData::Subset(subset),
            (.., Some(age)) => ReadData::OlderThan(age),
            _ => ReadData::None,
        };
        let filter = self.filter.filter();
        let is_filtered = !(filter.hosts.is_empty() && filter.tags.is_empty() && filter.paths.is_empty());
        let snapshots = is_filtered.then(|| select::several(&opened.repo, &[], &filter, output)).transpose()?;
        let snapshots = snapshots.map(|stored| stored.into_iter().map(|(id, _)| id).collect::<HashSet<_>>());
        Ok(CheckOptions { read_data, snapshots, find_unused: self.check_unused })
    }
}

fn tell(output: Output, report: &CheckReport) -> Outcome {
    for problem in &report.hints {
        output.detail(printable(&problem.to_string()))?;
    }
    for problem in &report.errors {
        let message = printable(&problem.to_string());
        if output.is_json() {
            output.error_message(&ErrorJson { message_type: "error", message: &message });
        } else {
            output.warn(message);
        }
    }
    let counts = &report.counts;
    let broken: Vec<String> = report.errors.iter().filter_map(Problem::pack).map(|pack| pack.to_string()).collect();
    let has = |wanted: fn(&Problem) -> bool| report.hints.iter().chain(&report.errors).any(wanted);
    output.message(&SummaryJson {
        message_type: "summary",
        num_errors: report.errors.len(),
        broken_packs: Some(broken).filter(|packs| !packs.is_empty()),
        suggest_repair_index: has(|problem| matches!(problem, Problem::MissingPack { .. } | Problem::PackSize { .. })),
        suggest_prune: has(|problem| matches!(problem, Problem::OrphanedPack { .. } | Problem::MixedPack { .. })),
        packs_read: counts.packs_read,
        bytes_read: counts.bytes_read,
    })?;
    let (snapshots, trees, packs) = (counts.snapshots, counts.trees, counts.packs);
    output.remark(format_args!("{snapshots} snapshots, {trees} folders, {packs} packs checked"))?;
    if counts.packs_read > 0 {
        let bytes = size::bytes(counts.bytes_read);
        output.remark(format_args!("{} packs ({bytes}) read and verified", counts.packs_read))?;
    }
    Ok(())
}

/// What the damage means: which files cannot be restored.
fn tell_affected(output: Output, opened: &Opened, report: &CheckReport) -> Outcome {
    let affected = check::affected(&opened.repo, report, NAMED_PATHS).unwrap_or_default();
    for damaged in &affected {
        let path = printable(&String::from_utf8_lossy(&damaged.path));
        output
            .remark(format_args!("cannot be restored completely: {path} of snapshot {}", damaged.snapshot.short()))?;
    }
    if affected.len() == NAMED_PATHS {
        output.remark("… and perhaps more")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subsets_are_parts_shares_or_sizes() {
        assert_eq!(subset("1/3"), Ok(Subset::Bucket { bucket: 1, of: 3 }));
        assert_eq!(subset("2.5%"), Ok(Subset::Percent(2.5)));
        assert_eq!(subset("10M"), Ok(Subset::Bytes(10 << 20)));
        for text in ["0/3", "4/3", "1/300", "0%", "101%", "0", "x", ""] {
            assert!(subset(text).is_err(), "{text}");
        }
    }
}
