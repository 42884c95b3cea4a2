//! How a device is seen while it is read: chosen by the ladder, made ready, and taken away again.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use disks::capture::View;
use disks::provider::{Choice, DeviceFacts, Inconsistent, LvmSnapshot, Provider, SystemPrograms, Volume, choose};
use disks::tracker::{Hold, Keep};
use disks::{Extents, Tracker, TrackerError, TrackerOptions};
use parking_lot::Mutex;
use platform::BlockDevice;
use rand::RngCore;

use super::source::Opening;
use crate::failure::{Doing, Failure, Outcome};

static PROGRAMS: SystemPrograms = SystemPrograms;

/// What trackers are named by that only live until an image is made.
pub(super) const OF_A_RUN: &str = "run-";

/// A device's consistent view.
pub(super) struct Seen {
    /// The provider, and why.
    pub(super) choice: Choice,
    device: PathBuf,
    volume: Option<Volume>,
    tracker: Option<Arc<Tracker>>,
    is_kept: bool,
}

/// Whether a tracker is only tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Nothing is left behind.
    Plan,
    /// The tracker outlives a run that is killed.
    Image,
}

/// The trackers of one run: devices on one disk share theirs.
#[derive(Default)]
pub(super) struct Trackers(Mutex<Vec<Weak<Tracker>>>);

/// What a tracker knows of a device at one moment.
pub(super) struct Proof {
    /// What the marks continue from: a snapshot, or a run.
    pub(super) name: String,
    /// The epoch that ends when marks are taken next.
    pub(super) epoch: u8,
}

impl Trackers {
    /// The one that is kept for a device, if there is one that still sees events; that of a disk that is watched is started anew
    /// if it does not.
    fn kept(&self, device: &Path, clock: jiff::Timestamp) -> Result<Option<Arc<Tracker>>, TrackerError> {
        if let Some(tracker) = self.open_already(device) {
            return Ok(Some(tracker));
        }
        let Some(tracker) = Tracker::open(device)? else { return Ok(None) };
        if tracker.check(Duration::ZERO).attached {
            return Ok(Some(self.share(tracker)));
        }
        let was_watched = tracker.watched_since().is_some();
        tracker.stop()?;
        if !was_watched {
            return Ok(None);
        }
        let tracker = Tracker::start(device, TrackerOptions { keep: Keep::Pinned, hold: Hold::Best })?;
        tracker.watch(clock);
        Ok(Some(self.share(tracker)))
    }

    fn open_already(&self, device: &Path) -> Option<Arc<Tracker>> {
        let disk = BlockDevice::at(device).and_then(|device| device.disk()).ok()?;
        let known = self.0.lock();
        let mut open = known.iter().filter_map(Weak::upgrade);
        open.find(|tracker| tracker.disk().number() == disk.number())
    }

    fn start(&self, device: &Path, purpose: Purpose) -> Result<Arc<Tracker>, TrackerError> {
        if let Some(tracker) = self.open_already(device) {
            return Ok(tracker);
        }
        let keep = if purpose == Purpose::Plan { Keep::WhileOpen } else { Keep::Pinned };
        Ok(self.share(Tracker::start(device, TrackerOptions { keep, hold: Hold::Best })?))
    }

    fn share(&self, tracker: Tracker) -> Arc<Tracker> {
        let tracker = Arc::new(tracker);
        self.0.lock().push(Arc::downgrade(&tracker));
        tracker
    }
}

impl Seen {
    /// Chooses the provider for a device: the tracker that is kept for it, if there is one; else by the ladder, and then the
    /// tracker is started if that is it.
    pub(super) fn choose(device: &Path, opening: Opening<'_>) -> Outcome<Seen> {
        if let Some(tracker) = opening.trackers.kept(device, opening.now)? {
            let why = if tracker.watched_since().is_some() { "it is watched" } else { "an earlier run was cut off" };
            let choice = Choice { provider: Provider::Tracker, reason: why.to_owned() };
            let device = device.to_owned();
            return Ok(
                Seen { choice, device, volume: None, tracker: Some(tracker), is_kept: false }.for_purpose(opening)
            );
        }
        let failed = |error| Failure::io("look at", device, error);
        let untried = Err("it was not tried".to_owned());
        let mut facts = DeviceFacts::gather(device, None, untried, &PROGRAMS).map_err(failed)?;
        let mut tracker = None;
        let choice = match choose(&facts, Inconsistent::Refused) {
            Ok(choice) => choice,
            Err(_) => {
                let started = opening.trackers.start(device, opening.purpose);
                facts.tracker = started.as_ref().map(|_| ()).map_err(|error| error.to_string());
                let hint = started.as_ref().err().and_then(TrackerError::hint);
                tracker = started.ok();
                choose(&facts, opening.inconsistent).map_err(|error| {
                    let advice = [Some(error.hint()), hint].into_iter().flatten().collect::<Vec<_>>().join("; ");
                    Failure::from(error).hint(advice)
                })?
            }
        };
        let (device, volume) = (device.to_owned(), facts.volume);
        Ok(Seen { choice, device, volume, tracker, is_kept: false }.for_purpose(opening))
    }

    fn for_purpose(mut self, opening: Opening<'_>) -> Seen {
        if opening.purpose == Purpose::Plan {
            self.tracker = None;
        }
        self
    }

    /// Whether others may write to the device meanwhile.
    pub(super) fn is_live(&self) -> bool {
        self.choice.provider != Provider::Offline
    }

    /// The tracker, if it is the view.
    pub(super) fn tracker(&self) -> Option<&Tracker> {
        self.tracker.as_deref()
    }

    /// What proves which chunks of an interrupted run are still right: the tracker's name, and its epoch.
    pub(super) fn proof(&self) -> Outcome<Option<Proof>> {
        let Some(tracker) = &self.tracker else { return Ok(None) };
        let name = match tracker.base() {
            Some(name) => name,
            None => {
                let name = format!("{OF_A_RUN}{:016x}", rand::rng().next_u64());
                tracker.rebase(&name, 0)?;
                name
            }
        };
        Ok(Some(Proof { name, epoch: tracker.epoch() }))
    }

    /// What was written to the device after that epoch.
    pub(super) fn changed_after(&self, epoch: u8, span: &Range<u64>) -> Extents {
        let Some(tracker) = &self.tracker else { return Extents::new() };
        let changed = tracker.changed_after(epoch);
        let ours = changed.within(span.clone());
        ours.map(|range| range.start - span.start..range.end - span.start).collect()
    }

    /// Where the device lies on its disk, in bytes.
    pub(super) fn span(&self) -> Outcome<Range<u64>> {
        let begin = BlockDevice::at(&self.device).and_then(|device| Ok((device.start()?, device.size()?)));
        let (start, size) = begin.map_err(|error| Failure::io("look at", &self.device, error))?;
        Ok(start..start + size)
    }

    /// True if a snapshot must be made first.
    pub(super) fn is_snapshot(&self) -> bool {
        matches!(self.choice.provider, Provider::LvmThin | Provider::LvmThick)
    }

    /// Makes the snapshot.
    pub(super) fn snapshot(&self) -> Outcome<LvmSnapshot<'static>> {
        let doing = || format!("cannot make a snapshot of {}", self.device.display());
        let volume = self.volume.as_ref().ok_or_else(|| Failure::new("it is no LVM volume")).doing(doing)?;
        let unique = format!("{:016x}", rand::rng().next_u64());
        LvmSnapshot::create(volume, &unique, &PROGRAMS).doing(doing)
    }

    /// The same for the capture.
    pub(super) fn view(&self) -> View<'_> {
        match (&self.tracker, self.choice.provider) {
            (Some(tracker), Provider::Tracker) => View::Tracked(tracker),
            (_, Provider::Offline) => View::Offline,
            (_, Provider::LvmThin | Provider::LvmThick | Provider::DeviceMapper) => View::Snapshot,
            _ => View::Inconsistent,
        }
    }

    /// Lets the tracker live on, so that the next run can go on from here; true if there is one that nobody watches.
    pub(super) fn keep(&mut self) -> bool {
        self.is_kept = true;
        self.tracker.as_ref().is_some_and(|tracker| tracker.watched_since().is_none())
    }

    /// Ends the tracker, unless the disk is watched or another device of this run needs it still.
    pub(super) fn end(&mut self) -> Outcome {
        match self.tracker.take().and_then(Arc::into_inner) {
            Some(tracker) if tracker.watched_since().is_none() => Ok(tracker.stop()?),
            _ => Ok(()),
        }
    }
}

impl Drop for Seen {
    /// Whatever failed, nothing is left in the kernel; what cannot be ended now is shown by the next run that needs it.
    fn drop(&mut self) {
        if !self.is_kept {
            let _ = self.end();
        }
    }
}
