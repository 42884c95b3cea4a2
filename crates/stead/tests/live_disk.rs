//! Disks that are mounted and written while `stead disk backup` images them, and what comes back.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::Duration;

use testkit::bench::{refused, succeeded};
use testkit::loop_device::{forget_btrfs, is_root_or_skip, succeeds};
use testkit::{Bench, LoopDevice, Mounted, sample};

const MIB: u64 = 1 << 20;

/// Where the partition begins, and how much is behind it for the table's copy.
const BEGIN: u64 = MIB;

/// A disk with a partition table and one partition that is mounted, and a repository elsewhere.
struct Live {
    mounted: Option<Mounted>,
    device: Option<LoopDevice>,
    kind: &'static str,
    size: u64,
    bench: Bench,
}

impl Live {
    fn new(kind: &'static str, size: u64) -> Live {
        let bench = Bench::new(env!("CARGO_BIN_EXE_stead"));
        let device = LoopDevice::create(&bench.at("disk"), size);
        succeeds("sgdisk", &[&format!("-n1:{}:0", BEGIN / 512), device.name()]);
        show_partition(&device, size);
        let quiet = if kind == "ext4" { "-q" } else { "-fq" };
        succeeds(&format!("mkfs.{kind}"), &[quiet, &device.partition(1)]);
        let mounted = Some(Mounted::new(&device.partition(1), &bench.at("mounted")));
        Live { mounted, device: Some(device), kind, size, bench }
    }

    fn device(&self) -> &str {
        self.device.as_ref().expect("a device").name()
    }

    /// Takes the disk away and mounts the restored one in its place, having looked whether it is sound.
    fn becomes(&mut self, image: &Path) -> PathBuf {
        self.mounted = None;
        self.device = None;
        forget_btrfs();
        let device = LoopDevice::attach(image);
        succeeds("sgdisk", &["--verify", device.name()]);
        show_partition(&device, self.size);
        let partition = device.partition(1);
        match self.kind {
            "ext4" => drop(succeeds("e2fsck", &["-fn", &partition])),
            "btrfs" => drop(succeeds("btrfs", &["check", "--readonly", &partition])),
            // Its log is played when it is mounted.
            _ => {}
        }
        self.mounted = Some(Mounted::new(&partition, &self.bench.at("mounted")));
        self.device = Some(device);
        self.bench.at("mounted")
    }

    fn proves_sound(mut self) {
        self.mounted = None;
        let partition = self.device.as_ref().expect("a device").partition(1);
        match self.kind {
            "ext4" => succeeds("e2fsck", &["-fn", &partition]),
            "xfs" => succeeds("xfs_repair", &["-n", &partition]),
            _ => succeeds("btrfs", &["check", "--readonly", &partition]),
        };
    }
}

/// By the ioctl: loop devices of this kernel need not read tables.
fn show_partition(device: &LoopDevice, size: u64) {
    let disk = File::open(device.path()).expect("the disk");
    platform::add_partition(&disk, 1, BEGIN, size - BEGIN - MIB).expect("a partition");
}

/// Somebody who writes a number into two files, one after the other, and small files beside them.
struct Writer {
    stop: Arc<AtomicBool>,
    number: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    fn start(folder: &Path) -> Writer {
        let (stop, number) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (its_stop, its_number, folder) = (Arc::clone(&stop), Arc::clone(&number), folder.to_owned());
        let thread = std::thread::spawn(move || {
            for step in 1.. {
                write_number(&folder.join("one"), step);
                write_number(&folder.join("two"), step);
                its_number.store(step, SeqCst);
                write_small(&folder, step);
                if its_stop.load(SeqCst) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        while number.load(SeqCst) == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        Writer { stop, number, thread: Some(thread) }
    }

    fn number(&self) -> u64 {
        self.number.load(SeqCst)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || ended.is_some_and(|ended| ended.is_ok()), "the writer failed");
    }
}

fn write_number(path: &Path, number: u64) {
    let file = File::options().create(true).truncate(false).write(true).open(path).expect("a file");
    file.write_all_at(format!("{number:020}").as_bytes(), 0).expect("written");
    file.sync_data().expect("synced");
}

fn write_small(folder: &Path, step: u64) {
    let name = |step: u64| folder.join(format!("small-{step}"));
    let file = File::create(folder.join("temporary")).expect("a file");
    file.write_all_at(&step.to_le_bytes().repeat(1000), 0).expect("written");
    if step.is_multiple_of(4) {
        file.sync_all().expect("synced");
    }
    fs::rename(folder.join("temporary"), name(step)).expect("renamed");
    if step > 50 {
        fs::remove_file(name(step - 50)).expect("removed");
    }
}

fn number(path: &Path) -> u64 {
    fs::read_to_string(path).expect("a number").parse().expect("digits")
}

/// Every whole small file is as it was written.
fn small_files_are_right(folder: &Path) {
    let mut count = 0;
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry")) {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(step) = name.strip_prefix("small-") else { continue };
        let step: u64 = step.parse().expect("a number");
        assert!(fs::read(entry.path()).expect("content") == step.to_le_bytes().repeat(1000), "{name}");
        count += 1;
    }
    assert!(count > 0, "no small files");
}

#[expect(clippy::print_stdout, reason = "the figures belong into the test run's output")]
fn imaged_while_written(kind: &'static str, size: u64) {
    if !is_root_or_skip() {
        return;
    }
    let mut live = Live::new(kind, size);
    let folder = live.bench.at("mounted");
    fs::write(folder.join("large"), sample::random_bytes(1, 48 * MIB as usize)).expect("a file");
    let writer = Writer::start(&folder);
    let before = writer.number();
    let device = live.device().to_owned();
    let summary = live.bench.summary(&["disk", "backup", &device, "--name", "server"]);
    let after = writer.number();
    // Nothing stands still any more, and nothing is left in the kernel.
    let begin = writer.number();
    while writer.number() < begin + 3 {
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(writer);
    assert!(tracked(&device).is_empty(), "{:?}", tracked(&device));
    println!("{kind}: {} in use, {}", summary["bytes_in_use"], summary["capture"]);
    assert_eq!((&summary["state"], &summary["capture"]["provider"]), (&"complete".into(), &"tracker".into()));
    assert_eq!(summary["capture"]["consistency"], "frozen");
    assert!(summary["capture"]["freeze_ms"].as_u64().expect("a time") <= 2000);
    assert_eq!(summary["capture"]["cross_check"]["ours"], summary["capture"]["cross_check"]["kernel"]);
    assert!(summary["bytes_in_use"].as_u64().expect("bytes") < size / 2, "free space is left out");

    let back = live.bench.at("back");
    live.bench.says(&["disk", "restore", "latest:server", back.to_str().expect("UTF-8"), "--verify"]);
    let folder = live.becomes(&back);
    let (one, two) = (number(&folder.join("one")), number(&folder.join("two")));
    assert!(one == two || one == two + 1, "one is {one}, two is {two}");
    assert!((before..=after + 1).contains(&one), "{one} is not in {before}..={after}");
    assert!(fs::read(folder.join("large")).expect("content") == sample::random_bytes(1, 48 * MIB as usize));
    small_files_are_right(&folder);
    live.proves_sound();
}

/// What still tracks a disk.
fn tracked(device: &str) -> Vec<disks::tracker::Watched> {
    let name = device.trim_start_matches("/dev/");
    let all = disks::tracker::watched().expect("a list");
    all.into_iter().filter(|watched| watched.disk.as_deref() == Some(name)).collect()
}

#[test]
fn an_ext4_disk_is_imaged_while_it_is_written() {
    imaged_while_written("ext4", 256 * MIB);
}

#[test]
fn an_xfs_disk_is_imaged_while_it_is_written() {
    imaged_while_written("xfs", 400 * MIB);
}

#[test]
fn a_btrfs_disk_is_imaged_while_it_is_written() {
    imaged_while_written("btrfs", 400 * MIB);
}

#[test]
fn the_second_image_of_a_mounted_disk_stores_little_and_hooks_surround_the_freeze() {
    if !is_root_or_skip() {
        return;
    }
    let live = Live::new("ext4", 256 * MIB);
    let folder = live.bench.at("mounted");
    fs::write(folder.join("large"), sample::random_bytes(1, 32 * MIB as usize)).expect("a file");
    let device = live.device().to_owned();
    live.bench.says(&["disk", "backup", &device]);
    fs::write(folder.join("little"), "changed").expect("a file");
    let log = live.bench.at("hooks");
    let (before, after) = (format!("echo before >> {}", log.display()), format!("echo after >> {}", log.display()));
    let hooks = ["--hook-before", &before, "--hook-after", &after];
    let second = live.bench.summary(&[&["disk", "backup", &device][..], &hooks].concat());
    let added = second["data_added"].as_u64().expect("bytes");
    assert!(added < 16 * MIB, "{added} bytes");
    assert_eq!(fs::read_to_string(&log).expect("a log"), "before\nafter\n");

    let said = live.bench.refuses(&["disk", "backup", &device, "--hook-before", "exit 7"]);
    assert!(said.contains("hook") && said.contains('7'), "{said}");
    assert!(tracked(&device).is_empty());
    let partition = format!("{device}p1");
    let part = live.bench.summary(&["disk", "backup", &partition, "--name", "part"]);
    assert_eq!(part["capture"]["provider"], "tracker");
}

#[test]
fn the_disk_that_holds_the_repository_is_refused() {
    if !is_root_or_skip() {
        return;
    }
    // btrfs has device numbers that no mount has.
    for kind in ["ext4", "btrfs"] {
        a_disk_with_the_repository_on_it_is_refused(&Live::new(kind, 256 * MIB));
    }
}

fn a_disk_with_the_repository_on_it_is_refused(live: &Live) {
    let there = |words: &[&str]| live.bench.command_at("mounted/repository", words).output().expect("runs");
    succeeded(&there(&["init"]));
    let said = refused(&there(&["disk", "backup", live.device()]));
    assert!(said.contains("would contain itself"), "{said}");
    assert!(tracked(live.device()).is_empty());
}
