//! A repository, disks with a file system of each kind beside it, and a close look at what came back.

use std::fs;
use std::path::{Path, PathBuf};

use testkit::bench::as_str;
use testkit::loop_device::{forget_btrfs, is_root_or_skip, succeeds};
use testkit::{Bench, LoopDevice, Mounted, Peer, Picture, sample};

pub(crate) const MIB: u64 = 1 << 20;

/// Bytes of the disks that are imaged.
pub(crate) const SIZE: u64 = 512 * MIB;

/// File systems that change their size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fs {
    Ext4,
    Ntfs,
    Xfs,
    Btrfs,
}

impl Fs {
    fn tools(self) -> &'static [&'static str] {
        match self {
            Fs::Ext4 => &["mkfs.ext4", "e2fsck", "resize2fs"],
            Fs::Ntfs => &["mkfs.ntfs", "ntfsresize", "ntfs-3g"],
            Fs::Xfs => &["mkfs.xfs", "xfs_repair", "xfs_growfs"],
            Fs::Btrfs => &["mkfs.btrfs", "btrfs"],
        }
    }

    fn make(self, device: &str) {
        match self {
            Fs::Ext4 => succeeds("mkfs.ext4", &["-q", "-L", "office", device]),
            Fs::Ntfs => succeeds("mkfs.ntfs", &["-q", "-Q", "-F", "-L", "office", device]),
            Fs::Xfs => succeeds("mkfs.xfs", &["-q", "-f", "-L", "office", device]),
            Fs::Btrfs => succeeds("mkfs.btrfs", &["-q", "-f", "-L", "office", device]),
        };
    }

    pub(crate) fn mount(self, device: &str, folder: &Path) -> Mounted {
        match self {
            Fs::Ntfs => Mounted::with(device, folder, &["-t", "ntfs-3g"]),
            Fs::Xfs => Mounted::with(device, folder, &["-o", "nouuid"]),
            _ => Mounted::new(device, folder),
        }
    }

    /// Fails the test unless the system's own program finds nothing wrong.
    fn check(self, device: &str) {
        match self {
            Fs::Ext4 => succeeds("e2fsck", &["-f", "-n", device]),
            Fs::Ntfs => succeeds("ntfsresize", &["--info", "--force", "--no-progress-bar", device]),
            Fs::Xfs => succeeds("xfs_repair", &["-n", device]),
            Fs::Btrfs => succeeds("btrfs", &["check", "--readonly", device]),
        };
    }
}

/// An imaged disk: a small FAT, then the file system.
pub(crate) struct Imaged {
    pub(crate) fs: Fs,
    pub(crate) disk: PathBuf,
    picture: Picture,
}

/// A repository, and room for disks beside it; none if this is not for root, or programs are missing.
pub(crate) fn bench(tools: &[&str]) -> Option<Bench> {
    for tool in ["sgdisk", "sfdisk", "mkfs.vfat"].iter().chain(tools) {
        Peer::find(tool)?;
    }
    is_root_or_skip().then(|| Bench::new(env!("CARGO_BIN_EXE_stead")).before(forget_btrfs))
}

/// A disk of [`SIZE`] with files in every corner of its file system, imaged.
pub(crate) fn imaged(fs: Fs) -> Option<(Bench, Imaged)> {
    let bench = bench(fs.tools())?;
    let disk = bench.at("office.raw");
    let device = LoopDevice::create(&disk, SIZE);
    succeeds("sgdisk", &["-n1:2048:+16M", "-t1:ef00", "-n2:0:0", "-c2:office", device.name()]);
    device.show_partitions();
    succeeds("mkfs.vfat", &[&device.partition(1)]);
    fs.make(&device.partition(2));
    let mounted = fs.mount(&device.partition(2), &bench.at("office"));
    fill(mounted.folder(), SIZE / 2);
    let picture = picture(mounted.folder());
    drop(mounted);
    drop(device);
    bench.says(&["disk", "backup", as_str(&disk)]);
    Some((bench, Imaged { fs, disk, picture }))
}

/// The plan of a restore, for programs.
#[track_caller]
pub(crate) fn plan(bench: &Bench, words: &[&str]) -> serde_json::Value {
    let messages = bench.messages(&[&["disk", "restore", "latest"], words, &["--dry-run"]].concat());
    messages.into_iter().find(|message| message["message_type"] == "plan").expect("a plan")
}

/// No file system is left in scratch, and no loop device over anything of ours.
pub(crate) fn is_clean(bench: &Bench) {
    let left = fs::read_dir(bench.room()).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().contains("scratch")).collect();
    assert!(left.is_empty(), "{left:?}");
    let loops = succeeds("losetup", &["--list", "--noheadings", "--output", "BACK-FILE"]);
    assert!(!loops.contains(as_str(bench.room())), "{loops}");
}

impl Imaged {
    /// The file system and everything in it are right on that disk; returns its bytes.
    pub(crate) fn is_right_on(&self, bench: &Bench, disk: &Path) -> u64 {
        let device = LoopDevice::attach(disk);
        let verified = succeeds("sgdisk", &["--verify", device.name()]);
        assert!(verified.contains("No problems found"), "{verified}");
        device.show_partitions();
        forget_btrfs();
        self.fs.check(&device.partition(2));
        succeeds("fsck.fat", &["-n", &device.partition(1)]);
        let mounted = self.fs.mount(&device.partition(2), &bench.at("back"));
        self.picture.assert_same(&picture(mounted.folder()));
        let size = succeeds("df", &["--output=size", "-B1", as_str(mounted.folder())]);
        size.lines().last().and_then(|line| line.trim().parse().ok()).expect("a size")
    }
}

/// Directories of small files and some larger ones, some of them far from the beginning.
fn fill(folder: &Path, far: u64) {
    let filler = folder.join("filler");
    fs::write(&filler, vec![0x55; far as usize]).expect("a file");
    for number in 0..8u64 {
        let below = folder.join(format!("folder {number}"));
        fs::create_dir(&below).expect("a folder");
        for file in 0..20u64 {
            let content = sample::random_bytes(number * 100 + file, 700 * (file as usize + 1));
            fs::write(below.join(format!("file {file}")), content).expect("a file");
        }
        fs::write(below.join("large"), sample::random_bytes(number, 2 << 20)).expect("a file");
    }
    settle(folder);
    fs::remove_file(&filler).expect("removed");
}

/// A picture without the times of directories: resize2fs gives those that it moves the time of the move.
fn picture(folder: &Path) -> Picture {
    succeeds("find", &[as_str(folder), "-type", "d", "-exec", "touch", "-d", "@1000000000", "{}", "+"]);
    Picture::of(folder)
}

/// What was written gets its place only now.
fn settle(folder: &Path) {
    succeeds("sync", &["--file-system", as_str(folder)]);
}

/// A partition of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) uuid: String,
    pub(crate) start: u64,
    pub(crate) size: u64,
}

/// What `sfdisk` reads of a table, in bytes.
pub(crate) fn entries(disk: &Path) -> Vec<Entry> {
    let table: serde_json::Value = serde_json::from_str(&succeeds("sfdisk", &["--json", as_str(disk)])).expect("JSON");
    let list = table["partitiontable"]["partitions"].as_array().expect("partitions").clone();
    let sectors = |value: &serde_json::Value| value.as_u64().expect("a number") * 512;
    let entry = |part: &serde_json::Value| Entry {
        uuid: part["uuid"].as_str().unwrap_or_default().to_owned(),
        start: sectors(&part["start"]),
        size: sectors(&part["size"]),
    };
    list.iter().map(entry).collect()
}

pub(crate) fn uuids(disk: &Path) -> Vec<String> {
    entries(disk).into_iter().map(|entry| entry.uuid).collect()
}
