//! Back from the repository into files.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use disks::Extents;
use disks::image::SnapshotSaved;
use disks::progress::{Phase, Progress};
use disks::restore::{Consent, Fit, Options, Report, RestoreError, Surroundings, Unused, execute, plan};
use repo::Cancel;

use crate::world::{World, alone, noise, wish};

fn restore(
    world: &World,
    saved: &SnapshotSaved,
    target: &Path,
    how: Options,
    consent: Consent,
    around: &Surroundings,
) -> Result<Report, RestoreError> {
    let images = world.open(saved);
    let plan = plan(&world.repo, &images, &wish(None, target, how), around)?;
    let progress = Progress::default();
    let report = execute(&world.repo, &images, &plan, &consent, around, &progress, &Cancel::default())?;
    assert_eq!(progress.reached().phase, Phase::Finished);
    Ok(report)
}

fn into_new(world: &World, saved: &SnapshotSaved, target: &Path, how: Options) -> Report {
    restore(world, saved, target, how, Consent::None, &alone()).unwrap()
}

const VERIFIED: Options = Options { delta: false, verify: true, unused: Unused::Zero };

#[test]
fn a_disk_comes_back_with_holes_where_nothing_was() {
    let (world, room) = (World::new(), tempfile::tempdir().unwrap());
    let disk = noise(1, (20 << 20) + 512);
    let used = Extents::from_iter([0..512, 7 << 20..9 << 20, 20 << 20..(20 << 20) + 512]);
    let saved = world.image(&disk, &used);
    let target = room.path().join("disk");
    let report = into_new(&world.again(), &saved, &target, VERIFIED);
    assert!(report.failures.is_empty());
    assert_eq!((report.written, report.zeros), ((3 << 20) + 512, 17 << 20));
    assert_eq!(report.verified, disk.len() as u64);
    let back = fs::read(&target).unwrap();
    assert_eq!(back.len(), disk.len());
    for (at, (is, was)) in back.iter().zip(&disk).enumerate() {
        let expected = if used.touches(at as u64..at as u64 + 1) { *was } else { 0 };
        assert!(*is == expected, "byte {at}");
    }
    assert!(fs::metadata(&target).unwrap().blocks() * 512 < 5 << 20, "there are holes");
}

#[test]
fn blobs_that_are_many_chunks_are_fetched_once_and_written_everywhere() {
    let (world, room) = (World::new(), tempfile::tempdir().unwrap());
    let one = noise(1, 1 << 20);
    let disk = one.repeat(12);
    let saved = world.image(&disk, &Extents::all(12 << 20));
    assert_eq!(saved.summary.data_blobs, 2, "one chunk and the manifest");
    let target = room.path().join("disk");
    assert_eq!(into_new(&world, &saved, &target, VERIFIED).written, 12 << 20);
    assert!(fs::read(&target).unwrap() == disk);
}

#[test]
fn something_that_is_there_needs_a_name_to_be_overwritten() {
    let (world, room) = (World::new(), tempfile::tempdir().unwrap());
    let disk = noise(1, 2 << 20);
    let saved = world.image(&disk, &Extents::all(2 << 20));
    let target = room.path().join("precious");
    fs::write(&target, b"precious").unwrap();
    let attempt = |consent| restore(&world, &saved, &target, VERIFIED, consent, &alone());
    let refused = attempt(Consent::None).unwrap_err();
    assert!(refused.to_string().contains("it is not empty"), "{refused}");
    let wrong = attempt(Consent::Overwrite("other".into())).unwrap_err();
    assert!(matches!(&wrong, RestoreError::WrongName { expected, .. } if expected == "precious"), "{wrong}");
    assert_eq!(fs::read(&target).unwrap(), b"precious");
    attempt(Consent::Overwrite("precious".into())).unwrap();
    assert!(fs::read(&target).unwrap() == disk);
}

#[test]
fn a_plan_is_not_executed_on_a_target_that_has_changed() {
    let (world, room) = (World::new(), tempfile::tempdir().unwrap());
    let saved = world.image(&noise(1, 2 << 20), &Extents::all(2 << 20));
    let (images, target, around) = (world.open(&saved), room.path().join("disk"), alone());
    let plan = plan(&world.repo, &images, &wish(Some("sda"), &target, VERIFIED), &around).unwrap();
    fs::write(&target, b"made meanwhile").unwrap();
    let cancel = Cancel::default();
    let done = execute(&world.repo, &images, &plan, &Consent::None, &around, &Progress::default(), &cancel);
    assert!(matches!(done, Err(RestoreError::Changed { .. })), "{done:?}");
    assert_eq!(fs::read(&target).unwrap(), b"made meanwhile");
}

#[test]
fn only_what_differs_is_written_and_zeros_become_zeros_again() {
    let (world, room) = (World::new(), tempfile::tempdir().unwrap());
    let disk = noise(1, 16 << 20);
    let used = Extents::from(0..8 << 20);
    let saved = world.image(&disk, &used);
    let target = room.path().join("disk");
    into_new(&world, &saved, &target, VERIFIED);
    let good = fs::read(&target).unwrap();
    let mut spoiled = good.clone();
    spoiled[3 << 20] ^= 1;
    spoiled[12 << 20] = 1;
    fs::write(&target, &spoiled).unwrap();
    let how = Options { delta: true, ..VERIFIED };
    let report = restore(&world, &saved, &target, how, Consent::Overwrite("disk".into()), &alone()).unwrap();
    assert_eq!((report.written, report.unchanged, report.zeros), (1 << 20, 7 << 20, 8 << 20));
    assert!(fs::read(&target).unwrap() == good);
}

#[test]
fn what_is_unused_may_stay_as_it_is() {
    let (world, room) = (World::new(), tempfile::tempdir().unwrap());
    let disk = noise(1, 4 << 20);
    let saved = world.image(&disk, &Extents::from(0..2 << 20));
    let target = room.path().join("disk");
    // Larger than the disk, so that it is not emptied.
    fs::write(&target, vec![9; 5 << 20]).unwrap();
    let how = Options { unused: Unused::Leave, ..VERIFIED };
    let report = restore(&world, &saved, &target, how, Consent::Overwrite("disk".into()), &alone()).unwrap();
    assert_eq!((report.written, report.left, report.verified), (2 << 20, 2 << 20, 2 << 20));
    let back = fs::read(&target).unwrap();
    assert!(back[..2 << 20] == disk[..2 << 20] && back[2 << 20..].iter().all(|byte| *byte == 9));
}

#[test]
fn a_larger_target_keeps_its_rest() {
    let (world, room) = (World::new(), tempfile::tempdir().unwrap());
    let disk = noise(1, 2 << 20);
    let saved = world.image(&disk, &Extents::all(1 << 20));
    let target = room.path().join("disk");
    fs::write(&target, vec![9; 3 << 20]).unwrap();
    let plan = plan(&world.repo, &world.open(&saved), &wish(None, &target, VERIFIED), &alone()).unwrap();
    assert_eq!(plan.fit, Fit::Larger { rest: 1 << 20 });
    restore(&world, &saved, &target, VERIFIED, Consent::Overwrite("disk".into()), &alone()).unwrap();
    let back = fs::read(&target).unwrap();
    assert!(back[..1 << 20] == disk[..1 << 20] && back[1 << 20..2 << 20].iter().all(|byte| *byte == 0));
    assert!(back.len() == 3 << 20 && back[2 << 20..].iter().all(|byte| *byte == 9));
}

#[test]
fn a_disk_that_is_not_there_is_named_with_those_that_are() {
    let (world, room) = (World::new(), tempfile::tempdir().unwrap());
    let saved = world.image(&noise(1, 1 << 20), &Extents::all(1 << 20));
    let error =
        plan(&world.repo, &world.open(&saved), &wish(Some("sdx"), &room.path().join("disk"), VERIFIED), &alone())
            .unwrap_err();
    assert!(error.to_string().ends_with("has no disk \"sdx\"; it has sda"), "{error}");
}
