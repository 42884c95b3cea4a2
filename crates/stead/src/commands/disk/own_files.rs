//! The files of a spool that lies on a disk that is imaged: their content is no part of the image, and nothing is written to
//! them while their filesystem is frozen.

use std::error::Error;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use backend::Spool;
use disks::capture::{Hooks, View};
use disks::provider::SystemPrograms;
use disks::session::InMaking;
use disks::{Extents, LeftOut, LeftOutError, Places};
use parking_lot::Mutex;
use platform::BlockDevice;

use super::hooks::Commands;
use super::job::Subject;
use super::source::Content;
use super::spool::{Chosen, not_left_out};
use crate::failure::Outcome;

/// Files that the rest of the program has open at once, and more.
const OTHER_FILES: u64 = 512;

/// Where the spool's packs lie, asked again and again.
pub(super) struct OwnFiles {
    left_out: Mutex<LeftOut>,
    /// The devices that they lie on.
    devices: Vec<Below>,
}

/// A device that is imaged.
struct Below {
    path: PathBuf,
    places: Places,
    /// Bytes that would be in use, but for these files.
    left_out: AtomicU64,
}

impl OwnFiles {
    /// `None` if the spool lies on none of what is imaged.
    pub(super) fn of(chosen: &Chosen, spool: &Spool, subjects: &[Subject]) -> Outcome<Option<OwnFiles>> {
        let below: Vec<&Subject> =
            subjects.iter().filter(|subject| chosen.disks.contains(&subject.source.path)).collect();
        let Some(first) = below.first() else { return Ok(None) };
        let refused = |subject: &Subject, why: &dyn Display| not_left_out(&chosen.directory, &subject.source.path, why);
        let most = platform::raise_open_files_limit().unwrap_or(1024).saturating_sub(OTHER_FILES);
        let left_out = LeftOut::below(&spool.data(), usize::try_from(most).unwrap_or(usize::MAX), &SystemPrograms)
            .map_err(|error| refused(first, &error))?;
        let mut devices = Vec::new();
        for subject in below {
            let places = checked(&left_out, subject).map_err(|why| refused(subject, &why))?;
            let path = subject.source.path.clone();
            devices.extend(places.map(|places| Below { path, places, left_out: AtomicU64::new(0) }));
        }
        Ok((!devices.is_empty()).then(|| OwnFiles { left_out: Mutex::new(left_out), devices }))
    }

    /// What is in use of a device, but for these files.
    pub(super) fn left_out_of(&self, device: &Path, mut used: Extents) -> Result<Extents, LeftOutError> {
        if let Some(below) = self.device(device) {
            let (on_disk, before) = (self.left_out.lock().now_on_disk()?, used.bytes());
            below.places.on_device(&on_disk).iter().for_each(|range| used.remove(range));
            below.left_out.store(before - used.bytes(), Relaxed);
        }
        Ok(used)
    }

    /// Bytes of a device that were left out when it was asked for last.
    pub(super) fn bytes_left_out(&self, device: &Path) -> u64 {
        self.device(device).map_or(0, |below| below.left_out.load(Relaxed))
    }

    fn device(&self, device: &Path) -> Option<&Below> {
        self.devices.iter().find(|below| below.path == device)
    }

    /// Fails if they may have been moved meanwhile.
    pub(super) fn check(&self) -> Outcome {
        Ok(self.left_out.lock().check(&SystemPrograms)?)
    }
}

/// Where a device lies, if the files are on it; in words, why they cannot be left out of its image.
fn checked(left_out: &LeftOut, Subject { source, .. }: &Subject) -> Result<Option<Places>, String> {
    let Content::Device(device) = &source.content else { return Ok(None) };
    let block = BlockDevice::at(&source.path).map_err(|error| error.to_string())?;
    let places = Places::of(&block, &SystemPrograms).map_err(|error| error.to_string())?;
    if places.disk() != left_out.disk() {
        return Err(format!("between it and {} is more than is understood here", left_out.disk().name()));
    }
    match device.seen.view() {
        _ if places.on_device(&left_out.filesystem()).is_empty() => Ok(None),
        View::Tracked(_) | View::TrackedBelow(..) => Ok(Some(places)),
        _ => Err(format!("only with the tracker, and it is read otherwise here ({})", device.seen.choice.reason)),
    }
}

/// Tells applications, and then sees to it that everything that was read is in the spool before that is frozen.
pub(super) struct Settling<'s> {
    pub(super) hooks: &'s mut Commands,
    pub(super) own: Option<&'s OwnFiles>,
    pub(super) disks: &'s [InMaking],
}

impl Hooks for Settling<'_> {
    fn before_freeze(&mut self) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.hooks.before_freeze()?;
        if let Some(own) = self.own {
            self.disks.iter().try_for_each(|disk| disk.writer.drain())?;
            own.left_out.lock().settle()?;
        }
        Ok(())
    }

    fn after_thaw(&mut self) {
        if let Some(own) = self.own {
            own.left_out.lock().unsettle();
        }
        self.hooks.after_thaw();
    }
}
