//! The disks that are tracked for good, whoever started that: for lists, and for taking trackers away.

use platform::{BlockDevice, DeviceNumber};

use super::pins::Pins;
use super::{Marks, TrackerError, end_holder};

/// A disk whose tracker is kept.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Watched {
    /// The tracker's name, for [`stop_watching`]: that of the disk, and a number.
    pub name: String,
    /// The kernel's name of the disk; `None` if it is gone.
    pub disk: Option<String>,
    /// The disk's bytes.
    pub size: u64,
    /// Since when it is watched; `None` if the tracker is only kept for an image that was begun and not finished.
    pub since: Option<jiff::Timestamp>,
    /// The image that the marks continue from.
    pub base: Option<String>,
    /// Bytes that were written since that image, in whole units.
    pub changed: u64,
    /// False if events are lost: it must be started again.
    pub is_attached: bool,
    /// The process that has it open.
    pub used_by: Option<u32>,
}

/// All trackers that are kept on this machine.
pub fn watched() -> Result<Vec<Watched>, TrackerError> {
    let pins = Pins::all().map_err(TrackerError::Disk)?;
    Ok(pins.iter().filter_map(describe).collect())
}

/// `None` if it is being taken away, or was never finished.
fn describe(pins: &Pins) -> Option<Watched> {
    let marks = Marks::open(&pins.open_map().ok()?).ok()??;
    let identity = marks.identity();
    let number = DeviceNumber { major: identity.device >> 20, minor: identity.device & 0xf_ffff };
    let disk = BlockDevice::new(number).ok().filter(|disk| disk.sequence().unwrap_or(0) == identity.sequence);
    let is_linked = pins.open_link().is_ok_and(|link| link.is_some());
    let mut changed = marks.pending_after(0);
    changed.extend(marks.peek().iter());
    Some(Watched {
        name: pins.name(),
        disk: disk.map(|disk| disk.name()),
        size: identity.size,
        since: marks.watched_since(),
        base: marks.label(),
        changed: changed.bytes(),
        is_attached: is_linked || marks.holder().is_some_and(|holder| holder.is_alive()),
        used_by: marks.owner(),
    })
}

/// Takes a tracker away by its name, even if its disk is gone or it is damaged; true if there was one. One that a living
/// process uses is refused.
pub fn stop_watching(name: &str) -> Result<bool, TrackerError> {
    let all = Pins::all().map_err(TrackerError::Disk)?;
    let Some(pins) = all.into_iter().find(|pins| pins.name() == name) else { return Ok(false) };
    if let Some(marks) = pins.open_map().ok().and_then(|map| Marks::open(&map).ok()?) {
        if let Some(pid) = marks.owner() {
            return Err(TrackerError::InUse { disk: name.to_owned(), pid });
        }
        end_holder(&marks);
    }
    pins.remove().map_err(|cause| pins.error(cause))?;
    Ok(true)
}
