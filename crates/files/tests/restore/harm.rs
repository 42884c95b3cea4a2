//! Damage and full disks harm no more than they must, and are told.

use backend::{Backend, FileKind, FileName, Part};
use files::restore::{Error, Options};

use crate::world::World;

#[test]
fn a_damaged_blob_harms_only_its_files_which_are_named() {
    // I6
    let world = World::new();
    let target = tempfile::tempdir().unwrap();
    let good = testkit::sample::random_bytes(1, 300_000);
    let bad = testkit::sample::random_bytes(2, 300_000);
    let root = world.tree(vec![
        world.dir("dir", vec![world.file("bad", &bad, 100_000), world.file("good", &good, 100_000)]),
        world.file("also-bad", &bad[100_000..200_000], 100_000),
        world.file("also-good", &good, 100_000),
    ]);
    let blob = repo::BlobHandle { kind: repo::BlobKind::Data, id: backend::Id::of(&bad[100_000..200_000]) };
    world.restore(root, target.path(), &Options { dry_run: true, ..Options::default() });
    let location = world.repo.index().unwrap().find(&blob).unwrap();
    let pack = FileName::new(FileKind::Pack, location.pack);
    let mut stored = Vec::new();
    world.memory.read(&pack, Part::Whole, &mut stored).unwrap();
    stored[location.offset as usize + 50_000] ^= 1;
    world.memory.overwrite(pack, stored);
    let (summary, mut errors) = world.restore(root, target.path(), &Options { verify: true, ..Options::default() });
    errors.sort();
    assert_eq!(summary.errors, 2, "{errors:?}");
    assert!(errors[0].contains("/also-bad") && errors[1].contains("/dir/bad"), "{errors:?}");
    assert!(errors.iter().any(|error| error.contains(&blob.id.short())), "{errors:?}");
    assert!(std::fs::read(target.path().join("dir/good")).unwrap() == good);
    assert!(std::fs::read(target.path().join("also-good")).unwrap() == good);
}

#[test]
fn a_file_of_which_a_blob_is_lost_is_left_as_it_is() {
    let world = World::new();
    let target = tempfile::tempdir().unwrap();
    let mut file = world.file("file", b"first part second part", 11);
    file.content.as_mut().unwrap()[1] = backend::Id::of(b"never stored");
    let root = world.tree(vec![file, world.file("good", b"good", 10)]);
    std::fs::write(target.path().join("file"), "what the user still has").unwrap();
    let (summary, errors) = world.restore(root, target.path(), &Options::default());
    assert_eq!(summary.errors, 1);
    assert!(errors[0].contains("/file"), "{errors:?}");
    assert_eq!(std::fs::read(target.path().join("file")).unwrap(), b"what the user still has");
    assert_eq!(std::fs::read(target.path().join("good")).unwrap(), b"good");
}

#[test]
fn a_pack_that_is_gone_harms_only_its_files() {
    let world = World::new();
    let target = tempfile::tempdir().unwrap();
    let small = world.file("small", b"small", 10);
    let content = testkit::sample::random_bytes(3, 20 << 20);
    let root = world.tree(vec![small, world.file("large", &content, 1 << 20)]);
    world.restore(root, target.path(), &Options { dry_run: true, ..Options::default() });
    let blob = repo::BlobHandle { kind: repo::BlobKind::Data, id: backend::Id::of(b"small") };
    let of_small = world.repo.index().unwrap().find(&blob).unwrap().pack;
    for chunk in content.chunks(1 << 20) {
        let blob = repo::BlobHandle { kind: repo::BlobKind::Data, id: backend::Id::of(chunk) };
        let pack = world.repo.index().unwrap().find(&blob).unwrap().pack;
        if pack != of_small {
            world.memory.remove(&FileName::new(FileKind::Pack, pack)).unwrap();
        }
    }
    let (summary, errors) = world.restore(root, target.path(), &Options::default());
    assert_eq!(summary.errors, 1, "a file is named once, however much of it is lost: {errors:?}");
    assert!(errors[0].contains("/large"), "{errors:?}");
    assert_eq!(std::fs::read(target.path().join("small")).unwrap(), b"small");
}

#[test]
fn a_full_disk_stops_the_restore_and_says_what_is_missing() {
    // I5. A file system of 4 MiB, where we may mount one.
    let target = tempfile::tempdir().unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
        .arg(target.path())
        .status()
        .is_ok_and(|status| status.success());
    if !mounted {
        return testkit::peer::skip("only root mounts a small file system");
    }
    let world = World::new();
    let files = (0..16).map(|n| world.file(&format!("f{n:02}"), &testkit::sample::random_bytes(n, 1 << 20), 1 << 18));
    let root = world.tree(files.collect());
    let (result, errors) = world.try_restore(root, target.path(), &Options::default());
    let unmounted = std::process::Command::new("umount").arg("-l").arg(target.path()).status();
    assert!(unmounted.is_ok_and(|status| status.success()));
    match result {
        Err(Error::NoSpace { missing_files, missing_bytes, summary, .. }) => {
            assert_eq!(summary.total_files, 16);
            assert!((12..=16).contains(&missing_files), "{missing_files}");
            assert!(missing_bytes >= 11 << 20, "{missing_bytes}");
        }
        other => panic!("{other:?} {errors:?}"),
    }
}

#[test]
fn a_request_to_stop_is_heeded() {
    let world = World::new();
    let target = tempfile::tempdir().unwrap();
    let root = world.tree(vec![world.file("file", b"x", 10)]);
    world.restore(root, target.path(), &Options { dry_run: true, ..Options::default() });
    world.repo.cancel().cancel();
    let progress = files::restore::Progress::default();
    struct Deaf;
    impl files::restore::Observer for Deaf {
        fn failed(&self, error: &files::restore::ItemError) {
            panic!("{error}");
        }
    }
    let result = files::restore::restore(&world.repo, &root, target.path(), &Options::default(), &progress, &Deaf);
    assert!(matches!(result, Err(Error::Repository(repo::Error::Cancelled))), "{result:?}");
}
