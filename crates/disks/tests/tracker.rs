//! The tracker on loop devices: every write is marked, nothing else, and neither death nor loss goes unnoticed.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use platform::direct::{AlignedBuffer, Claim, DirectFile, discard, zero_out};
use stead_disks::tracker::{Hold, Keep, TrackerError, stop_watching, watched};
use stead_disks::{Extents, Tracker, TrackerOptions};
use testkit::LoopDevice;
use testkit::loop_device::is_root_or_skip;

const UNIT: u64 = 64 << 10;
const A_WHILE: Duration = Duration::from_secs(5);

fn write(device: &Path, offset: u64, length: usize, byte: u8) {
    let file = DirectFile::open_for_writing(device, Claim::Shared).unwrap();
    let mut buffer = AlignedBuffer::new(length);
    buffer.fill(byte);
    file.write_at(offset, &buffer[..length]).unwrap();
}

fn units(numbers: impl IntoIterator<Item = u64>) -> Extents {
    numbers.into_iter().map(|number| number * UNIT..(number + 1) * UNIT).collect()
}

fn kernel_name(device: &LoopDevice) -> String {
    device.name().trim_start_matches("/dev/").to_owned()
}

#[test]
fn exactly_what_was_written_is_marked() {
    if !is_root_or_skip() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let device = LoopDevice::create(&folder.path().join("disk"), 300 << 20);
    let options = TrackerOptions { keep: Keep::WhileOpen, hold: Hold::Best };
    let tracker = Tracker::start(device.path(), options).unwrap();
    assert!(tracker.swap().is_empty());
    for number in [0, 7, 100, 4095, 4096, 4799] {
        write(device.path(), number * UNIT + 512, 512, 1);
    }
    write(device.path(), 20 * UNIT - 4096, 8192, 2);
    let expected = units([0, 7, 19, 20, 100, 4095, 4096, 4799]);
    assert_eq!(tracker.peek(), expected);
    assert_eq!(tracker.swap(), expected);
    assert!(tracker.swap().is_empty(), "reading is no writing");

    let file = File::options().write(true).open(device.path()).unwrap();
    discard(&file, 50 * UNIT..60 * UNIT).unwrap();
    zero_out(&file, 70 * UNIT..71 * UNIT).unwrap();
    assert_eq!(tracker.swap(), units((50..60).chain([70])));
    let check = tracker.check(A_WHILE);
    assert!(check.agrees() && check.ours > 0, "{check:?}");
    tracker.stop().unwrap();
}

#[test]
fn two_disks_are_tracked_at_once_and_a_partition_counts_from_the_disks_start() {
    if !is_root_or_skip() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let device = LoopDevice::create(&folder.path().join("one"), 64 << 20);
    let other = LoopDevice::create(&folder.path().join("two"), 64 << 20);
    let disk = File::options().write(true).open(device.path()).unwrap();
    platform::add_partition(&disk, 1, 16 << 20, 8 << 20).unwrap();
    let options = TrackerOptions { keep: Keep::WhileOpen, hold: Hold::Best };
    let tracker = Tracker::start(Path::new(&device.partition(1)), options).unwrap();
    let another = Tracker::start(other.path(), options).unwrap();
    write(Path::new(&device.partition(1)), 3 * UNIT, 4096, 1);
    write(other.path(), 9 * UNIT, 4096, 1);
    assert_eq!(tracker.swap(), units([(16 << 20) / UNIT + 3]));
    assert_eq!(another.swap(), units([9]));
    platform::delete_partition(&disk, 1).unwrap();
}

fn a_kept_tracker_outlives_who_started_it(hold: Hold) {
    if !is_root_or_skip() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let device = LoopDevice::create(&folder.path().join("disk"), 64 << 20);
    let tracker = Tracker::start(device.path(), TrackerOptions { keep: Keep::Pinned, hold }).unwrap();
    assert!(matches!(Tracker::open(device.path()), Err(TrackerError::InUse { .. })));
    write(device.path(), 5 * UNIT, 4096, 1);
    tracker.swap();
    tracker.rebase("image one", tracker.epoch()).unwrap();
    write(device.path(), 6 * UNIT, 4096, 1);
    tracker.swap();
    drop(tracker);
    write(device.path(), 7 * UNIT, 4096, 1);

    let name = kernel_name(&device);
    let found = watched().unwrap().into_iter().find(|watched| watched.disk.as_ref() == Some(&name)).unwrap();
    assert!(found.is_attached && found.used_by.is_none());
    assert_eq!((found.base.as_deref(), found.changed), (Some("image one"), 2 * UNIT));

    let again = Tracker::open(device.path()).unwrap().unwrap();
    assert_eq!(again.base().as_deref(), Some("image one"));
    assert_eq!(again.changed_after(0), units([6, 7]));
    let check = again.check(A_WHILE);
    assert!(check.agrees(), "{check:?}");
    again.stop().unwrap();
    assert!(Tracker::open(device.path()).unwrap().is_none());
    assert!(watched().unwrap().iter().all(|watched| watched.name != found.name));
}

#[test]
fn a_tracker_that_is_kept_by_a_link_outlives_who_started_it() {
    a_kept_tracker_outlives_who_started_it(Hold::Best);
}

#[test]
fn a_tracker_that_is_kept_by_a_process_outlives_who_started_it() {
    a_kept_tracker_outlives_who_started_it(Hold::Process);
}

#[test]
fn lost_events_are_noticed_by_the_kernels_own_count() {
    if !is_root_or_skip() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let device = LoopDevice::create(&folder.path().join("disk"), 64 << 20);
    let options = TrackerOptions { keep: Keep::WhileOpen, hold: Hold::Best };
    let tracker = Tracker::start(device.path(), options).unwrap();
    tracker.rebase("image", tracker.epoch()).unwrap();
    write(device.path(), 0, 4096, 1);
    assert!(tracker.check(A_WHILE).agrees());
    tracker.lose_events();
    assert!(!tracker.check(A_WHILE).agrees(), "detached");
    write(device.path(), UNIT, 4096, 1);
    tracker.see_events().unwrap();
    let check = tracker.check(A_WHILE);
    assert_eq!((check.agrees(), check.ours, check.kernel), (false, 8, Some(16)));
    assert!(tracker.begin_anew(A_WHILE));
    assert_eq!(tracker.base(), None, "what was lost is in no increment");
    write(device.path(), UNIT, 4096, 1);
    assert!(tracker.check(A_WHILE).agrees());
}

#[test]
fn the_tracker_of_a_disk_that_is_gone_is_not_taken_for_a_later_ones() {
    if !is_root_or_skip() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("disk");
    let device = LoopDevice::create(&file, 64 << 20);
    let name = kernel_name(&device);
    let ours = || watched().unwrap().into_iter().find(|watched| watched.disk.as_ref() == Some(&name));
    drop(Tracker::start(device.path(), TrackerOptions::default()).unwrap());
    assert!(ours().is_some());
    File::options().write(true).open(&file).unwrap().set_len(65 << 20).unwrap();
    testkit::loop_device::succeeds("losetup", &["--set-capacity", device.name()]);
    assert!(Tracker::open(device.path()).unwrap().is_none(), "it has another size");
    assert!(ours().is_none());

    drop(Tracker::start(device.path(), TrackerOptions::default()).unwrap());
    let found = ours().unwrap();
    drop(device);
    let gone = watched().unwrap().into_iter().find(|watched| watched.name == found.name).unwrap();
    assert_eq!(gone.disk, None);
    assert!(stop_watching(&gone.name).unwrap());
    assert!(!stop_watching(&gone.name).unwrap());
}

#[test]
fn a_request_that_is_too_long_to_be_marked_is_told() {
    if !is_root_or_skip() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let device = LoopDevice::create(&folder.path().join("disk"), 300 << 20);
    let options = TrackerOptions { keep: Keep::WhileOpen, hold: Hold::Best };
    let tracker = Tracker::start(device.path(), options).unwrap();
    let file = File::options().write(true).open(device.path()).unwrap();
    discard(&file, 0..200 << 20).unwrap();
    let (marked, check) = (tracker.swap(), tracker.check(A_WHILE));
    let is_complete = marked == Extents::from(0..200 << 20);
    assert!(is_complete != check.overflowed, "{} bytes marked, {check:?}", marked.bytes());
    assert_eq!(check.agrees(), is_complete);
}

#[test]
fn a_file_is_no_disk() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Tracker::start(file.path(), TrackerOptions::default()).unwrap_err();
    assert!(matches!(error, TrackerError::Disk(_)), "{error}");
}
