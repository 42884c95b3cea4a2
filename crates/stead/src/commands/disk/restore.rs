//! `stead disk restore`: an image becomes the content of a disk or a file.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use disks::image::StoredImages;
use disks::progress::Progress;
use disks::restore::{self, Consent, Fit, Options, Plan, Report, Surroundings, TargetKind, Unused};
use platform::hardware::System;
use repo::Repository;
use repo::repository::FoundSnapshot;
use repo::snapshot::SnapshotFilter;
use serde_json::json;

use crate::environment;
use crate::failure::{Failure, Outcome};
use crate::open::Context;
use crate::output::Output;
use crate::render::disk::DiskPicture;
use crate::render::live::Live;
use crate::render::snapshots::sentence;
use crate::render::table::printable;
use crate::render::{size, time};
use crate::select::FilterArgs;

/// Write the image of a disk onto a device or into a file
///
/// First the plan is shown. What is mounted or not empty is only overwritten with --force and its name typed, or with
/// --yes-overwrite. A restore that was cut off goes on where it was when it is run again.
///
/// Example: stead disk restore latest:sda /dev/sdb --dry-run
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which image: `latest`, or the start of a snapshot's id; with `:DISK` behind it where there are several
    #[arg(value_name = "SNAPSHOT[:DISK]")]
    snapshot: String,
    /// Device or file to write
    #[arg(value_name = "TARGET")]
    target: PathBuf,
    #[command(flatten)]
    filter: FilterArgs,
    /// Read the target first and write only what differs
    #[arg(long)]
    delta: bool,
    /// Read everything back afterwards and compare
    #[arg(long)]
    verify: bool,
    /// What becomes of unused space: zero, discard or leave
    #[arg(long, value_name = "HOW", default_value = "zero", value_parser = unused)]
    unused: Unused,
    /// Only show the plan
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Overwrite what is mounted or not empty, after its name was typed
    #[arg(long)]
    force: bool,
    /// Overwrite the disk or file of this name, without asking
    #[arg(long, value_name = "NAME")]
    yes_overwrite: Option<String>,
    /// Keep notes about a restore that was begun in this directory
    #[arg(long, value_name = "DIRECTORY")]
    state_dir: Option<PathBuf>,
}

fn unused(text: &str) -> Result<Unused, String> {
    match text {
        "zero" => Ok(Unused::Zero),
        "discard" => Ok(Unused::Discard),
        "leave" => Ok(Unused::Leave),
        _ => Err(format!("`{text}` is not one of zero, discard, leave")),
    }
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        let output = context.output();
        let opened = context.open_shared()?;
        let (found, images) = find_images(&opened.repo, &self.snapshot, &self.filter.filter())?;
        let around = Surroundings {
            system: System::this(),
            repository: opened.directory.clone(),
            state: self.state_dir.clone().or_else(environment::state_directory),
        };
        let how = Options { delta: self.delta, verify: self.verify, unused: self.unused };
        let plan = restore::plan(&images, found.subfolder.as_deref(), &self.target, how, &around)?;
        tell(output, &plan, &sentence(found.id, &found.snapshot), self.dry_run)?;
        if self.dry_run {
            opened.close(output);
            return Ok(());
        }
        let consent = self.consent(&plan)?;
        let begin = Instant::now();
        let progress = Arc::new(Progress::default());
        let live = Live::show(&context.settings, Arc::new(DiskPicture::new(&plan.disk, &progress)));
        let report = restore::execute(&opened.repo, &images, &plan, &consent, &around, &progress, &context.cancel);
        drop(live);
        let report = report?;
        tell_report(output, &plan, &report, begin.elapsed().as_secs())?;
        opened.close(output);
        match report.failures.len() {
            0 => Ok(()),
            count => Err(Failure::new(format!("{count} chunks of the disk are not as the image has them"))
                .hint("`stead check --read-data` tells what the repository has lost")),
        }
    }

    /// Leave to overwrite, from the command line or a person.
    fn consent(&self, plan: &Plan) -> Outcome<Consent> {
        if let Some(name) = &self.yes_overwrite {
            return Ok(Consent::Overwrite(name.clone()));
        }
        // A refusal is told by the plan's execution, and consent changes nothing about it.
        if plan.cautions.is_empty() || plan.refusal.is_some() {
            return Ok(Consent::None);
        }
        let name = &plan.target.name;
        let refused = |hint: String| {
            let what =
                format!("{} is not to be overwritten just like that: {}", self.target.display(), plan.warnings());
            Err(Failure::new(what).hint(hint))
        };
        if !self.force {
            return refused(format!("if it is the right one: `--force`, or `--yes-overwrite {name}`"));
        }
        if !std::io::stdin().is_terminal() {
            return refused(format!("nobody can be asked here: `--yes-overwrite {name}` says it"));
        }
        let mut stderr = std::io::stderr().lock();
        _ = write!(stderr, "{}. Type {} to overwrite it: ", plan.warnings(), printable(name));
        _ = stderr.flush();
        let mut typed = String::new();
        std::io::stdin().read_line(&mut typed)?;
        Ok(Consent::Overwrite(typed.trim().to_owned()))
    }
}

/// The snapshot that is meant, and its images. `latest` is the newest that holds any.
pub(super) fn find_images(
    repo: &Repository,
    snapshot: &str,
    filter: &SnapshotFilter,
) -> Outcome<(FoundSnapshot, StoredImages)> {
    let (name, disk) = snapshot.split_once(':').map_or((snapshot, None), |(name, disk)| (name, Some(disk)));
    let found = if name == "latest" {
        let all = repo.snapshots()?.all;
        let mut fitting = all.into_iter().rev().filter(|(_, one)| !one.is_partial() && filter.matches(one));
        let newest = fitting.find(|(_, one)| StoredImages::is_image(repo, &one.tree).unwrap_or(false));
        let (id, snapshot) = newest
            .ok_or_else(|| Failure::new("no snapshot holds a disk image").hint("`stead disk backup` makes one"))?;
        FoundSnapshot { id, snapshot, subfolder: disk.map(str::to_owned) }
    } else {
        repo.find_snapshot(snapshot, filter)?
    };
    let images = StoredImages::open(repo, found.id, &found.snapshot.tree)?;
    Ok((found, images))
}

fn tell(output: Output, plan: &Plan, snapshot: &str, dry_run: bool) -> Outcome {
    let mut message = serde_json::to_value(plan)?;
    message["message_type"] = json!("plan");
    message["dry_run"] = json!(dry_run);
    output.message(&message)?;
    let verb = if dry_run { "would restore" } else { "restoring" };
    let target = &plan.target;
    output.remark(format_args!("{verb} disk {} of {snapshot}", plan.disk))?;
    let known = target.model.iter().chain(&target.serial).map(|text| format!(", {}", printable(text)));
    let size = match target.kind {
        TargetKind::NewFile => ", a new file".to_owned(),
        _ => format!(", {}", size::bytes(target.size)),
    };
    output.remark(format_args!("  onto    {}{}{size}", target.path.display(), known.collect::<String>()))?;
    for line in &target.content {
        output.remark(format_args!("  on it   {}", printable(line)))?;
    }
    let fit = match &plan.fit {
        Fit::Exactly => "fits".to_owned(),
        Fit::Larger { rest } => format!("fits; {} behind it stay as they are", size::bytes(*rest)),
        Fit::Not { because } => format!("does not fit, because {because}"),
    };
    output.remark(format_args!("  size    {}: {fit}", size::bytes(plan.size)))?;
    output.remark(format_args!("  writes  {}", writes(plan)))?;
    for caution in &plan.cautions {
        output.remark(format_args!("  careful {caution}"))?;
    }
    Ok(())
}

fn writes(plan: &Plan) -> String {
    let used = size::bytes(plan.used);
    let what = match (plan.how.delta, plan.continues) {
        (_, true) => format!("what differs of {used} in use, going on from an earlier run"),
        (true, false) => format!("what differs of {used} in use"),
        (false, false) => format!("{used} in use"),
    };
    let rest = match plan.how.unused {
        Unused::Zero => "unused space reads as zeros afterwards",
        Unused::Discard => "unused space is discarded",
        Unused::Leave => "unused space stays as it is",
    };
    let verify = if plan.how.verify { "; everything is read back and compared" } else { "" };
    format!("{what}; {rest}{verify}")
}

fn tell_report(output: Output, plan: &Plan, report: &Report, seconds: u64) -> Outcome {
    let mut message = serde_json::to_value(report)?;
    message["message_type"] = json!("summary");
    message["disk"] = json!(plan.disk);
    message["seconds_elapsed"] = json!(seconds);
    output.message(&message)?;
    for failure in &report.failures {
        output.warn(format_args!("{} bytes at {}: {}", failure.length, failure.offset, failure.reason));
    }
    let clock = time::clock(seconds);
    let mut words = format!("restored disk {} in {clock}: {} written", plan.disk, size::bytes(report.written));
    for (figure, name) in
        [(report.unchanged, "right already"), (report.zeros, "zeros"), (report.left, "left as they were")]
    {
        if figure > 0 {
            words.push_str(&format!(", {} {name}", size::bytes(figure)));
        }
    }
    if plan.how.verify {
        words.push_str(&format!("; {} read back and right", size::bytes(report.verified)));
    }
    output.remark(words)
}
