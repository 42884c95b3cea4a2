//! Disks and circumstances that are not as they should be: said clearly, nothing left frozen or behind.

use std::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use platform::direct::{AlignedBuffer, Claim, DirectFile};
use repo::Cancel;
use stead_disks::capture::{
    CaptureError, CaptureOptions, Consistency, Context, Hooks, Observer, Phase, Source, Start, Unreadable, View,
    capture,
};
use stead_disks::{CHUNK, Extents};
use testkit::LoopDevice;
use testkit::loop_device::{is_root_or_skip, succeeds};

use crate::live::{patient, print};
use crate::writer::Writer;
use crate::{FileSink, LiveDisk, everything, run, tracked};

const MIB: u64 = 1 << 20;

/// A disk of random bytes that nobody uses.
fn unused_disk(folder: &Path, size: u64) -> LoopDevice {
    let path = folder.join("disk");
    let mut random = vec![0; size as usize];
    std::io::Read::read_exact(&mut File::open("/dev/urandom").unwrap(), &mut random).unwrap();
    fs::write(&path, random).unwrap();
    LoopDevice::attach(&path)
}

#[test]
fn a_disk_that_nobody_uses_is_read_once_and_only_where_it_is_used() {
    if !is_root_or_skip() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let device = unused_disk(folder.path(), 20 * MIB + 512);
    let used = Extents::from_iter([0..1000, 3 * MIB + 5..3 * MIB + 9, 7 * MIB..9 * MIB, 20 * MIB - 1..20 * MIB + 512]);
    let image = folder.path().join("image");
    let sink = FileSink::create(&image, 20 * MIB + 512);
    let map = used.clone();
    let source = Source {
        device: device.path(),
        view: View::Offline,
        start: Start::Everything,
        used: Box::new(move || Ok(map.clone())),
        sink: &sink,
    };
    let context = Context { options: patient(), hooks: &mut (), observer: &(), cancel: Cancel::default() };
    let outcome = capture(vec![source], context).unwrap();
    assert_eq!((outcome.consistency, outcome.passes.len()), (Consistency::Offline, 1));
    assert!(outcome.passes[0].bytes < 3 * MIB);
    let (disk, image) = (fs::read(folder.path().join("disk")).unwrap(), fs::read(image).unwrap());
    let mut expected = vec![0; disk.len()];
    for range in used.iter() {
        let range = range.start as usize..range.end as usize;
        expected[range.clone()].copy_from_slice(&disk[range]);
    }
    assert!(expected == image);
}

#[test]
fn a_mounted_disk_is_not_read_as_if_it_were_not() {
    if !is_root_or_skip() {
        return;
    }
    let disk = LiveDisk::new("ext4", 128 << 20);
    let sink = FileSink::create(&disk.image(), disk.size());
    let offline = run(disk.device(), View::Offline, Start::Everything, &sink, patient());
    assert!(matches!(offline, Err(CaptureError::InUse { .. })));
    let careless = run(disk.device(), View::Inconsistent, Start::Everything, &sink, patient()).unwrap();
    assert_eq!(careless.consistency, Consistency::Inconsistent);
}

#[test]
fn a_disk_that_is_written_past_us_while_it_is_offline_is_noticed() {
    if !is_root_or_skip() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let device = unused_disk(folder.path(), 8 * MIB);
    let sink = FileSink::create(&folder.path().join("image"), 8 * MIB);
    let node = device.path().to_owned();
    let used = move || {
        let file = File::options().write(true).open(&node)?;
        file.write_all_at(b"somebody", 5 * MIB)?;
        file.sync_all()?;
        Ok(Extents::all(8 * MIB))
    };
    let source = Source {
        device: device.path(),
        view: View::Offline,
        start: Start::Everything,
        used: Box::new(used),
        sink: &sink,
    };
    let context = Context { options: patient(), hooks: &mut (), observer: &(), cancel: Cancel::default() };
    let error = capture(vec![source], context).unwrap_err();
    assert!(matches!(error, CaptureError::WrittenOffline { sectors: 8, .. }), "{error}");
}

/// A loop device answers reads beyond the end of its file with an error, as a disk does for bad sectors.
fn disk_with_bad_sectors(folder: &Path) -> LoopDevice {
    let device = unused_disk(folder, 8 * MIB);
    File::options().write(true).open(folder.join("disk")).unwrap().set_len(6 * MIB + 8192).unwrap();
    device
}

#[test]
fn bad_sectors_are_named_or_recorded_as_gaps() {
    if !is_root_or_skip() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let device = disk_with_bad_sectors(folder.path());
    let sink = FileSink::create(&folder.path().join("image"), 8 * MIB);
    let options = CaptureOptions { threads: 1, ..patient() };
    let error = run(&device, View::Offline, Start::Everything, &sink, options.clone()).unwrap_err();
    let first_bad = 6 * MIB + 8192;
    assert!(matches!(error, CaptureError::Unreadable { offset, .. } if offset == first_bad), "{error}");
    assert!(error.hint().unwrap().contains("--skip-unreadable"));

    let options = CaptureOptions { unreadable: Unreadable::Skip, ..options };
    let outcome = run(&device, View::Offline, Start::Everything, &sink, options).unwrap();
    assert_eq!(outcome.disks[0].gaps, Extents::from(first_bad..8 * MIB));
    assert!(!outcome.is_complete());
    let (disk, image) = (fs::read(folder.path().join("disk")).unwrap(), fs::read(folder.path().join("image")).unwrap());
    assert!(image[..first_bad as usize] == disk && image[first_bad as usize..].iter().all(|byte| *byte == 0));
}

#[test]
fn a_disk_that_shrinks_while_it_is_read_is_an_error_even_if_bad_sectors_are_skipped() {
    if !is_root_or_skip() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let device = unused_disk(folder.path(), 8 * MIB);
    let sink = FileSink::create(&folder.path().join("image"), 8 * MIB);
    let (path, name) = (folder.path().join("disk"), device.name().to_owned());
    let used = move || {
        File::options().write(true).open(&path)?.set_len(4 * MIB)?;
        succeeds("losetup", &["--set-capacity", &name]);
        Ok(Extents::all(8 * MIB))
    };
    let source = Source {
        device: device.path(),
        view: View::Inconsistent,
        start: Start::Everything,
        used: Box::new(used),
        sink: &sink,
    };
    let options = CaptureOptions { unreadable: Unreadable::Skip, ..patient() };
    let context = Context { options, hooks: &mut (), observer: &(), cancel: Cancel::default() };
    let error = capture(vec![source], context).unwrap_err();
    assert!(matches!(error, CaptureError::Resized { was, is, .. } if (was, is) == (8 * MIB, 4 * MIB)), "{error}");
}

#[test]
fn a_disk_that_is_written_faster_than_it_may_be_read_gets_a_clear_answer() {
    if !is_root_or_skip() {
        return;
    }
    let disk = LiveDisk::new("ext4", 128 << 20);
    let writer = Writer::start(&disk.main());
    let tracker = tracked(disk.device());
    let sink = FileSink::create(&disk.image(), disk.size());
    let options = CaptureOptions { memory: 2 * CHUNK, ..patient() };
    let error = run(disk.device(), View::Tracked(&tracker), Start::Everything, &sink, options).unwrap_err();
    drop(writer);
    let CaptureError::NotConverging(convergence) = &error else { panic!("{error}") };
    assert!(convergence.passes.len() >= 4 && convergence.left > 2 * CHUNK, "{convergence:?}");
    assert!(error.to_string().contains("written faster than it is read"), "{error}");
    assert!(error.hint().unwrap().contains("quieter time"));
}

/// Cancels in a phase.
struct CancelIn {
    phase: Phase,
    cancel: Cancel,
}

impl Observer for CancelIn {
    fn phase(&self, phase: Phase) {
        if phase == self.phase {
            self.cancel.cancel();
        }
    }
}

/// Counts its calls; fails if it is to.
#[derive(Default)]
struct Counting {
    before: u32,
    after: u32,
    fails: bool,
}

impl Hooks for Counting {
    fn before_freeze(&mut self) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.before += 1;
        if self.fails { Err("the database does not answer".into()) } else { Ok(()) }
    }

    fn after_thaw(&mut self) {
        self.after += 1;
    }
}

#[test]
fn a_capture_that_is_cancelled_or_whose_hook_fails_leaves_nothing_frozen() {
    if !is_root_or_skip() {
        return;
    }
    let disk = LiveDisk::new("ext4", 128 << 20);
    let tracker = tracked(disk.device());
    let sink = FileSink::create(&disk.image(), disk.size());
    for (phase, fails) in [(Phase::Reading, false), (Phase::Freezing, false), (Phase::Storing, true)] {
        let cancel = Cancel::default();
        let observer = CancelIn { phase, cancel: cancel.clone() };
        let mut hooks = Counting { fails, ..Counting::default() };
        let source = Source {
            device: disk.device().path(),
            view: View::Tracked(&tracker),
            start: Start::Everything,
            used: everything(disk.size()),
            sink: &sink,
        };
        let context = Context { options: patient(), hooks: &mut hooks, observer: &observer, cancel };
        let outcome = capture(vec![source], context);
        match outcome {
            Err(CaptureError::Hook(cause)) => assert!(fails, "{cause}"),
            Err(CaptureError::Cancelled) => assert!(!fails),
            // Nothing was left to read in the freeze, so nothing was left to cancel.
            Ok(outcome) => assert!(phase == Phase::Freezing && outcome.passes.last().unwrap().chunks == 0),
            Err(other) => panic!("{other}"),
        }
        assert_eq!(hooks.before, hooks.after);
        let mut file = File::create(disk.main().join("written")).unwrap();
        file.write_all(b"not frozen").unwrap();
        file.sync_all().unwrap();
    }
}

#[test]
fn two_disks_are_of_one_instant() {
    if !is_root_or_skip() {
        return;
    }
    let (one, two) = (LiveDisk::new("ext4", 128 << 20), LiveDisk::new("ext4", 128 << 20));
    let (first, second) = (one.main().join("number"), two.main().join("number"));
    let stop = std::sync::atomic::AtomicBool::new(false);
    let (tracker_one, tracker_two) = (tracked(one.device()), tracked(two.device()));
    let (sink_one, sink_two) = (FileSink::create(&one.image(), one.size()), FileSink::create(&two.image(), two.size()));
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 1_u64.. {
                for path in [&first, &second] {
                    let file = File::options().create(true).truncate(false).write(true).open(path).unwrap();
                    file.write_all_at(format!("{number:020}").as_bytes(), 0).unwrap();
                    file.sync_all().unwrap();
                }
                if stop.load(std::sync::atomic::Ordering::SeqCst) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let sources = vec![
            Source {
                device: one.device().path(),
                view: View::Tracked(&tracker_one),
                start: Start::Everything,
                used: everything(one.size()),
                sink: &sink_one,
            },
            Source {
                device: two.device().path(),
                view: View::Tracked(&tracker_two),
                start: Start::Everything,
                used: everything(two.size()),
                sink: &sink_two,
            },
        ];
        let context = Context { options: patient(), hooks: &mut (), observer: &(), cancel: Cancel::default() };
        let outcome = capture(sources, context);
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
        outcome.unwrap()
    });
    print("two disks", &outcome);
    let (one, two) = (one.becomes_its_image(), two.becomes_its_image());
    let number = |disk: &LiveDisk| crate::writer::number(&disk.main().join("number"));
    let (first, second) = (number(&one), number(&two));
    assert!(first == second || first == second + 1, "{first} and {second}");
}

#[test]
fn what_is_written_past_filesystems_is_read_until_it_stands_still_or_refused() {
    if !is_root_or_skip() {
        return;
    }
    for (writes, stands_still) in [(5, true), (u32::MAX, false)] {
        let disk = LiveDisk::new("ext4", 128 << 20);
        let tracker = tracked(disk.device());
        let sink = FileSink::create(&disk.image(), disk.size());
        let (partition, size) = (disk.device().partition(1), disk.size());
        let mut left = writes;
        // Whenever the map is asked for, which is after marks were taken: so each of these writes comes late.
        let used = move || {
            if left > 0 {
                left -= 1;
                let file = DirectFile::open_for_writing(Path::new(&partition), Claim::Shared)?;
                file.write_at(20 * MIB, &AlignedBuffer::new(4096))?;
            }
            Ok(Extents::all(size))
        };
        let source = Source {
            device: disk.device().path(),
            view: View::Tracked(&tracker),
            start: Start::Everything,
            used: Box::new(used),
            sink: &sink,
        };
        let context = Context { options: patient(), hooks: &mut (), observer: &(), cancel: Cancel::default() };
        match capture(vec![source], context) {
            Ok(outcome) => assert!(stands_still && outcome.consistency == Consistency::Frozen),
            Err(CaptureError::Restless { offset, .. }) => {
                assert!(!stands_still && offset / CHUNK == 21, "{offset}");
            }
            Err(other) => panic!("{other}"),
        }
        fs::write(disk.main().join("not frozen"), "").unwrap();
    }
}
