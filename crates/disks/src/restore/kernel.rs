//! Telling the kernel which partitions a disk has after its table was written.

use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use platform::DeviceNumber;
use platform::hardware::{self, Device, System};

use super::Surroundings;
use crate::SizedFile;
use crate::table::{Partition, Table};

/// How long the kernel may take to show partitions that it was told about.
const PATIENCE: Duration = Duration::from_secs(5);

/// Has the kernel show the partitions that the disk now has. Returns what a person should know if it does not.
pub(super) fn tell(path: &Path, disk: &File, around: &Surroundings) -> Option<String> {
    let number = DeviceNumber::of(path).ok()?;
    let device = device(&around.system, number)?;
    let table =
        File::open(path).and_then(SizedFile::new).and_then(|whole| Table::read(&whole, device.logical_sector.into()));
    let wanted = table.ok()?.partitions;
    match show(disk, number, &wanted, &around.system) {
        Ok(()) => None,
        Err(error) => Some(format!(
            "the kernel does not show the partitions that are on {} now ({error}); `partprobe` or a reboot does",
            path.display()
        )),
    }
}

/// The whole disk of that number; none for partitions.
fn device(system: &System, number: DeviceNumber) -> Option<Device> {
    system.device_of(number).ok().flatten().filter(|device| device.number == number)
}

fn show(disk: &File, number: DeviceNumber, wanted: &[Partition], system: &System) -> io::Result<()> {
    let shown = |system: &System| device(system, number).map(|device| device.partitions).unwrap_or_default();
    if wanted.is_empty() && shown(system).is_empty() {
        return Ok(());
    }
    // Disks whose table the kernel does not read, and kernels that read none, are told by us.
    let reread = platform::reread_partitions(disk);
    if matches!(&reread, Err(error) if error.kind() == io::ErrorKind::ResourceBusy) {
        return reread;
    }
    settle();
    if are_shown(&shown(system), wanted) {
        return Ok(());
    }
    for old in shown(system) {
        platform::delete_partition(disk, old.number_on_disk)?;
    }
    for partition in wanted {
        platform::add_partition(disk, partition.number, partition.start, partition.size)?;
    }
    settle();
    let begin = Instant::now();
    while !are_shown(&shown(system), wanted) && begin.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(20));
    }
    match are_shown(&shown(system), wanted) {
        true => Ok(()),
        false => Err(io::ErrorKind::TimedOut.into()),
    }
}

fn are_shown(shown: &[hardware::Partition], wanted: &[Partition]) -> bool {
    let is_same = |shown: &hardware::Partition, wanted: &Partition| {
        (shown.number_on_disk, shown.start, shown.size) == (wanted.number, wanted.start, wanted.size)
    };
    // The kernel shows two sectors of an extended partition.
    let is_extended = |part: &hardware::Partition| part.number_on_disk <= 4 && part.size <= 1024;
    wanted.iter().all(|wanted| shown.iter().any(|part| is_same(part, wanted)))
        && shown.iter().all(|part| is_extended(part) || wanted.iter().any(|wanted| is_same(part, wanted)))
}

/// Waits for udev, where there is one, to have made what belongs to the partitions.
fn settle() {
    let mut command = Command::new("udevadm");
    command.args(["settle", "--timeout=10"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Without udev there is nothing to wait for.
    let _ = command.status();
}
