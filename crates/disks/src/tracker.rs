//! The tracker: which parts of a disk were written since somebody last asked, told by the kernel itself.
//!
//! A small program on the tracepoint of ended requests marks every unit of 64 KiB (more on disks over 4 TiB) that was written,
//! zeroed or discarded, and counts sectors. The kernel counts sectors too, independently: while both counts agree, no event
//! was lost, and the marks are believed ([`Tracker::check`]). That is not only for bad days: the kernel passes a program over
//! while one that was interrupted has not ended on the same processor. Marks that were taken stay *pending* until an image has
//! them ([`Tracker::rebase`]), so that neither the death of a process nor a failed backup loses one.

mod calibrate;
mod event;
mod marks;
mod pins;
mod program;
mod tracepoint;
mod watched;

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use platform::bpf::{ArrayMap, LoadError, Program};
use platform::{BlockDevice, DiskCounts, Holder, ProcessIdentity};

use crate::Extents;
use event::Event;
use marks::{Counts, Identity, Marks};
use pins::Pins;

pub use watched::{Watched, stop_watching, watched};

/// For how long counts must not move, where it cannot be told otherwise that all is counted. A loop device ends its requests
/// in a task that others may interrupt between our count and the kernel's: with 3 ms and a load of 30, five of 79 images were
/// compared anew, with 30 ms three of 164.
const STILL: Duration = Duration::from_millis(30);

/// Why a disk cannot be tracked.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum TrackerError {
    #[error("cannot look at the disk: {0}")]
    Disk(#[source] io::Error),
    #[error("cannot read the kernel's tracepoint of ended disk requests: {0}")]
    NoTracing(#[source] io::Error),
    #[error("this kernel's tracepoint of ended disk requests has fields that are not understood")]
    UnknownFormat,
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("the kernel gives no memory for marks: {0}")]
    Map(#[source] io::Error),
    #[error("cannot attach to the kernel's tracepoint: {0}")]
    Attach(#[source] io::Error),
    #[error("reads of {} do not show up as expected: its requests cannot be tracked", node.display())]
    Uncalibrated { node: PathBuf },
    #[error("the kernel does not count what is written to {disk}, so the tracker could not be checked")]
    NotCounted { disk: String },
    #[error("cannot keep the tracker in {}: {cause}", path.display())]
    Pin { path: PathBuf, cause: io::Error },
    #[error("the tracker of {disk} is in use by process {pid}")]
    InUse { disk: String, pid: u32 },
    #[error("a label has at most {} bytes", marks::LONGEST_LABEL)]
    LongLabel,
}

impl TrackerError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            TrackerError::NoTracing(_) | TrackerError::Load(_) | TrackerError::Attach(_) | TrackerError::Map(_) => {
                Some("tracking needs root and a kernel with BPF and tracing (5.10 or newer)")
            }
            TrackerError::Uncalibrated { .. } => Some("track the disks that it lies on, or use a snapshot of it"),
            TrackerError::NotCounted { .. } => Some("write 1 into /sys/block/DISK/queue/iostats"),
            TrackerError::InUse { .. } => Some("wait until the other backup of this disk has ended"),
            _ => None,
        }
    }
}

/// How long a tracker lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// As long as it is open.
    WhileOpen,
    /// Until it is stopped, or the machine is: it is pinned, and can be opened by a later process.
    Pinned,
}

/// How the program is held to the tracepoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// To the request itself where the kernel tells what is in it (BTF), else to perf's event, by a link where it has them
    /// (5.15), else by a process.
    Best,
    /// To perf's event, by a process of its own that keeps the descriptor open.
    Process,
}

/// Choices for [`Tracker::start`].
#[derive(Clone, Copy, Debug)]
pub struct TrackerOptions {
    /// How long it lives.
    pub keep: Keep,
    /// How it is held.
    pub hold: Hold,
}

impl Default for TrackerOptions {
    fn default() -> TrackerOptions {
        TrackerOptions { keep: Keep::Pinned, hold: Hold::Best }
    }
}

/// Whether marks can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CrossCheck {
    /// Sectors of 512 bytes that we saw written.
    pub ours: u64,
    /// Sectors that the kernel counted in the same time; `None` if there was no quiet moment to compare at.
    pub kernel: Option<u64>,
    /// A request was too long to be marked as a whole.
    pub overflowed: bool,
    /// Something was written beyond the end that the disk had.
    pub outside: bool,
    /// The program was attached all the time.
    pub attached: bool,
    /// Ended requests of any disk that the program was not run for since it was loaded, because another program ran on the
    /// same processor: the usual reason for counts that differ. 0 before Linux 6.7, which does not tell.
    pub missed: u64,
}

impl CrossCheck {
    /// True if nothing was lost.
    pub fn agrees(&self) -> bool {
        self.kernel == Some(self.ours) && !self.overflowed && !self.outside && self.attached
    }
}

#[derive(Debug)]
enum Held {
    /// By a descriptor, and by a pin if there is one.
    Open {
        _link: OwnedFd,
    },
    Process(Holder),
    /// Only in tests of what happens then.
    Nothing,
}

/// A disk that is tracked.
#[derive(Debug)]
pub struct Tracker {
    disk: BlockDevice,
    marks: Marks,
    program: Program,
    held: Mutex<Held>,
    pins: Option<Pins>,
    /// One at a time takes marks.
    taking: Mutex<()>,
}

impl Tracker {
    /// Starts to track a disk (or the disk of a partition). What was written before is not known.
    ///
    /// There must be none yet that is kept: see [`Tracker::open`].
    pub fn start(device: &Path, options: TrackerOptions) -> Result<Tracker, TrackerError> {
        let disk = BlockDevice::at(device).and_then(|device| device.disk()).map_err(TrackerError::Disk)?;
        if !DiskCounts::are_kept(&disk) {
            return Err(TrackerError::NotCounted { disk: disk.name() });
        }
        let event = Event::for_disk(&disk, options.hold)?;
        let identity = identity(&disk)?;
        let map = ArrayMap::create("stead_marks", marks::PAGE as u32, marks::values(identity.size))
            .map_err(TrackerError::Map)?;
        let marks = Marks::create(&map, &identity).map_err(TrackerError::Map)?;
        let program = program::load_tracking(&event, &map, subject(&identity))?;
        let pins = match options.keep {
            Keep::WhileOpen => None,
            Keep::Pinned => Some(Pins::of(&disk).create()?),
        };
        claim(&disk, &marks)?;
        let held = hold(&program, &event, options, pins.as_ref(), &marks)?;
        let mut tracker = Tracker { disk, marks, program, held: held.into(), pins, taking: Mutex::new(()) };
        tracker.finish_start(&map)?;
        Ok(tracker)
    }

    fn finish_start(&mut self, map: &ArrayMap) -> Result<(), TrackerError> {
        if let Some(pins) = &mut self.pins {
            let pinned = pins.pin_map(map).and_then(|()| pins.pin_program(&self.program));
            if let (Err(_), Held::Process(holder)) = (&pinned, &*self.held.lock()) {
                let _ = holder.end();
            }
            pinned?;
            pins.keep();
        }
        self.take_baseline(Duration::from_millis(300));
        Ok(())
    }

    /// Opens the tracker of a disk that an earlier process started and kept; `None` if there is none that fits (one of a disk
    /// that has changed its size is taken away). Only one process at a time may have it open.
    pub fn open(device: &Path) -> Result<Option<Tracker>, TrackerError> {
        let disk = BlockDevice::at(device).and_then(|device| device.disk()).map_err(TrackerError::Disk)?;
        let pins = Pins::of(&disk);
        if !pins.is_there() {
            return Ok(None);
        }
        match Tracker::open_pinned(&disk, pins)? {
            Some(tracker) => Ok(Some(tracker)),
            None => {
                let pins = Pins::of(&disk);
                pins.remove().map_err(|cause| pins.error(cause))?;
                Ok(None)
            }
        }
    }

    fn open_pinned(disk: &BlockDevice, pins: Pins) -> Result<Option<Tracker>, TrackerError> {
        let opened = pins.open_map().and_then(|map| Marks::open(&map));
        let marks = match opened {
            Ok(Some(marks)) => marks,
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(pins.error(error)),
            // Somebody was killed while starting it.
            Ok(None) | Err(_) => return Ok(None),
        };
        if marks.identity() != identity(disk)? {
            end_holder(&marks);
            return Ok(None);
        }
        claim(disk, &marks)?;
        let held = match pins.open_link().map_err(|cause| pins.error(cause))? {
            Some(link) => Held::Open { _link: link.into_descriptor() },
            None => marks.holder().map_or(Held::Nothing, |process| Held::Process(Holder::known(process))),
        };
        let program = pins.open_program().map_err(|cause| pins.error(cause))?;
        let (disk, held) = (disk.clone(), Mutex::new(held));
        Ok(Some(Tracker { disk, marks, program, held, pins: Some(pins), taking: Mutex::new(()) }))
    }

    /// Opens the one that is kept, or starts one.
    pub fn open_or_start(device: &Path, options: TrackerOptions) -> Result<Tracker, TrackerError> {
        match Tracker::open(device)? {
            Some(tracker) => Ok(tracker),
            None => Tracker::start(device, options),
        }
    }

    /// The disk.
    pub fn disk(&self) -> &BlockDevice {
        &self.disk
    }

    /// Its bytes when the tracker was started.
    pub fn size(&self) -> u64 {
        self.marks.size()
    }

    /// Takes the marks: what was written since the last time, in whole units. They stay pending, as of the epoch that ends
    /// with this.
    pub fn swap(&self) -> Extents {
        let _one = self.taking.lock();
        self.marks.take()
    }

    /// What the next [`Tracker::swap`] would tell by now; takes nothing.
    pub fn peek(&self) -> Extents {
        self.marks.peek()
    }

    /// The epoch that the next [`Tracker::swap`] ends; from 1, and 255 is the last.
    pub fn epoch(&self) -> u8 {
        self.marks.epoch()
    }

    /// What was written after that epoch ended: with 0, everything since the image that [`Tracker::base`] names.
    pub fn changed_after(&self, epoch: u8) -> Extents {
        let _one = self.taking.lock();
        let mut changed = self.marks.pending_after(epoch);
        changed.extend(self.marks.peek().iter());
        changed
    }

    /// Since when somebody wants the disk to be watched; `None` if the tracker is only kept for an image that was begun.
    pub fn watched_since(&self) -> Option<jiff::Timestamp> {
        self.marks.watched_since()
    }

    /// From now on the disk is watched, unless it is already: images leave the tracker alone.
    pub fn watch(&self, now: jiff::Timestamp) {
        if self.marks.watched_since().is_none() {
            self.marks.set_watched(now);
        }
    }

    /// What the tracker's marks continue from: the name of an image, as [`Tracker::rebase`] was told.
    pub fn base(&self) -> Option<String> {
        self.marks.label()
    }

    /// The image of that name has all that was written up to the end of that epoch: only what was written later is changed.
    pub fn rebase(&self, name: &str, epoch: u8) -> Result<(), TrackerError> {
        if name.len() > marks::LONGEST_LABEL || name.is_empty() {
            return Err(TrackerError::LongLabel);
        }
        let _one = self.taking.lock();
        self.marks.set_label(None);
        self.marks.forget_until(epoch);
        self.marks.set_label(Some(name));
        Ok(())
    }

    /// Compares both counts of what was written since tracking began (or was begun anew). Waits that long for a moment in
    /// which no write is under way.
    pub fn check(&self, patience: Duration) -> CrossCheck {
        let now = self.quiet_counts(patience);
        let between = now.zip(self.marks.baseline());
        CrossCheck {
            ours: self
                .marks
                .get(marks::SECTORS)
                .wrapping_sub(self.marks.baseline().map_or(0, |baseline| baseline.ours)),
            kernel: None,
            overflowed: self.marks.get(marks::OVERFLOW) != 0,
            outside: self.marks.get(marks::OUTSIDE) != 0,
            attached: self.is_attached(),
            missed: self.program.missed().unwrap_or(0),
        }
        .with(between)
    }

    fn is_attached(&self) -> bool {
        match &*self.held.lock() {
            Held::Open { .. } => true,
            Held::Process(holder) => holder.process().is_alive(),
            Held::Nothing => false,
        }
    }

    /// True if a moment was found from which both counts go on; without one, [`Tracker::check`] can never agree. Does
    /// nothing if there is one already.
    pub fn take_baseline(&self, patience: Duration) -> bool {
        if self.marks.baseline().is_none() {
            self.marks.set_baseline(self.quiet_counts(patience));
        }
        self.marks.baseline().is_some()
    }

    /// After counts disagreed: begins to count anew, and continues from no image. What was written before must all be read.
    pub fn begin_anew(&self, patience: Duration) -> bool {
        self.marks.set_label(None);
        self.marks.clear_flags();
        self.marks.set_baseline(None);
        self.take_baseline(patience)
    }

    /// Both counts at one moment. A write that has ended is in both: ours first, then the kernel's, and only then it is no
    /// longer in flight. So if nothing is in flight and ours did not move meanwhile, they belong together.
    ///
    /// The kernel calls a request no longer in flight a little before it counts it. It also counts all requests that were begun
    /// and not counted; but those are reads, too, and where somebody reads without end, the same counts twice in a row must do.
    fn quiet_counts(&self, patience: Duration) -> Option<Counts> {
        let end = Instant::now() + patience;
        let mut before: Option<(Instant, Counts)> = None;
        loop {
            let ours = self.marks.get(marks::SECTORS);
            let counts = DiskCounts::of(&self.disk).ok()?;
            let is_quiet = counts.writes_in_flight == 0 && self.marks.get(marks::SECTORS) == ours;
            let now = Counts { ours, kernel: counts.sectors_written };
            let since =
                before.filter(|(_, before)| is_quiet && *before == now).map_or_else(Instant::now, |(since, _)| since);
            if is_quiet && (!counts.is_counting || since.elapsed() >= STILL) {
                return Some(now);
            }
            if Instant::now() >= end {
                return None;
            }
            before = is_quiet.then_some((since, now));
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Stops tracking; nothing is left in the kernel.
    pub fn stop(mut self) -> Result<(), TrackerError> {
        let held = std::mem::replace(&mut *self.held.lock(), Held::Nothing);
        if let Held::Process(holder) = held {
            holder.end().map_err(TrackerError::Attach)?;
        }
        match self.pins.take() {
            Some(pins) => pins.remove().map_err(|cause| pins.error(cause)),
            None => Ok(()),
        }
    }

    /// Loses events from now on, for tests of what happens then.
    #[doc(hidden)]
    pub fn lose_events(&self) {
        let held = std::mem::replace(&mut *self.held.lock(), Held::Nothing);
        self.pins.iter().for_each(Pins::remove_link);
        if let Held::Process(holder) = held {
            let _ = holder.end();
        }
    }

    /// Sees events again.
    #[doc(hidden)]
    pub fn see_events(&self) -> Result<(), TrackerError> {
        let options = TrackerOptions { keep: Keep::WhileOpen, hold: Hold::Best };
        let event = Event::for_disk(&self.disk, options.hold)?;
        *self.held.lock() = hold(&self.program, &event, options, None, &self.marks)?;
        Ok(())
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        self.marks.release();
    }
}

impl CrossCheck {
    fn with(mut self, between: Option<(Counts, Counts)>) -> CrossCheck {
        if let Some((now, then)) = between {
            self.ours = now.ours.wrapping_sub(then.ours);
            self.kernel = Some(now.kernel.wrapping_sub(then.kernel));
        }
        self
    }
}

fn identity(disk: &BlockDevice) -> Result<Identity, TrackerError> {
    Ok(Identity {
        device: disk.number().in_kernel(),
        sequence: disk.sequence().unwrap_or(0),
        size: disk.size().map_err(TrackerError::Disk)?,
        boot: platform::boot_id().map_err(TrackerError::Disk)?,
    })
}

fn subject(identity: &Identity) -> program::Subject {
    program::Subject {
        device: identity.device,
        sector_bits: marks::unit_bits(identity.size) - 9,
        units: marks::units(identity.size),
    }
}

fn claim(disk: &BlockDevice, marks: &Marks) -> Result<(), TrackerError> {
    let gone = || TrackerError::Disk(io::ErrorKind::NotFound.into());
    let us = ProcessIdentity::of(std::process::id()).ok_or_else(gone)?;
    marks.claim(us).map_err(|pid| TrackerError::InUse { disk: disk.name(), pid })
}

fn hold(
    program: &Program,
    event: &Event,
    options: TrackerOptions,
    pins: Option<&Pins>,
    marks: &Marks,
) -> Result<Held, TrackerError> {
    if options.hold == Hold::Best {
        match event.link(program) {
            Ok(link) => {
                pins.map_or(Ok(()), |pins| pins.pin_link(&link))?;
                return Ok(Held::Open { _link: link.into_descriptor() });
            }
            Err(error) if error.kind() != io::ErrorKind::InvalidInput => return Err(TrackerError::Attach(error)),
            // Older than links.
            Err(_) => {}
        }
    }
    let descriptor = event.attach(program).map_err(TrackerError::Attach)?;
    if options.keep == Keep::WhileOpen {
        return Ok(Held::Open { _link: descriptor });
    }
    let holder = Holder::spawn(&descriptor).map_err(TrackerError::Attach)?;
    marks.set_holder(holder.process());
    Ok(Held::Process(holder))
}

fn end_holder(marks: &Marks) {
    if let Some(process) = marks.holder() {
        let _ = Holder::known(process).end();
    }
}
