//! How a device is seen while it is read: chosen by the ladder, made ready, and taken away again.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use disks::capture::View;
use disks::provider::{
    Choice, DeviceFacts, DmSnapshot, Inconsistent, LvmSnapshot, ProgramError, Provider, SystemPrograms, Volume, choose,
    remove_abandoned_dm_snapshots, remove_abandoned_lvm_snapshots,
};
use disks::structure::what_is_on;
use disks::tracker::{Hold, Keep};
use disks::used::Taken;
use disks::{Extents, Places, Tracker, TrackerError, TrackerOptions};
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
    store: Option<PathBuf>,
    tracker: Option<Arc<Tracker>>,
    /// Where the device lies on the tracker's disk, if it is mapped onto it.
    places: Option<Places>,
    is_mounted: bool,
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
        opening.store.map_or(Ok(()), check_store)?;
        let is_mapped = BlockDevice::at(device).is_ok_and(|block| block.text("dm/name").is_ok());
        let kept = if is_mapped { None } else { opening.trackers.kept(device, opening.now)? };
        if let Some(tracker) = kept {
            let why = if tracker.watched_since().is_some() { "it is watched" } else { "an earlier run was cut off" };
            let choice = Choice { provider: Provider::Tracker, reason: why.to_owned() };
            let seen = Seen {
                choice,
                device: device.to_owned(),
                volume: None,
                store: None,
                tracker: Some(tracker),
                places: None,
                is_mounted: false,
                is_kept: false,
            };
            return Ok(seen.for_purpose(opening));
        }
        let failed = |error| Failure::io("look at", device, error);
        let untried = Err("it was not tried".to_owned());
        let mut facts =
            DeviceFacts::gather(device, opening.store.map(Path::to_owned), untried, &PROGRAMS).map_err(failed)?;
        let (mut tracker, mut places) = (None, None);
        let choice = match choose(&facts, Inconsistent::Refused) {
            Ok(choice) => choice,
            Err(_) => {
                let started = opening.track(device, is_mapped);
                facts.tracker = started.as_ref().map(|_| ()).map_err(|(why, _)| why.clone());
                let hint = started.as_ref().err().and_then(|(_, hint)| *hint);
                (tracker, places) = started.map_or((None, None), |(tracker, places)| (Some(tracker), places));
                choose(&facts, opening.inconsistent).map_err(|error| {
                    let advice = [Some(error.hint()), hint].into_iter().flatten().collect::<Vec<_>>().join("; ");
                    Failure::from(error).hint(advice)
                })?
            }
        };
        let is_mounted = facts.filesystem.is_some();
        let (volume, store) = (facts.volume, facts.store);
        Ok(Seen { volume, store, tracker, places, is_mounted, choice, device: device.to_owned(), is_kept: false }
            .for_purpose(opening))
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
        // What is mapped may lie elsewhere by the next run: nothing is proven of it.
        let Some(tracker) = self.tracker.as_ref().filter(|_| self.places.is_none()) else { return Ok(None) };
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
        if let Some(places) = &self.places {
            return places.on_device(&changed);
        }
        let ours = changed.within(span.clone());
        ours.map(|range| range.start - span.start..range.end - span.start).collect()
    }

    /// Where the device lies on its disk, in bytes.
    pub(super) fn span(&self) -> Outcome<Range<u64>> {
        let begin = BlockDevice::at(&self.device).and_then(|device| Ok((device.start()?, device.size()?)));
        let (start, size) = begin.map_err(|error| Failure::io("look at", &self.device, error))?;
        Ok(start..start + size)
    }

    /// Makes the snapshot, if the device is seen by one.
    pub(super) fn snapshot(&self) -> Outcome<Option<Snapshot>> {
        let doing = || format!("cannot make a snapshot of {}", self.device.display());
        let made = match (self.choice.provider, &self.volume, &self.store) {
            (Provider::LvmThin | Provider::LvmThick, Some(volume), _) => {
                Snapshot::Lvm(LvmSnapshot::create(volume, &PROGRAMS).doing(doing)?)
            }
            (Provider::DeviceMapper, _, Some(store)) => {
                let name = BlockDevice::at(&self.device).and_then(|device| device.text("dm/name"));
                let name = name.map_err(|error| Failure::io("look at", &self.device, error))?;
                Snapshot::Mapped(DmSnapshot::create(&name, store, &PROGRAMS).doing(doing)?)
            }
            _ => return Ok(None),
        };
        Ok(Some(made))
    }

    /// How a snapshot is taken: the device mapper freezes what is mounted from the device, and nothing else.
    pub(super) fn taken(&self) -> Taken {
        if self.is_mounted { Taken::Frozen } else { Taken::AsFound }
    }

    /// True if a snapshot must be made first.
    pub(super) fn is_snapshot(&self) -> bool {
        matches!(self.choice.provider, Provider::LvmThin | Provider::LvmThick | Provider::DeviceMapper)
    }

    /// The same for the capture.
    pub(super) fn view(&self) -> View<'_> {
        match (&self.tracker, &self.places, self.choice.provider) {
            (Some(tracker), Some(places), Provider::Tracker) => View::TrackedBelow(tracker, places),
            (Some(tracker), None, Provider::Tracker) => View::Tracked(tracker),
            (_, _, Provider::Offline) => View::Offline,
            (_, _, Provider::LvmThin | Provider::LvmThick | Provider::DeviceMapper) => View::Snapshot,
            _ => View::Inconsistent,
        }
    }

    /// Fails if the device lies elsewhere by now, so that marks were read for what they were not.
    pub(super) fn check(&self) -> Outcome {
        let Some(places) = &self.places else { return Ok(()) };
        let device = BlockDevice::at(&self.device).map_err(|error| Failure::io("look at", &self.device, error))?;
        match Places::of(&device, &PROGRAMS)? == *places {
            true => Ok(()),
            false => Err(Failure::new(format!("{} was moved or resized while it was read", self.device.display()))
                .hint("run the backup again when nothing changes the volume group")),
        }
    }

    /// True if it is mapped onto the disk that is tracked.
    pub(super) fn is_mapped(&self) -> bool {
        self.places.is_some()
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

/// A snapshot that is removed when this is dropped.
pub(super) enum Snapshot {
    Lvm(LvmSnapshot<'static>),
    Mapped(DmSnapshot<'static>),
}

impl Snapshot {
    /// Where it is read.
    pub(super) fn device(&self) -> PathBuf {
        match self {
            Snapshot::Lvm(snapshot) => snapshot.device(),
            Snapshot::Mapped(snapshot) => snapshot.device(),
        }
    }

    /// Fails if it ran full.
    pub(super) fn check(&self) -> Outcome {
        let checked = match self {
            Snapshot::Lvm(snapshot) => snapshot.check(),
            Snapshot::Mapped(snapshot) => snapshot.check(),
        };
        checked.map_err(|error| {
            let hint = error.hint();
            hint.into_iter().fold(Failure::from(error), Failure::hint)
        })
    }

    /// Removes it.
    pub(super) fn remove(self) -> Outcome {
        let removed = match self {
            Snapshot::Lvm(snapshot) => snapshot.remove(),
            Snapshot::Mapped(snapshot) => snapshot.remove(),
        };
        removed.doing(|| "cannot remove the snapshot; the next run tries again".to_owned())
    }
}

/// Removes snapshots of runs that were killed, if the kernel shows any; what was removed.
pub(super) fn remove_abandoned() -> Result<Vec<String>, ProgramError> {
    if !are_there_any() {
        return Ok(Vec::new());
    }
    let mut removed = remove_abandoned_lvm_snapshots(&PROGRAMS)?;
    removed.extend(remove_abandoned_dm_snapshots(&PROGRAMS)?);
    Ok(removed)
}

/// True if something in the device mapper has a name of ours. LVM writes each dash twice there.
fn are_there_any() -> bool {
    let Ok(devices) = std::fs::read_dir("/sys/block") else { return false };
    let name = |entry: std::fs::DirEntry| std::fs::read_to_string(entry.path().join("dm/name")).ok();
    devices.flatten().filter_map(name).any(|name| name.replace("--", "-").contains(disks::provider::PREFIX))
}

/// Fails unless a device may be overwritten as the store of a snapshot: nobody uses it, and nothing is on it.
fn check_store(store: &Path) -> Outcome {
    let what = what_is_on(store).map_err(|error| Failure::io("look at", store, error))?;
    let refused = |what: String| {
        Failure::new(format!("{} cannot keep a snapshot's changes: {what}", store.display()))
            .hint("a store loses what is on it: name a device that nobody needs, and clear it with `wipefs --all`")
    };
    what.map_or(Ok(()), |what| Err(refused(what)))
}

/// A tracker, and where the device lies on its disk if it is mapped.
type Started = (Arc<Tracker>, Option<Places>);

impl Opening<'_> {
    /// The tracker of a device's disk, or why there is none, and what could be done about it.
    fn track(&self, device: &Path, is_mapped: bool) -> Result<Started, (String, Option<&'static str>)> {
        let told = |error: TrackerError| (error.to_string(), error.hint());
        if !is_mapped {
            return self.trackers.start(device, self.purpose).map(|tracker| (tracker, None)).map_err(told);
        }
        let block = BlockDevice::at(device).map_err(|error| (error.to_string(), None))?;
        let places = Places::of(&block, &PROGRAMS).map_err(|error| (error.to_string(), None))?;
        let disk = places.disk().node();
        let kept = self.trackers.kept(&disk, self.now).map_err(told)?;
        let tracker = kept.map_or_else(|| self.trackers.start(&disk, self.purpose), Ok).map_err(told)?;
        Ok((tracker, Some(places)))
    }
}
