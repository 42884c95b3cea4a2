//! Images that were cut off and go on.

use std::sync::Arc;

use backend::{Backend, FileKind, Id};
use disks::image::{Base, ImageWriter, SnapshotDetails};
use disks::manifest::{Disk, Manifest};
use disks::offline::{self, ReadError, Unreadable};
use disks::progress::Progress;
use disks::resume::{JobIdentity, JobNote, JobPlace};
use disks::session::{Changes, InMaking, Request, Session};
use disks::{Extents, ReadAt};
use repo::Cancel;

use crate::world::{World, alone, manifest, name, noise, read, wish};

const SIZE: u64 = 24 << 20;

/// Packs of three chunks that are full, at least, when fifteen chunks were put.
const FULL_PACKS: usize = 3;

/// The disk as a manifest describes it.
fn described(world: &World, used: &Extents) -> Disk {
    let image = disks::image::FinishedImage {
        name: name("sda"),
        size: SIZE,
        tree: *world.repo.id(),
        figures: Default::default(),
    };
    manifest(&image, used).disks.remove(0)
}

fn request(world: &World, used: &Extents, state: &std::path::Path, stamp: Option<&str>) -> Request<'static> {
    let (state, stamp) = (Some(state.to_owned()), stamp.map(str::to_owned));
    Request { disk: described(world, used), parent: None, state, stamp, changes: None, workers: 2 }
}

/// Leaves what a run leaves that is killed with some chunks read: its packs are stored, and no index file names them.
fn killed_after(world: &World, disk: &[u8], read_part: &Extents, state: &std::path::Path, stamp: Option<&str>) {
    let store = world.store();
    let writer = ImageWriter::new(&store, name("sda"), disk.size(), Base::Zeros, 2).unwrap();
    let identity = JobIdentity {
        repository: *world.repo.id(),
        disk: "sda".into(),
        device: "/dev/sda".into(),
        size: disk.size(),
        identity: Default::default(),
        parent: None,
    };
    let stamp = stamp.map(str::to_owned);
    let note = JobNote {
        identity: identity.clone(),
        job: uuid::Uuid::nil(),
        started: jiff::Timestamp::UNIX_EPOCH,
        stamp,
        epoch: 0,
    };
    let place = JobPlace::new(state, &identity);
    read(disk, read_part, &writer);
    writer.drain().unwrap();
    // What is in open packs is lost with the process. Two packs of data are open at a time and take three chunks each, so of
    // fifteen chunks at least nine are in packs that were full when the next chunk came.
    while store.stored_packs().len() < FULL_PACKS {
        std::thread::yield_now();
    }
    place.save(&note, &writer.state()).unwrap();
    place.save_packs(&store.stored_packs()).unwrap();
    assert!(world.memory.list(FileKind::Index).unwrap().is_empty());
}

struct Went {
    /// Bytes that were read in the second run.
    read: u64,
    resumed: u64,
    packs: u64,
    started: bool,
}

/// Runs the image to its end.
fn to_the_end(world: &World, disk: &[u8], request: Request<'_>, used: &Extents) -> (Went, Id) {
    let progress = Arc::new(Progress::default());
    let session = Session::begin(&world.repo, vec![request.clone()], &progress).unwrap();
    let resumed = session.disks()[0].resumed.clone();
    let mut missing = used.clone();
    resumed.done.iter().for_each(|range| missing.remove(range));
    let options = offline::Options { unreadable: Unreadable::Fail, threads: 2 };
    let cancel = Cancel::default();
    let read = |disks: &[InMaking]| offline::read(&disk, &missing, &disks[0].writer, options, &progress, &cancel);
    session.capture(&cancel, read).unwrap();
    let went = Went {
        read: missing.bytes(),
        resumed: resumed.done.bytes(),
        packs: resumed.packs,
        started: resumed.started.is_some(),
    };
    let saved = session
        .finish(Manifest::new("stead", "host", jiff::Timestamp::UNIX_EPOCH), vec![request.disk], &details())
        .unwrap();
    (went, saved.saved.id)
}

fn details() -> SnapshotDetails {
    SnapshotDetails {
        host: "host".into(),
        tags: Vec::new(),
        paths: vec!["/dev/sda".into()],
        time: jiff::Timestamp::UNIX_EPOCH.to_zoned(jiff::tz::TimeZone::UTC),
        program_version: "stead test".into(),
        parent: None,
    }
}

/// The snapshot restores as the disk was, zeros where nothing was in use.
fn restores_as(world: &World, snapshot: Id, disk: &[u8], used: &Extents) {
    let room = tempfile::tempdir().unwrap();
    let tree = world.repo.read_snapshot(&snapshot).unwrap().tree;
    let images = disks::image::StoredImages::open(&world.repo, snapshot, &tree).unwrap();
    let (target, around) = (room.path().join("disk"), alone());
    let plan = disks::restore::plan(&world.repo, &images, &wish(None, &target, Default::default()), &around).unwrap();
    let (progress, cancel) = (Progress::default(), Cancel::default());
    let consent = disks::restore::Consent::None;
    let report = disks::restore::execute(&world.repo, &images, &plan, &consent, &around, &progress, &cancel).unwrap();
    assert!(report.failures.is_empty());
    let mut expected = disk.to_vec();
    for range in used.complement(disk.size()).iter() {
        expected[range.start as usize..range.end as usize].fill(0);
    }
    assert!(std::fs::read(&target).unwrap() == expected);
}

#[test]
fn with_proof_that_nothing_changed_only_what_is_missing_is_read_and_sent() {
    let (world, room) = (World::new(), tempfile::tempdir().unwrap());
    let disk = noise(1, SIZE);
    let all = Extents::all(SIZE);
    killed_after(&world, &disk, &Extents::from(0..15 << 20), room.path(), Some("same"));
    let stored = world.stored();
    let again = world.again();
    let (went, snapshot) = to_the_end(&again, &disk, request(&again, &all, room.path(), Some("same")), &all);
    assert!(went.started && went.packs >= 2, "{} packs", went.packs);
    assert!(went.resumed >= 8 << 20, "{} bytes", went.resumed);
    assert_eq!(went.read + went.resumed, SIZE);
    assert!(world.stored() - stored <= went.read + (64 << 10), "nothing is sent twice");
    restores_as(&again, snapshot, &disk, &all);
    assert_eq!(std::fs::read_dir(room.path().join("disk")).unwrap().count(), 0, "the state is gone");
}

#[test]
fn without_proof_everything_is_read_and_only_what_is_missing_is_sent() {
    let (world, room) = (World::new(), tempfile::tempdir().unwrap());
    let mut disk = noise(1, SIZE);
    let all = Extents::all(SIZE);
    killed_after(&world, &disk, &Extents::from(0..15 << 20), room.path(), Some("tracker 1"));
    disk[2 << 20] ^= 1;
    let stored = world.stored();
    let again = world.again();
    let (went, snapshot) = to_the_end(&again, &disk, request(&again, &all, room.path(), None), &all);
    assert_eq!((went.read, went.resumed), (SIZE, 0));
    assert!(went.packs >= 2);
    assert!(world.stored() - stored < SIZE - (6 << 20), "{}", world.stored() - stored);
    restores_as(&again, snapshot, &disk, &all);
}

#[test]
fn what_a_tracker_saw_change_is_read_again_and_what_is_no_longer_in_use_is_zeros() {
    let (world, room) = (World::new(), tempfile::tempdir().unwrap());
    let mut disk = noise(1, SIZE);
    killed_after(&world, &disk, &Extents::from(0..15 << 20), room.path(), Some("tracker 1"));
    disk[2 << 20] ^= 1;
    let changed = Extents::from_iter([2 << 20..3 << 20, 4 << 20..5 << 20]);
    let mut used = Extents::all(SIZE);
    used.remove(4 << 20..5 << 20);
    let again = world.again();
    let request = request(&again, &used, room.path(), Some("tracker 1"));
    let (went, snapshot) = to_the_end(
        &again,
        &disk,
        Request { changes: Some(Changes { epoch: 1, after: &|_| changed.clone() }), ..request },
        &used,
    );
    assert!(went.resumed >= 6 << 20 && went.read < SIZE - (6 << 20));
    restores_as(&again, snapshot, &disk, &used);
}

#[test]
fn another_disk_or_a_damaged_state_starts_over() {
    let (world, room) = (World::new(), tempfile::tempdir().unwrap());
    let disk = noise(1, SIZE);
    let all = Extents::all(SIZE);
    killed_after(&world, &disk, &Extents::from(0..15 << 20), room.path(), Some("same"));
    let mut other = request(&world, &all, room.path(), Some("same"));
    other.disk.identity.serial = Some("another".into());
    let begun = Session::begin(&world.again().repo, vec![other], &Arc::default()).unwrap();
    assert!(begun.disks()[0].resumed.started.is_none());
    drop(begun);
    let folder = std::fs::read_dir(room.path().join("disk")).unwrap().next().unwrap().unwrap().path();
    std::fs::write(folder.join("job"), b"stead disk job 1\nbut not really").unwrap();
    let again = world.again();
    let (went, snapshot) = to_the_end(&again, &disk, request(&again, &all, room.path(), Some("same")), &all);
    assert!(!went.started && went.read == SIZE);
    restores_as(&again, snapshot, &disk, &all);
}

#[test]
fn a_stop_on_request_loses_nothing_that_was_read() {
    let (world, room) = (World::new(), tempfile::tempdir().unwrap());
    let disk = noise(1, SIZE);
    let (all, progress, cancel) = (Extents::all(SIZE), Arc::new(Progress::default()), Cancel::default());
    let session =
        Session::begin(&world.repo, vec![request(&world, &all, room.path(), Some("same"))], &progress).unwrap();
    let stopped = session.capture(&cancel, |disks| {
        let writer = &disks[0].writer;
        read(&disk, &Extents::from(0..11 << 20), writer);
        cancel.cancel();
        let options = offline::Options { unreadable: Unreadable::Fail, threads: 1 };
        offline::read(&disk, &all, writer, options, &progress, &cancel).map_err(|error| {
            assert!(matches!(error, ReadError::Cancelled));
            error
        })
    });
    assert!(stopped.is_err());
    drop(session);
    let (stored, again) = (world.stored(), world.again());
    let (went, snapshot) = to_the_end(&again, &disk, request(&again, &all, room.path(), Some("same")), &all);
    assert_eq!((went.resumed, went.read), (11 << 20, 13 << 20));
    assert!(world.stored() - stored < (13 << 20) + (64 << 10));
    restores_as(&again, snapshot, &disk, &all);
}
