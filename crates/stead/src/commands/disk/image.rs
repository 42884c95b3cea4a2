//! Reading a source into an image: a file as it is, a device by its consistent view; and what came of it.

use std::time::Duration;

use disks::capture::{
    CaptureError, CaptureOptions, Consistency as Seen, Context as CaptureContext, Outcome as Captured, Start,
    Unreadable, capture,
};
use disks::image::ImageError;
use disks::manifest::{Capture, Consistency};
use disks::offline;
use disks::progress::{Phase, Progress};
use disks::provider::Provider;
use disks::session::InMaking;
use disks::survey::LiveSurvey;
use disks::{Extents, capture};
use repo::Cancel;
use serde_json::{Value, json};

use super::figures::Figures;
use super::hooks::Commands;
use super::source::{Device, ImageFile};
use crate::failure::{Failure, Outcome};

/// How a source is read.
pub(super) struct Reading<'r> {
    pub(super) unreadable: Unreadable,
    pub(super) freeze_budget: Duration,
    pub(super) hooks: Commands,
    pub(super) progress: &'r Progress,
    pub(super) cancel: &'r Cancel,
}

/// What came of it.
pub(super) struct Image {
    /// What was in use at the instant of the image.
    pub(super) used: Extents,
    /// What could not be read.
    pub(super) gaps: Extents,
    /// For the manifest.
    pub(super) capture: Capture,
    /// Bytes read.
    pub(super) read: u64,
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
    /// Reads a file, but for what is there already.
    pub(super) fn file(&self, file: &ImageFile, sector: u32, disk: &InMaking) -> Result<Image, Unread> {
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
        let capture = Capture {
            provider: "offline".into(),
            consistency: Consistency::Offline,
            passes: 1,
            freeze_ms: 0,
            reread_bytes: 0,
            cross_check: Value::Null,
        };
        Ok(Image { used: file.used.clone(), gaps, capture, read: missing.bytes(), details: json!({}) })
    }

    /// Reads a device by the view that was chosen for it.
    pub(super) fn device(
        mut self,
        device: &mut Device,
        node: &std::path::Path,
        disk: &InMaking,
    ) -> Result<Image, Unread> {
        let Device { seen, survey, .. } = device;
        let snapshot = match seen.is_snapshot() {
            true => Some(self.between_hooks(|| seen.snapshot())?),
            false => None,
        };
        let node = snapshot.as_ref().map_or_else(|| node.to_owned(), |snapshot| snapshot.device());
        if snapshot.is_some() {
            *survey = LiveSurvey::open(&node).map_err(|error| Failure::io("read", &node, error))?;
        }
        let start = match disk.resumed.done.is_empty() {
            true => Start::Everything,
            false => Start::Since { changed: Extents::new(), used: disk.resumed.done.clone() },
        };
        let figures = Figures::new(self.progress);
        let used = Box::new(|| Ok(survey.used()?));
        let source = capture::Source { device: &node, view: seen.view(), start, used, sink: &disk.writer };
        let Reading { unreadable, freeze_budget, cancel, .. } = self;
        let options = CaptureOptions { unreadable, freeze_budget, ..CaptureOptions::default() };
        let hooks = &mut self.hooks;
        let context = CaptureContext { options, hooks, observer: &figures, cancel: cancel.clone() };
        let captured = capture(vec![source], context)?;
        snapshot.map_or(Ok(()), |snapshot| snapshot.check()).map_err(Failure::from)?;
        described(captured, seen.choice.provider, &seen.choice.reason)
    }

    /// LVM freezes by itself.
    fn between_hooks<T>(&mut self, make: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
        use disks::capture::Hooks;
        let told = self.hooks.before_freeze().map_err(|error| Failure::from(CaptureError::Hook(error)));
        let made = told.and_then(|()| make());
        self.hooks.after_thaw();
        made
    }
}

fn described(captured: Captured, provider: Provider, reason: &str) -> Result<Image, Unread> {
    let consistency = match captured.consistency {
        Seen::Offline => Consistency::Offline,
        Seen::Frozen => Consistency::Frozen,
        Seen::Inconsistent => Consistency::None,
    };
    let details = json!({
        "provider_reason": reason, "pass_figures": captured.passes, "failed_freezes": captured.failed_freezes,
        "full_compares": captured.full_compares, "disagreements": captured.disagreements, "not_freezable": captured.incapable,
    });
    let read = captured.passes.iter().map(|pass| pass.bytes).sum();
    let passes = u32::try_from(captured.passes.len()).unwrap_or(u32::MAX);
    let nothing = || Unread::Source(Failure::new("the disk is gone"));
    let disk = captured.disks.into_iter().next().ok_or_else(nothing)?;
    let json = |value| serde_json::to_value(value).map_err(Failure::from);
    let capture = Capture {
        provider: serde_json::to_value(provider).map_err(Failure::from)?.as_str().unwrap_or_default().to_owned(),
        consistency,
        passes,
        freeze_ms: captured.frozen_for.map_or(0, |time| time.as_millis() as u64),
        reread_bytes: captured.reread_bytes,
        cross_check: json(disk.cross_check)?,
    };
    Ok(Image { used: disk.used, gaps: disk.gaps, capture, read, details })
}
