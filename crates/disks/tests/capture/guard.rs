//! Nothing stays frozen: not when the reader is killed, not when it is stopped.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use platform::BlockDevice;
use stead_disks::freezer::Freezer;
use testkit::loop_device::is_root_or_skip;

use crate::LiveDisk;

const BUDGET: Duration = Duration::from_millis(1500);

/// Set in a process that is to freeze that disk, and to hang.
const VICTIM: &str = "STEAD_TEST_FREEZES";

/// Not a test by itself: what the others start in a process of its own.
#[test]
fn a_reader_that_freezes_and_hangs() {
    let Some(device) = std::env::var_os(VICTIM) else { return };
    let disk = BlockDevice::at(Path::new(&device)).unwrap();
    let frozen = Freezer::of(&[disk]).unwrap().freeze(BUDGET).unwrap();
    eprintln!("frozen, watched by {}", frozen.guard_pid());
    std::thread::sleep(Duration::from_secs(60));
}

fn frozen_reader(disk: &LiveDisk) -> (Child, Instant) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["guard::a_reader_that_freezes_and_hangs", "--exact", "--nocapture"])
        .env(VICTIM, disk.device().path())
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let line = lines.next().unwrap().unwrap();
    assert!(line.starts_with("frozen"), "{line}");
    (child, Instant::now())
}

/// How long it takes until a write goes through.
fn write(disk: &LiveDisk) {
    let mut file = File::create(disk.main().join("written")).unwrap();
    file.write_all(b"at last").unwrap();
    file.sync_all().unwrap();
}

fn signal(child: &Child, name: &str) {
    testkit::loop_device::succeeds("kill", &[name, &child.id().to_string()]);
}

#[test]
fn filesystems_are_thawed_when_the_reader_is_killed() {
    if !is_root_or_skip() {
        return;
    }
    for kind in ["ext4", "xfs", "btrfs"] {
        let disk = LiveDisk::new(kind, 448 << 20);
        let (mut child, _) = frozen_reader(&disk);
        signal(&child, "-KILL");
        let killed = Instant::now();
        child.wait().unwrap();
        write(&disk);
        eprintln!("{kind}: written {:?} after the kill", killed.elapsed());
        assert!(killed.elapsed() < BUDGET, "{kind}: {:?}", killed.elapsed());
    }
}

#[test]
fn filesystems_are_thawed_when_the_reader_is_stopped() {
    if !is_root_or_skip() {
        return;
    }
    let disk = LiveDisk::new("ext4", 128 << 20);
    let (mut child, frozen) = frozen_reader(&disk);
    signal(&child, "-STOP");
    write(&disk);
    let waited = frozen.elapsed();
    eprintln!("written {waited:?} after the freeze");
    assert!(waited > BUDGET / 2 && waited < BUDGET * 2, "{waited:?}");
    signal(&child, "-KILL");
    child.wait().unwrap();
}

#[test]
fn whoever_was_thawed_by_the_guard_is_told() {
    if !is_root_or_skip() {
        return;
    }
    let disk = LiveDisk::new("ext4", 128 << 20);
    let device = BlockDevice::at(disk.device().path()).unwrap();
    let frozen = Freezer::of(std::slice::from_ref(&device)).unwrap().freeze(Duration::from_millis(100)).unwrap();
    write(&disk);
    let thawed = frozen.thaw();
    assert!(!thawed.was_whole, "{thawed:?}");
    let frozen = Freezer::of(&[device]).unwrap().freeze(BUDGET).unwrap();
    let thawed = frozen.thaw();
    assert!(thawed.was_whole, "{thawed:?}");
    write(&disk);
}

#[test]
fn what_is_frozen_already_is_left_alone_and_the_rest_is_thawed() {
    if !is_root_or_skip() {
        return;
    }
    let disk = LiveDisk::new("ext4", 128 << 20);
    let main = disk.main().to_str().unwrap().to_owned();
    testkit::loop_device::succeeds("fsfreeze", &["--freeze", &main]);
    let device = BlockDevice::at(disk.device().path()).unwrap();
    let error = Freezer::of(&[device]).unwrap().freeze(BUDGET).unwrap_err();
    assert!(error.to_string().contains("cannot freeze"), "{error}");
    testkit::loop_device::succeeds("fsfreeze", &["--unfreeze", &main]);
    write(&disk);
}
