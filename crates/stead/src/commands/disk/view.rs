//! How a device is seen while it is read: chosen by the ladder, made ready, and taken away again.

use std::path::{Path, PathBuf};

use disks::capture::View;
use disks::provider::{Choice, DeviceFacts, Inconsistent, LvmSnapshot, Provider, SystemPrograms, Volume, choose};
use disks::tracker::{Hold, Keep};
use disks::{Extents, Tracker, TrackerOptions};
use platform::BlockDevice;
use rand::RngCore;

use crate::failure::{Doing, Failure, Outcome};

static PROGRAMS: SystemPrograms = SystemPrograms;

/// What trackers are named by that only live until an image is made.
const OF_A_RUN: &str = "run-";

/// A device's consistent view.
pub(super) struct Seen {
    /// The provider, and why.
    pub(super) choice: Choice,
    device: PathBuf,
    volume: Option<Volume>,
    tracker: Option<Tracker>,
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

impl Seen {
    /// Chooses the provider for a device, and starts the tracker if that is it.
    pub(super) fn choose(device: &Path, inconsistent: Inconsistent, purpose: Purpose) -> Outcome<Seen> {
        let failed = |error| Failure::io("look at", device, error);
        let untried = Err("it was not tried".to_owned());
        let mut facts = DeviceFacts::gather(device, None, untried, &PROGRAMS).map_err(failed)?;
        let mut tracker = None;
        let choice = match choose(&facts, Inconsistent::Refused) {
            Ok(choice) => choice,
            Err(_) => {
                let started = start(device, purpose);
                facts.tracker = started.as_ref().map(|_| ()).map_err(|error| error.to_string());
                let hint = started.as_ref().err().and_then(disks::TrackerError::hint);
                tracker = started.ok();
                choose(&facts, inconsistent).map_err(|error| {
                    let advice = [Some(error.hint()), hint].into_iter().flatten().collect::<Vec<_>>().join("; ");
                    Failure::from(error).hint(advice)
                })?
            }
        };
        let (device, volume) = (device.to_owned(), facts.volume);
        let mut seen = Seen { choice, device, volume, tracker, is_kept: false };
        if purpose == Purpose::Plan {
            seen.tracker = None;
        }
        Ok(seen)
    }

    /// Whether others may write to the device meanwhile.
    pub(super) fn is_live(&self) -> bool {
        self.choice.provider != Provider::Offline
    }

    /// What proves which chunks of an interrupted run are still right: the tracker's name, and what it saw since it has it.
    pub(super) fn proof(&self) -> Outcome<Option<(String, Extents)>> {
        let Some(tracker) = &self.tracker else { return Ok(None) };
        let name = match tracker.base() {
            Some(name) => name,
            None => {
                let name = format!("{OF_A_RUN}{:016x}", rand::rng().next_u64());
                tracker.rebase(&name, 0)?;
                name
            }
        };
        let begin = BlockDevice::at(&self.device).and_then(|device| Ok((device.start()?, device.size()?)));
        let (start, size) = begin.map_err(|error| Failure::io("look at", &self.device, error))?;
        let changed = tracker.changed_after(0);
        let ours = changed.within(start..start + size).map(|range| range.start - start..range.end - start);
        Ok(Some((name, ours.collect())))
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

    /// Lets the tracker live on, so that the next run can go on from here.
    pub(super) fn keep(&mut self) {
        self.is_kept = true;
    }

    /// Ends the tracker.
    pub(super) fn end(&mut self) -> Outcome {
        match self.tracker.take() {
            Some(tracker) => Ok(tracker.stop()?),
            None => Ok(()),
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

fn start(device: &Path, purpose: Purpose) -> Result<Tracker, disks::TrackerError> {
    let keep = if purpose == Purpose::Plan { Keep::WhileOpen } else { Keep::Pinned };
    Tracker::open_or_start(device, TrackerOptions { keep, hold: Hold::Best })
}
