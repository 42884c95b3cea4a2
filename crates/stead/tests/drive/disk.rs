//! A disk with a file system that is mounted and written all the time, and what a copy of it must be like.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::Duration;

use testkit::loop_device::succeeds;
use testkit::{LoopDevice, Mounted, Picture, sample};

const MIB: u64 = 1 << 20;

/// Bytes of the disk.
const SIZE: u64 = 320 * MIB;

/// What lies on it that nobody changes, and that nothing can make smaller.
const LARGE: usize = 192 << 20;

/// A disk in use.
pub(crate) struct Disk {
    stop: Arc<AtomicBool>,
    number: Arc<AtomicU64>,
    writer: Option<JoinHandle<()>>,
    mounted: Mounted,
    device: LoopDevice,
}

impl Disk {
    /// With a partition table, one ext4, some hundred files, and somebody who writes.
    pub(crate) fn new(room: &Path) -> Disk {
        let device = LoopDevice::create(&room.join("disk"), SIZE);
        succeeds("sgdisk", &[&format!("-n1:{}:0", MIB / 512), device.name()]);
        show_partition(&device);
        succeeds("mkfs.ext4", &["-q", &device.partition(1)]);
        let mounted = Mounted::new(&device.partition(1), &room.join("mounted"));
        let folder = mounted.folder();
        fs::write(folder.join("large"), sample::random_bytes(1, LARGE)).expect("a file");
        fs::create_dir(folder.join("papers")).expect("a folder");
        sample::office(&folder.join("papers"), 1, 150);
        let (stop, number) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let writer = std::thread::spawn({
            let (stop, number, folder) = (Arc::clone(&stop), Arc::clone(&number), folder.to_owned());
            move || write(&folder, &stop, &number)
        });
        Disk { stop, number, writer: Some(writer), mounted, device }
    }

    /// Such as `/dev/loop3`.
    pub(crate) fn name(&self) -> &str {
        self.device.name()
    }

    /// What it is called in an image.
    pub(crate) fn short_name(&self) -> &str {
        self.name().trim_start_matches("/dev/")
    }

    /// The last number that was written.
    pub(crate) fn number(&self) -> u64 {
        self.number.load(SeqCst)
    }

    /// Nobody writes any more; what lies on it.
    pub(crate) fn rests(&mut self) -> PathBuf {
        self.stop.store(true, SeqCst);
        if let Some(writer) = self.writer.take() {
            writer.join().expect("the writer never failed");
        }
        self.mounted.folder().to_owned()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        _ = self.writer.take().map(JoinHandle::join);
    }
}

/// By the ioctl: loop devices of this kernel need not read tables.
fn show_partition(device: &LoopDevice) {
    let disk = File::open(device.path()).expect("the disk");
    platform::add_partition(&disk, 1, MIB, SIZE - 2 * MIB).expect("a partition");
}

/// A number into two files, one after the other, and a letter, until it is enough.
fn write(folder: &Path, stop: &AtomicBool, number: &AtomicU64) {
    let put = |name: &str, step: u64| {
        let file = File::options().create(true).truncate(false).write(true).open(folder.join(name)).expect("a file");
        file.write_all_at(format!("{step:020}").as_bytes(), 0).expect("written");
        file.sync_data().expect("synced");
    };
    for step in 1.. {
        put("one", step);
        put("two", step);
        number.store(step, SeqCst);
        fs::write(folder.join(format!("letter-{}", step % 20)), step.to_le_bytes().repeat(500)).expect("a file");
        if stop.load(SeqCst) {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// An image that was restored is sound, of one moment between these two numbers, and has all that nobody changed.
pub(crate) fn is_as_it_was(image: &Path, mounted: &Path, numbers: (u64, u64), original: &Path) {
    let device = LoopDevice::attach(image);
    succeeds("sgdisk", &["--verify", device.name()]);
    show_partition(&device);
    // It was frozen whole: its journal is empty, and there is nothing to repair.
    succeeds("e2fsck", &["-fn", &device.partition(1)]);
    let copy = Mounted::with(&device.partition(1), mounted, &["-oro,noload"]);
    let read = |name: &str| -> u64 {
        fs::read_to_string(copy.folder().join(name)).expect("a number").parse().expect("digits")
    };
    let (one, two) = (read("one"), read("two"));
    assert!(one == two || one == two + 1, "one is {one}, two is {two}");
    assert!((numbers.0..=numbers.1 + 1).contains(&one), "{one} is not in {numbers:?}");
    assert!(fs::read(copy.folder().join("large")).expect("content") == sample::random_bytes(1, LARGE));
    Picture::of(&original.join("papers")).assert_same(&Picture::of(&copy.folder().join("papers")));
}
