//! `stead disk backup`: disks become snapshots.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use disks::image::{DiskName, SnapshotDetails, SnapshotSaved, StoredImages};
use disks::inventory::Inventory;
use disks::manifest::{Capture, Consistency, Disk, Manifest, State, UsedMap};
use disks::offline::{self, Unreadable};
use disks::progress::{Phase, Progress};
use disks::session::{InMaking, Request, Resumed, Session, SessionError};
use disks::{CHUNK, Extents, ReadAt, SEGMENT};
use platform::hardware::System;
use repo::Id;
use repo::snapshot::SnapshotFilter;
use serde_json::{Value, json};

use super::source::Source;
use crate::environment;
use crate::failure::{Failure, Outcome};
use crate::open::{Context, Opened, Writes};
use crate::output::Output;
use crate::render::disk::DiskPicture;
use crate::render::live::Live;
use crate::render::{size, time};
use crate::select::all_tags;

/// Image disks that nobody uses, or files that hold a disk
///
/// Every disk becomes a snapshot of its own. A run that was cut off is taken up by the next one. Holes of files are not read.
///
/// Example: stead disk backup /dev/sdb --tag before-move
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to image: devices that are not mounted, or files
    #[arg(value_name = "DEVICE|FILE", required = true)]
    disks: Vec<PathBuf>,
    /// Name of the disk in the snapshot [default: what follows /dev/, or the file's name]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Tags for the snapshot (may be repeated)
    #[arg(long, value_name = "TAG[,TAG...]")]
    tag: Vec<String>,
    /// Host name for the snapshot [env: RESTIC_HOST]
    #[arg(short = 'H', long, value_name = "NAME")]
    host: Option<String>,
    /// Go on where something cannot be read: it is zeros, and the snapshot is incomplete
    #[arg(long)]
    skip_unreadable: bool,
    /// Keep the state that an interrupted run is taken up from in this directory (at most 16 MiB)
    #[arg(long, value_name = "DIRECTORY")]
    state_dir: Option<PathBuf>,
    /// Read and write nothing, only tell what would be read
    #[arg(short = 'n', long)]
    dry_run: bool,
}

/// One disk on its way.
struct Job<'j> {
    args: &'j Args,
    context: &'j Context,
    opened: &'j Opened,
    inventory: &'j Inventory,
    source: Source,
    name: DiskName,
    begin: Instant,
}

/// What became of a disk.
struct Done {
    saved: SnapshotSaved,
    read: u64,
    resumed: u64,
    gaps: Extents,
    state: State,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        if self.name.is_some() && self.disks.len() > 1 {
            return Err(Failure::new("--name is for one disk, and several were given"));
        }
        let inventory = Inventory::of(&System::this(), &platform::hostname())?;
        let writes = if self.dry_run { Writes::Nothing } else { Writes::Snapshots };
        let opened = context.open_for_backup(writes)?;
        let mut incomplete = Vec::new();
        for path in &self.disks {
            let source = Source::open(path, &inventory)?;
            let name = self.name.as_deref().map_or_else(|| DiskName::of_path(&source.path), DiskName::new)?;
            let (args, inventory, opened) = (&self, &inventory, &opened);
            let job = Job { args, context, opened, inventory, source, name, begin: Instant::now() };
            if job.run()? != State::Complete {
                incomplete.push(path.display().to_string());
            }
        }
        opened.close(context.output());
        match incomplete.is_empty() {
            true => Ok(()),
            false => Err(Failure::incomplete(format!("the image of {} is not complete", incomplete.join(", ")))
                .hint("the snapshot was saved and says what is missing")),
        }
    }
}

impl Job<'_> {
    fn run(&self) -> Outcome<State> {
        let parent = self.parent()?;
        let output = self.context.output();
        if self.args.dry_run {
            self.tell_plan(output, parent)?;
            return Ok(State::Complete);
        }
        let progress = Arc::new(Progress::default());
        let live = Live::show(&self.context.settings, Arc::new(DiskPicture::new(self.name.as_str(), &progress)));
        let done = self.image(parent, &progress, &live)?;
        drop(live);
        self.report(output, &done)?;
        Ok(done.state)
    }

    /// The newest image of the same host and path.
    fn parent(&self) -> Outcome<Option<Id>> {
        let repo = &self.opened.repo;
        let paths = vec![self.source.path.to_string_lossy().into_owned()];
        let filter = SnapshotFilter { hosts: vec![self.host()], tags: Vec::new(), paths: paths.clone() };
        let all = repo.snapshots()?.all;
        let mut same = all
            .into_iter()
            .rev()
            .filter(|(_, snapshot)| !snapshot.is_partial() && filter.matches(snapshot) && snapshot.paths == paths);
        // One that cannot be read is no parent.
        Ok(same.find(|(_, snapshot)| StoredImages::is_image(repo, &snapshot.tree).unwrap_or(false)).map(|(id, _)| id))
    }

    fn host(&self) -> String {
        self.args.host.clone().or_else(|| environment::text("HOST")).unwrap_or_else(platform::hostname)
    }

    fn tell_plan(&self, output: Output, parent: Option<Id>) -> Outcome {
        let (bytes, used) = (self.source.reader.size(), self.source.used.bytes());
        output.message(&json!({
            "message_type": "plan", "disk": self.name.as_str(), "device": self.source.path, "size": bytes,
            "bytes_in_use": used, "parent": parent, "dry_run": true,
        }))?;
        let after = parent.map_or("the first image".to_owned(), |id| format!("after snapshot {}", id.short()));
        let (bytes, used, path) = (size::bytes(bytes), size::bytes(used), self.source.path.display());
        output.remark(format_args!("would read {used} of {path} ({bytes}) as disk {}: {after}", self.name))
    }

    fn image(&self, parent: Option<Id>, progress: &Arc<Progress>, live: &Live) -> Outcome<Done> {
        let before = self.source.stamp();
        let mut disk = self.described();
        let state = self.args.state_dir.clone().or_else(environment::state_directory);
        let workers = std::thread::available_parallelism().map_or(2, usize::from);
        let stamp = before.clone();
        let request = Request { disk: disk.clone(), parent: None, state, stamp, changed: None, workers };
        let session = Session::begin(&self.opened.repo, vec![request], progress)?;
        let taken_up = session.disks().iter().map(|disk| &disk.resumed);
        taken_up.clone().for_each(|resumed| live.above(|| self.tell_resumed(resumed)));
        let gaps = self.read(&session, progress)?;
        let resumed = taken_up.map(|resumed| resumed.done.bytes()).sum();
        let mut manifest = Manifest::new(&program(), &self.host(), self.context.now());
        manifest.hardware = serde_json::to_value(self.inventory)?;
        if before != self.source.stamp() {
            let path = self.source.path.display();
            live.above(|| self.context.output().warn(format_args!("{path} was written to while it was read")));
            manifest.state = State::Inconsistent;
            disk.capture.consistency = Consistency::None;
        }
        disk.gaps = gaps.iter().map(|gap| (gap.start, gap.end - gap.start)).collect();
        let state = match (manifest.state, gaps.is_empty()) {
            (State::Complete, false) => State::Incomplete,
            (state, _) => state,
        };
        let finished = session.finish(manifest, vec![disk], &self.details(parent))?;
        let read = finished.figures.iter().map(|figures| figures.bytes).sum();
        Ok(Done { saved: finished.saved, read, resumed, gaps, state })
    }

    fn read(&self, session: &Session, progress: &Progress) -> Outcome<Extents> {
        let mut missing = self.source.used.clone();
        let done = session.disks().iter().flat_map(|disk| disk.resumed.done.iter());
        done.for_each(|range| missing.remove(range));
        let sector = self.source.sectors.0;
        let unreadable = if self.args.skip_unreadable { Unreadable::Skip { sector } } else { Unreadable::Fail };
        let options = offline::Options { unreadable, threads: 2 };
        let cancel = &self.context.cancel;
        progress.enter(Phase::Reading, missing.bytes());
        let read = |disks: &[InMaking]| {
            let gaps = disks
                .iter()
                .map(|disk| offline::read(&self.source.reader, &missing, &disk.writer, options, progress, cancel));
            gaps.collect::<Result<Vec<Extents>, _>>()
        };
        let gaps = session.capture(cancel, read).map_err(|error| match error {
            SessionError::Capture(error) => {
                Failure::from(error).doing(format!("cannot image {}", self.source.path.display()))
            }
            SessionError::Image(error) => Failure::from(error),
        })?;
        Ok(gaps.iter().flat_map(Extents::iter).collect())
    }

    fn tell_resumed(&self, resumed: &Resumed) {
        let output = self.context.output();
        let Some(started) = resumed.started else { return };
        let done = resumed.done.bytes();
        // If standard output is gone, the end of the command tells.
        _ = output.message(&json!({
            "message_type": "resumed", "disk": self.name.as_str(), "started": started, "bytes_done": done,
            "packs_found": resumed.packs,
        }));
        let since = time::local(started);
        let what = match done {
            0 => "nothing proves that it was not changed since: everything is read again, and only what is missing is sent"
                .to_owned(),
            done => format!("{} need not be read again", size::bytes(done)),
        };
        _ = output.remark(format_args!("taking up the image of {} that was begun {since}: {what}", self.name));
    }

    /// The disk as the manifest describes it.
    fn described(&self) -> Disk {
        let source = &self.source;
        Disk {
            name: self.name.to_string(),
            device: source.path.to_string_lossy().into_owned(),
            size: source.reader.size(),
            logical_sector: source.sectors.0,
            physical_sector: source.sectors.1,
            identity: source.identity.clone(),
            segment_size: SEGMENT,
            chunk_size: CHUNK,
            used: UsedMap::new(&source.used, source.reader.size()),
            table: Value::Null,
            volumes: Value::Null,
            capture: Capture {
                provider: "offline".into(),
                consistency: Consistency::Offline,
                passes: 1,
                freeze_ms: 0,
                cross_check: Value::Null,
            },
            gaps: Vec::new(),
        }
    }

    fn details(&self, parent: Option<Id>) -> SnapshotDetails {
        SnapshotDetails {
            host: self.host(),
            tags: all_tags(&self.args.tag),
            paths: vec![self.source.path.to_string_lossy().into_owned()],
            time: self.context.now().to_zoned(jiff::tz::TimeZone::system()),
            program_version: program(),
            parent,
        }
    }

    fn report(&self, output: Output, done: &Done) -> Outcome {
        let seconds = self.begin.elapsed();
        let summary = &done.saved.summary;
        let mut message = serde_json::to_value(summary)?;
        message["message_type"] = json!("summary");
        message["total_duration"] = json!(seconds.as_secs_f64());
        message["snapshot_id"] = json!(done.saved.id);
        message["disk"] = json!(self.name.as_str());
        message["state"] = json!(done.state);
        message["bytes_read"] = json!(done.read);
        message["bytes_resumed"] = json!(done.resumed);
        message["bytes_unreadable"] = json!(done.gaps.bytes());
        output.message(&message)?;
        for gap in done.gaps.iter() {
            output.warn(format_args!("{} bytes at {} could not be read", gap.end - gap.start, gap.start));
        }
        let (whole, used) = (size::bytes(self.source.reader.size()), size::bytes(self.source.used.bytes()));
        let clock = time::clock(seconds.as_secs());
        output.remark(format_args!("{}: {whole}, {used} in use, read in {clock}", self.name))?;
        let (added, packed) = (size::bytes(summary.data_added), size::bytes(summary.data_added_packed));
        output.remark(format_args!("Added to the repository: {added} ({packed} stored)"))?;
        output.remark(format_args!("snapshot {} saved", done.saved.id.short()))
    }
}

fn program() -> String {
    format!("stead {}", env!("CARGO_PKG_VERSION"))
}
