//! One snapshot of disks in the making: what it continues, what is read, and what is said about it.

use std::path::PathBuf;
use std::sync::Arc;

use disks::image::{DiskName, SnapshotDetails, SnapshotSaved, StoredImages};
use disks::manifest::{Capture, Consistency, Disk, Manifest, State, UsedMap};
use disks::progress::Progress;
use disks::provider::SystemPrograms;
use disks::session::{Changes, InMaking, Request, Session, SessionError};
use disks::structure::structure_of;
use disks::{CHUNK, Extents, SEGMENT};
use repo::retention::Stored;
use repo::{Id, Repository};
use serde_json::{Value, json};

use super::backup::Args;
use super::base::Base;
use super::image::{Image, Reading, Unread};
use super::own_files::OwnFiles;
use super::report::Report;
use super::source::{Content, Source};
use super::state::StatePlace;
use crate::environment;
use crate::failure::{Failure, Outcome};
use crate::open::Context;
use crate::render::disk::DiskPicture;
use crate::render::live::Live;
use crate::select::all_tags;

/// One snapshot, of one or several disks.
pub(super) struct Job<'j> {
    pub(super) args: &'j Args,
    pub(super) context: &'j Context,
    pub(super) repo: &'j Arc<Repository>,
    pub(super) hardware: Value,
    pub(super) subjects: Vec<Subject>,
    pub(super) report: Report,
    /// The spool's files, if they lie on one of the disks.
    pub(super) own: Option<OwnFiles>,
    /// Where the spool keeps the state of images, if the usual place is on one of the disks.
    pub(super) state: Option<PathBuf>,
    /// Counts along.
    pub(super) progress: Arc<Progress>,
}

/// One disk of it.
pub(super) struct Subject {
    pub(super) source: Source,
    pub(super) name: DiskName,
}

/// What became of it.
pub(super) struct Done {
    pub(super) saved: SnapshotSaved,
    pub(super) images: Vec<Image>,
    /// Bytes of each disk that were taken up.
    pub(super) resumed: Vec<u64>,
    pub(super) state: State,
}

/// What is known of the repository when the job begins.
struct Before {
    parent: Option<Id>,
    bases: Vec<Base>,
}

impl Job<'_> {
    /// Makes the snapshot, and returns what became of it.
    pub(super) fn run(mut self) -> Outcome<Done> {
        let before = self.before()?;
        self.report.warnings(&self.subjects);
        let progress = Arc::clone(&self.progress);
        let live = Live::show(&self.context.settings, Arc::new(DiskPicture::new(&self.names(), &progress)));
        let outcome = self.images(before, &progress, &live);
        drop(live);
        let done = outcome?;
        self.rebase(&done)?;
        self.report.summary(&self.subjects, &done)?;
        self.subjects.iter_mut().try_for_each(Subject::end_view)?;
        Ok(done)
    }

    /// Only tells what would be read.
    pub(super) fn plan(self) -> Outcome {
        let before = self.before()?;
        self.report.warnings(&self.subjects);
        self.subjects.iter().try_for_each(|subject| self.report.plan(subject, before.parent))
    }

    /// The disks' names, for people.
    fn names(&self) -> String {
        self.subjects.iter().map(|subject| subject.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    pub(super) fn paths(&self) -> Vec<String> {
        self.subjects.iter().map(|subject| subject.source.path.to_string_lossy().into_owned()).collect()
    }

    fn before(&self) -> Outcome<Before> {
        let snapshots = self.repo.snapshots()?.all;
        let base = |subject: &Subject| Base::find(self.repo, &snapshots, &subject.source, &subject.name);
        let bases = self.subjects.iter().map(base).collect::<Outcome<Vec<_>>>()?;
        Ok(Before { parent: self.parent(&snapshots), bases })
    }

    /// The newest image of the same host and paths.
    fn parent(&self, snapshots: &[Stored]) -> Option<Id> {
        let (host, mut paths) = (self.host(), self.paths());
        paths.sort();
        let is_same = |snapshot: &repo::snapshot::Snapshot| {
            let mut its = snapshot.paths.clone();
            its.sort();
            !snapshot.is_partial() && snapshot.hostname == host && its == paths
        };
        let mut same = snapshots.iter().rev().filter(|(_, snapshot)| is_same(snapshot));
        // One that cannot be read is no parent.
        same.find(|(_, snapshot)| StoredImages::is_image(self.repo, &snapshot.tree).unwrap_or(false)).map(|(id, _)| *id)
    }

    fn host(&self) -> String {
        self.args.host.clone().or_else(|| environment::text("HOST")).unwrap_or_else(platform::hostname)
    }

    fn images(&mut self, before: Before, progress: &Arc<Progress>, live: &Live) -> Outcome<Done> {
        let stamps: Vec<Option<String>> = self.subjects.iter().map(Subject::file_stamp).collect();
        let state = StatePlace::of(self.args.state_dir.clone(), &self.subjects, self.state.clone())?;
        state.tell(live, self.context.output());
        for (subject, base) in self.subjects.iter().zip(&before.bases) {
            live.above(|| self.report.base(subject, base));
        }
        let mut changed = Vec::new();
        let session = self.begin(before.bases, &stamps, state.directory(), &mut changed, progress)?;
        for (subject, disk) in self.subjects.iter().zip(session.disks()) {
            live.above(|| self.report.resumed(subject, &disk.resumed));
        }
        let resumed = session.disks().iter().map(|disk| disk.resumed.done.bytes()).collect();
        let images = self.read(&session, &changed, progress, state.directory().is_some(), live)?;
        let mut described: Vec<Disk> = self.subjects.iter().map(Subject::described).collect();
        for ((subject, disk), (image, stamp)) in
            self.subjects.iter().zip(&mut described).zip(images.iter().zip(&stamps))
        {
            subject.describe(disk, image);
            if subject.file_stamp() != *stamp {
                let path = subject.source.path.display();
                live.above(|| self.context.output().warn(format_args!("{path} was written to while it was read")));
                disk.capture.consistency = Consistency::None;
            }
        }
        let mut manifest = Manifest::new(&program(), &self.host(), self.context.now());
        (manifest.hardware, manifest.state) = (self.hardware.clone(), state_of(&described));
        let state = manifest.state;
        let saved = session.finish(manifest, described, &self.details(before.parent))?.saved;
        Ok(Done { saved, images, resumed, state })
    }

    /// Begins the session; what was written since the bases is left in `changed`.
    fn begin(
        &self,
        bases: Vec<Base>,
        stamps: &[Option<String>],
        state: Option<&PathBuf>,
        changed: &mut Vec<Extents>,
        progress: &Arc<Progress>,
    ) -> Outcome<Session> {
        let workers = std::thread::available_parallelism().map_or(2, usize::from);
        let spans = self.subjects.iter().map(Subject::span).collect::<Outcome<Vec<_>>>()?;
        let after: Vec<_> = self
            .subjects
            .iter()
            .zip(&spans)
            .map(|(subject, span)| move |epoch: u8| subject.changed_after(epoch, span))
            .collect();
        let mut requests = Vec::new();
        for (number, (subject, base)) in self.subjects.iter().zip(bases).enumerate() {
            let (parent, written) = match base {
                Base::Snapshot { parent, changed } => (Some(*parent), changed),
                Base::Nothing(_) => (None, Extents::new()),
            };
            changed.push(written);
            let proof = subject.proof()?;
            let changes = proof.as_ref().map(|proof| Changes { epoch: proof.epoch, after: &after[number] });
            let stamp =
                proof.map(|proof| proof.name).or_else(|| stamps[number].clone()).or_else(|| subject.count_stamp());
            requests.push(Request {
                disk: subject.described(),
                parent,
                state: state.cloned(),
                stamp,
                changes,
                workers,
            });
        }
        Ok(Session::begin(self.repo, requests, progress)?)
    }

    fn read(
        &mut self,
        session: &Session,
        changed: &[Extents],
        progress: &Progress,
        keeps_state: bool,
        live: &Live,
    ) -> Outcome<Vec<Image>> {
        let reading = Reading {
            unreadable: self.args.unreadable(),
            freeze_budget: self.args.freeze_budget(),
            hooks: self.args.hooks(self.context),
            progress,
            cancel: &self.context.cancel,
            own: self.own.as_ref(),
        };
        let subjects = &mut self.subjects;
        let read = |disks: &[InMaking]| reading.all(subjects, disks, changed);
        let (failure, is_resumable) = match session.capture(&self.context.cancel, read) {
            Ok(images) => return Ok(images),
            Err(SessionError::Image(error)) => (Failure::from(error), true),
            Err(SessionError::Capture(Unread::Resumable(failure))) => (failure, true),
            Err(SessionError::Capture(Unread::Source(failure))) => (failure, false),
        };
        if is_resumable && keeps_state {
            // What the trackers know is needed to go on.
            let kept = self.subjects.iter_mut().filter_map(Subject::keep).collect::<Vec<_>>();
            if !kept.is_empty() {
                live.above(|| self.report.kept(&kept));
            }
        }
        Err(failure.doing(format!("cannot image {}", self.paths().join(", "))))
    }

    /// From now on trackers tell what is written after this snapshot.
    fn rebase(&self, done: &Done) -> Outcome {
        for (subject, image) in self.subjects.iter().zip(&done.images) {
            let Content::Device(device) = &subject.source.content else { continue };
            let tracker = device.seen.tracker().filter(|tracker| tracker.watched_since().is_some());
            if let Some((tracker, epoch)) = tracker.zip(image.epoch) {
                let name = done.saved.id.to_string();
                // Several devices may lie on one disk, and marks are forgotten once.
                if tracker.base().as_ref() != Some(&name) {
                    tracker.rebase(&name, epoch)?;
                }
            }
        }
        Ok(())
    }

    fn details(&self, parent: Option<Id>) -> SnapshotDetails {
        SnapshotDetails {
            host: self.host(),
            tags: all_tags(&self.args.tag),
            paths: self.paths(),
            time: self.context.now().to_zoned(jiff::tz::TimeZone::system()),
            program_version: program(),
            parent,
        }
    }
}

impl Subject {
    fn device(&self) -> Option<&super::source::Device> {
        match &self.source.content {
            Content::Device(device) => Some(device),
            Content::File(_) => None,
        }
    }

    fn file_stamp(&self) -> Option<String> {
        match &self.source.content {
            Content::File(file) => file.stamp(),
            Content::Device(_) => None,
        }
    }

    fn count_stamp(&self) -> Option<String> {
        self.device()?.count_stamp()
    }

    fn proof(&self) -> Outcome<Option<super::view::Proof>> {
        self.device().map_or(Ok(None), |device| device.seen.proof())
    }

    fn span(&self) -> Outcome<std::ops::Range<u64>> {
        self.device().map_or(Ok(0..self.source.size), |device| device.seen.span())
    }

    fn changed_after(&self, epoch: u8, span: &std::ops::Range<u64>) -> Extents {
        self.device().map_or(Extents::new(), |device| device.seen.changed_after(epoch, span))
    }

    /// Lets its tracker live on; its name, if nobody watches the disk.
    fn keep(&mut self) -> Option<String> {
        let Content::Device(device) = &mut self.source.content else { return None };
        device.seen.keep().then(|| self.source.path.display().to_string())
    }

    fn end_view(&mut self) -> Outcome {
        match &mut self.source.content {
            Content::Device(device) => device.seen.end(),
            Content::File(_) => Ok(()),
        }
    }

    /// The disk as the manifest describes it before it is read.
    fn described(&self) -> Disk {
        let source = &self.source;
        Disk {
            name: self.name.to_string(),
            device: source.path.to_string_lossy().into_owned(),
            size: source.size,
            start: source.start(),
            logical_sector: source.sectors.0,
            physical_sector: source.sectors.1,
            identity: source.identity.clone(),
            segment_size: SEGMENT,
            chunk_size: CHUNK,
            used: UsedMap::new(source.used(), source.size),
            table: Value::Null,
            volumes: Value::Null,
            structure: Vec::new(),
            capture: Capture::offline(),
            gaps: Vec::new(),
        }
    }

    /// The same once it is read.
    fn describe(&self, disk: &mut Disk, image: &Image) {
        let survey = self.source.survey();
        disk.capture = image.capture.clone();
        disk.used = UsedMap::new(&image.used, disk.size);
        (disk.table, disk.volumes) = (survey.described_table(), survey.described_volumes());
        if self.source.is_device() {
            // An image without it is as good, but for making that anew.
            disk.structure = structure_of(&self.source.path, &SystemPrograms).unwrap_or_default();
        }
        disk.gaps = image.gaps.iter().map(|gap| (gap.start, gap.end - gap.start)).collect();
    }
}

/// The worst of them counts.
fn state_of(disks: &[Disk]) -> State {
    if disks.iter().any(|disk| disk.capture.consistency == Consistency::None) {
        State::Inconsistent
    } else if disks.iter().any(|disk| !disk.gaps.is_empty()) {
        State::Incomplete
    } else {
        State::Complete
    }
}

/// For manifest and snapshot.
fn program() -> String {
    format!("stead {}", env!("CARGO_PKG_VERSION"))
}

/// Figures of one disk, for programs.
pub(super) fn disk_figures(subject: &Subject, image: &Image, resumed: u64) -> Value {
    json!({
        "disk": subject.name.as_str(), "device": subject.source.path, "size": subject.source.size,
        "bytes_in_use": image.used.bytes(), "bytes_read": image.read, "bytes_resumed": resumed,
        "bytes_unreadable": image.gaps.bytes(), "bytes_left_out": image.left_out, "base": image.base, "capture": image.capture,
        "capture_details": image.details,
    })
}
