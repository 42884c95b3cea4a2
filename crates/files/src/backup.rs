//! Backup: paths of this machine become a snapshot.
//!
//! Threads take work from one queue ([`queue`]): a directory is visited ([`visit`]), its unchanged files take their content
//! from the parent snapshot, changed ones are read ([`file`], [`large`]); who fills a directory's last slot writes its tree
//! ([`worker`]). What cannot be read is reported and left out, and the backup goes on; anything that goes wrong with the
//! repository ends it. The snapshot is written last, after everything in it is durable and was asked for again.

mod checkpoint;
mod directory;
mod file;
mod large;
mod observer;
mod queue;
mod scan;
mod sink;
mod stream;
mod visit;
mod worker;

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use backend::{FileKind, FileName, Id};
use jiff::{Timestamp, Zoned};
use parking_lot::Mutex;
use platform::Stat;
use repo::chunk::{ChunkerSpec, Cutter};
use repo::snapshot::{PARTIAL_TAG, Snapshot, Summary};
use repo::{Cancel, Repository};

pub use checkpoint::CheckpointPolicy;
pub use observer::{Change, Finished, ItemError, ItemKind, ItemPath, Notice, Observer, Totals, Unobserved};
pub use stream::{CommandOutput, Stream};

use crate::exclude::Excludes;
use crate::metadata::{DeviceIds, Ignore, NodeStyle};
use crate::parent::{self, Candidate, ParentChoice};
use crate::path;
use crate::source::{self, SourceError, SourceNode};
use directory::{Directory, Handles};
use queue::{Limits, Queue};
use sink::Sink;
use worker::{Counts, Run, Worker};

/// What to back up.
pub enum Source {
    /// Paths with everything below them; relative ones are seen from the working directory.
    Paths(Vec<Vec<u8>>),
    /// What comes out of a pipe, as one file.
    Stream(Stream),
}

/// How to back up.
#[derive(Clone)]
pub struct BackupOptions {
    /// Absolute path that relative ones are seen from.
    pub working_directory: Vec<u8>,
    /// What to leave out.
    pub excludes: Excludes,
    /// Patterns as the snapshot names them.
    pub excludes_shown: Vec<String>,
    /// Directories that are never backed up: where the repository, its cache and our state are.
    pub own: Vec<PathBuf>,
    /// Whose machine.
    pub host: String,
    /// Tags of the snapshot.
    pub tags: Vec<String>,
    /// When the backup is said to be made; its zone is the one under which all times are written.
    pub time: Zoned,
    /// The program's name and version for the snapshot.
    pub program_version: String,
    /// Which snapshot unchanged files are taken from.
    pub parent: ParentChoice,
    /// What does not count as a change of a file.
    pub ignore: Ignore,
    /// Store times of last access.
    pub with_atime: bool,
    /// Write nothing.
    pub dry_run: bool,
    /// Write no snapshot if its tree is the parent's.
    pub skip_if_unchanged: bool,
    /// Count ahead what there is, for progress with a total.
    pub scan: bool,
    /// How many threads read and seal; `None` for one per processor.
    pub read_concurrency: Option<usize>,
    /// When checkpoints are written; `None` for never.
    pub checkpoints: Option<CheckpointPolicy>,
    /// Request to stop: a checkpoint is written, then the backup ends with [`BackupError::Cancelled`]. It should not be
    /// the repository's own, which forbids writing at once.
    pub cancel: Cancel,
}

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The repository failed.
    #[error(transparent)]
    Repo(repo::Error),
    /// None of the paths is there.
    #[error("all source directories/files do not exist")]
    NothingThere,
    /// Nothing was left to back up.
    #[error("snapshot is empty")]
    Empty,
    /// The paths cannot be put into one tree.
    #[error(transparent)]
    Source(SourceError),
    /// A stream ended with an error or without content, or its command failed.
    #[error("cannot read the data to back up")]
    Stream(#[source] io::Error),
    /// The caller asked for something that cannot be done.
    #[error("{0}")]
    Invalid(String),
    /// Somebody asked to stop.
    #[error("stopped on request")]
    Cancelled {
        /// What the next run can go on from.
        checkpoint: Option<Id>,
    },
    /// A fault of this program.
    #[error("internal error: {0}")]
    Internal(&'static str),
}

pub(crate) type Result<T> = std::result::Result<T, BackupError>;

/// What a backup came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The snapshot, unless it was a dry run or nothing had changed.
    pub snapshot: Option<Id>,
    /// The root tree.
    pub tree: Id,
    /// The snapshot that unchanged files were taken from.
    pub parent: Option<Id>,
    /// Figures.
    pub summary: Summary,
    /// How many items could not be backed up; the backup is complete if there are none.
    pub errors: u64,
    /// How many files changed their size while they were read.
    pub changed_while_read: u64,
}

impl Outcome {
    /// True if everything that was asked for is in the snapshot.
    pub fn is_complete(&self) -> bool {
        self.errors == 0
    }
}

/// Backs up. The repository should be locked by the caller.
pub fn backup(
    repo: &Arc<Repository>,
    source: Source,
    options: BackupOptions,
    observer: &dyn Observer,
) -> Result<Outcome> {
    let start = repo.clock().now();
    let prepared = Prepared::new(repo, source, options, observer)?;
    let run = prepared.run(repo, observer)?;
    let job = Job { repo, prepared: &prepared, run: &run, start };
    job.work()
}

/// What is known before anything is read.
struct Prepared {
    options: BackupOptions,
    /// Taken by the first thread.
    stream: Mutex<Option<Stream>>,
    source: SourceNode,
    /// Absolute paths for the snapshot.
    paths: Vec<String>,
    parent: Option<(Id, Snapshot)>,
    devices: Option<HashMap<Vec<u8>, u64>>,
    missing: u64,
}

impl Prepared {
    fn new(repo: &Repository, source: Source, options: BackupOptions, observer: &dyn Observer) -> Result<Prepared> {
        let from = options.working_directory.clone();
        let mut prepared = Prepared {
            options,
            stream: Mutex::new(None),
            source: SourceNode::default(),
            paths: Vec::new(),
            parent: None,
            devices: None,
            missing: 0,
        };
        match source {
            Source::Paths(paths) => prepared.take_paths(&from, &paths, observer)?,
            Source::Stream(stream) => {
                prepared.paths = vec![String::from_utf8_lossy(&path::join(b"/", &stream.name)).into_owned()];
                prepared.options.parent = ParentChoice::Nothing;
                prepared.stream = Mutex::new(Some(stream));
            }
        }
        prepared.parent = prepared.find_parent(repo)?;
        observer.parent(prepared.parent.as_ref().map(|(id, _)| id));
        Ok(prepared)
    }

    fn take_paths(&mut self, from: &[u8], paths: &[Vec<u8>], observer: &dyn Observer) -> Result<()> {
        let (present, missing) = source::existing(from, paths);
        self.missing = missing.len() as u64;
        for (path, source) in missing {
            observer.failed(&ItemError::Missing { path: worker::path_buf(path.clone()), source });
        }
        if present.is_empty() {
            return Err(BackupError::NothingThere);
        }
        let absolute: Vec<Vec<u8>> = present.iter().map(|given| path::absolute(from, given)).collect();
        self.paths = absolute.iter().map(|path| String::from_utf8_lossy(path).into_owned()).collect();
        if self.options.excludes.other_file_systems {
            let device = |path: Vec<u8>| Stat::of_path(&path).ok().map(|stat| (path, stat.device));
            self.devices = Some(absolute.into_iter().filter_map(device).collect());
        }
        self.source = source::tree(from, &present)?;
        Ok(())
    }

    fn find_parent(&self, repo: &Repository) -> Result<Option<(Id, Snapshot)>> {
        let BackupOptions { parent, host, tags, time, .. } = &self.options;
        let of = Candidate { host, paths: &self.paths, tags, time: time.timestamp() };
        Ok(parent::find(repo, parent, of)?)
    }

    /// The parent that the snapshot names: a checkpoint is going to be removed, so it is the checkpoint's own.
    fn lasting_parent(&self) -> Option<Id> {
        let (id, snapshot) = self.parent.as_ref()?;
        if snapshot.is_partial() { snapshot.parent } else { Some(*id) }
    }

    fn threads(&self) -> usize {
        let processors = || std::thread::available_parallelism().map_or(2, usize::from);
        self.options.read_concurrency.unwrap_or_else(processors).max(1)
    }

    fn run<'r>(&'r self, repo: &'r Arc<Repository>, observer: &'r dyn Observer) -> Result<Run<'r>> {
        let options = &self.options;
        let chunker = repo.config().chunker()?;
        let cutter = Cutter::new(&chunker);
        let limits = limits(self.threads());
        let device_ids = match chunker {
            ChunkerSpec::Rabin { .. } => DeviceIds::Everywhere,
            _ => DeviceIds::HardLinks,
        };
        Ok(Run {
            repo,
            index: repo.index()?,
            observer,
            excludes: &options.excludes,
            ignore: options.ignore,
            style: NodeStyle {
                accounts: platform::Accounts::load(),
                zone: options.time.time_zone().clone(),
                device_ids,
                with_atime: options.with_atime,
            },
            sink: Sink::new(repo, options.dry_run),
            cutter,
            queue: Queue::new(limits),
            handles: Handles::new(open_directories()),
            own: own_directories(&options.own),
            devices: self.devices.clone(),
            zeros: OnceLock::new(),
            errors: AtomicU64::new(self.missing),
            targets: AtomicU64::new(0),
            changed_while_read: AtomicU64::new(0),
            stored: AtomicU64::new(0),
            counts: Mutex::new(Counts::default()),
            root: OnceLock::new(),
            failure: Mutex::new(None),
        })
    }
}

/// Bytes that are read of a large file at a time: several chunks.
const WINDOW: usize = 4 << 20;

/// One file that is read feeds about four threads that seal.
fn limits(threads: usize) -> Limits {
    let large_files = (threads / 4).max(1);
    Limits { large_files, windows: 2 * large_files + 1, window_size: WINDOW, chunks_ahead: threads }
}

/// How many directories are kept open.
fn open_directories() -> usize {
    let files = platform::raise_open_files_limit().unwrap_or(1024);
    usize::try_from(files / 4).unwrap_or(usize::MAX).clamp(16, 256)
}

/// Device and inode of directories that are there.
fn own_directories(own: &[PathBuf]) -> Vec<(u64, u64)> {
    let identity = |path: &PathBuf| {
        let stat = Stat::of_target(path.as_os_str().as_encoded_bytes()).ok()?;
        Some((stat.device, stat.inode))
    };
    own.iter().filter_map(identity).collect()
}

/// A backup at work.
struct Job<'j> {
    repo: &'j Arc<Repository>,
    prepared: &'j Prepared,
    run: &'j Run<'j>,
    start: Timestamp,
}

/// How often requests to stop and checkpoints that are due are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What has been written in between.
struct Checkpoints {
    last: Option<Id>,
    at: Duration,
    stored: u64,
}

impl Job<'_> {
    fn work(&self) -> Result<Outcome> {
        let parent_tree = self.prepared.parent.as_ref().map(|(_, snapshot)| snapshot.tree);
        let root = visit::root(parent_tree);
        let mut checkpoints = Checkpoints { last: None, at: self.repo.clock().monotonic(), stored: 0 };
        let watched = std::thread::scope(|scope| {
            self.start_threads(scope, &root);
            let watched = self.watch(&root, &mut checkpoints);
            self.run.queue.end();
            watched
        });
        watched?;
        if let Some(failure) = self.run.failure.lock().take() {
            return Err(failure);
        }
        let Some((tree, nodes)) = self.run.root.get().copied() else { return self.stopped(&root, &mut checkpoints) };
        drop(root);
        if nodes == 0 || self.run.targets.load(Ordering::Relaxed) == 0 {
            return Err(BackupError::Empty);
        }
        self.finish(tree, &checkpoints)
    }

    fn start_threads<'s, 'e>(&'e self, scope: &'s std::thread::Scope<'s, 'e>, root: &'e Arc<Directory>) {
        let prepared = self.prepared;
        if prepared.options.scan && prepared.stream.lock().is_none() {
            scope.spawn(|| scan::scan(self.run, &prepared.source));
        }
        scope.spawn(move || {
            let mut worker = Worker::new(self.run);
            let started = match prepared.stream.lock().take() {
                Some(stream) => worker.start_stream(root, stream, prepared.options.time.timestamp()),
                None => worker.visit_root(root, prepared.source.clone()),
            };
            if let Err(error) = started {
                self.run.fail(error);
            }
            for _ in 1..prepared.threads() {
                scope.spawn(|| Worker::new(self.run).work());
            }
            worker.work();
        });
    }

    /// Waits for the end, and writes checkpoints meanwhile.
    fn watch(&self, root: &Arc<Directory>, checkpoints: &mut Checkpoints) -> Result<()> {
        while !self.run.queue.wait_for_end(LOOK_EVERY) {
            if self.prepared.options.cancel.is_cancelled() {
                return Ok(());
            }
            if self.is_due(checkpoints) {
                self.checkpoint(root, checkpoints)?;
            }
        }
        Ok(())
    }

    fn is_due(&self, checkpoints: &Checkpoints) -> bool {
        let Some(policy) = self.prepared.options.checkpoints else { return false };
        let new = self.run.stored.load(Ordering::Relaxed) - checkpoints.stored;
        let passed = self.repo.clock().monotonic().saturating_sub(checkpoints.at);
        !self.prepared.options.dry_run && new > 0 && (passed >= policy.every || new >= policy.bytes)
    }

    fn checkpoint(&self, root: &Arc<Directory>, checkpoints: &mut Checkpoints) -> Result<()> {
        checkpoints.stored = self.run.stored.load(Ordering::Relaxed);
        let mut scratch = self.run.sink.scratch();
        let tree = checkpoint::save_trees(self.run, root, &mut scratch)?;
        self.run.sink.flush()?;
        if let Some(tree) = tree {
            let mut snapshot = self.snapshot(tree, &self.now());
            snapshot.tags.push(PARTIAL_TAG.to_owned());
            let id = self.repo.write_snapshot(&snapshot)?;
            self.run.observer.checkpoint(&id);
            if let Some(before) = checkpoints.last.replace(id) {
                self.remove(before);
            }
        }
        checkpoints.at = self.repo.clock().monotonic();
        Ok(())
    }

    /// The end of a backup that did not come to its end.
    fn stopped(&self, root: &Arc<Directory>, checkpoints: &mut Checkpoints) -> Result<Outcome> {
        if !self.prepared.options.cancel.is_cancelled() {
            return Err(BackupError::Internal("the backup ended before its root was complete"));
        }
        let new = self.run.stored.load(Ordering::Relaxed) > checkpoints.stored;
        if new && self.prepared.options.checkpoints.is_some() && !self.prepared.options.dry_run {
            self.checkpoint(root, checkpoints)?;
        }
        Err(BackupError::Cancelled { checkpoint: checkpoints.last })
    }

    fn finish(&self, tree: Id, checkpoints: &Checkpoints) -> Result<Outcome> {
        self.run.sink.settle()?;
        let options = &self.prepared.options;
        let unchanged = options.skip_if_unchanged && self.lasting_parent_tree() == Some(tree);
        let mut snapshot = self.snapshot(tree, &options.time);
        let mut id = None;
        let summary = self.summary();
        if !options.dry_run && !unchanged {
            snapshot.summary = Some(summary.clone());
            id = Some(self.repo.write_snapshot(&snapshot)?);
        }
        if !options.dry_run {
            self.remove_checkpoints(checkpoints)?;
        }
        Ok(Outcome {
            snapshot: id,
            tree,
            parent: self.prepared.lasting_parent(),
            summary,
            errors: self.run.errors.load(Ordering::Relaxed),
            changed_while_read: self.run.changed_while_read.load(Ordering::Relaxed),
        })
    }

    fn lasting_parent_tree(&self) -> Option<Id> {
        let (_, snapshot) = self.prepared.parent.as_ref()?;
        (!snapshot.is_partial()).then_some(snapshot.tree)
    }

    /// Now, in the zone of the backup; not before the time that the backup is said to be made at.
    fn now(&self) -> Zoned {
        let said = &self.prepared.options.time;
        let passed = self.repo.clock().now().duration_since(self.start);
        let now = said.timestamp().checked_add(passed.max(jiff::SignedDuration::ZERO)).unwrap_or(said.timestamp());
        now.to_zoned(said.time_zone().clone())
    }

    fn snapshot(&self, tree: Id, time: &Zoned) -> Snapshot {
        let options = &self.prepared.options;
        Snapshot {
            time: rfc3339(time),
            parent: self.prepared.lasting_parent(),
            tree,
            paths: self.prepared.paths.clone(),
            hostname: options.host.clone(),
            username: platform::username(),
            uid: platform::current_uid(),
            gid: platform::current_gid(),
            excludes: options.excludes_shown.clone(),
            tags: options.tags.clone(),
            original: None,
            program_version: options.program_version.clone(),
            summary: None,
            other: Default::default(),
        }
    }

    fn summary(&self) -> Summary {
        let zone = self.prepared.options.time.time_zone();
        let Counts { files, dirs, bytes } = *self.run.counts.lock();
        let figures = self.run.sink.figures();
        Summary {
            backup_start: rfc3339(&self.start.to_zoned(zone.clone())),
            backup_end: rfc3339(&self.repo.clock().now().to_zoned(zone.clone())),
            files_new: files[Change::New as usize],
            files_changed: files[Change::Changed as usize],
            files_unmodified: files[Change::Unmodified as usize],
            dirs_new: dirs[Change::New as usize],
            dirs_changed: dirs[Change::Changed as usize],
            dirs_unmodified: dirs[Change::Unmodified as usize],
            data_blobs: figures.data_blobs,
            tree_blobs: figures.tree_blobs,
            data_added: figures.data_added,
            data_added_packed: figures.data_added_packed,
            total_files_processed: files.iter().sum(),
            total_bytes_processed: bytes,
            other: Default::default(),
        }
    }

    /// Removes the checkpoints that the finished snapshot makes useless: ours, and earlier runs' of the same host and paths.
    fn remove_checkpoints(&self, checkpoints: &Checkpoints) -> Result<()> {
        if let Some(id) = checkpoints.last {
            self.remove(id);
        }
        let Some((parent, snapshot)) = &self.prepared.parent else { return Ok(()) };
        if !snapshot.is_partial() {
            return Ok(());
        }
        let same = |other: &Snapshot| {
            other.is_partial() && other.hostname == self.prepared.options.host && other.paths == self.prepared.paths
        };
        let all = self.repo.snapshots()?.all;
        let useless = all.iter().filter(|(id, other)| id == parent || same(other));
        useless.for_each(|(id, _)| self.remove(*id));
        Ok(())
    }

    /// Removes a checkpoint; storage that only appends may refuse.
    fn remove(&self, id: Id) {
        if self.repo.backend().remove(&FileName::new(FileKind::Snapshot, id)).is_err() {
            self.run.observer.noticed(&Notice::CheckpointStays { id });
        }
    }
}

/// A time as Go writes it: as many digits as needed, `Z` where the offset is zero.
fn rfc3339(time: &Zoned) -> String {
    match time.offset().seconds() {
        0 => time.timestamp().to_string(),
        _ => time.timestamp().display_with_offset(time.offset()).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_go_does() {
        let utc = Timestamp::new(1_700_000_000, 120_000_000).unwrap().to_zoned(jiff::tz::TimeZone::UTC);
        assert_eq!(rfc3339(&utc), "2023-11-14T22:13:20.12Z");
        let zone = jiff::tz::TimeZone::get("Asia/Kolkata").unwrap();
        let there = Timestamp::new(1_700_000_000, 1).unwrap().to_zoned(zone);
        assert_eq!(rfc3339(&there), "2023-11-15T03:43:20.000000001+05:30");
    }
}
