//! What a machine consists of: disks, partitions, what is mounted and built on them, network cards, how it boots.
//!
//! Everything is read from the kernel's files below a root directory, so that tests can show another machine. A file that is
//! missing or unreadable means that the fact is not known.

mod machine;
mod mounts;

use std::io;
use std::path::{Path, PathBuf};

pub use machine::{BootMode, NetworkCard};

use crate::DeviceNumber;

/// The kernel's view of this machine, or of one that was put below a directory.
#[derive(Clone, Debug)]
pub struct System {
    root: PathBuf,
}

/// One block device: a disk, or something that behaves like one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// The kernel's name, such as `sda` or `dm-0`.
    pub name: String,
    /// Its number.
    pub number: DeviceNumber,
    /// Bytes.
    pub size: u64,
    /// What it is.
    pub kind: Kind,
    /// Maker and model.
    pub model: Option<String>,
    /// Serial number.
    pub serial: Option<String>,
    /// World-wide name.
    pub wwn: Option<String>,
    /// Smallest addressable part in bytes.
    pub logical_sector: u32,
    /// Smallest part in bytes that is written without reading.
    pub physical_sector: u32,
    /// It has heads that move.
    pub rotational: bool,
    /// It can be taken out.
    pub removable: bool,
    /// It cannot be written.
    pub read_only: bool,
    /// Its partitions, in the order of their numbers.
    pub partitions: Vec<Partition>,
    /// Kernel names of the devices that are built on it.
    pub holders: Vec<String>,
    /// Kernel names of the devices that it is built on.
    pub slaves: Vec<String>,
    /// The file behind a loop device.
    pub backing_file: Option<PathBuf>,
    /// The device mapper's name for it.
    pub mapper_name: Option<String>,
    /// What is on it without a partition table, as far as it was recognised.
    pub content: Content,
}

/// What a block device is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// A disk.
    #[default]
    Disk,
    /// A file that looks like a disk.
    Loop,
    /// Made by the device mapper: a volume, an opened encryption.
    Mapper,
    /// A software array.
    Raid,
    /// An optical drive.
    Optical,
    /// Memory that looks like a disk.
    Memory,
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// The kernel's name, such as `sda1`.
    pub name: String,
    /// Its number on the disk.
    pub number_on_disk: u32,
    /// Its device number.
    pub number: DeviceNumber,
    /// First byte on the disk.
    pub start: u64,
    /// Bytes.
    pub size: u64,
    /// Kernel names of the devices that are built on it.
    pub holders: Vec<String>,
    /// What is on it.
    pub content: Content,
}

/// What udev recognised on a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Type of file system or other structure.
    pub kind: Option<String>,
    /// Its label.
    pub label: Option<String>,
    /// Its UUID.
    pub uuid: Option<String>,
}

impl System {
    /// This machine.
    pub fn this() -> System {
        System::below(Path::new("/"))
    }

    /// The machine whose `/sys`, `/proc` and `/run` lie below a directory.
    pub fn below(root: &Path) -> System {
        System { root: root.to_owned() }
    }

    /// All block devices, by name. Those without size (empty drives, unused loop devices) are left out.
    pub fn devices(&self) -> io::Result<Vec<Device>> {
        let mut names: Vec<String> = self.names(Path::new("sys/block"))?;
        names.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
        let devices = names.iter().filter_map(|name| self.device(name));
        Ok(devices.filter(|device| device.size > 0).collect())
    }

    /// The disk that a device number means or is a partition of; `None` if there is none.
    pub fn device_of(&self, number: DeviceNumber) -> io::Result<Option<Device>> {
        let is_it = |device: &Device| {
            device.number == number || device.partitions.iter().any(|partition| partition.number == number)
        };
        Ok(self.devices()?.into_iter().find(is_it))
    }

    fn device(&self, name: &str) -> Option<Device> {
        let folder = Path::new("sys/block").join(name);
        let number = self.text(&folder.join("dev"))?.parse().ok()?;
        let udev = self.udev(number);
        let own = |file: &str| self.text(&folder.join(file)).filter(|text| !text.is_empty());
        let flag = |file: &str| own(file).is_some_and(|text| text != "0");
        let bytes = |file: &str| own(file).and_then(|text| text.parse().ok()).unwrap_or(512);
        let mut partitions: Vec<Partition> =
            self.names(&folder).ok()?.iter().filter_map(|part| self.partition(&folder, part)).collect();
        partitions.sort_by_key(|partition| partition.number_on_disk);
        Some(Device {
            name: name.to_owned(),
            number,
            size: self.sectors(&folder.join("size"))?,
            kind: kind(name, own("dm/name").is_some()),
            model: self.model(&folder).or_else(|| udev.get("ID_MODEL")),
            serial: own("device/serial").or_else(|| own("serial")).or_else(|| udev.get("ID_SERIAL_SHORT")),
            wwn: own("wwid").or_else(|| own("device/wwid")).or_else(|| udev.get("ID_WWN")),
            logical_sector: bytes("queue/logical_block_size"),
            physical_sector: bytes("queue/physical_block_size"),
            rotational: flag("queue/rotational"),
            removable: flag("removable"),
            read_only: flag("ro"),
            partitions,
            holders: self.names(&folder.join("holders")).unwrap_or_default(),
            slaves: self.names(&folder.join("slaves")).unwrap_or_default(),
            backing_file: own("loop/backing_file").map(PathBuf::from),
            mapper_name: own("dm/name"),
            content: udev.content(),
        })
    }

    fn model(&self, folder: &Path) -> Option<String> {
        let text = |file: &str| self.text(&folder.join(file));
        let words: Vec<String> = [text("device/vendor"), text("device/model")].into_iter().flatten().collect();
        // Buses without makers have a number there.
        let words: Vec<&str> = words.iter().map(|word| word.as_str()).filter(|word| !word.starts_with("0x")).collect();
        (!words.is_empty()).then(|| words.join(" "))
    }

    fn partition(&self, disk: &Path, name: &str) -> Option<Partition> {
        let folder = disk.join(name);
        let number_on_disk = self.text(&folder.join("partition"))?.parse().ok()?;
        let number = self.text(&folder.join("dev"))?.parse().ok()?;
        Some(Partition {
            name: name.to_owned(),
            number_on_disk,
            number,
            start: self.sectors(&folder.join("start"))?,
            size: self.sectors(&folder.join("size"))?,
            holders: self.names(&folder.join("holders")).unwrap_or_default(),
            content: self.udev(number).content(),
        })
    }

    /// How many sectors of 512 bytes the kernel has written to a disk since it appeared; `None` if it does not say.
    pub fn sectors_written(&self, disk: &str) -> Option<u64> {
        let text = self.text(&Path::new("sys/block").join(disk).join("stat"))?;
        text.split_ascii_whitespace().nth(6)?.parse().ok()
    }

    /// Bytes in a file that counts sectors of 512 bytes.
    fn sectors(&self, file: &Path) -> Option<u64> {
        self.text(file)?.parse::<u64>().ok()?.checked_mul(512)
    }

    fn udev(&self, number: DeviceNumber) -> Udev {
        Udev(self.text(Path::new(&format!("run/udev/data/b{number}"))).unwrap_or_default())
    }

    fn names(&self, folder: &Path) -> io::Result<Vec<String>> {
        let entries = std::fs::read_dir(self.root.join(folder))?;
        let mut names: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        names.sort();
        Ok(names)
    }

    /// A short file's text without space around it.
    fn text(&self, file: &Path) -> Option<String> {
        let bytes = std::fs::read(self.root.join(file)).ok()?;
        Some(
            String::from_utf8_lossy(&bytes)
                .trim_matches(|letter: char| letter.is_whitespace() || letter == '\0')
                .to_owned(),
        )
    }
}

/// udev's record of a device.
struct Udev(String);

impl Udev {
    fn get(&self, key: &str) -> Option<String> {
        let line = self.0.lines().find_map(|line| line.strip_prefix("E:")?.strip_prefix(key)?.strip_prefix('='))?;
        (!line.is_empty()).then(|| line.to_owned())
    }

    fn content(&self) -> Content {
        Content { kind: self.get("ID_FS_TYPE"), label: self.get("ID_FS_LABEL"), uuid: self.get("ID_FS_UUID") }
    }
}

fn kind(name: &str, is_mapped: bool) -> Kind {
    match name {
        _ if is_mapped || name.starts_with("dm-") => Kind::Mapper,
        _ if name.starts_with("loop") => Kind::Loop,
        _ if name.starts_with("md") => Kind::Raid,
        _ if name.starts_with("sr") => Kind::Optical,
        _ if name.starts_with("ram") || name.starts_with("zram") => Kind::Memory,
        _ => Kind::Disk,
    }
}

/// The number of the device that a path lies on.
pub fn number_below(path: &Path) -> io::Result<DeviceNumber> {
    use std::os::unix::fs::MetadataExt;
    Ok(DeviceNumber::from_stat(std::fs::metadata(path)?.dev()))
}

#[cfg(test)]
mod tests;
