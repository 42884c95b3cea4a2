//! Captures that are killed at any moment: nothing stays frozen, and the tracker goes on where it was.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use stead_disks::capture::{CaptureOptions, Start, View};
use stead_disks::tracker::{stop_watching, watched};
use stead_disks::{Tracker, TrackerOptions};
use testkit::loop_device::is_root_or_skip;

use crate::live::{is_of_one_instant, patient, print};
use crate::writer::Writer;
use crate::{FileSink, LiveDisk, run};

/// Set in a process that is to capture that disk into that image, again and again.
const VICTIM: &str = "STEAD_TEST_CAPTURES";
const IMAGE: &str = "STEAD_TEST_IMAGE";

const BUDGET: Duration = Duration::from_secs(1);

/// Not a test by itself: what the other starts in a process of its own, and kills.
#[test]
fn a_capture_that_is_to_be_killed() {
    let (Some(device), Some(image)) = (std::env::var_os(VICTIM), std::env::var_os(IMAGE)) else { return };
    let device = Path::new(&device);
    let tracker = Tracker::open_or_start(device, TrackerOptions::default()).unwrap();
    let sink = FileSink::open(Path::new(&image));
    let options = CaptureOptions { freeze_budget: BUDGET, ..patient() };
    loop {
        let _ = crate::disk::run_at(device, View::Tracked(&tracker), Start::Everything, &sink, options.clone());
    }
}

fn kills() -> u64 {
    std::env::var("STEAD_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(6)
}

#[test]
fn a_capture_that_is_killed_leaves_nothing_frozen_and_the_next_one_is_right() {
    if !is_root_or_skip() {
        return;
    }
    let disk = LiveDisk::new("ext4", 96 << 20);
    let writer = Writer::start(&disk.main());
    drop(FileSink::create(&disk.image(), disk.size()));
    for kill in 0..kills() {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["kills::a_capture_that_is_to_be_killed", "--exact", "--nocapture"])
            .env(VICTIM, disk.device().path())
            .env(IMAGE, disk.image())
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(300 + kill * 137 % 800));
        child.kill().unwrap();
        child.wait().unwrap();
        let killed = Instant::now();
        let mut file = File::create(disk.main().join("after-kill")).unwrap();
        file.write_all(b"not frozen").unwrap();
        file.sync_all().unwrap();
        // The machine has other things to do, too.
        assert!(killed.elapsed() < BUDGET + Duration::from_secs(2), "{:?}", killed.elapsed());
    }
    let before = writer.sequence();
    let tracker = Tracker::open(disk.device().path()).unwrap().expect("it outlives those who were killed");
    let sink = FileSink::open(&disk.image());
    let outcome = run(disk.device(), View::Tracked(&tracker), Start::Everything, &sink, patient()).unwrap();
    let after = writer.sequence();
    tracker.stop().unwrap();
    drop(writer);
    print("ext4 after kills", &outcome);
    assert!(outcome.disks[0].cross_check.unwrap().agrees(), "counted through all deaths");
    let name = disk.device().name().trim_start_matches("/dev/").to_owned();
    let left = watched().unwrap().into_iter().find(|watched| watched.disk.as_ref() == Some(&name));
    if let Some(left) = left {
        stop_watching(&left.name).unwrap();
        panic!("left behind: {left:?}");
    }
    is_of_one_instant(disk.becomes_its_image(), before..=after + 1);
}
