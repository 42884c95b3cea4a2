//! A known read, and whether it is told where and as we think: no kernel is believed unseen.

use std::path::Path;

use platform::BlockDevice;
use platform::bpf::ArrayMap;
use platform::direct::{self, AlignedBuffer, Claim, DirectFile};

use super::event::Event;
use super::marks::PAGE;
use super::{TrackerError, program};

/// Places that are tried, in pages: a read may have been merged with somebody else's.
const PLACES: [u64; 6] = [0, 5, 1, 9, 3, 13];

/// Reads from the disk, and from its first partition, and expects to be told so: the disk's number, places from the disk's
/// start.
pub(super) fn calibrate(event: &Event, disk: &BlockDevice) -> Result<(), TrackerError> {
    prove(event, disk, &disk.node(), 0)?;
    let partitions = disk.partitions().map_err(TrackerError::Disk)?;
    let Some(partition) = partitions.first() else { return Ok(()) };
    let start = partition.start().map_err(TrackerError::Disk)?;
    prove(event, disk, &partition.node(), start)
}

fn prove(event: &Event, disk: &BlockDevice, node: &Path, start: u64) -> Result<(), TrackerError> {
    let file = DirectFile::open(node, Claim::Shared).map_err(TrackerError::Disk)?;
    let size = direct::device_size(file.file()).map_err(TrackerError::Disk)?;
    let (sector, _) = direct::sector_sizes(file.file()).map_err(TrackerError::Disk)?;
    // A size that few others read.
    let length = u64::from(sector).max(512) * 3;
    for place in PLACES.into_iter().map(|page| page * PAGE).filter(|place| place + length <= size) {
        if is_seen(event, disk, &file, (place, length), start)? {
            return Ok(());
        }
    }
    Err(TrackerError::Uncalibrated { node: node.to_owned() })
}

fn is_seen(
    event: &Event,
    disk: &BlockDevice,
    file: &DirectFile,
    (place, length): (u64, u64),
    start: u64,
) -> Result<bool, TrackerError> {
    let map = ArrayMap::create("stead_seen", PAGE as u32, 1).map_err(TrackerError::Map)?;
    let expected = ((start + place) / 512, (length / 512) as u32);
    let program = program::load_calibration(event, &map, disk.number().in_kernel(), expected)?;
    let attachment = event.attach(&program).map_err(TrackerError::Attach)?;
    let mut buffer = AlignedBuffer::new(length as usize);
    file.read_at(place, &mut buffer[..length as usize]).map_err(TrackerError::Disk)?;
    drop(attachment);
    let seen = map.memory().map_err(TrackerError::Map)?.words()[0].load(std::sync::atomic::Ordering::SeqCst);
    Ok(seen > 0)
}
