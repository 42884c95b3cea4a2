//! What happens to files that are not as they should be, and what is read again.

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};

use files::backup::{BackupError, CommandOutput, Source, Stream};
use files::metadata::Ignore;
use files::parent::ParentChoice;

use crate::files;
use crate::world::World;

#[test]
fn a_second_run_without_changes_reads_nothing() {
    let mut world = World::new();
    testkit::sample::office(&world.work(), 1, 200);
    let first = world.backup_here();
    assert!(first.is_complete());
    assert_eq!((first.summary.files_new, first.summary.files_changed), (200, 0));
    assert_eq!(first.parent, None);
    world.reopen();
    let second = world.backup_here();
    assert_eq!(*world.watched.started.lock(), Vec::<String>::new(), "files that were read");
    assert_eq!(second.tree, first.tree);
    assert_eq!(second.parent, first.snapshot);
    assert_eq!((second.summary.files_unmodified, second.summary.data_added), (200, 0));
    assert_eq!(second.summary.dirs_changed + second.summary.dirs_new, 0);
    assert_eq!(second.summary.total_bytes_processed, first.summary.total_bytes_processed);
}

/// Threads step into the directories that they look at: for a while a repository named by a relative path was lost to them.
#[test]
fn a_repository_may_be_named_by_a_relative_path() {
    let mut world = World::new();
    testkit::sample::office(&world.work(), 1, 100);
    world.reopen_by_relative_path();
    let first = world.backup_here();
    world.reopen_by_relative_path();
    let second = world.backup_here();
    assert_eq!(world.errors(), Vec::<String>::new());
    assert_eq!((second.tree, second.summary.files_unmodified), (first.tree, 100));
}

#[test]
fn only_changed_files_are_read_again() {
    let mut world = World::new();
    testkit::sample::office(&world.work(), 2, 40);
    let first = world.backup();
    fs::write(world.work().join("client-0/2020/new"), "new").unwrap();
    fs::write(world.work().join("client-1/2021/letter 1.txt"), "shorter").unwrap();
    world.reopen();
    let second = world.backup();
    let mut read = world.watched.started.lock().clone();
    read.sort();
    assert_eq!(read, ["letter 1.txt", "new"]);
    let figures = &second.summary;
    assert_eq!((figures.files_new, figures.files_changed, figures.files_unmodified), (1, 1, 39));
    assert_ne!(second.tree, first.tree);
    assert_eq!(world.content(&second, "client-1/2021/letter 1.txt"), b"shorter");
}

#[test]
fn what_counts_as_a_change_can_be_chosen() {
    let mut world = World::new();
    fs::write(world.work().join("file"), "one").unwrap();
    world.backup();
    let metadata = fs::metadata(world.work().join("file")).unwrap();
    fs::write(world.work().join("other"), "two").unwrap();
    fs::File::open(world.work().join("other")).unwrap().set_modified(metadata.modified().unwrap()).unwrap();
    fs::rename(world.work().join("other"), world.work().join("file")).unwrap();
    for (ignore, read) in [
        (Ignore { inode: true, ctime: false }, 0),
        (Ignore { inode: false, ctime: true }, 1),
        (Ignore { inode: false, ctime: false }, 1),
    ] {
        world.reopen();
        let mut options = world.options();
        options.ignore = ignore;
        options.dry_run = true;
        world.backup_with(options);
        assert_eq!(world.watched.started.lock().len(), read, "{ignore:?}");
    }
    world.reopen();
    let mut options = world.options();
    options.parent = ParentChoice::Nothing;
    world.backup_with(options);
    assert_eq!(world.watched.started.lock().len(), 1, "everything is read without a parent");
}

#[test]
fn a_file_that_vanishes_is_reported_and_the_rest_is_stored() {
    let world = World::new();
    for name in ["a", "b", "c"] {
        fs::write(world.work().join(name), name).unwrap();
    }
    let gone = world.work().join("b");
    *world.watched.before_reading.lock() = Some(Box::new(move |name| {
        if name == "b" {
            fs::remove_file(&gone).unwrap();
        }
    }));
    let outcome = world.backup();
    assert!(!outcome.is_complete());
    assert_eq!(world.errors(), ["cannot open /work/b"]);
    assert_eq!(world.names(&outcome), ["a", "c"]);
    assert!(outcome.snapshot.is_some());
}

#[test]
fn a_file_that_becomes_a_pipe_or_a_link_is_refused_without_waiting() {
    let world = World::new();
    for name in ["link", "pipe", "still"] {
        fs::write(world.work().join(name), name).unwrap();
    }
    let work = world.work();
    *world.watched.before_reading.lock() = Some(Box::new(move |name| {
        let path = work.join(name);
        match name {
            "link" => {
                fs::remove_file(&path).unwrap();
                symlink("still", &path).unwrap();
            }
            "pipe" => {
                fs::remove_file(&path).unwrap();
                let mode = rustix::fs::Mode::from_raw_mode(0o600);
                rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
            }
            _ => {}
        }
    }));
    let outcome = world.backup();
    let mut errors = world.errors();
    errors.sort();
    assert_eq!(errors, ["/work/pipe changed its type while it was being backed up", "cannot open /work/link"]);
    assert_eq!(world.names(&outcome), ["still"]);
}

/// F15: restic once stored a file that was changed while it was read as empty.
#[test]
fn a_file_that_changes_its_size_is_stored_as_it_was_read() {
    for (before, after) in [(10_usize, 100_000_usize), (100_000, 10), (3_000_000, 9_000_000), (9_000_000, 3_000_000)] {
        let world = World::new();
        let path = world.work().join("log");
        fs::write(&path, testkit::sample::random_bytes(1, before)).unwrap();
        let grown = testkit::sample::random_bytes(2, after);
        // The second file is what holds the reader up until the first one was opened but not read.
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        let content = grown.clone();
        *world.watched.before_reading.lock() = Some(Box::new(move |_| {
            file.set_len(0).unwrap();
            file.write_all_at(&content, 0).unwrap();
        }));
        let outcome = world.backup();
        assert!(outcome.is_complete(), "a log that grows does not make every backup incomplete");
        assert!(world.content(&outcome, "log") == grown, "{before} {after}");
    }
}

#[test]
fn what_must_not_be_read_is_reported() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    // Root may read everything but what the kernel itself refuses.
    let world = World::new();
    fs::write(world.work().join("good"), "good").unwrap();
    let outcome = world.backup_of(&[b"/proc/self/mem", b"/proc/self/clear_refs", b"good"], world.options()).unwrap();
    assert_eq!(outcome.errors, 2);
    assert!(world.errors().iter().all(|error| error.contains("/proc/self/")), "{:?}", world.errors());
    assert_eq!(outcome.summary.files_new, 1);
}

#[test]
fn a_path_that_is_missing_makes_the_backup_incomplete_and_all_missing_fail_it() {
    let world = World::new();
    fs::write(world.work().join("here"), "here").unwrap();
    let outcome = world.backup_of(&[b"here", b"not here"], world.options()).unwrap();
    assert_eq!(
        (outcome.errors, world.errors()),
        (1, vec!["not here is not there or cannot be reached and is left out".into()])
    );
    assert!(outcome.snapshot.is_some());
    let nothing = world.backup_of(&[b"not here", b"/nor here"], world.options()).unwrap_err();
    assert!(matches!(nothing, BackupError::NothingThere));
}

#[test]
fn our_own_directories_are_left_out_and_that_is_said() {
    let world = World::new();
    fs::write(world.work().join("file"), "x").unwrap();
    let mut options = world.options();
    options.own = vec![world.repository(), world.room().join("no such cache")];
    let room = world.room().to_str().unwrap().as_bytes().to_vec();
    let outcome = world.backup_of(&[&room], options).unwrap();
    let paths = world.paths(&outcome.tree);
    assert!(!paths.iter().any(|path| path.contains("repository")), "{paths:?}");
    assert!(paths.iter().any(|path| path.ends_with("/work/file")));
    assert!(world.watched.notices.lock()[0].contains("SkippedOwn"));
    assert!(outcome.is_complete());
    let mut options = world.options();
    options.own = vec![world.repository()];
    let repository = world.repository().to_str().unwrap().as_bytes().to_vec();
    assert!(matches!(world.backup_of(&[&repository], options), Err(BackupError::Empty)));
}

#[test]
fn hard_links_share_their_content_and_their_number() {
    let world = World::new();
    fs::write(world.work().join("a"), vec![7; 3_000_000]).unwrap();
    fs::hard_link(world.work().join("a"), world.work().join("b")).unwrap();
    fs::write(world.work().join("c"), "alone").unwrap();
    let outcome = world.backup();
    let tree = world.tree_at(&outcome.tree, &world.work());
    let [a, b, c] = &tree.nodes[..] else { panic!("three nodes") };
    assert_eq!((a.inode, a.links, &a.content, a.device_id), (b.inode, 2, &b.content, b.device_id));
    assert_ne!(a.device_id, 0, "it tells hard links apart");
    assert_eq!(c.device_id, 0, "it changes with every freeze, so it is not stored where it is of no use");
}

#[test]
fn holes_are_skipped_and_yet_stored_as_zeros() {
    let world = World::new();
    let file = fs::File::create(world.work().join("sparse")).unwrap();
    let size: u64 = 300 << 20;
    file.set_len(size + 17).unwrap();
    file.write_all_at(b"in the middle", 150 << 20).unwrap();
    file.write_all_at(b"end", size).unwrap();
    let outcome = world.backup();
    let content = world.content(&outcome, "sparse");
    let mut wanted = vec![0; size as usize + 17];
    wanted[150 << 20..][..13].copy_from_slice(b"in the middle");
    wanted[size as usize..][..3].copy_from_slice(b"end");
    assert!(content == wanted);
    assert!(outcome.summary.data_blobs < 12, "{} blobs", outcome.summary.data_blobs);
    let plain = World::new();
    fs::write(plain.work().join("sparse"), &wanted).unwrap();
    let nodes = |world: &World, outcome: &files::backup::Outcome| world.tree_at(&outcome.tree, &world.work()).nodes;
    let lengths =
        |world: &World, outcome: &files::backup::Outcome| nodes(world, outcome)[0].content.as_ref().unwrap().len();
    assert!(lengths(&plain, &plain.backup()).abs_diff(lengths(&world, &outcome)) <= 4);
}

#[test]
fn large_files_are_stored_whole_by_any_number_of_threads() {
    for threads in [1, 2, 7] {
        let world = World::new();
        for (name, size) in [("a", 30_000_001), ("b", 8 << 20), ("c", (2 << 20) + 1), ("d", 2 << 20), ("e", 20 << 20)] {
            fs::write(world.work().join(name), testkit::sample::random_bytes(size as u64, size)).unwrap();
        }
        let mut options = world.options();
        options.read_concurrency = Some(threads);
        let outcome = world.backup_with(options);
        for name in ["a", "b", "c", "d", "e"] {
            assert!(world.content(&outcome, name) == fs::read(world.work().join(name)).unwrap(), "{name} {threads}");
        }
    }
}

#[test]
fn chunks_end_where_they_would_if_a_file_were_read_at_once() {
    let world = World::new();
    let zeros = |size: usize| vec![0; size];
    let parts = [testkit::sample::random_bytes(1, 9 << 20), zeros(21 << 20), testkit::sample::random_bytes(2, 5 << 20)];
    let content = [parts.concat(), zeros((8 << 20) + 1)].concat();
    fs::write(world.work().join("disk"), &content).unwrap();
    let cutter = repo::chunk::Cutter::new(&world.repo.config().chunker().unwrap());
    let (mut rest, mut wanted) = (&content[..], Vec::new());
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(cutter.cut(rest));
        wanted.push(repo::Id::of(chunk));
        rest = after;
    }
    let outcome = world.backup();
    let nodes = world.tree_at(&outcome.tree, &world.work()).nodes;
    assert_eq!(nodes[0].content.as_ref(), Some(&wanted));
}

#[test]
fn a_very_deep_directory_is_no_danger() {
    let world = World::new();
    // Deeper than any path that a system call takes, and deeper than directories are kept open.
    let mut dir = platform::Dir::open(world.work().to_str().unwrap().as_bytes()).unwrap();
    for _ in 0..3000 {
        let name = c"deep";
        rustix::fs::mkdirat(&dir, name, rustix::fs::Mode::from_raw_mode(0o755)).unwrap();
        dir = dir.open_dir(name).unwrap();
    }
    rustix::fs::symlinkat("end", &dir, "bottom").unwrap();
    let file = rustix::fs::openat(
        &dir,
        "file",
        rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY,
        rustix::fs::Mode::from_raw_mode(0o600),
    );
    rustix::io::write(file.unwrap(), b"deep").unwrap();
    drop(dir);
    let outcome = world.backup_here();
    assert_eq!(world.errors(), Vec::<String>::new());
    assert_eq!((outcome.summary.dirs_new, outcome.summary.files_new), (3000, 1));
    let again = world.backup_here();
    assert_eq!(again.summary.dirs_unmodified, outcome.summary.dirs_new);
    // Or nobody could remove it.
    let removed = std::process::Command::new("rm").arg("-rf").arg(world.work()).status().unwrap();
    assert!(removed.success());
}

#[test]
fn a_dry_run_counts_the_same_and_writes_nothing() {
    let world = World::new();
    testkit::sample::office(&world.work(), 3, 60);
    let mut options = world.options();
    options.dry_run = true;
    let dry = world.backup_of(&[b"."], options).unwrap();
    assert_eq!(dry.snapshot, None);
    assert!(world.repo.snapshots().unwrap().all.is_empty());
    assert!(world.repo.index().unwrap().is_empty());
    let wet = world.backup_here();
    assert_eq!(dry.tree, wet.tree);
    assert_eq!(dry.summary.data_added, wet.summary.data_added);
    assert_eq!(dry.summary.data_added_packed, wet.summary.data_added_packed);
    assert_eq!((dry.summary.data_blobs, dry.summary.tree_blobs), (wet.summary.data_blobs, wet.summary.tree_blobs));
}

#[test]
fn nothing_changed_needs_no_snapshot() {
    let mut world = World::new();
    fs::write(world.work().join("a"), "a").unwrap();
    let mut options = world.options();
    options.skip_if_unchanged = true;
    let first = world.backup_of(&[b"."], options.clone()).unwrap();
    assert!(first.snapshot.is_some());
    world.reopen();
    options.time = world.options().time;
    let second = world.backup_of(&[b"."], options.clone()).unwrap();
    assert_eq!((second.snapshot, second.tree), (None, first.tree));
    fs::write(world.work().join("b"), "b").unwrap();
    world.reopen();
    options.time = world.options().time;
    assert!(world.backup_of(&[b"."], options).unwrap().snapshot.is_some());
}

#[test]
fn content_that_the_repository_lost_is_stored_again() {
    let mut world = World::new();
    fs::write(world.work().join("a"), testkit::sample::random_bytes(5, 100_000)).unwrap();
    let first = world.backup();
    // The index forgets the file's blob, as after damage.
    for folder in ["index", "data"] {
        let folder = world.repository().join(folder);
        fs::remove_dir_all(&folder).unwrap();
        fs::create_dir(&folder).unwrap();
    }
    world.reopen();
    let second = world.backup();
    assert!(second.summary.data_added > 100_000);
    assert_eq!(second.summary.data_blobs, first.summary.data_blobs);
    assert_eq!(world.content(&second, "a").len(), 100_000);
    assert!(world.errors()[0].contains("the parent snapshot has"), "{:?}", world.errors());
}

fn stream(name: &str, script: &str) -> Source {
    let command = ["sh".into(), "-c".into(), script.into()];
    let reader = Box::new(CommandOutput::start(&command, std::process::Stdio::null()).unwrap());
    Source::Stream(Stream { name: name.as_bytes().to_vec(), reader })
}

#[test]
fn what_comes_out_of_a_command_becomes_a_file() {
    let world = World::new();
    let source = stream("dumps/today/all.sql", "head -c 20000000 /dev/zero; echo end");
    let outcome = files::backup::backup(&world.repo, source, world.options(), &world.watched).unwrap();
    assert_eq!(world.paths(&outcome.tree), ["/dumps", "/dumps/today", "/dumps/today/all.sql"]);
    assert_eq!(outcome.summary.total_bytes_processed, 20_000_004);
    let snapshot = world.repo.read_snapshot(&outcome.snapshot.unwrap()).unwrap();
    assert_eq!(snapshot.paths, ["/dumps/today/all.sql"]);
}

#[test]
fn a_command_that_fails_leaves_no_snapshot() {
    let world = World::new();
    for script in ["echo half; exit 1", "exit 1", "true"] {
        let failed = files::backup::backup(&world.repo, stream("x", script), world.options(), &world.watched);
        assert!(matches!(failed, Err(BackupError::Stream(_))), "{script}: {failed:?}");
    }
    assert!(world.repo.snapshots().unwrap().all.is_empty());
}

/// F25: Borg once took a full disk under the repository for a source that cannot be read, and went on.
#[test]
fn a_repository_that_cannot_be_written_ends_the_backup() {
    let world = World::new();
    testkit::sample::office(&world.work(), 4, 100);
    fs::remove_dir_all(world.repository().join("data")).unwrap();
    fs::write(world.repository().join("data"), "in the way").unwrap();
    let failed = world.backup_of(&[b"."], world.options());
    assert!(matches!(failed, Err(BackupError::Repo(_))), "{failed:?}");
    assert_eq!(world.errors(), Vec::<String>::new(), "no file is to blame");
    assert!(fs::read_dir(world.repository().join("snapshots")).unwrap().next().is_none());
}

#[test]
fn a_directory_that_cannot_be_opened_is_reported_once() {
    let world = World::new();
    fs::create_dir(world.work().join("locked")).unwrap();
    fs::write(world.work().join("locked/x"), "x").unwrap();
    fs::write(world.work().join("open"), "x").unwrap();
    if rustix::process::geteuid().is_root() {
        // Root opens everything: take the directory away between the look and the visit.
        let locked = world.work().join("locked");
        *world.watched.before_reading.lock() = Some(Box::new(move |name| {
            if name == "open" {
                fs::remove_dir_all(&locked).unwrap();
            }
        }));
        let mut options = world.options();
        options.read_concurrency = Some(1);
        let outcome = world.backup_with(options);
        assert_eq!(world.errors(), ["cannot open /work/locked"]);
        assert_eq!(world.names(&outcome), ["open"]);
        return;
    }
    fs::set_permissions(world.work().join("locked"), fs::Permissions::from_mode(0o0)).unwrap();
    assert_eq!(world.names(&world.backup()), ["open"]);
    assert_eq!(world.errors(), ["cannot open /work/locked"]);
}
