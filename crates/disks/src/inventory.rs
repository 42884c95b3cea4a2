//! What a machine consists of, as far as its disks and their move to other hardware are concerned: a value that is shown,
//! stored in manifests and compared.

use std::io;
use std::path::Path;

use platform::hardware::{self, BootMode, Device, Kind, System};
use platform::{DeviceNumber, Mount};
use serde::{Deserialize, Serialize};

/// A machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// Its name.
    pub machine: String,
    /// Maker and product, as the firmware says.
    #[serde(default)]
    pub product: Option<String>,
    /// Bytes of memory.
    #[serde(default)]
    pub memory: Option<u64>,
    /// `efi` or `bios`.
    pub boot: String,
    /// Disks, and what behaves like disks.
    pub disks: Vec<Disk>,
    /// Network cards.
    pub network: Vec<NetworkCard>,
}

/// A disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// The kernel's name.
    pub name: String,
    /// Where it is opened.
    pub path: String,
    /// `disk`, `loop`, `mapper`, `raid`, `optical`, `memory`.
    pub kind: String,
    /// Bytes.
    pub size: u64,
    /// Maker and model.
    #[serde(default)]
    pub model: Option<String>,
    /// Serial number.
    #[serde(default)]
    pub serial: Option<String>,
    /// World-wide name.
    #[serde(default)]
    pub wwn: Option<String>,
    /// Bytes of a logical sector.
    pub logical_sector: u32,
    /// Bytes of a physical sector.
    pub physical_sector: u32,
    /// It has heads that move.
    pub rotational: bool,
    /// It can be taken out.
    pub removable: bool,
    /// It cannot be written.
    pub read_only: bool,
    /// Kernel names of the devices that it is built on.
    #[serde(default)]
    pub built_on: Vec<String>,
    /// The file behind a loop device.
    #[serde(default)]
    pub backing_file: Option<String>,
    /// What is on it as a whole.
    #[serde(flatten)]
    pub content: Content,
    /// Its partitions.
    #[serde(default)]
    pub partitions: Vec<Partition>,
}

/// A partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// The kernel's name.
    pub name: String,
    /// Its number on the disk.
    pub number: u32,
    /// First byte.
    pub start: u64,
    /// Bytes.
    pub size: u64,
    /// What is on it.
    #[serde(flatten)]
    pub content: Content,
}

/// What is on a disk or partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Type of file system or other structure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_system: Option<String>,
    /// Its label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Its UUID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// Where it is mounted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounted: Vec<String>,
    /// It is swapped to.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub swap: bool,
    /// Kernel names of the devices that are built on it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub used_by: Vec<String>,
}

/// A network card.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkCard {
    /// The kernel's name.
    pub name: String,
    /// Its hardware address.
    #[serde(default)]
    pub address: Option<String>,
    /// The driver's name.
    #[serde(default)]
    pub driver: Option<String>,
}

impl Inventory {
    /// Looks at a machine.
    pub fn of(system: &System, machine: &str) -> io::Result<Inventory> {
        let mounts = system.mounts()?;
        let swaps: Vec<String> = system.swaps().iter().map(|path| path.to_string_lossy().into_owned()).collect();
        let known = Known { mounts, swaps };
        let boot = if system.boot_mode() == BootMode::Efi { "efi" } else { "bios" };
        let card =
            |card: hardware::NetworkCard| NetworkCard { name: card.name, address: card.address, driver: card.driver };
        Ok(Inventory {
            machine: machine.into(),
            product: system.product(),
            memory: system.memory(),
            boot: boot.into(),
            disks: system.devices()?.into_iter().map(|device| known.disk(device)).collect(),
            network: system.network_cards().into_iter().map(card).collect(),
        })
    }

    /// The disk of that name or path.
    pub fn disk(&self, name: &str) -> Option<&Disk> {
        self.disks.iter().find(|disk| disk.name == name || disk.path == name)
    }
}

impl Disk {
    /// Everything that is mounted from the disk or a partition of it.
    pub fn mounted(&self) -> Vec<&str> {
        let partitions = self.partitions.iter().flat_map(|partition| &partition.content.mounted);
        self.content.mounted.iter().chain(partitions).map(String::as_str).collect()
    }

    /// Kernel names of what is built on it, and `swap` if it is swapped to.
    pub fn users(&self) -> Vec<&str> {
        let contents = std::iter::once(&self.content).chain(self.partitions.iter().map(|partition| &partition.content));
        contents
            .flat_map(|content| content.used_by.iter().map(String::as_str).chain(content.swap.then_some("swap")))
            .collect()
    }
}

/// What is known about the use of devices.
struct Known {
    mounts: Vec<Mount>,
    swaps: Vec<String>,
}

impl Known {
    fn disk(&self, device: Device) -> Disk {
        let partition = |partition: hardware::Partition| Partition {
            content: self.content(&partition.name, partition.number, partition.content, partition.holders),
            name: partition.name,
            number: partition.number_on_disk,
            start: partition.start,
            size: partition.size,
        };
        let mapper = device.mapper_name.as_ref().map(|name| format!("/dev/mapper/{name}"));
        let path = mapper.unwrap_or_else(|| format!("/dev/{}", device.name.replace('!', "/")));
        Disk {
            path,
            kind: kind(device.kind).into(),
            size: device.size,
            model: device.model,
            serial: device.serial,
            wwn: device.wwn,
            logical_sector: device.logical_sector,
            physical_sector: device.physical_sector,
            rotational: device.rotational,
            removable: device.removable,
            read_only: device.read_only,
            built_on: device.slaves,
            backing_file: device.backing_file.map(|path| path.to_string_lossy().into_owned()),
            content: self.content(&device.name, device.number, device.content, device.holders),
            partitions: device.partitions.into_iter().map(partition).collect(),
            name: device.name,
        }
    }

    fn content(&self, name: &str, number: DeviceNumber, seen: hardware::Content, holders: Vec<String>) -> Content {
        let path = format!("/dev/{name}");
        let is_of_it = |mount: &&Mount| mount.device == number || mount.source == *path;
        let mounts: Vec<&Mount> = self.mounts.iter().filter(is_of_it).collect();
        Content {
            file_system: seen.kind.or_else(|| mounts.first().map(|mount| mount.kind.clone())),
            label: seen.label,
            uuid: seen.uuid,
            mounted: mounts.iter().map(|mount| mount.mount_point.to_string_lossy().into_owned()).collect(),
            swap: self.swaps.contains(&path),
            used_by: holders,
        }
    }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Disk => "disk",
        Kind::Loop => "loop",
        Kind::Mapper => "mapper",
        Kind::Raid => "raid",
        Kind::Optical => "optical",
        Kind::Memory => "memory",
    }
}

/// Kernel names of all disks that a path lies on, through volumes, arrays and files that look like disks. Empty where that
/// cannot be told: a network's file system, for one.
pub fn disks_below(system: &System, path: &Path) -> io::Result<Vec<String>> {
    let (devices, mounts) = (system.devices()?, system.mounts()?);
    let mut found = Vec::new();
    let mut next = of_path(&devices, &mounts, path).into_iter().collect::<Vec<_>>();
    while let Some(device) = next.pop() {
        if found.contains(&device.name) {
            continue;
        }
        found.push(device.name.clone());
        let slaves = device.slaves.iter().filter_map(|name| named(&devices, name));
        next.extend(slaves);
        next.extend(device.backing_file.as_deref().and_then(|file| of_path(&devices, &mounts, file)));
    }
    Ok(found)
}

/// The device that a path lies on.
fn of_path<'d>(devices: &'d [Device], mounts: &[Mount], path: &Path) -> Option<&'d Device> {
    let number = hardware::number_below(path).ok()?;
    let of_number = |number: DeviceNumber| {
        devices.iter().find(|device| {
            device.number == number || device.partitions.iter().any(|partition| partition.number == number)
        })
    };
    of_number(number).or_else(|| {
        // btrfs has numbers of its own, and others for its subvolumes that no mount has; the mount's source tells the device.
        let mount = mounts.iter().find(|mount| mount.device == number).or_else(|| mount_above(mounts, path))?;
        of_number(DeviceNumber::of(Path::new(&mount.source)).ok()?)
    })
}

/// The mount that a path lies in.
fn mount_above<'m>(mounts: &'m [Mount], path: &Path) -> Option<&'m Mount> {
    let path = path.canonicalize().ok()?;
    let depth = |mount: &&Mount| mount.mount_point.components().count();
    // Of two in one place, the later hides the earlier.
    mounts.iter().filter(|mount| path.starts_with(&mount.mount_point)).max_by_key(depth)
}

/// The device of that kernel name, or the disk of which it is a partition.
fn named<'d>(devices: &'d [Device], name: &str) -> Option<&'d Device> {
    devices
        .iter()
        .find(|device| device.name == name || device.partitions.iter().any(|partition| partition.name == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_an_inventory_that_reads_back() {
        let inventory = Inventory::of(&System::this(), "here").unwrap();
        assert!(inventory.boot == "efi" || inventory.boot == "bios");
        let json = serde_json::to_vec(&inventory).unwrap();
        assert_eq!(serde_json::from_slice::<Inventory>(&json).unwrap(), inventory);
    }

    #[test]
    fn a_mounted_partition_shows_where_and_what_is_built_on_it() {
        let room = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("sys/block/sda/dev", "8:0"),
            ("sys/block/sda/size", "4096"),
            ("sys/block/sda/sda1/partition", "1"),
            ("sys/block/sda/sda1/dev", "8:1"),
            ("sys/block/sda/sda1/start", "8"),
            ("sys/block/sda/sda1/size", "8"),
            ("sys/block/sda/sda1/holders/dm-0/x", ""),
            ("sys/block/sda/sda2/partition", "2"),
            ("sys/block/sda/sda2/dev", "8:2"),
            ("sys/block/sda/sda2/start", "16"),
            ("sys/block/sda/sda2/size", "8"),
            ("proc/self/mountinfo", "36 35 8:1 / /mnt rw - ext4 /dev/sda1 rw\n"),
            ("proc/swaps", "Filename\n/dev/sda2 partition 1 0 -2\n"),
        ] {
            let path = room.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let inventory = Inventory::of(&System::below(room.path()), "shop").unwrap();
        let disk = inventory.disk("/dev/sda").unwrap();
        assert_eq!(disk.mounted(), ["/mnt"]);
        assert_eq!(disk.users(), ["dm-0", "swap"]);
        assert_eq!(disk.partitions[0].content.file_system.as_deref(), Some("ext4"));
        assert_eq!(inventory.boot, "bios");
    }
}
