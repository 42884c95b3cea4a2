//! Restore: an image becomes the content of a device or a file.
//!
//! First a [`Plan`] says what would be done and what stands against it; it is executed as it was shown or not at all. Chunks
//! are fetched pack by pack, several at a time, and written past the page cache on devices. What is not in use reads as zeros
//! afterwards, unless the plan says otherwise. A restore that was cut off goes on by comparing what is there.
//!
//! A target of another size gets a partition table that fits it. What becomes larger does so after everything was written;
//! what becomes smaller does so in a scratch file before the target is touched.

mod copy;
pub(crate) mod fetch;
mod fit;
mod kernel;
mod look;
mod marker;
mod part;
mod pieces;
mod plan;
mod reader;
mod resize;
mod run;
mod shrink;
mod target;

use std::io;
use std::path::PathBuf;

use backend::Id;
use serde::Serialize;

pub use part::{Change, Fitting, Grow, Mounting, Part, Place, Tool};
pub use plan::{Caution, Fit, Plan, Scratch, Surroundings, TargetFacts, TargetKind, Wish, plan};
pub use run::execute;

use crate::image::ImageError;

/// How to restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Options {
    /// Reads the target first and writes only chunks that differ.
    pub delta: bool,
    /// Reads everything back afterwards and compares.
    pub verify: bool,
    /// What becomes of the target where the image has zeros.
    pub unused: Unused,
}

impl Default for Options {
    fn default() -> Options {
        Options { delta: false, verify: false, unused: Unused::Zero }
    }
}

/// What becomes of the target where the image has zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unused {
    /// It reads as zeros: holes in files, on devices by the quickest way they have.
    Zero,
    /// The device is told that it is not needed; what it reads as is the device's affair. Files get holes.
    Discard,
    /// It stays as it is.
    Leave,
}

/// Leave to overwrite what a plan warns about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Consent {
    /// Only what needs none.
    None,
    /// To overwrite the disk or file of this name, as [`TargetFacts::name`] has it.
    Overwrite(String),
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Bytes written.
    pub written: u64,
    /// Bytes that were right already.
    pub unchanged: u64,
    /// Bytes of zeros that were made without being written, or were there.
    pub zeros: u64,
    /// Bytes that were left as they were because the image has zeros there.
    pub left: u64,
    /// Bytes that were read back and are right.
    pub verified: u64,
    /// Chunks that are not as the image has them.
    pub failures: Vec<Failure>,
    /// What was made larger or smaller, in words.
    pub resized: Vec<String>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// A chunk that could not be restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// First byte on the disk.
    pub offset: u64,
    /// How many bytes.
    pub length: u64,
    /// Why.
    pub reason: String,
}

/// Why nothing, or not everything, was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The image cannot be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The repository failed.
    #[error(transparent)]
    Repo(#[from] repo::Error),
    /// There is no disk of that name in the snapshot.
    #[error("snapshot {} has no disk {name:?}; it has {known}", .snapshot.short())]
    NoDisk {
        /// Which snapshot.
        snapshot: Id,
        /// The name that was asked for.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// The plan says that it cannot be.
    #[error("{0}")]
    Refused(String),
    /// The plan warns about something and nobody agreed.
    #[error("{} is not to be overwritten just like that: {reasons}", .path.display())]
    NeedsConsent {
        /// The target.
        path: PathBuf,
        /// What the plan warns about.
        reasons: String,
    },
    /// Somebody agreed to something else.
    #[error("the name {given:?} was given, but the target is {expected:?}")]
    WrongName {
        /// What was typed.
        given: String,
        /// What it is.
        expected: String,
    },
    /// The target is not as the plan says any more.
    #[error("{} changed since the plan was made: {what}", .path.display())]
    Changed {
        /// The target.
        path: PathBuf,
        /// What is different.
        what: String,
    },
    /// The target cannot be read or written.
    #[error("cannot {action} {}", .path.display())]
    Target {
        /// What was being done.
        action: &'static str,
        /// The target.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The image cannot be looked at.
    #[error("cannot look at the partitions and file systems of the image")]
    Look(#[source] io::Error),
    /// A file system did not become larger or smaller.
    #[error("{part} could not be resized: {said}")]
    Resize {
        /// What it is.
        part: String,
        /// What the program said.
        said: String,
    },
    /// Somebody asked to stop.
    #[error("stopped on request; the same command goes on from here")]
    Cancelled,
}
