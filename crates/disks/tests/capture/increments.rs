//! Images that continue from earlier ones, across the death of who made those.

use std::fs;

use stead_disks::capture::{Consistency, Start, View};
use stead_disks::{Tracker, TrackerOptions};
use testkit::loop_device::is_root_or_skip;

use crate::live::{patient, print};
use crate::{FileSink, LiveDisk, run};

#[test]
fn an_increment_reads_what_was_written_since() {
    if !is_root_or_skip() {
        return;
    }
    let disk = LiveDisk::new("ext4", 256 << 20);
    fs::write(disk.main().join("unchanged"), vec![5; 8 << 20]).unwrap();
    let sink = FileSink::create(&disk.image(), disk.size());
    let tracker = Tracker::start(disk.device().path(), TrackerOptions::default()).unwrap();
    let first = run(disk.device(), View::Tracked(&tracker), Start::Everything, &sink, patient()).unwrap();
    tracker.rebase("first image", first.disks[0].epoch.unwrap()).unwrap();
    let used = first.disks[0].used.clone();
    drop(tracker);

    fs::write(disk.main().join("changed"), vec![6; 3 << 20]).unwrap();
    let tracker = Tracker::open(disk.device().path()).unwrap().unwrap();
    assert_eq!(tracker.base().as_deref(), Some("first image"));
    stead_disks::freezer::Freezer::of(&[tracker.disk().clone()]).unwrap().sync().unwrap();
    let start = Start::Since { changed: tracker.changed_after(0), used };
    let sink = FileSink::open(&disk.image());
    let second = run(disk.device(), View::Tracked(&tracker), start, &sink, patient()).unwrap();
    tracker.stop().unwrap();
    print("increment", &second);
    assert_eq!(second.consistency, Consistency::Frozen);
    let read: u64 = second.passes.iter().map(|pass| pass.bytes).sum();
    assert!((3 << 20..40 << 20).contains(&read), "{read} bytes for 3 MiB");
    let image = disk.becomes_its_image();
    assert!(fs::read(image.main().join("changed")).unwrap() == vec![6; 3 << 20]);
    assert!(fs::read(image.main().join("unchanged")).unwrap() == vec![5; 8 << 20]);
    image.proves_sound();
}

#[test]
fn what_was_read_by_a_capture_that_failed_is_still_known_as_changed() {
    if !is_root_or_skip() {
        return;
    }
    let disk = LiveDisk::new("ext4", 128 << 20);
    let sink = FileSink::create(&disk.image(), disk.size());
    let tracker = Tracker::start(disk.device().path(), TrackerOptions::default()).unwrap();
    let first = run(disk.device(), View::Tracked(&tracker), Start::Everything, &sink, patient()).unwrap();
    tracker.rebase("first image", first.disks[0].epoch.unwrap()).unwrap();
    fs::write(disk.main().join("changed"), vec![6; 1 << 20]).unwrap();
    stead_disks::freezer::Freezer::of(&[tracker.disk().clone()]).unwrap().sync().unwrap();
    let changed = tracker.changed_after(0);
    tracker.swap();
    drop(tracker);
    let tracker = Tracker::open(disk.device().path()).unwrap().unwrap();
    let still = tracker.changed_after(0);
    assert!(changed.bytes() >= 1 << 20 && changed.iter().all(|range| still.covers(range)));
    tracker.stop().unwrap();
}
