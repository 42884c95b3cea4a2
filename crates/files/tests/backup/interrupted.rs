//! Backups that are stopped or killed, and what the next run needs to do.

use std::fs;
use std::time::Duration;

use files::backup::{BackupError, CheckpointPolicy};

use crate::files;
use crate::world::World;

fn work(world: &World) {
    for folder in ["a", "b", "c"] {
        fs::create_dir(world.work().join(folder)).unwrap();
        for number in 0..20 {
            let path = world.work().join(folder).join(format!("{folder}{number:02}"));
            fs::write(&path, testkit::sample::random_bytes(number, 300_000 + number as usize)).unwrap();
        }
    }
}

/// One thread, so that what was done is known.
fn options(world: &World) -> files::backup::BackupOptions {
    let mut options = world.options();
    options.read_concurrency = Some(1);
    options.checkpoints = Some(CheckpointPolicy { every: Duration::from_secs(3600), bytes: u64::MAX });
    options
}

#[test]
fn a_stopped_backup_goes_on_where_it_was() {
    let mut world = World::new();
    work(&world);
    let stop_at = options(&world);
    let cancel = stop_at.cancel.clone();
    *world.watched.before_reading.lock() = Some(Box::new(move |name| {
        if name == "b10" {
            cancel.cancel();
            // The one who watches looks ten times a second.
            std::thread::sleep(Duration::from_millis(400));
        }
    }));
    let path = world.work().to_str().unwrap().as_bytes().to_vec();
    let stopped = world.backup_of(&[&path], stop_at).unwrap_err();
    let BackupError::Cancelled { checkpoint: Some(checkpoint) } = stopped else { panic!("{stopped:?}") };
    let read_before = world.watched.started.lock().len();
    assert!(read_before < 60, "{read_before} files were read");
    world.reopen();
    let partial = world.repo.read_snapshot(&checkpoint).unwrap();
    assert!(partial.is_partial());
    let second = world.backup_with(options(&world));
    let read_after = world.watched.started.lock().len();
    assert_eq!(read_before + read_after, 60, "each file is read once");
    assert_eq!(second.summary.files_unmodified as usize, read_before);
    assert_eq!((second.parent, second.summary.total_files_processed), (None, 60));
    let left = world.repo.snapshots().unwrap().all;
    assert_eq!(left.len(), 1, "the checkpoint is gone");
    assert_eq!(Some(left[0].0), second.snapshot);
    if let Some(mut restic) = world.restic() {
        assert!(restic.args(["check", "--read-data"]).status().unwrap().success());
    }
}

#[test]
fn a_stopped_rerun_keeps_what_the_parent_had() {
    let mut world = World::new();
    work(&world);
    let first = world.backup_with(options(&world));
    fs::write(world.work().join("a/a00"), "changed").unwrap();
    fs::write(world.work().join("a/a01"), "changed").unwrap();
    world.reopen();
    let stop_at = options(&world);
    let cancel = stop_at.cancel.clone();
    *world.watched.before_reading.lock() = Some(Box::new(move |name| {
        if name == "a01" {
            cancel.cancel();
            std::thread::sleep(Duration::from_millis(400));
        }
    }));
    let path = world.work().to_str().unwrap().as_bytes().to_vec();
    let stopped = world.backup_of(&[&path], stop_at).unwrap_err();
    assert!(matches!(stopped, BackupError::Cancelled { checkpoint: Some(_) }), "{stopped:?}");
    world.reopen();
    let last = world.backup_with(options(&world));
    assert!(world.watched.started.lock().len() <= 2, "{:?}", world.watched.started.lock());
    assert_eq!(last.parent, first.snapshot, "the checkpoint's own parent, as the checkpoint is removed");
    assert_eq!(last.summary.files_unmodified + last.summary.files_changed, 60);
    assert_eq!(world.content(&last, "a/a01"), b"changed");
}

#[test]
fn checkpoints_are_written_on_the_way_and_replace_each_other() {
    let world = World::new();
    work(&world);
    let mut often = options(&world);
    often.checkpoints = Some(CheckpointPolicy { every: Duration::ZERO, bytes: 1 });
    *world.watched.before_reading.lock() = Some(Box::new(|_| std::thread::sleep(Duration::from_millis(20))));
    let outcome = world.backup_with(often);
    let checkpoints = world.watched.checkpoints.lock().clone();
    assert!(checkpoints.len() >= 2, "{} checkpoints", checkpoints.len());
    let left = world.repo.snapshots().unwrap().all;
    assert_eq!(left.iter().map(|(id, _)| Some(*id)).collect::<Vec<_>>(), [outcome.snapshot]);
    assert_eq!(outcome.summary.files_new, 60);
    if let Some(mut restic) = world.restic() {
        assert!(restic.args(["check", "--read-data"]).status().unwrap().success());
    }
}

#[test]
fn a_stop_before_anything_is_stored_leaves_nothing() {
    let world = World::new();
    work(&world);
    let options = options(&world);
    options.cancel.cancel();
    *world.watched.before_reading.lock() = Some(Box::new(|_| std::thread::sleep(Duration::from_millis(5))));
    let stopped = world.backup_of(&[b"."], options).unwrap_err();
    assert!(matches!(stopped, BackupError::Cancelled { .. }), "{stopped:?}");
}
