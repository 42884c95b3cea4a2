//! Block devices as the kernel numbers them and `/sys` tells of them: disks, their partitions, what lies above and below.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A device's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceNumber {
    /// Which driver.
    pub major: u32,
    /// Which of its devices.
    pub minor: u32,
}

impl DeviceNumber {
    /// From what `stat(2)` says.
    pub fn from_stat(number: u64) -> DeviceNumber {
        DeviceNumber { major: libc::major(number), minor: libc::minor(number) }
    }

    /// The number that a block device's node stands for; `InvalidInput` if the path is no block device.
    pub fn of(path: &Path) -> io::Result<DeviceNumber> {
        let metadata = fs::metadata(path)?;
        if !metadata.file_type().is_block_device() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a block device"));
        }
        Ok(DeviceNumber::from_stat(metadata.rdev()))
    }

    /// As the kernel has it inside, and its tracepoints show it: 12 bits and 20 bits.
    pub fn in_kernel(self) -> u32 {
        self.major << 20 | self.minor & 0xf_ffff
    }
}

impl std::fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

impl FromStr for DeviceNumber {
    type Err = io::Error;

    fn from_str(text: &str) -> io::Result<DeviceNumber> {
        let parsed = text.trim().split_once(':').map(|(major, minor)| (major.parse(), minor.parse()));
        match parsed {
            Some((Ok(major), Ok(minor))) => Ok(DeviceNumber { major, minor }),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, format!("{text:?} is no device number"))),
        }
    }
}

/// A block device's folder in `/sys`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockDevice {
    number: DeviceNumber,
    folder: PathBuf,
}

impl BlockDevice {
    /// The device of that number; `NotFound` once it is gone.
    pub fn new(number: DeviceNumber) -> io::Result<BlockDevice> {
        let folder = fs::canonicalize(format!("/sys/dev/block/{number}"))?;
        Ok(BlockDevice { number, folder })
    }

    /// The device behind a node such as `/dev/sda1`.
    pub fn at(path: &Path) -> io::Result<BlockDevice> {
        BlockDevice::new(DeviceNumber::of(path)?)
    }

    fn in_folder(folder: PathBuf) -> io::Result<BlockDevice> {
        let number = fs::read_to_string(folder.join("dev"))?.parse()?;
        Ok(BlockDevice { number, folder })
    }

    /// Its number.
    pub fn number(&self) -> DeviceNumber {
        self.number
    }

    /// The kernel's name, such as `sda1` or `dm-0`.
    pub fn name(&self) -> String {
        self.folder.file_name().map(|name| name.to_string_lossy().replace('!', "/")).unwrap_or_default()
    }

    /// Its node, where devices usually are.
    pub fn node(&self) -> PathBuf {
        Path::new("/dev").join(self.name())
    }

    /// True if it is a part of a disk.
    pub fn is_partition(&self) -> bool {
        self.folder.join("partition").exists()
    }

    /// The whole disk: itself unless it is a partition.
    pub fn disk(&self) -> io::Result<BlockDevice> {
        match (self.is_partition(), self.folder.parent()) {
            (true, Some(parent)) => BlockDevice::in_folder(parent.to_owned()),
            _ => Ok(self.clone()),
        }
    }

    /// Its partitions, as the kernel knows them, by where they start.
    pub fn partitions(&self) -> io::Result<Vec<BlockDevice>> {
        let folders = fs::read_dir(&self.folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        let parts = folders.into_iter().filter(|folder| folder.join("partition").exists());
        let mut parts = parts.map(BlockDevice::in_folder).collect::<io::Result<Vec<_>>>()?;
        parts.sort_by_key(|part| part.start().unwrap_or_default());
        Ok(parts)
    }

    /// Where it starts on its disk, in bytes; 0 for a whole disk.
    pub fn start(&self) -> io::Result<u64> {
        if !self.is_partition() {
            return Ok(0);
        }
        Ok(self.number_in("start")?.saturating_mul(512))
    }

    /// Its bytes.
    pub fn size(&self) -> io::Result<u64> {
        Ok(self.number_in("size")?.saturating_mul(512))
    }

    /// A number that no other disk has had since the machine started, even one of the same name; `None` before 5.15.
    pub fn sequence(&self) -> Option<u64> {
        self.number_in("diskseq").ok()
    }

    /// Devices that are made of this one: device-mapper, md.
    pub fn holders(&self) -> io::Result<Vec<BlockDevice>> {
        self.neighbours("holders")
    }

    /// Devices that this one is made of.
    pub fn parts(&self) -> io::Result<Vec<BlockDevice>> {
        self.neighbours("slaves")
    }

    fn neighbours(&self, relation: &str) -> io::Result<Vec<BlockDevice>> {
        let entries = match fs::read_dir(self.folder.join(relation)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        entries.map(|entry| BlockDevice::in_folder(fs::canonicalize(entry?.path())?)).collect()
    }

    /// A short text of `/sys`, such as `dm/uuid` or `queue/rotational`, without the line's end.
    pub fn text(&self, name: &str) -> io::Result<String> {
        Ok(fs::read_to_string(self.folder.join(name))?.trim_end().to_owned())
    }

    fn number_in(&self, name: &str) -> io::Result<u64> {
        let text = self.text(name)?;
        text.trim().parse().map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("{name}: {text:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_are_read_and_written() {
        let number: DeviceNumber = "259:3\n".parse().unwrap();
        assert_eq!((number.to_string(), number.in_kernel()), ("259:3".to_owned(), 259 << 20 | 3));
        assert!("259".parse::<DeviceNumber>().is_err() && "a:1".parse::<DeviceNumber>().is_err());
        assert!(DeviceNumber::of(Path::new("/dev/null")).is_err());
    }

    #[test]
    fn disks_of_this_machine_are_their_own_whole() {
        for entry in fs::read_dir("/sys/class/block").unwrap() {
            let device = BlockDevice::in_folder(fs::canonicalize(entry.unwrap().path()).unwrap());
            let Ok(device) = device else { continue };
            let Ok(disk) = device.disk() else { continue };
            assert!(!disk.is_partition(), "{}", device.name());
            assert_eq!(disk.start().unwrap(), 0);
        }
    }
}
