//! `stead disk restore`: an image becomes the content of a disk or a file.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use disks::image::StoredImages;
use disks::progress::Progress;
use disks::restore::{self, Consent, Fitting, Grow, Mounting, Options, Plan, Surroundings, Unused, Wish};
use platform::hardware::System;
use repo::Repository;
use repo::repository::FoundSnapshot;
use repo::snapshot::SnapshotFilter;

use super::plan::{tell, tell_report};
use crate::environment;
use crate::failure::{Failure, Outcome};
use crate::open::Context;
use crate::render::disk::DiskPicture;
use crate::render::live::Live;
use crate::render::size;
use crate::render::snapshots::sentence;
use crate::render::table::printable;
use crate::select::FilterArgs;

/// Write the image of a disk onto a device or into a file
///
/// First the plan is shown. What is mounted or not empty is only overwritten with --force and its name typed, or with
/// --yes-overwrite. A restore that was cut off goes on where it was when it is run again.
///
/// On a larger target the partition table is made to fit, and the last partition grows with its file system. On a smaller one
/// file systems that can are made smaller, in a scratch file, before the target is touched.
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
    /// Which partition grows on a larger target: its number, or none [default: the last, if its file system can]
    #[arg(long, value_name = "PARTITION", value_parser = grow)]
    grow: Option<Grow>,
    /// Mount XFS and btrfs for a moment, to make them larger or smaller here
    #[arg(long)]
    grow_mounted: bool,
    /// Directory for file systems that have to become smaller first [default: that of temporary files]
    #[arg(long, value_name = "DIRECTORY")]
    scratch: Option<PathBuf>,
    /// Bytes that the file is to have, such as 500G [default: as many as the disk had]
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    size: Option<u64>,
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

fn grow(text: &str) -> Result<Grow, String> {
    match (text, text.parse()) {
        ("none", _) => Ok(Grow::Nothing),
        (_, Ok(number)) if number > 0 => Ok(Grow::Partition(number)),
        _ => Err(format!("`{text}` is neither the number of a partition nor `none`")),
    }
}

impl Args {
    fn fitting(&self) -> Fitting {
        Fitting {
            grow: self.grow.unwrap_or_default(),
            mounting: if self.grow_mounted { Mounting::Allowed } else { Mounting::Refused },
            scratch: Some(self.scratch.clone().unwrap_or_else(std::env::temp_dir)),
            size: self.size,
        }
    }

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
        let wish = Wish { disk: found.subfolder.as_deref(), target: &self.target, how, fitting: self.fitting() };
        let plan = restore::plan(&opened.repo, &images, &wish, &around)?;
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
