//! Gate 1 of the issue: whole disks, written while they are captured, and looked at afterwards.

use std::time::Duration;

use stead_disks::capture::{CaptureOptions, Consistency, Outcome, Start, View};
use testkit::loop_device::is_root_or_skip;

use crate::writer::Writer;
use crate::{FileSink, LiveDisk, knows, run, tracked};

fn rounds() -> u32 {
    std::env::var("STEAD_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3)
}

/// What gate 1 wants to see.
pub(crate) fn print(what: &str, outcome: &Outcome) {
    let passes: Vec<u64> = outcome.passes.iter().map(|pass| pass.bytes >> 20).collect();
    eprintln!(
        "{what}: frozen {:.1} ms, passes {passes:?} MiB, re-read {} MiB, {} freezes in vain, {} full compares",
        outcome.frozen_for.unwrap_or_default().as_secs_f64() * 1000.0,
        outcome.reread_bytes >> 20,
        outcome.failed_freezes,
        outcome.full_compares,
    );
    for check in &outcome.disagreements {
        eprintln!("{what}: {check:?}");
    }
}

/// Options for a machine that has other things to do.
pub(crate) fn patient() -> CaptureOptions {
    CaptureOptions { freeze_budget: Duration::from_secs(4), ..CaptureOptions::default() }
}

fn captured_while_written(kind: &'static str) {
    if !is_root_or_skip() {
        return;
    }
    for round in 1..=rounds() {
        let disk = LiveDisk::new(kind, 448 << 20);
        let writer = Writer::start(&disk.main());
        std::thread::sleep(Duration::from_millis(500));
        let tracker = tracked(disk.device());
        let sink = FileSink::create(&disk.image(), disk.size());
        let before = writer.sequence();
        let outcome = run(disk.device(), View::Tracked(&tracker), Start::Everything, &sink, patient()).unwrap();
        let after = writer.sequence();
        drop(writer);
        drop(tracker);
        print(&format!("{kind} round {round}"), &outcome);
        assert_eq!(outcome.consistency, Consistency::Frozen);
        assert!(outcome.is_complete() && outcome.passes.len() >= 2);
        assert!(outcome.disks[0].cross_check.unwrap().agrees());
        assert_eq!(
            outcome.incapable.len(),
            usize::from(knows("vfat")),
            "FAT cannot be frozen: {:?}",
            outcome.incapable
        );
        is_of_one_instant(disk.becomes_its_image(), before..=after + 1);
    }
}

/// The writer's files are of one instant, and the filesystem is sound.
pub(crate) fn is_of_one_instant(disk: LiveDisk, expected: std::ops::RangeInclusive<u64>) {
    crate::writer::is_of_one_instant(&disk.main(), expected);
    disk.proves_sound();
}

#[test]
fn ext4_is_captured_while_it_is_written() {
    captured_while_written("ext4");
}

#[test]
fn xfs_is_captured_while_it_is_written() {
    captured_while_written("xfs");
}

#[test]
fn btrfs_is_captured_while_it_is_written() {
    captured_while_written("btrfs");
}

#[test]
fn lost_events_are_noticed_and_the_image_is_right_nevertheless() {
    if !is_root_or_skip() {
        return;
    }
    let disk = LiveDisk::new("ext4", 256 << 20);
    let writer = Writer::start(&disk.main());
    let tracker = tracked(disk.device());
    let sink = FileSink::create(&disk.image(), disk.size()).slow(Duration::from_millis(10));
    let before = writer.sequence();
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(200));
            tracker.lose_events();
            let begin = writer.sequence();
            while writer.sequence() < begin + 5 {
                std::thread::sleep(Duration::from_millis(10));
            }
            tracker.see_events().unwrap();
        });
        run(disk.device(), View::Tracked(&tracker), Start::Everything, &sink, patient()).unwrap()
    });
    let after = writer.sequence();
    drop(writer);
    print("ext4 with lost events", &outcome);
    assert!(outcome.full_compares >= 1, "noticed");
    assert_eq!(outcome.consistency, Consistency::Frozen);
    assert!(outcome.disks[0].cross_check.unwrap().agrees());
    is_of_one_instant(disk.becomes_its_image(), before..=after + 1);
}

#[test]
fn a_tracker_that_loses_events_for_good_makes_no_image() {
    if !is_root_or_skip() {
        return;
    }
    let disk = LiveDisk::new("ext4", 128 << 20);
    let writer = Writer::start(&disk.main());
    let tracker = tracked(disk.device());
    tracker.lose_events();
    let sink = FileSink::create(&disk.image(), disk.size());
    let error = run(disk.device(), View::Tracked(&tracker), Start::Everything, &sink, patient()).unwrap_err();
    drop(writer);
    let said = error.to_string();
    assert!(said.contains("we saw 0") && said.contains("tracker was taken away"), "{said}");
}
