//! Backup: what the policy or an order names becomes snapshots. What could not be read is missed, and said.

use std::sync::Arc;

use ::disks::progress::{Phase as DiskPhase, Progress as DiskProgress};
use files::backup::{
    self, BackupError, BackupOptions, CheckpointPolicy, Finished, ItemError, Observer, Source, Totals,
};
use files::exclude::Excludes;
use files::metadata::Ignore;
use files::parent::ParentChoice;
use files::pattern::{Case, PatternList};
use fleet::{Phase, Selection};
use repo::retention::GroupBy;

use super::{Done, Halt, Task, disks};
use crate::hooks::{self, Moment};
use crate::imaging::ImageRequest;
use crate::refusal;
use crate::storage::{self, Opened};
use crate::watch::Watch;

/// Backs up what an order names, or what the policy does.
pub(super) fn backup(task: &Task, ordered: Option<&[Selection]>) -> Result<Done, Halt> {
    let policy = task.duties.policy.as_ref();
    let what = ordered.or(policy.map(|policy| policy.what.as_slice())).unwrap_or_default();
    if what.is_empty() {
        return Err(Halt::Failed("nothing is protected yet: the policy names no files and no disks".into()));
    }
    let folder = &task.core.setup.hooks;
    hooks::run(folder, Moment::BeforeBackup, &task.stop).map_err(Halt::Failed)?;
    let done = storage::open(task).and_then(|opened| all(task, &opened, what));
    // What was begun before the backup is ended, even if it is stopped.
    if let Err(why) = hooks::run(folder, Moment::AfterBackup, &Default::default()) {
        task.watch.miss(Moment::AfterBackup.name(), why);
    }
    done
}

fn all(task: &Task, opened: &Opened, what: &[Selection]) -> Result<Done, Halt> {
    let mut snapshots = Vec::new();
    for selection in what {
        task.watch.next_part(&selection.words());
        snapshots.push(match selection {
            Selection::Files { paths, excludes } => files(task, opened, paths, excludes)?,
            Selection::Disks { devices } => images(task, opened, devices)?,
        });
    }
    task.watch.enter(Phase::Finishing);
    Ok(Done { snapshots, evidence: None })
}

fn files(task: &Task, opened: &Opened, paths: &[String], excludes: &[String]) -> Result<String, Halt> {
    let source = Source::Paths(paths.iter().map(|path| path.clone().into_bytes()).collect());
    let patterns = PatternList::new(excludes, Case::Sensitive).map_err(Halt::failed)?;
    let excludes = Excludes { patterns, ..Excludes::default() };
    task.watch.enter(Phase::Reading);
    let seen = Seen { watch: &task.watch };
    let done = backup::backup(&opened.repo, source, options(task, excludes), &seen).map_err(halted)?;
    let snapshot = done.snapshot.map(|id| id.to_string());
    snapshot.ok_or_else(|| Halt::Failed("no snapshot was made".into()))
}

fn halted(error: BackupError) -> Halt {
    match error {
        BackupError::Cancelled { .. } => Halt::Stopped,
        BackupError::Repo(error) => error.into(),
        error => Halt::failed(error),
    }
}

fn options(task: &Task, excludes: Excludes) -> BackupOptions {
    let setup = &task.core.setup;
    BackupOptions {
        working_directory: b"/".to_vec(),
        excludes_shown: Vec::new(),
        excludes,
        own: vec![setup.place.root().to_path_buf()],
        host: setup.host.clone(),
        tags: Vec::new(),
        time: setup.clock.now().to_zoned(setup.zone.clone()),
        program_version: format!("stead {}", setup.version),
        parent: ParentChoice::Newest(GroupBy::default()),
        ignore: Ignore::default(),
        with_atime: false,
        dry_run: false,
        skip_if_unchanged: false,
        scan: true,
        read_concurrency: None,
        checkpoints: Some(CheckpointPolicy::default()),
        cancel: task.stop.gently.clone(),
    }
}

/// Counts along.
struct Seen<'w> {
    watch: &'w Watch,
}

impl Observer for Seen<'_> {
    fn scanned(&self, totals: Totals, finished: bool) {
        if finished {
            self.watch.count(|amount| amount.total = totals.bytes.max(1));
        }
    }

    fn done(&self, bytes: u64) {
        self.watch.count(|amount| amount.done += bytes);
    }

    fn finished(&self, _: files::backup::ItemPath<'_>, how: Finished) {
        self.watch.count(|amount| amount.new += how.added);
    }

    fn failed(&self, error: &ItemError) {
        let why = std::error::Error::source(error).map_or_else(|| error.to_string(), refusal::words);
        self.watch.miss(error.path().display(), why);
    }
}

fn images(task: &Task, opened: &Opened, devices: &[String]) -> Result<String, Halt> {
    let devices = disks::chosen(devices)?;
    let (setup, progress) = (&task.core.setup, Arc::new(DiskProgress::default()));
    crate::place::make_private(&setup.place.images()).map_err(Halt::failed)?;
    let images = setup.place.images();
    let request = ImageRequest {
        repo: &opened.repo,
        devices: &devices,
        host: &setup.host,
        state: &images,
        cancel: &task.stop.gently,
        progress: &progress,
    };
    let imaged = std::thread::scope(|scope| {
        let image = scope.spawn(|| setup.imaging.image(&request));
        while !image.is_finished() {
            follow(&task.watch, &progress);
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        image.join().unwrap_or_else(|_| Err("a fault of this program".into()))
    });
    let imaged = imaged.map_err(Halt::Failed)?;
    imaged.missed.iter().for_each(|missed| task.watch.miss(&missed.what, &missed.why));
    Ok(imaged.snapshot)
}

/// The figures of an image, as those of the run: what is read again counts on top of what was read.
fn follow(watch: &Watch, progress: &DiskProgress) {
    let reached = progress.reached();
    let phase = match reached.phase {
        DiskPhase::Preparing => Phase::Preparing,
        DiskPhase::Reading | DiskPhase::CatchingUp { .. } | DiskPhase::Frozen { .. } => Phase::Reading,
        DiskPhase::Sending => Phase::Sending,
        DiskPhase::Restoring | DiskPhase::Resizing => Phase::Writing,
        DiskPhase::Comparing | DiskPhase::Verifying => Phase::Verifying,
        DiskPhase::WritingSnapshot | DiskPhase::Finished => Phase::Finishing,
    };
    watch.enter(phase);
    watch.count(|amount| {
        amount.new = reached.new;
        if reached.phase == DiskPhase::Reading {
            (amount.done, amount.total) = (reached.done, reached.total);
        }
    });
}
