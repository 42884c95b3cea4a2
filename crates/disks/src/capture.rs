//! Capturing disks: handing on all their chunks so that, in the end, they are those of one instant.
//!
//! Live disks are read in passes, as virtual machines are moved. Everything in use is read once; then what was written
//! meanwhile, again and again, each time less; when little enough is left, the filesystems are frozen, the rest is read into
//! memory, and they are thawed. The tracker marks a write when it has ended, and marks are taken before chunks are read, so
//! the last read of every chunk comes after its last write before the freeze: what was handed on is the disk at that instant.
//!
//! That holds only if no mark was lost. So before it is said, our count of written sectors is compared with the kernel's.
//! Where they differ, nothing that was handed on is believed: counting begins anew, everything in use is read once more (what
//! is the same costs the sink nothing), and the passes go on from there, until a period in which both counts agree covers a
//! read of every chunk. After three such periods in vain, the capture fails.

mod error;
mod outcome;
mod passes;
mod reading;
mod subject;

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use repo::Cancel;

use crate::{Extents, Places, Sink, Tracker};
use subject::Subject;

pub use error::{CaptureError, Convergence};
pub use outcome::{Consistency, DiskOutcome, Outcome, Pass, Provider};
pub use reading::Unreadable;

/// How a disk is seen while it is read.
#[derive(Clone, Copy, Debug)]
pub enum View<'a> {
    /// By the tracker: it may be mounted and written.
    Tracked(&'a Tracker),
    /// A device that is mapped onto a disk, by the disk's tracker.
    TrackedBelow(&'a Tracker, &'a Places),
    /// Claimed by us alone: nobody can mount it meanwhile.
    Offline,
    /// A snapshot of frozen filesystems, which nobody writes.
    Snapshot,
    /// As it comes.
    Inconsistent,
}

/// What an image already has.
#[derive(Clone, Debug)]
pub enum Start {
    /// Nothing.
    Everything,
    /// All but what is `changed` of what was in use, as another image or an interrupted capture left it.
    Since {
        /// What was written since: see [`Tracker::changed_after`].
        changed: Extents,
        /// What the image has.
        used: Extents,
    },
}

/// Tells which bytes of a disk are in use now.
pub type UsedMap<'a> = Box<dyn FnMut() -> Result<Extents, Box<dyn Error + Send + Sync>> + 'a>;

/// A disk that is to be captured.
pub struct Source<'a> {
    /// Its node; a partition or a volume will do.
    pub device: &'a Path,
    /// How it is seen.
    pub view: View<'a>,
    /// What need not be read.
    pub start: Start,
    /// Asked before each pass, and while the filesystems are frozen: what it leaves out then is not part of the image.
    pub used: UsedMap<'a>,
    /// Takes its chunks.
    pub sink: &'a dyn Sink,
}

/// Choices for [`capture`].
#[derive(Clone, Debug)]
pub struct CaptureOptions {
    /// How long filesystems may be frozen. After that they are thawed, and it is tried again.
    pub freeze_budget: Duration,
    /// Bytes that the last chunks may take in memory.
    pub memory: u64,
    /// Threads that read.
    pub threads: usize,
    /// What is done about sectors that cannot be read.
    pub unreadable: Unreadable,
}

impl Default for CaptureOptions {
    fn default() -> CaptureOptions {
        CaptureOptions {
            freeze_budget: Duration::from_secs(2),
            memory: 128 << 20,
            threads: 4,
            unreadable: Unreadable::Fail,
        }
    }
}

/// What a capture is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Reading what is in use; of a tracked disk, in which epoch of the tracker it began.
    Reading,
    /// Reading what was written meanwhile; passes are counted from 1.
    CatchingUp {
        /// Which pass.
        pass: u32,
    },
    /// About to freeze. Nothing is told until [`Phase::Thawed`]: whoever writes to a frozen filesystem waits for ever.
    Freezing,
    /// Writers go on; how long they waited.
    Thawed {
        /// Time from the first freeze to the last thaw.
        frozen_for: Duration,
    },
    /// Handing on what was read while frozen.
    Storing,
    /// Writes were lost on their way to us: everything is read once more.
    Comparing,
}

/// Is told how far it is. From several threads.
pub trait Observer: Sync {
    /// Something else begins.
    fn phase(&self, _phase: Phase) {}

    /// Of this phase, so many bytes of so many are read and handed on.
    fn progress(&self, _done: u64, _total: u64) {}
}

/// Nobody wants to know.
impl Observer for () {}

/// What applications are told, so that their files are whole.
pub trait Hooks {
    /// Before filesystems are frozen. An error ends the capture.
    fn before_freeze(&mut self) -> Result<(), Box<dyn Error + Send + Sync>> {
        Ok(())
    }

    /// After they are thawed; always called after [`Hooks::before_freeze`], whatever happened.
    fn after_thaw(&mut self) {}
}

/// No application needs to know.
impl Hooks for () {}

/// What a capture works with.
pub struct Context<'a> {
    /// Choices.
    pub options: CaptureOptions,
    /// Applications.
    pub hooks: &'a mut dyn Hooks,
    /// Who looks on.
    pub observer: &'a dyn Observer,
    /// Who may end it.
    pub cancel: Cancel,
}

/// Captures disks, all of one instant if all are tracked.
pub fn capture<'a>(sources: Vec<Source<'a>>, context: Context<'a>) -> Result<Outcome, CaptureError> {
    let unreadable = context.options.unreadable;
    let subjects = sources.into_iter().map(|source| Subject::open(source, unreadable));
    passes::Run::new(subjects.collect::<Result<_, _>>()?, context).finish()
}
