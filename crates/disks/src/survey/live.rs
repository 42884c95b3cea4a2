//! What is in use of a device at this moment, asked again and again while it is written.
//!
//! A mounted filesystem is asked itself where it can tell; everything else is read past the page cache. What was answered
//! while the filesystems are frozen is exact; before that it may be out of date, and whoever asks asks again.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use platform::direct::{AlignedBuffer, Claim, DirectFile, device_size, sector_sizes};
use platform::{BlockDevice, DeviceNumber, Mount};

use super::{Survey, Volume};
use crate::table::{Scheme, Table};
use crate::used::{self, Taken};
use crate::{Extents, ReadAt, Window};

/// A device that is looked at past the page cache.
struct Device {
    file: DirectFile,
    size: u64,
}

/// What offsets and lengths of reads are multiples of.
const ALIGNMENT: u64 = 4096;

impl ReadAt for Device {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let beyond = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let end = offset.checked_add(into.len() as u64).filter(|end| *end <= self.size).ok_or_else(beyond)?;
        let start = offset / ALIGNMENT * ALIGNMENT;
        let length = (end.next_multiple_of(ALIGNMENT).min(self.size) - start) as usize;
        let mut buffer = AlignedBuffer::new(length);
        self.file.read_at(start, &mut buffer[..length])?;
        into.copy_from_slice(&buffer[(offset - start) as usize..][..into.len()]);
        Ok(())
    }
}

/// A volume that is mounted.
struct Mounted {
    /// Where on the device it begins.
    start: u64,
    /// A folder of it, to ask it by; `None` if none opens.
    folder: Option<File>,
}

/// Which volumes are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    All,
    Mounted,
}

/// A device whose used parts are asked for while it is written.
pub struct LiveSurvey {
    device: Device,
    sectors: (u32, u32),
    /// As it was read first: the survey may have dismissed it.
    table: Table,
    survey: Survey,
    mounted: Vec<Mounted>,
    /// How what is not mounted was left.
    taken: Taken,
}

impl LiveSurvey {
    /// Looks at a device, and at what of it is mounted now.
    pub fn open(node: &Path) -> io::Result<LiveSurvey> {
        LiveSurvey::taken(node, Taken::AsFound)
    }

    /// The same for a snapshot, whose filesystems were frozen or not when it was made.
    pub fn taken(node: &Path, taken: Taken) -> io::Result<LiveSurvey> {
        let file = DirectFile::open(node, Claim::Shared)?;
        let (size, sectors) = (device_size(file.file())?, sector_sizes(file.file())?);
        let device = Device { file, size };
        let sector = u64::from(sectors.0);
        let table = Table::salvage(&device, sector)?;
        let survey = Survey::of(&device, sector, taken)?;
        let mounted = mounted_on(&BlockDevice::at(node)?)?;
        let mut live = LiveSurvey { device, sectors, table, survey, mounted, taken };
        // Of what is mounted, its own word counts from the beginning.
        live.look(Of::Mounted);
        Ok(live)
    }

    /// Bytes of the device.
    pub fn size(&self) -> u64 {
        self.device.size
    }

    /// Bytes of its logical and physical sectors.
    pub fn sectors(&self) -> (u32, u32) {
        self.sectors
    }

    /// The survey, as of the last time that it was asked for what is in use.
    pub fn survey(&self) -> &Survey {
        &self.survey
    }

    /// What is in use now. Everything, if the partition table has changed since it was opened. Opens and writes no files.
    pub fn used(&mut self) -> io::Result<Extents> {
        let is_ambiguous = self.survey.table.scheme != Scheme::None && !self.survey.warnings.is_empty();
        if is_ambiguous || Table::salvage(&self.device, u64::from(self.sectors.0))? != self.table {
            return Ok(Extents::all(self.device.size));
        }
        self.look(Of::All);
        Ok(self.survey.used())
    }

    fn look(&mut self, of: Of) {
        for volume in &mut self.survey.volumes {
            let mounted = self.mounted.iter().find(|mounted| mounted.start == volume.range.start);
            if of == Of::All || mounted.is_some() {
                look(&self.device, volume, mounted, self.taken);
            }
        }
    }
}

/// Learns what is free in a volume now.
fn look(device: &Device, volume: &mut Volume, mounted: Option<&Mounted>, taken: Taken) {
    let size = volume.range.end - volume.range.start;
    if let Some(free) = mounted.and_then(|mounted| mounted.folder.as_ref()).and_then(told_free) {
        volume.usage.told_free(free.within(0..size).collect());
        return;
    }
    let taken = if mounted.is_some() { Taken::Frozen } else { taken };
    match Window::new(device, volume.range.start, size) {
        Some(window) => volume.usage = used::examine(&window, taken),
        None => volume.usage.free = Extents::new(),
    }
}

/// What a filesystem itself calls free; `None` if it cannot tell.
fn told_free(folder: &File) -> Option<Extents> {
    let mut free = Extents::new();
    platform::free_ranges(folder, |range| free.insert(range)).ok()?;
    Some(free)
}

/// The device itself and its partitions, as far as they are mounted.
fn mounted_on(device: &BlockDevice) -> io::Result<Vec<Mounted>> {
    let mounts = platform::mounts()?;
    let begin = device.start()?;
    let mut volumes = device.partitions()?;
    volumes.push(device.clone());
    let mut found = Vec::new();
    for volume in volumes {
        let its: Vec<&Mount> = mounts.iter().filter(|mount| mount.device == volume.number()).collect();
        if !its.is_empty() {
            let folder = its.iter().find_map(|mount| folder_of(mount, volume.number()));
            found.push(Mounted { start: volume.start()? - begin, folder });
        }
    }
    Ok(found)
}

/// The mount point, unless something else is mounted over it.
fn folder_of(mount: &Mount, number: DeviceNumber) -> Option<File> {
    let folder = File::open(&mount.mount_point).ok()?;
    let shown = DeviceNumber::from_stat(folder.metadata().ok()?.dev());
    (shown == number).then_some(folder)
}
