//! Reading a source into an image: a file as it is, a device by its consistent view; and what came of it.

use std::path::PathBuf;
use std::time::Duration;

use disks::capture::{
    CaptureError, CaptureOptions, Consistency as Seen, Context as CaptureContext, Hooks, Outcome as Captured,
    Unreadable, capture,
};
use disks::image::ImageError;
use disks::manifest::{Capture, Consistency};
use disks::offline;
use disks::progress::{Phase, Progress};
use disks::provider::{Choice, Provider};
use disks::session::InMaking;
use disks::survey::{LiveSurvey, Survey};
use disks::{Extents, capture};
use repo::{Cancel, Id};
use serde_json::{Value, json};

use super::figures::Figures;
use super::hooks::Commands;
use super::job::Subject;
use super::own_files::{OwnFiles, Settling};
use super::source::{Content, Device, ImageFile};
use super::view::Snapshot;
use crate::failure::{Failure, Outcome};

/// How a source is read.
pub(super) struct Reading<'r> {
    pub(super) unreadable: Unreadable,
    pub(super) freeze_budget: Duration,
    pub(super) hooks: Commands,
    pub(super) progress: &'r Progress,
    pub(super) cancel: &'r Cancel,
    /// Files of ours on the disks.
    pub(super) own: Option<&'r OwnFiles>,
}

/// What came of it.
pub(super) struct Image {
    /// What was in use at the instant of the image.
    pub(super) used: Extents,
    /// What could not be read.
    pub(super) gaps: Extents,
    /// For the manifest.
    pub(super) capture: Capture,
    /// Bytes read, of all devices of the snapshot together.
    pub(super) read: u64,
    /// The tracker's epoch that ended with it.
    pub(super) epoch: Option<u8>,
    /// The snapshot that it continues.
    pub(super) base: Option<Id>,
    /// How often everything was read again because the tracker had lost something.
    pub(super) full_compares: u32,
    /// Bytes of a spool on it, which are not in it.
    pub(super) left_out: u64,
    /// More figures, for programs.
    pub(super) details: Value,
}

/// Why there is none.
pub(super) enum Unread {
    /// The disk is to blame, or what was asked for.
    Source(Failure),
    /// Storing or stopping is: the next run can go on from here.
    Resumable(Failure),
}

impl From<Failure> for Unread {
    fn from(failure: Failure) -> Unread {
        Unread::Source(failure)
    }
}

impl From<CaptureError> for Unread {
    fn from(error: CaptureError) -> Unread {
        match error {
            CaptureError::Cancelled => Unread::Resumable(Failure::from(CaptureError::Cancelled)),
            CaptureError::Sink { cause, .. } => Unread::Resumable(match cause.downcast::<ImageError>() {
                Ok(error) => Failure::from(*error),
                Err(other) => Failure::new(other.to_string()),
            }),
            error => {
                let hint = error.hint();
                let failure = Failure::from(error);
                Unread::Source(hint.into_iter().fold(failure, Failure::hint))
            }
        }
    }
}

impl Reading<'_> {
    /// Reads everything; the images are in the order of the subjects. `changed` is what was written since the images that they
    /// continue.
    pub(super) fn all(
        mut self,
        subjects: &mut [Subject],
        disks: &[InMaking],
        changed: &[Extents],
    ) -> Result<Vec<Image>, Unread> {
        let mut images = Vec::with_capacity(subjects.len());
        for (number, subject) in subjects.iter().enumerate() {
            if let Content::File(file) = &subject.source.content {
                images.push((number, self.file(file, subject.source.sectors.0, &disks[number])?));
            }
        }
        let devices: Vec<_> =
            subjects.iter_mut().enumerate().filter(|(_, subject)| subject.source.is_device()).collect();
        if !devices.is_empty() {
            images.extend(self.devices(devices, disks, changed)?);
        }
        images.sort_by_key(|(number, _)| *number);
        Ok(images.into_iter().map(|(_, image)| image).collect())
    }

    /// Reads a file, but for what is there already.
    fn file(&self, file: &ImageFile, sector: u32, disk: &InMaking) -> Result<Image, Unread> {
        let mut missing = file.used.clone();
        disk.resumed.done.iter().for_each(|range| missing.remove(range));
        let unreadable = match self.unreadable {
            Unreadable::Skip => offline::Unreadable::Skip { sector },
            Unreadable::Fail => offline::Unreadable::Fail,
        };
        let options = offline::Options { unreadable, threads: 2 };
        self.progress.enter(Phase::Reading, missing.bytes());
        let gaps = offline::read(&file.reader, &missing, &disk.writer, options, self.progress, self.cancel).map_err(
            |error| match error {
                offline::ReadError::Read { .. } => Unread::Source(Failure::from(error)),
                _ => Unread::Resumable(Failure::from(error)),
            },
        )?;
        let capture = Capture::offline();
        let (used, read, details) = (file.used.clone(), missing.bytes(), json!({}));
        Ok(Image { used, gaps, capture, read, details, epoch: None, base: None, full_compares: 0, left_out: 0 })
    }

    /// Reads the devices by the views that were chosen for them, all of one instant as far as the views allow it. The numbers are
    /// those of the subjects.
    fn devices(
        &mut self,
        devices: Vec<(usize, &mut Subject)>,
        disks: &[InMaking],
        changed: &[Extents],
    ) -> Result<Vec<(usize, Image)>, Unread> {
        let mut devices: Vec<_> =
            devices.into_iter().filter_map(|(number, subject)| taken_apart(number, subject)).collect();
        let snapshots = self.snapshots(&devices)?;
        let captured = self.captured(&mut devices, &snapshots, disks, changed);
        // One that ran full cannot be read: that is the reason to tell.
        snapshots.iter().flatten().try_for_each(Snapshot::check)?;
        let (captured, surveys) = captured?;
        for ((_, _, device), survey) in devices.iter_mut().zip(surveys) {
            device.seen.check()?;
            device.seen_survey = survey;
        }
        self.own.map_or(Ok(()), OwnFiles::check)?;
        snapshots.into_iter().flatten().try_for_each(Snapshot::remove)?;
        let about = devices.iter().map(|(number, path, device)| About {
            number: *number,
            choice: device.seen.choice.clone(),
            base: disks[*number].parent(),
            left_out: self.own.map_or(0, |own| own.bytes_left_out(path)),
        });
        described(captured, about.collect())
    }

    /// What was captured, and what was on the snapshots: nothing has them open afterwards, so that they can be removed.
    fn captured(
        &mut self,
        devices: &mut [(usize, PathBuf, &mut Device)],
        snapshots: &[Option<Snapshot>],
        disks: &[InMaking],
        changed: &[Extents],
    ) -> Result<(Captured, Vec<Option<Survey>>), Unread> {
        let open = |(snapshot, (_, _, device)): (&Option<Snapshot>, &(usize, PathBuf, &mut Device))| {
            let Some(node) = snapshot.as_ref().map(Snapshot::device) else { return Ok(None) };
            let survey = LiveSurvey::taken(&node, device.seen.taken());
            survey.map(|survey| Some((node.clone(), survey))).map_err(|error| Failure::io("read", &node, error))
        };
        let mut opened = snapshots.iter().zip(devices.iter()).map(open).collect::<Outcome<Vec<_>>>()?;
        let sources = devices.iter_mut().zip(&mut opened).map(|((number, path, device), opened)| {
            let (path, Device { seen, survey, .. }) = (&*path, &mut **device);
            let (node, survey) = match opened {
                Some((node, survey)) => (&*node, survey),
                None => (path, survey),
            };
            let start = disks[*number].start(&changed[*number]);
            let own = self.own;
            let used = Box::new(move || {
                let used = survey.used()?;
                Ok(match own {
                    Some(own) => own.left_out_of(path, used)?,
                    None => used,
                })
            });
            capture::Source { device: node, view: seen.view(), start, used, sink: &disks[*number].writer }
        });
        let figures = Figures::new(self.progress);
        let (unreadable, freeze_budget) = (self.unreadable, self.freeze_budget);
        let options = CaptureOptions { unreadable, freeze_budget, ..CaptureOptions::default() };
        let cancel = self.cancel.clone();
        let mut hooks = Settling { hooks: &mut self.hooks, own: self.own, disks };
        let context = CaptureContext { options, hooks: &mut hooks, observer: &figures, cancel };
        let captured = capture(sources.collect(), context)?;
        let surveys = opened.into_iter().map(|opened| opened.map(|(_, survey)| survey.survey().clone()));
        Ok((captured, surveys.collect()))
    }

    /// The snapshots of the devices that are seen by one; making one freezes by itself.
    fn snapshots(&mut self, devices: &[(usize, PathBuf, &mut Device)]) -> Outcome<Vec<Option<Snapshot>>> {
        if !devices.iter().any(|(_, _, device)| device.seen.is_snapshot()) {
            return Ok(devices.iter().map(|_| None).collect());
        }
        let told = self.hooks.before_freeze().map_err(|error| Failure::from(CaptureError::Hook(error)));
        let make = |(_, _, device): &(usize, PathBuf, &mut Device)| device.seen.snapshot();
        let made = told.and_then(|()| devices.iter().map(make).collect());
        self.hooks.after_thaw();
        made
    }
}

/// What is said about a device that was captured.
struct About {
    number: usize,
    choice: Choice,
    base: Option<Id>,
    left_out: u64,
}

fn taken_apart(number: usize, subject: &mut Subject) -> Option<(usize, PathBuf, &mut Device)> {
    let path = subject.source.path.clone();
    match &mut subject.source.content {
        Content::Device(device) => Some((number, path, &mut **device)),
        Content::File(_) => None,
    }
}

fn described(captured: Captured, about: Vec<About>) -> Result<Vec<(usize, Image)>, Unread> {
    let read: u64 = captured.passes.iter().map(|pass| pass.bytes).sum();
    let passes = u32::try_from(captured.passes.len()).unwrap_or(u32::MAX);
    let json = |value| serde_json::to_value(value).map_err(Failure::from);
    let mut images = Vec::with_capacity(about.len());
    for (about, disk) in about.into_iter().zip(captured.disks) {
        let consistency = match (about.choice.provider, captured.consistency) {
            (Provider::None, _) => Consistency::None,
            (Provider::Offline, _) => Consistency::Offline,
            (_, Seen::Offline) => Consistency::Offline,
            (_, Seen::Frozen | Seen::Inconsistent) => Consistency::Frozen,
        };
        let details = json!({
            "provider_reason": about.choice.reason, "pass_figures": captured.passes,
            "failed_freezes": captured.failed_freezes, "full_compares": captured.full_compares,
            "disagreements": captured.disagreements, "not_freezable": captured.incapable,
        });
        let capture = Capture {
            provider: json(about.choice.provider)?.as_str().unwrap_or_default().to_owned(),
            consistency,
            passes,
            freeze_ms: captured.frozen_for.map_or(0, |time| time.as_millis() as u64),
            reread_bytes: captured.reread_bytes,
            cross_check: serde_json::to_value(disk.cross_check).map_err(Failure::from)?,
        };
        let (used, gaps, epoch, base) = (disk.used, disk.gaps, disk.epoch, about.base);
        let full_compares = if disk.cross_check.is_some() { captured.full_compares } else { 0 };
        let left_out = about.left_out;
        let image = Image { used, gaps, capture, read, details, epoch, base, full_compares, left_out };
        images.push((about.number, image));
    }
    Ok(images)
}
