//! `stead disk backup`: disks become snapshots.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use disks::capture::Unreadable;
use disks::image::{DiskName, SnapshotDetails, SnapshotSaved, StoredImages};
use disks::inventory::{Inventory, disks_below};
use disks::manifest::{Capture, Consistency, Disk, Manifest, State, UsedMap};
use disks::progress::Progress;
use disks::provider::Inconsistent;
use disks::session::{InMaking, Request, Resumed, Session, SessionError};
use disks::{CHUNK, SEGMENT};
use platform::hardware::System;
use repo::Id;
use repo::snapshot::SnapshotFilter;
use serde_json::{Value, json};

use super::hooks::Commands;
use super::image::{Image, Reading, Unread};
use super::source::{Content, Opening, Source};
use super::view::Purpose;
use crate::environment;
use crate::failure::{Failure, Outcome};
use crate::open::{Context, Opened, Writes};
use crate::output::Output;
use crate::render::disk::DiskPicture;
use crate::render::live::Live;
use crate::render::{size, time};
use crate::select::all_tags;

/// Image disks, in use or not, or files that hold a disk
///
/// Every disk becomes a snapshot of its own, of one instant. Mounted disks are read while they are used; at the end their
/// file systems are frozen for a moment. Free space is not read. A run that was cut off is taken up by the next one.
///
/// Example: stead disk backup /dev/sda --tag before-move
///          stead disk backup /dev/sda --hook-before 'psql -c CHECKPOINT'
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// What to image: disks, partitions, volumes, or files
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
    /// Image a disk in use even if nothing gives a consistent view of it; the snapshot says so for ever
    #[arg(long)]
    inconsistent: bool,
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
    image: Image,
    resumed: u64,
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
            let source = Source::open(path, self.opening(&inventory, opened.directory.as_deref()))?;
            let name = self.name.as_deref().map_or_else(|| DiskName::of_path(&source.path), DiskName::new)?;
            let (args, inventory, opened) = (&self, &inventory, &opened);
            let job = Job { args, context, opened, inventory, source, name, begin: Instant::now() };
            let state = job.run()?;
            if state == State::Incomplete || state == State::Inconsistent && !self.inconsistent {
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

    fn opening<'o>(&self, inventory: &'o Inventory, repository: Option<&'o Path>) -> Opening<'o> {
        let inconsistent = if self.inconsistent { Inconsistent::Wanted } else { Inconsistent::Refused };
        let purpose = if self.dry_run { Purpose::Plan } else { Purpose::Image };
        Opening { inventory, inconsistent, purpose, repository }
    }

    fn hooks(&self, output: Output) -> Commands {
        let (before, after) = (self.hook_before.clone(), self.hook_after.clone());
        Commands { before, after, limit: Duration::from_secs_f64(self.hook_limit), output }
    }
}

/// A time that a command can wait for.
fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.01..=86_400.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds from 0.01 to 86400".to_owned()),
    }
}

impl Job<'_> {
    fn run(mut self) -> Outcome<State> {
        let parent = self.parent()?;
        let output = self.context.output();
        for warning in self.source.survey().all_warnings() {
            output.warn(format_args!("{}: {warning}", self.source.path.display()));
        }
        if self.args.dry_run {
            self.tell_plan(output, parent)?;
            return Ok(State::Complete);
        }
        let progress = Arc::new(Progress::default());
        let live = Live::show(&self.context.settings, Arc::new(DiskPicture::new(self.name.as_str(), &progress)));
        let done = self.image(parent, &progress, &live)?;
        drop(live);
        self.report(output, &done)?;
        self.end_view()?;
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
        let (bytes, used) = (self.source.size, self.source.used().bytes());
        let choice = match &self.source.content {
            Content::Device(device) => Some(&device.seen.choice),
            Content::File(_) => None,
        };
        output.message(&json!({
            "message_type": "plan", "disk": self.name.as_str(), "device": self.source.path, "size": bytes,
            "bytes_in_use": used, "parent": parent, "dry_run": true, "provider": choice.map(|choice| choice.provider),
            "provider_reason": choice.map(|choice| &choice.reason),
        }))?;
        let after = parent.map_or("the first image".to_owned(), |id| format!("after snapshot {}", id.short()));
        let (bytes, used, path) = (size::bytes(bytes), size::bytes(used), self.source.path.display());
        output.remark(format_args!("would read {used} of {path} ({bytes}) as disk {}: {after}", self.name))
    }

    fn image(&mut self, parent: Option<Id>, progress: &Arc<Progress>, live: &Live) -> Outcome<Done> {
        let (stamp, changed) = match &self.source.content {
            Content::File(file) => (file.stamp(), None),
            Content::Device(device) => device.proof()?,
        };
        let (mut disk, state) = (self.described(), self.state(live)?);
        let keeps_state = state.is_some();
        let workers = std::thread::available_parallelism().map_or(2, usize::from);
        let request = Request { disk: disk.clone(), parent: None, state, stamp: stamp.clone(), changed, workers };
        let session = Session::begin(&self.opened.repo, vec![request], progress)?;
        let taken_up = session.disks().iter().map(|disk| &disk.resumed);
        taken_up.clone().for_each(|resumed| live.above(|| self.tell_resumed(resumed)));
        let resumed = taken_up.map(|resumed| resumed.done.bytes()).sum();
        let image = self.read(&session, progress, keeps_state)?;
        let mut manifest = Manifest::new(&program(), &self.host(), self.context.now());
        manifest.hardware = serde_json::to_value(self.inventory)?;
        disk.capture = image.capture.clone();
        if matches!(&self.source.content, Content::File(file) if file.stamp() != stamp) {
            let path = self.source.path.display();
            live.above(|| self.context.output().warn(format_args!("{path} was written to while it was read")));
            disk.capture.consistency = Consistency::None;
        }
        disk.used = UsedMap::new(&image.used, disk.size);
        (disk.table, disk.volumes) = (self.source.survey().described_table(), self.source.survey().described_volumes());
        disk.gaps = image.gaps.iter().map(|gap| (gap.start, gap.end - gap.start)).collect();
        let state = match (disk.capture.consistency, image.gaps.is_empty()) {
            (Consistency::None, _) => State::Inconsistent,
            (_, false) => State::Incomplete,
            (_, true) => State::Complete,
        };
        manifest.state = state;
        let finished = session.finish(manifest, vec![disk], &self.details(parent))?;
        Ok(Done { saved: finished.saved, image, resumed, state })
    }

    /// Where the state is kept: by default nowhere, if that would change the disk that is imaged.
    fn state(&self, live: &Live) -> Outcome<Option<PathBuf>> {
        let named = self.args.state_dir.clone();
        let Some(usual) = named.is_none().then(environment::state_directory).flatten() else { return Ok(named) };
        let Content::Device(device) = &self.source.content else { return Ok(Some(usual)) };
        let there = usual.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
        let below = disks_below(&System::this(), there).map_err(|error| Failure::io("look at", there, error))?;
        if device.seen.is_live() && device.disk.as_ref().is_some_and(|disk| below.contains(disk)) {
            let what = "no state is kept, because it would lie on the disk itself: a run that is cut off starts over";
            live.above(|| drop(self.context.output().remark(format_args!("{what} (--state-dir puts it elsewhere)"))));
            return Ok(None);
        }
        Ok(Some(usual))
    }

    fn read(&mut self, session: &Session, progress: &Progress, keeps_state: bool) -> Outcome<Image> {
        let reading = Reading {
            unreadable: if self.args.skip_unreadable { Unreadable::Skip } else { Unreadable::Fail },
            freeze_budget: Duration::from_secs_f64(self.args.freeze_budget),
            hooks: self.args.hooks(self.context.output()),
            progress,
            cancel: &self.context.cancel,
        };
        let Source { path, sectors, content, .. } = &mut self.source;
        let read = |disks: &[InMaking]| match content {
            Content::File(file) => reading.file(file, sectors.0, &disks[0]),
            Content::Device(device) => reading.device(device, path, &disks[0]),
        };
        let (failure, is_resumable) = match session.capture(&self.context.cancel, read) {
            Ok(image) => return Ok(image),
            Err(SessionError::Image(error)) => (Failure::from(error), true),
            Err(SessionError::Capture(Unread::Resumable(failure))) => (failure, true),
            Err(SessionError::Capture(Unread::Source(failure))) => (failure, false),
        };
        if let Content::Device(device) = &mut self.source.content
            && is_resumable
            && keeps_state
        {
            // What the tracker knows is needed to go on.
            device.seen.keep();
        }
        Err(failure.doing(format!("cannot image {}", self.source.path.display())))
    }

    fn end_view(&mut self) -> Outcome {
        match &mut self.source.content {
            Content::Device(device) => device.seen.end(),
            Content::File(_) => Ok(()),
        }
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
            size: source.size,
            logical_sector: source.sectors.0,
            physical_sector: source.sectors.1,
            identity: source.identity.clone(),
            segment_size: SEGMENT,
            chunk_size: CHUNK,
            used: UsedMap::new(source.used(), source.size),
            table: Value::Null,
            volumes: Value::Null,
            capture: Capture {
                provider: "offline".into(),
                consistency: Consistency::Offline,
                passes: 1,
                freeze_ms: 0,
                reread_bytes: 0,
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
        let Image { used, gaps, capture, read, details } = &done.image;
        message["bytes_in_use"] = json!(used.bytes());
        message["bytes_read"] = json!(read);
        message["bytes_resumed"] = json!(done.resumed);
        message["bytes_unreadable"] = json!(gaps.bytes());
        message["capture"] = serde_json::to_value(capture)?;
        message["capture_details"] = details.clone();
        output.message(&message)?;
        for gap in gaps.iter() {
            output.warn(format_args!("{} bytes at {} could not be read", gap.end - gap.start, gap.start));
        }
        let (whole, used) = (size::bytes(self.source.size), size::bytes(used.bytes()));
        let clock = time::clock(seconds.as_secs());
        output.remark(format_args!("{}: {whole}, {used} in use, read in {clock}", self.name))?;
        output.remark(format_args!("{}", view_words(capture)))?;
        let (added, packed) = (size::bytes(summary.data_added), size::bytes(summary.data_added_packed));
        output.remark(format_args!("Added to the repository: {added} ({packed} stored)"))?;
        output.remark(format_args!("snapshot {} saved", done.saved.id.short()))
    }
}

/// How it was read, and what that is worth.
fn view_words(capture: &Capture) -> String {
    let Capture { provider, consistency, passes, freeze_ms, reread_bytes, .. } = capture;
    match consistency {
        Consistency::Offline => "nobody wrote to it meanwhile".to_owned(),
        Consistency::None => "NOT consistent: it was written to while it was read".to_owned(),
        Consistency::Frozen | Consistency::Crash => format!(
            "of one instant ({provider}): {passes} passes, frozen for {:.2} s, {} read again",
            *freeze_ms as f64 / 1000.0,
            size::bytes(*reread_bytes)
        ),
    }
}

fn program() -> String {
    format!("stead {}", env!("CARGO_PKG_VERSION"))
}
