//! Check in slices: the structure every time, and a share of the packs read and verified; new index files compared with
//! packs.

use fleet::Outcome;
use repo::check::{self, CheckOptions, CheckReport, ReadData, Subset};

use super::{Done, Site, count_of};
use crate::Result;
use crate::reporter::Reporter;
use crate::storage::Believes;

/// How many damaged paths are looked for.
const NAMED_PATHS: usize = 20;

pub(super) fn check(site: &Site, slice: u32, of: u32, reporter: &Reporter) -> Result<Done> {
    let (repo, _lock) = site.open_locked(Believes::Storage)?;
    let untrue = site.audit(&repo, reporter)?;
    let read_data = ReadData::Subset(Subset::Bucket { bucket: slice, of });
    let report = check::check(&repo, &CheckOptions { read_data, ..CheckOptions::default() }, reporter)?;
    if report.is_good() && untrue.is_empty() {
        return Ok(Done::good());
    }
    let affected = check::affected(&repo, &report, NAMED_PATHS).unwrap_or_default();
    Ok(Done { outcome: Outcome::Failed { why: words(&report, &untrue, &affected) }, found: None })
}

fn words(report: &CheckReport, untrue: &[String], affected: &[check::Affected]) -> String {
    let errors = (report.errors.len() + untrue.len()) as u64;
    // What a machine may have forged is worse than what broke.
    let broken = || report.errors.first().map(ToString::to_string);
    let first = untrue.first().cloned().or_else(broken).unwrap_or_default();
    let mut words = format!("the repository has {}, first: {first}", count_of(errors, "error"));
    if let Some(damaged) = affected.first() {
        let path = String::from_utf8_lossy(&damaged.path);
        let more = if affected.len() > 1 { " and others" } else { "" };
        words.push_str(&format!(
            "; cannot be restored completely: {path} of snapshot {}{more}",
            damaged.snapshot.short()
        ));
    }
    words
}
