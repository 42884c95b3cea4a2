//! Where the state of an image in the making is kept: never on a disk that is imaged, unless somebody says so.

use std::path::{Path, PathBuf};

use disks::inventory::disks_below;
use platform::hardware::System;

use super::job::Subject;
use super::source::Content;
use crate::environment;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::render::live::Live;

/// The directory, or why there is none.
pub(super) enum StatePlace {
    /// Here.
    Directory(PathBuf),
    /// Nowhere: the user has no place for state.
    Nowhere,
    /// Nowhere: it would lie on a disk that is imaged.
    OnTheDisk,
}

impl StatePlace {
    /// The one that was named, or the usual one, or that of the spool, which may be on a disk that is imaged.
    pub(super) fn of(named: Option<PathBuf>, subjects: &[Subject], of_spool: Option<PathBuf>) -> Outcome<StatePlace> {
        if let Some(named) = named {
            return Ok(StatePlace::Directory(named));
        }
        let Some(usual) = environment::state_directory() else {
            return Ok(of_spool.map_or(StatePlace::Nowhere, StatePlace::Directory));
        };
        match is_on_one_of(&usual, subjects)? {
            true => Ok(of_spool.map_or(StatePlace::OnTheDisk, StatePlace::Directory)),
            false => Ok(StatePlace::Directory(usual)),
        }
    }

    pub(super) fn directory(&self) -> Option<&PathBuf> {
        match self {
            StatePlace::Directory(directory) => Some(directory),
            StatePlace::Nowhere | StatePlace::OnTheDisk => None,
        }
    }

    /// Says that a run that is cut off starts over, if it does because of us.
    pub(super) fn tell(&self, live: &Live, output: Output) {
        if let StatePlace::OnTheDisk = self {
            let what = "no state is kept, because it would lie on the disk itself: a run that is cut off starts over";
            live.above(|| drop(output.remark(format_args!("{what} (--state-dir puts it elsewhere)"))));
        }
    }
}

/// True if a directory, there or not, lies on a disk that is in use and imaged.
pub(super) fn is_on_one_of(directory: &Path, subjects: &[Subject]) -> Outcome<bool> {
    let there = directory.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    let below = disks_below(&System::this(), there).map_err(|error| Failure::io("look at", there, error))?;
    Ok(subjects.iter().any(|subject| match &subject.source.content {
        Content::Device(device) => {
            device.seen.is_live() && device.disk.as_ref().is_some_and(|disk| below.contains(disk))
        }
        Content::File(_) => false,
    }))
}
