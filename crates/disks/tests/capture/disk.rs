//! A disk with a partition table and mounted filesystems, and the file that its chunks go to.

use std::error::Error;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use repo::Cancel;
use stead_disks::capture::{CaptureError, CaptureOptions, Context, Outcome, Source, Start, UsedMap, View, capture};
use stead_disks::tracker::{Hold, Keep};
use stead_disks::{CHUNK, Extents, Sink, Tracker, TrackerOptions};
use tempfile::TempDir;
use testkit::loop_device::succeeds;
use testkit::{LoopDevice, Mounted};

const MIB: u64 = 1 << 20;
const ESP: (u64, u64) = (MIB, 40 * MIB);

/// Puts chunks where they belong in a file.
pub(crate) struct FileSink {
    file: File,
    delay: Duration,
}

impl FileSink {
    pub(crate) fn create(path: &Path, size: u64) -> FileSink {
        let file = File::create(path).unwrap();
        file.set_len(size).unwrap();
        FileSink { file, delay: Duration::ZERO }
    }

    /// Goes on with an image that is there.
    pub(crate) fn open(path: &Path) -> FileSink {
        FileSink { file: File::options().write(true).open(path).unwrap(), delay: Duration::ZERO }
    }

    /// As if it were far away.
    pub(crate) fn slow(self, delay: Duration) -> FileSink {
        FileSink { delay, ..self }
    }
}

impl Sink for FileSink {
    fn put(&self, number: u64, content: Vec<u8>) -> Result<(), Box<dyn Error + Send + Sync>> {
        std::thread::sleep(self.delay);
        Ok(self.file.write_all_at(&content, number * CHUNK)?)
    }
}

/// All bytes count as used.
pub(crate) fn everything(size: u64) -> UsedMap<'static> {
    Box::new(move || Ok(Extents::all(size)))
}

/// A disk with a GPT, an EFI system partition and a partition with a filesystem, both mounted.
pub(crate) struct LiveDisk {
    // Unmounted before the disk goes away.
    mounts: Vec<Mounted>,
    device: Option<LoopDevice>,
    kind: &'static str,
    size: u64,
    folder: TempDir,
}

impl LiveDisk {
    pub(crate) fn new(kind: &'static str, size: u64) -> LiveDisk {
        let folder = tempfile::tempdir().unwrap();
        let device = LoopDevice::create(&folder.path().join("disk"), size);
        let first = ESP.0 + ESP.1;
        let (esp, main) = (format!("-n1:{}:+40M", ESP.0 / 512), format!("-n2:{}:0", first / 512));
        succeeds("sgdisk", &[&esp, "-t1:ef00", &main, device.name()]);
        let disk = LiveDisk { mounts: Vec::new(), device: Some(device), kind, size, folder };
        let device = disk.device();
        disk.show_partitions(device);
        succeeds("mkfs.vfat", &["-F", "32", "-s", "1", &device.partition(1)]);
        let quiet = if kind == "btrfs" || kind == "xfs" { "-fq" } else { "-q" };
        succeeds(&format!("mkfs.{kind}"), &[quiet, &device.partition(2)]);
        disk.mounted()
    }

    fn mounted(mut self) -> LiveDisk {
        let device = self.device.as_ref().unwrap();
        let main = Mounted::new(&device.partition(2), &self.folder.path().join("main"));
        std::fs::create_dir_all(self.folder.path().join("main/boot")).unwrap();
        self.mounts = vec![main];
        if knows("vfat") {
            self.mounts.insert(0, Mounted::new(&device.partition(1), &self.folder.path().join("main/boot")));
        }
        self
    }

    /// By the ioctl: no parser of tables is needed in the kernel.
    fn show_partitions(&self, device: &LoopDevice) {
        let disk = File::open(device.path()).unwrap();
        let first = ESP.0 + ESP.1;
        platform::add_partition(&disk, 1, ESP.0, ESP.1).unwrap();
        platform::add_partition(&disk, 2, first, self.size - first - MIB).unwrap();
    }

    pub(crate) fn device(&self) -> &LoopDevice {
        self.device.as_ref().unwrap()
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Where the filesystem is mounted.
    pub(crate) fn main(&self) -> PathBuf {
        self.folder.path().join("main")
    }

    pub(crate) fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    pub(crate) fn unmount(&mut self) {
        self.mounts.clear();
    }

    /// Takes the disk away, shows the image in its place, and looks whether all its filesystems are as they should be.
    pub(crate) fn becomes_its_image(mut self) -> LiveDisk {
        self.unmount();
        self.device = None;
        let _ = std::process::Command::new("btrfs").args(["device", "scan", "--forget"]).output();
        let device = LoopDevice::attach(&self.image());
        succeeds("sgdisk", &["--verify", device.name()]);
        self.show_partitions(&device);
        succeeds("fsck.vfat", &["-n", &device.partition(1)]);
        match self.kind {
            "ext4" => succeeds("e2fsck", &["-fn", &device.partition(2)]),
            "btrfs" => succeeds("btrfs", &["check", "--readonly", &device.partition(2)]),
            _ => String::new(),
        };
        self.device = Some(device);
        let disk = self.mounted();
        assert!(disk.main().join("boot").is_dir());
        disk
    }

    /// XFS plays its log when it is mounted, and is looked at afterwards.
    pub(crate) fn proves_sound(mut self) {
        self.unmount();
        let partition = self.device().partition(2);
        match self.kind {
            "ext4" => succeeds("e2fsck", &["-fn", &partition]),
            "xfs" => succeeds("xfs_repair", &["-n", &partition]),
            _ => succeeds("btrfs", &["check", "--readonly", &partition]),
        };
    }
}

/// True if the kernel has that kind of filesystem.
pub(crate) fn knows(kind: &str) -> bool {
    std::fs::read_to_string("/proc/filesystems").unwrap().lines().any(|line| line.trim() == kind)
}

/// A tracker that is gone with its variable.
pub(crate) fn tracked(device: &LoopDevice) -> Tracker {
    Tracker::start(device.path(), TrackerOptions { keep: Keep::WhileOpen, hold: Hold::Best }).unwrap()
}

/// Captures one disk with everything in use.
pub(crate) fn run(
    device: &LoopDevice,
    view: View<'_>,
    start: Start,
    sink: &dyn Sink,
    options: CaptureOptions,
) -> Result<Outcome, CaptureError> {
    run_at(device.path(), view, start, sink, options)
}

/// As [`run`], by the disk's node.
pub(crate) fn run_at(
    device: &Path,
    view: View<'_>,
    start: Start,
    sink: &dyn Sink,
    options: CaptureOptions,
) -> Result<Outcome, CaptureError> {
    let size = platform::BlockDevice::at(device).unwrap().size().unwrap();
    let source = Source { device, view, start, used: everything(size), sink };
    let context = Context { options, hooks: &mut (), observer: &(), cancel: Cancel::default() };
    capture(vec![source], context)
}
