//! Machines made of files, and this one.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

fn number(major: u32, minor: u32) -> DeviceNumber {
    DeviceNumber { major, minor }
}

/// A machine made of files.
struct Fake(tempfile::TempDir);

impl Fake {
    fn new(files: &[(&str, &str)]) -> Fake {
        let fake = Fake(tempfile::tempdir().unwrap());
        for (path, text) in files {
            let path = fake.0.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        fake
    }

    fn system(&self) -> System {
        System::below(self.0.path())
    }
}

#[test]
fn a_disk_tells_its_model_its_sectors_and_its_partitions() {
    let fake = Fake::new(&[
        ("sys/block/sda/dev", "8:0\n"),
        ("sys/block/sda/size", "2097152\n"),
        ("sys/block/sda/removable", "0\n"),
        ("sys/block/sda/queue/rotational", "1\n"),
        ("sys/block/sda/queue/logical_block_size", "512\n"),
        ("sys/block/sda/queue/physical_block_size", "4096\n"),
        ("sys/block/sda/device/vendor", "ATA     \n"),
        ("sys/block/sda/device/model", "Model X\n"),
        ("sys/block/sda/stat", "1 2 3 4 5 6 777 8 9\n"),
        ("sys/block/sda/sda10/partition", "10\n"),
        ("sys/block/sda/sda10/dev", "8:10\n"),
        ("sys/block/sda/sda10/start", "4096\n"),
        ("sys/block/sda/sda10/size", "8\n"),
        ("sys/block/sda/sda2/partition", "2\n"),
        ("sys/block/sda/sda2/dev", "8:2\n"),
        ("sys/block/sda/sda2/start", "2048\n"),
        ("sys/block/sda/sda2/size", "2048\n"),
        ("sys/block/sda/sda2/holders/dm-0/x", ""),
        ("sys/block/loop0/dev", "7:0\n"),
        ("sys/block/loop0/size", "0\n"),
        ("sys/block/broken/size", "8\n"),
        ("run/udev/data/b8:0", "S:disk/by-id/x\nE:ID_SERIAL_SHORT=S123\nE:ID_WWN=0x5000\n"),
        ("run/udev/data/b8:2", "E:ID_FS_TYPE=ext4\nE:ID_FS_LABEL=\nE:ID_FS_UUID=1-2\n"),
    ]);
    let devices = fake.system().devices().unwrap();
    let [disk] = &devices[..] else { panic!("{devices:?}") };
    assert_eq!((disk.size, disk.number, disk.kind), (1 << 30, number(8, 0), Kind::Disk));
    assert_eq!((disk.model.as_deref(), disk.serial.as_deref()), (Some("ATA Model X"), Some("S123")));
    assert_eq!((disk.logical_sector, disk.physical_sector, disk.rotational), (512, 4096, true));
    let names: Vec<&str> = disk.partitions.iter().map(|partition| partition.name.as_str()).collect();
    assert_eq!(names, ["sda2", "sda10"]);
    assert_eq!(disk.partitions[0].holders, ["dm-0"]);
    assert_eq!((disk.partitions[0].start, disk.partitions[0].size), (1 << 20, 1 << 20));
    let content = &disk.partitions[0].content;
    assert_eq!((content.kind.as_deref(), content.label.as_deref()), (Some("ext4"), None));
    assert_eq!(fake.system().device_of(number(8, 10)).unwrap().unwrap().name, "sda");
    assert_eq!(fake.system().device_of(number(8, 11)).unwrap(), None);
    assert_eq!(fake.system().sectors_written("sda"), Some(777));
}

#[test]
fn mounts_are_read_with_spaces_in_their_names() {
    let fake = Fake::new(&[
        (
            "proc/self/mountinfo",
            "36 35 8:2 / /mnt/a\\040b rw,noatime shared:1 - ext4 /dev/sda2 rw\nnonsense\n40 1 0:50 / / rw - btrfs /dev/sdb1 rw\n",
        ),
        ("proc/swaps", "Filename Type Size Used Priority\n/dev/sda3 partition 1 0 -2\n"),
    ]);
    let mounts = fake.system().mounts().unwrap();
    assert_eq!(mounts.len(), 2);
    assert_eq!((mounts[0].device, mounts[0].mount_point.as_path()), (number(8, 2), Path::new("/mnt/a b")));
    assert_eq!((mounts[1].kind.as_str(), mounts[1].source.to_str()), ("btrfs", Some("/dev/sdb1")));
    assert_eq!(fake.system().swaps(), [PathBuf::from("/dev/sda3")]);
}

#[test]
fn this_machine_has_mounts_and_a_boot() {
    let system = System::this();
    assert!(system.mounts().unwrap().iter().any(|mount| mount.mount_point == Path::new("/")));
    assert!(system.memory().is_some());
    system.devices().unwrap();
    number_below(Path::new("/")).unwrap();
}
