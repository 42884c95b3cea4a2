//! `stead disk backup`: disks become snapshots.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use backend::Spool;
use disks::capture::Unreadable;
use disks::image::DiskName;
use disks::inventory::Inventory;
use disks::manifest::State;
use disks::progress::Progress;
use disks::provider::Inconsistent;
use platform::hardware::System;
use repo::Repository;

use super::hooks::Commands;
use super::job::{Job, Subject};
use super::own_files::OwnFiles;
use super::report::Report;
use super::source::{Opening, Source};
use super::spool::{Chosen, Wish, send_all, tell};
use super::view::{Purpose, Trackers, remove_abandoned};
use crate::failure::{Failure, Outcome};
use crate::open::{Context, Writes};

/// Image disks, in use or not, or files that hold a disk
///
/// All of them become one snapshot, of one instant. Mounted disks are read while they are used; at the end their file systems
/// are frozen for a moment. Free space is not read. A run that was cut off is taken up by the next one. Of a disk that is
/// watched (`stead disk watch`) only what was written since its last image is read.
///
/// Example: stead disk backup /dev/sda --tag before-move
///          stead disk backup /dev/sda --hook-before 'psql -c CHECKPOINT'
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// What to image: disks, partitions, volumes, or files
    #[arg(value_name = "DEVICE|FILE", required = true)]
    disks: Vec<PathBuf>,
    /// Name of the disk in the snapshot; of several disks once for each, in their order [default: what follows /dev/, or the
    /// file's name]
    #[arg(long, value_name = "NAME")]
    name: Vec<String>,
    /// Make a snapshot of each disk, one after the other, instead of one of all of them
    #[arg(long)]
    separate: bool,
    /// Tags for the snapshot (may be repeated)
    #[arg(long, value_name = "TAG[,TAG...]")]
    pub(super) tag: Vec<String>,
    /// Host name for the snapshot [env: RESTIC_HOST]
    #[arg(short = 'H', long, value_name = "NAME")]
    pub(super) host: Option<String>,
    /// Go on where something cannot be read: it is zeros, and the snapshot is incomplete
    #[arg(long)]
    skip_unreadable: bool,
    /// Image a disk in use even if nothing gives a consistent view of it; the snapshot says so for ever
    #[arg(long)]
    inconsistent: bool,
    /// Device that a snapshot may keep changes on, for a device of the device mapper; what is on it is lost
    #[arg(long, value_name = "DEVICE")]
    snapshot_store: Option<PathBuf>,
    /// How long file systems may be frozen
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = seconds)]
    freeze_budget: f64,
    /// Run this by the shell before file systems are frozen; if it fails, no image is made
    #[arg(long, value_name = "COMMAND")]
    hook_before: Option<String>,
    /// Run this by the shell once they are thawed
    #[arg(long, value_name = "COMMAND")]
    hook_after: Option<String>,
    /// How long each of these commands may take
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0, value_parser = seconds)]
    hook_limit: f64,
    /// Keep the state that an interrupted run is taken up from in this directory (at most 16 MiB)
    #[arg(long, value_name = "DIRECTORY")]
    pub(super) state_dir: Option<PathBuf>,
    /// Keep what is read in this directory until everything is read, then send it: a disk is captured at its own speed. It may
    /// be on another disk, a stick, or on the disk itself if that is ext4 or XFS there: then what it holds is left out of the
    /// image. What could not be sent is sent by `stead disk send`. `auto`: `spool` below the state
    /// directory, if the repository is not on this machine and that place is on none of the disks and has room for all of them
    #[arg(long, value_name = "DIRECTORY|auto|none", default_value = "none")]
    spool: Wish,
    /// Read and write nothing, only tell what would be read
    #[arg(short = 'n', long)]
    dry_run: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        self.check_names()?;
        if !self.dry_run {
            for name in remove_abandoned()? {
                let what = format_args!("removed the snapshot {name}, which a run that was killed left behind");
                context.output().remark(what)?;
            }
        }
        let inventory = Inventory::of(&System::this(), &platform::hostname())?;
        if let Some(spool) = self.spool.directory(context, &self.disks, &inventory)?.filter(|_| !self.dry_run) {
            return self.through_spool(context, &inventory, &spool);
        }
        let writes = if self.dry_run { Writes::Nothing } else { Writes::Snapshots };
        let opened = context.open_for_backup(writes)?;
        let place =
            Place { repo: &opened.repo, directory: opened.directory.as_deref(), name: "repository", spool: None };
        let incomplete = self.all_groups(context, place, &inventory)?;
        opened.close(context.output());
        Args::complete(incomplete)
    }

    /// Captures into a spool, and sends what waits there.
    fn through_spool(&self, context: &Context, inventory: &Inventory, chosen: &Chosen) -> Outcome {
        let spooled = context.open_spooled(&chosen.directory, chosen.brim(context.output()))?;
        let (repo, directory) = (&spooled.repo, spooled.directory.as_deref());
        let spool = Some((chosen, &*spooled.spool));
        let incomplete = self.all_groups(context, Place { repo, directory, name: "spool", spool }, inventory)?;
        let sent = send_all(context, &chosen.directory, &spooled)?;
        tell(context.output(), &chosen.directory, &sent)?;
        Args::complete(incomplete)
    }

    /// Makes all snapshots; what of them is not complete, though it should be.
    fn all_groups(&self, context: &Context, place: Place<'_>, inventory: &Inventory) -> Outcome<Vec<String>> {
        let mut incomplete = Vec::new();
        for group in self.groups() {
            incomplete.extend(self.group(context, place, inventory, group)?);
        }
        Ok(incomplete)
    }

    fn complete(incomplete: Vec<String>) -> Outcome {
        match incomplete.is_empty() {
            true => Ok(()),
            false => Err(Failure::incomplete(format!("the image of {} is not complete", incomplete.join(", ")))
                .hint("the snapshot was saved and says what is missing")),
        }
    }

    fn check_names(&self) -> Outcome {
        if !self.name.is_empty() && self.name.len() != self.disks.len() {
            let (names, disks) = (self.name.len(), self.disks.len());
            return Err(Failure::new(format!("{names} names for {disks} disks"))
                .hint("repeat --name once for each disk, in their order, or leave it out"));
        }
        Ok(())
    }

    /// The numbers of the disks that become one snapshot.
    fn groups(&self) -> Vec<Vec<usize>> {
        let all = 0..self.disks.len();
        if self.separate { all.map(|number| vec![number]).collect() } else { vec![all.collect()] }
    }

    /// Makes one snapshot; what of it is not complete, though it should be.
    fn group(
        &self,
        context: &Context,
        place: Place<'_>,
        inventory: &Inventory,
        group: Vec<usize>,
    ) -> Outcome<Vec<String>> {
        let job = self.job(context, place, inventory, group)?;
        if self.dry_run {
            job.plan()?;
            return Ok(Vec::new());
        }
        let paths = job.paths();
        let state = job.run()?.state;
        let is_short = state == State::Incomplete || state == State::Inconsistent && !self.inconsistent;
        Ok(if is_short { paths } else { Vec::new() })
    }

    /// One snapshot in the making.
    fn job<'j>(
        &'j self,
        context: &'j Context,
        place: Place<'j>,
        inventory: &Inventory,
        group: Vec<usize>,
    ) -> Outcome<Job<'j>> {
        let trackers = Trackers::default();
        let opening = self.opening(context, inventory, place.directory, &trackers);
        let mut subjects = Vec::new();
        for number in group {
            let source = Source::open(&self.disks[number], opening)?;
            let name =
                self.name.get(number).map_or_else(|| DiskName::of_path(&source.path), |name| DiskName::new(name))?;
            subjects.push(Subject { source, name });
        }
        refuse_twins(&subjects)?;
        let hardware = serde_json::to_value(inventory)?;
        let report = Report::new(context.output(), place.name);
        let own = place.spool.map_or(Ok(None), |(chosen, spool)| OwnFiles::of(chosen, spool, &subjects))?;
        let state = place.spool.map(|(chosen, _)| chosen.directory.join("state"));
        let progress = Arc::default();
        Ok(Job { args: self, context, repo: place.repo, hardware, subjects, report, own, state, progress })
    }

    /// All of these disks as one snapshot, with the state of one in the making in a directory; gaps are skipped.
    pub(crate) fn of_agent(disks: &[PathBuf], host: &str, state: &Path) -> Args {
        Args {
            disks: disks.to_vec(),
            name: Vec::new(),
            separate: false,
            tag: Vec::new(),
            host: Some(host.to_owned()),
            skip_unreadable: true,
            inconsistent: false,
            snapshot_store: None,
            freeze_budget: 2.0,
            hook_before: None,
            hook_after: None,
            hook_limit: 60.0,
            state_dir: Some(state.to_path_buf()),
            spool: Wish::None,
            dry_run: false,
        }
    }

    /// Makes that snapshot in a repository that is open; its name, and each disk's bytes that could not be read.
    pub(crate) fn image(
        &self,
        context: &Context,
        repo: &Arc<Repository>,
        progress: &Arc<Progress>,
    ) -> Outcome<(repo::Id, Vec<(PathBuf, u64)>)> {
        remove_abandoned()?;
        let inventory = Inventory::of(&System::this(), &platform::hostname())?;
        let place = Place { repo, directory: None, name: "repository", spool: None };
        let mut job = self.job(context, place, &inventory, (0..self.disks.len()).collect())?;
        job.progress = Arc::clone(progress);
        let paths: Vec<PathBuf> = job.subjects.iter().map(|subject| subject.source.path.clone()).collect();
        let done = job.run()?;
        let gaps = done.images.iter().map(|image| image.gaps.bytes());
        Ok((done.saved.id, paths.into_iter().zip(gaps).filter(|(_, gap)| *gap > 0).collect()))
    }

    fn opening<'o>(
        &'o self,
        context: &Context,
        inventory: &'o Inventory,
        repository: Option<&'o Path>,
        trackers: &'o Trackers,
    ) -> Opening<'o> {
        let inconsistent = if self.inconsistent { Inconsistent::Wanted } else { Inconsistent::Refused };
        let purpose = if self.dry_run { Purpose::Plan } else { Purpose::Image };
        let store = self.snapshot_store.as_deref();
        Opening { inventory, inconsistent, purpose, trackers, now: context.now(), store, repository }
    }

    pub(super) fn unreadable(&self) -> Unreadable {
        if self.skip_unreadable { Unreadable::Skip } else { Unreadable::Fail }
    }

    pub(super) fn freeze_budget(&self) -> Duration {
        Duration::from_secs_f64(self.freeze_budget)
    }

    pub(super) fn hooks(&self, context: &Context) -> Commands {
        let (before, after) = (self.hook_before.clone(), self.hook_after.clone());
        let (output, cancel) = (context.output(), context.cancel.clone());
        Commands { before, after, limit: Duration::from_secs_f64(self.hook_limit), output, cancel }
    }
}

/// Where snapshots go first.
#[derive(Clone, Copy)]
struct Place<'p> {
    repo: &'p Arc<Repository>,
    /// The directory of the repository, if it is on this machine.
    directory: Option<&'p Path>,
    /// For people.
    name: &'static str,
    /// The spool before it.
    spool: Option<(&'p Chosen, &'p Spool)>,
}

/// Two disks of one name cannot be in one snapshot.
fn refuse_twins(subjects: &[Subject]) -> Outcome {
    for (number, subject) in subjects.iter().enumerate() {
        if let Some(twin) = subjects[..number].iter().find(|other| other.name.as_str() == subject.name.as_str()) {
            let (a, b) = (twin.source.path.display(), subject.source.path.display());
            return Err(Failure::new(format!("{a} and {b} would both be called {} in the snapshot", subject.name))
                .hint("name them with --name, once for each disk, or use --separate"));
        }
    }
    Ok(())
}

/// A time that a command can wait for.
fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.01..=86_400.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds from 0.01 to 86400".to_owned()),
    }
}
