//! What a capture came to: for the manifest of an image, and for people.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Extents;
use crate::tracker::CrossCheck;

/// How a disk was made to stand still.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provider {
    /// Nobody used it.
    Offline,
    /// A snapshot of a thin volume.
    LvmThin,
    /// A snapshot of a volume, in a part of its group.
    LvmThick,
    /// A snapshot by the device mapper.
    DeviceMapper,
    /// The tracker, repeated passes and a short freeze.
    Tracker,
    /// Nothing: it was read while it was written.
    None,
}

/// What can be said of the bytes of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Consistency {
    /// Nobody wrote: the disk as it was.
    Offline,
    /// One instant at which the filesystems were frozen: they mount without repair.
    Frozen,
    /// None: the parts are of different times.
    Inconsistent,
}

/// Reading everything, or what was written meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pass {
    /// Bytes read.
    pub bytes: u64,
    /// Chunks handed on.
    pub chunks: u64,
    /// Milliseconds.
    pub took_ms: u64,
}

/// What a capture came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What can be said of the bytes.
    pub consistency: Consistency,
    /// All passes in order; the last one was read while filesystems were frozen, if they were.
    pub passes: Vec<Pass>,
    /// Bytes that were read more than once.
    pub reread_bytes: u64,
    /// How long writers waited in the freeze that counts.
    pub frozen_for: Option<Duration>,
    /// Freezes that came to nothing: too much was left, or they were thawed too early.
    pub failed_freezes: u32,
    /// How often everything was read once more because writes had been lost on their way to us.
    pub full_compares: u32,
    /// The counts that did not agree, for which it was.
    pub disagreements: Vec<CrossCheck>,
    /// Mount points that cannot be frozen; they were read until they stood still.
    pub incapable: Vec<PathBuf>,
    /// Of each disk.
    pub disks: Vec<DiskOutcome>,
}

/// What came of one disk.
#[derive(Clone, Debug)]
pub struct DiskOutcome {
    /// What was in use at the end.
    pub used: Extents,
    /// What could not be read: the image has zeros there, and is incomplete.
    pub gaps: Extents,
    /// Both counts of what was written; `None` without a tracker.
    pub cross_check: Option<CrossCheck>,
    /// The tracker's epoch that ended in the freeze, for `Tracker::rebase` once the image is stored.
    pub epoch: Option<u8>,
}

impl Outcome {
    /// True if all that is in use could be read.
    pub fn is_complete(&self) -> bool {
        self.disks.iter().all(|disk| disk.gaps.is_empty())
    }
}
