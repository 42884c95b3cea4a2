//! Why no image of a disk came about.

use std::error::Error;
use std::fmt::Write;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::freezer::FreezeError;
use crate::tracker::{CrossCheck, TrackerError};

/// Why no image of a disk came about. Nothing is frozen any more when this is told.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum CaptureError {
    #[error("cannot open {} past the page cache: {cause}", device.display())]
    Open { device: PathBuf, cause: io::Error },
    #[error("{} is in use: it is mounted, or something is made of it", device.display())]
    InUse { device: PathBuf },
    #[error("{} was written {sectors} sectors while it was read, though nobody had mounted it", device.display())]
    WrittenOffline { device: PathBuf, sectors: u64 },
    #[error("cannot read {} at byte {offset}: {cause}", device.display())]
    Unreadable { device: PathBuf, offset: u64, cause: io::Error },
    #[error("{} had {was} bytes and has {is} now", device.display())]
    Resized { device: PathBuf, was: u64, is: u64 },
    #[error("{} is gone (at byte {offset}): {cause}", device.display())]
    Vanished { device: PathBuf, offset: u64, cause: io::Error },
    #[error("cannot tell which parts of {} are in use: {cause}", device.display())]
    UsedMap { device: PathBuf, cause: Box<dyn Error + Send + Sync> },
    #[error("cannot store chunk {chunk} of {}: {cause}", device.display())]
    Sink { device: PathBuf, chunk: u64, cause: Box<dyn Error + Send + Sync> },
    #[error(transparent)]
    Freeze(#[from] FreezeError),
    #[error(transparent)]
    Tracker(#[from] TrackerError),
    #[error("the application's hook failed: {0}")]
    Hook(#[source] Box<dyn Error + Send + Sync>),
    #[error("{}", .0.sentence())]
    NotConverging(Convergence),
    #[error("filesystems did not stay frozen until the rest was read: {times} times they were thawed early, by the guard after \
             {:.1} s or by somebody else", budget.as_secs_f64())]
    ThawedEarly { times: u32, budget: Duration },
    #[error("{} is written past its filesystems, at byte {offset}, even while they are frozen", device.display())]
    Restless { device: PathBuf, offset: u64 },
    #[error("writes to {} are lost on their way to us: {}", device.display(), counts(check))]
    Distrusted { device: PathBuf, check: CrossCheck },
    #[error("cancelled")]
    Cancelled,
}

impl CaptureError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            CaptureError::NotConverging(_) => Some(
                "back up at a quieter time, to a faster repository, or through a spool on another disk (--spool \
                 DIRECTORY); allow a longer freeze or more memory \
                 for it, or take a snapshot below the filesystem",
            ),
            CaptureError::ThawedEarly { .. } => {
                Some("allow a longer freeze, or end what thaws them (another backup, fsfreeze -u)")
            }
            CaptureError::InUse { .. } => Some("unmount it, or let it be tracked"),
            CaptureError::Unreadable { .. } => Some("--skip-unreadable records the gaps and goes on"),
            CaptureError::Restless { .. } => {
                Some("stop what writes to the device itself, such as a database on a raw partition")
            }
            CaptureError::Tracker(error) => error.hint(),
            _ => None,
        }
    }
}

fn counts(check: &CrossCheck) -> String {
    let mut text = String::new();
    match check.kernel {
        Some(kernel) if kernel != check.ours => {
            let _ = write!(text, "the kernel counts {kernel} sectors, we saw {}", check.ours);
        }
        Some(_) => {}
        None => text.push_str("there was no quiet moment to compare the counts of sectors"),
    }
    let reasons = [
        (!check.attached, "the tracker was taken away"),
        (check.overflowed, "a request was too long to be marked"),
        (check.outside, "something was written beyond the end"),
        (check.missed > 0, "the kernel passed the tracker over while other programs of its kind ran"),
    ];
    for (_, reason) in reasons.iter().filter(|(applies, _)| *applies) {
        let _ = write!(text, "{}{reason}", if text.is_empty() { "" } else { ", " });
    }
    text
}

/// How far a disk was from standing still.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Convergence {
    /// Bytes that each pass had to read.
    pub passes: Vec<u64>,
    /// Freezes in which not all that was left could be read.
    pub freezes: u32,
    /// Bytes that were left at the end.
    pub left: u64,
    /// Bytes per second that could be read.
    pub rate: u64,
    /// How long the filesystems may be frozen.
    pub budget: Duration,
    /// Bytes that the last chunks may take in memory.
    pub memory: u64,
}

impl Convergence {
    fn sentence(&self) -> String {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        let freezes = match self.freezes {
            0 => String::new(),
            freezes => format!(" and {freezes} freezes in which not all could be read"),
        };
        format!(
            "the disk is written faster than it is read: after {} passes{freezes} {} MiB are left, which take {:.1} s at {} MiB/s, and \
             {:.1} s and {} MiB of memory are allowed",
            self.passes.len(),
            mib(self.left),
            self.left as f64 / self.rate.max(1) as f64,
            mib(self.rate),
            self.budget.as_secs_f64(),
            mib(self.memory),
        )
    }
}
