//! A repository's life: made, opened, written, read, interrupted, shared.

use std::collections::HashSet;
use std::sync::Arc;

use backend::{Backend, FileKind, FileName, Id, Local, Memory, SystemClock};

use repo::chunk::ChunkerKind;
use repo::compress::Compression;
use repo::key::{KdfParams, KeyOrigin};
use repo::repository::{InitOptions, OpenOptions};
use repo::snapshot::Snapshot;
use repo::writer::BlobWriter;
use repo::{BlobHandle, BlobKind, Cancel, Error, Repository};
use stead_repo as repo;

fn options() -> OpenOptions {
    OpenOptions {
        key_hint: None,
        cache: None,
        compression: Compression::Auto,
        pack_size: 4 << 20,
        clock: Arc::new(SystemClock),
        cancel: Cancel::default(),
    }
}

fn init_options() -> InitOptions {
    let created = jiff::Timestamp::UNIX_EPOCH.to_zoned(jiff::tz::TimeZone::UTC);
    InitOptions {
        chunker: ChunkerKind::Gear,
        chunker_polynomial: None,
        version: 2,
        kdf: KdfParams::RANDOM_PASSWORD,
        origin: KeyOrigin { created, username: "ada".into(), hostname: "desk".into() },
    }
}

fn init(backend: &Arc<impl Backend + 'static>) -> Arc<Repository> {
    Arc::new(Repository::init(backend.clone(), b"secret", &init_options(), options()).unwrap())
}

fn open(backend: &Arc<impl Backend + 'static>) -> Arc<Repository> {
    Arc::new(Repository::open(backend.clone(), b"secret", options()).unwrap())
}

/// A blob's content: half random, half repeating, `length` bytes.
fn content(seed: u64, length: usize) -> Vec<u8> {
    let random =
        (0..length as u64 / 64 + 1).flat_map(|at| *Id::of(&[seed, at].map(u64::to_le_bytes).concat()).as_bytes());
    random.zip(std::iter::repeat(seed as u8)).flat_map(|(a, b)| [a, b]).take(length).collect()
}

fn save_all(writer: &BlobWriter, kind: BlobKind, blobs: &[Vec<u8>]) -> Vec<BlobHandle> {
    let mut scratch = writer.scratch();
    blobs.iter().map(|plain| BlobHandle { kind, id: writer.save(kind, plain, &mut scratch).unwrap().id }).collect()
}

fn snapshot(tree: Id) -> Snapshot {
    serde_json::from_value(serde_json::json!({
        "time": "2026-11-22T02:00:00.123456789Z", "tree": tree, "paths": ["/home/ada"], "hostname": "desk",
    }))
    .unwrap()
}

fn names(backend: &impl Backend, kind: FileKind) -> HashSet<Id> {
    backend.list(kind).unwrap().into_iter().map(|file| file.id).collect()
}

fn round_trip(backend: Arc<impl Backend + 'static>) {
    let blobs: Vec<Vec<u8>> = (0..40).map(|n| content(n, (n as usize * 37_000) % 900_001)).collect();
    let repo = init(&backend);
    let writer = BlobWriter::new(&repo);
    let data = save_all(&writer, BlobKind::Data, &blobs);
    let trees = save_all(&writer, BlobKind::Tree, &[b"{\"nodes\":[]}\n".to_vec()]);
    writer.finish().unwrap();
    let id = repo.write_snapshot(&snapshot(trees[0].id)).unwrap();
    drop(repo);

    let repo = open(&backend);
    assert_eq!(repo.read_snapshot(&id).unwrap().tree, trees[0].id);
    assert_eq!(repo.snapshots().unwrap().all.len(), 1);
    assert!(repo.read_tree(&trees[0].id).unwrap().nodes.is_empty());
    for (blob, plain) in data.iter().zip(&blobs) {
        assert!(repo.read_blob(blob).unwrap() == *plain);
    }
}

#[test]
fn what_was_saved_is_read_back_from_memory() {
    round_trip(Arc::new(Memory::new()));
}

#[test]
fn what_was_saved_is_read_back_from_a_directory() {
    let directory = tempfile::tempdir().unwrap();
    round_trip(Arc::new(Local::new(directory.path().join("repo"), 2)));
}

#[test]
fn version_1_is_written_without_compression() {
    let backend = Arc::new(Memory::new());
    let init = InitOptions { version: 1, chunker: ChunkerKind::Rabin, ..init_options() };
    let repo = Arc::new(Repository::init(backend.clone(), b"secret", &init, options()).unwrap());
    let writer = BlobWriter::new(&repo);
    let blob = save_all(&writer, BlobKind::Data, &[vec![7; 100_000]])[0];
    writer.finish().unwrap();
    let location = repo.index().unwrap().find(&blob).unwrap();
    assert_eq!((location.uncompressed_length, location.length), (None, 100_032));
    assert_eq!(open(&backend).read_blob(&blob).unwrap(), vec![7; 100_000]);
}

#[test]
fn a_second_init_is_refused_whatever_is_left() {
    let backend = Arc::new(Memory::new());
    let repo = init(&backend);
    let found = |backend: &Arc<Memory>| match Repository::init(backend.clone(), b"other", &init_options(), options()) {
        Err(Error::AlreadyInitialised { found, .. }) => found,
        other => panic!("{:?}", other.err()),
    };
    assert_eq!(found(&backend), "a config");
    backend.remove(&FileName::CONFIG).unwrap();
    assert_eq!(found(&backend), "a key");
    let tree = BlobWriter::new(&repo);
    let root = save_all(&tree, BlobKind::Tree, &[b"{\"nodes\":[]}\n".to_vec()])[0];
    tree.finish().unwrap();
    assert_eq!(found(&backend), "a pack or an index");
    repo.write_snapshot(&snapshot(root.id)).unwrap();
    assert_eq!(found(&backend), "a snapshot");
}

#[test]
fn an_interrupted_init_is_finished_by_the_next_with_the_same_password() {
    let backend = Arc::new(Memory::new());
    drop(init(&backend));
    backend.remove(&FileName::CONFIG).unwrap();
    let keys = names(&*backend, FileKind::Key);
    drop(init(&backend));
    assert_eq!(names(&*backend, FileKind::Key), keys);
    open(&backend);
}

#[test]
fn nothing_half_a_repository_and_a_newer_one_are_told_apart() {
    let backend = Arc::new(Memory::new());
    let error = |backend: &Arc<Memory>| Repository::open(backend.clone(), b"secret", options()).err().unwrap();
    assert!(matches!(error(&backend), Error::NoRepository { .. }));
    let mut repo = Repository::init(backend.clone(), b"secret", &init_options(), options()).unwrap();
    assert!(matches!(Repository::open(backend.clone(), b"guess", options()), Err(Error::WrongPassword)));

    let newer = String::from_utf8(repo.read_unpacked(FileKind::Config, &Id::default()).unwrap()).unwrap();
    let newer =
        repo.files().seal(FileKind::Config, newer.replace("\"version\":2", "\"version\":3").as_bytes()).unwrap();
    backend.replace_config(&newer).unwrap();
    assert!(matches!(error(&backend), Error::Unsupported(_)), "{}", error(&backend));
    repo.change_config(|_| ()).unwrap();
    open(&backend);

    backend.remove(&FileName::CONFIG).unwrap();
    assert!(error(&backend).to_string().contains("half a repository"), "{}", error(&backend));
    for damaged in [&b""[..], b"x", &[0; 100]] {
        backend.overwrite(FileName::CONFIG, damaged.to_vec());
        assert!(matches!(error(&backend), Error::Damaged { file: FileName::CONFIG, .. }), "{}", error(&backend));
    }
}

#[test]
fn a_changed_config_keeps_what_others_wrote_into_it() {
    let backend = Arc::new(Memory::new());
    let mut repo = Repository::init(backend.clone(), b"secret", &init_options(), options()).unwrap();
    repo.change_config(|config| {
        config.other.insert("treepack_size".into(), 12345.into());
    })
    .unwrap();
    repo.change_config(|config| {
        config.other.insert("mine".into(), true.into());
    })
    .unwrap();
    let reopened = open(&backend);
    assert_eq!(reopened.config().other["treepack_size"], 12345);
    assert_eq!(reopened.config().other["mine"], true);
    assert_eq!(reopened.id(), repo.id());
}

/// F1: one blob from many threads is stored once.
#[test]
fn the_same_blobs_from_eight_threads_are_stored_once() {
    let backend = Arc::new(Memory::new());
    let repo = init(&backend);
    let writer = BlobWriter::new(&repo);
    let blobs: Vec<Vec<u8>> = (0..200).map(|n| content(n, 40_000)).collect();
    let stored = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (writer, blobs, stored) = (&writer, &blobs, &stored);
            scope.spawn(move || {
                let mut scratch = writer.scratch();
                for at in 0..blobs.len() {
                    let plain = &blobs[(at * (2 * thread + 1)) % blobs.len()];
                    let saved = writer.save(BlobKind::Data, plain, &mut scratch).unwrap();
                    stored.fetch_add(saved.new.into(), std::sync::atomic::Ordering::Relaxed);
                }
            });
        }
    });
    let figures = writer.finish().unwrap();
    assert_eq!((stored.into_inner(), figures.data_blobs), (200, 200));
    let index = open(&backend);
    let mut seen = HashSet::new();
    let mut count = |_: &Id, blobs: &[repo::pack::PackedBlob]| blobs.iter().for_each(|b| assert!(seen.insert(b.blob)));
    index.index().unwrap().for_each_pack(&mut count).unwrap();
    assert_eq!(seen.len(), 200);
}

#[test]
fn two_writers_at_once_leave_a_good_repository() {
    let backend = Arc::new(Memory::new());
    init(&backend);
    let blobs: Vec<Vec<u8>> = (0..60).map(|n| content(n, 200_000)).collect();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let writer = BlobWriter::new(&open(&backend));
                save_all(&writer, BlobKind::Data, &blobs);
                writer.finish().unwrap();
            });
        }
    });
    let repo = open(&backend);
    for plain in &blobs {
        assert!(repo.read_blob(&BlobHandle { kind: BlobKind::Data, id: Id::of(plain) }).unwrap() == *plain);
    }
}

#[test]
fn blobs_are_spread_over_open_packs_and_leftovers_are_merged() {
    let backend = Arc::new(Memory::new());
    let repo = init(&backend);
    let writer = BlobWriter::new(&repo);
    let blobs: Vec<Vec<u8>> = (0..30).map(|n| content(n, 50_000)).collect();
    save_all(&writer, BlobKind::Data, &blobs);
    assert!(names(&*backend, FileKind::Pack).is_empty());
    writer.flush().unwrap();
    assert_eq!(names(&*backend, FileKind::Pack).len(), 1);
    let first = repo.index().unwrap().find(&BlobHandle { kind: BlobKind::Data, id: Id::of(&blobs[0]) }).unwrap();
    assert_eq!(Id::of(&read(&backend, first.pack)), first.pack);
    let more: Vec<Vec<u8>> = (100..400).map(|n| content(n, 50_000)).collect();
    save_all(&writer, BlobKind::Data, &more);
    writer.finish().unwrap();
    let packs: Vec<_> = more
        .iter()
        .map(|plain| repo.index().unwrap().find(&BlobHandle { kind: BlobKind::Data, id: Id::of(plain) }).unwrap().pack)
        .collect();
    let changes = packs.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(changes > 60, "neighbours are in different packs {changes} times of 299");
}

fn read(backend: &Arc<Memory>, pack: Id) -> Vec<u8> {
    let mut bytes = Vec::new();
    backend.read(&FileName::new(FileKind::Pack, pack), backend::Part::Whole, &mut bytes).unwrap();
    bytes
}

#[test]
fn a_flush_amid_saving_makes_what_was_saved_durable() {
    let backend = Arc::new(Memory::new());
    let writer = BlobWriter::new(&init(&backend));
    let saved = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for thread in 0..3u64 {
            let (writer, saved) = (&writer, &saved);
            scope.spawn(move || {
                let mut scratch = writer.scratch();
                for n in 0..150 {
                    let plain = content(n * 3 + thread % 2, 30_000);
                    let id = writer.save(BlobKind::Data, &plain, &mut scratch).unwrap().id;
                    saved.lock().unwrap().push(BlobHandle { kind: BlobKind::Data, id });
                }
            });
        }
        for _ in 0..5 {
            std::thread::sleep(std::time::Duration::from_millis(20));
            let before = saved.lock().unwrap().clone();
            writer.flush().unwrap();
            let other = open(&backend);
            assert!(before.iter().all(|blob| other.index().unwrap().contains(blob)));
        }
    });
}

#[test]
fn killed_before_its_snapshot_a_backup_leaves_a_good_repository() {
    let backend = Arc::new(Memory::new());
    let repo = init(&backend);
    let blobs: Vec<Vec<u8>> = (0..200).map(|n| content(n, 100_000)).collect();
    // Killed with packs stored but no index: everything is stored again.
    let writer = BlobWriter::new(&repo);
    save_all(&writer, BlobKind::Data, &blobs);
    drop(writer);
    let unindexed = names(&*backend, FileKind::Pack);
    assert!(!unindexed.is_empty() && names(&*backend, FileKind::Index).is_empty());
    // Killed between index and snapshot: nothing is stored again.
    let writer = BlobWriter::new(&open(&backend));
    save_all(&writer, BlobKind::Data, &blobs);
    writer.finish().unwrap();
    let packs = names(&*backend, FileKind::Pack);
    let writer = BlobWriter::new(&open(&backend));
    save_all(&writer, BlobKind::Data, &blobs);
    assert_eq!(writer.finish().unwrap().data_blobs, 0);
    assert_eq!(names(&*backend, FileKind::Pack), packs);
}

#[test]
fn a_snapshot_of_a_tree_that_is_not_stored_is_refused() {
    let backend = Arc::new(Memory::new());
    let repo = init(&backend);
    repo.index().unwrap();
    assert!(matches!(repo.write_snapshot(&snapshot(Id::of(b"no"))), Err(Error::MissingBlob(_))));
    assert!(names(&*backend, FileKind::Snapshot).is_empty());
}

#[test]
fn an_index_file_that_is_damaged_is_an_error_with_its_name() {
    let backend = Arc::new(Memory::new());
    let writer = BlobWriter::new(&init(&backend));
    save_all(&writer, BlobKind::Data, &[content(1, 1000)]);
    writer.finish().unwrap();
    let id = *names(&*backend, FileKind::Index).iter().next().unwrap();
    for bytes in [Vec::new(), vec![0; 500]] {
        backend.overwrite(FileName::new(FileKind::Index, id), bytes);
        let error = open(&backend).load_index().err().unwrap();
        assert!(matches!(error, Error::Damaged { file, .. } if file.id == id), "{error}");
    }
}

#[test]
fn a_blob_with_a_flipped_bit_is_never_returned() {
    let backend = Arc::new(Memory::new());
    let repo = init(&backend);
    let writer = BlobWriter::new(&repo);
    let blob = save_all(&writer, BlobKind::Data, &[content(1, 10_000)])[0];
    writer.finish().unwrap();
    let location = repo.index().unwrap().find(&blob).unwrap();
    let mut bytes = read(&backend, location.pack);
    bytes[location.offset as usize + 100] ^= 1;
    backend.overwrite(FileName::new(FileKind::Pack, location.pack), bytes);
    assert!(matches!(repo.read_blob(&blob), Err(Error::DamagedBlob { .. })));
}

#[test]
fn snapshots_are_found_as_people_name_them() {
    let backend = Arc::new(Memory::new());
    let repo = init(&backend);
    let tree = Id::of(b"tree");
    let mut ids = Vec::new();
    for hour in 10..20 {
        let mut snapshot = snapshot(tree);
        snapshot.time = format!("2026-11-22T{hour}:00:00+01:00");
        if hour == 19 {
            snapshot.tags = vec![repo::snapshot::PARTIAL_TAG.into()];
        }
        ids.push(repo.write_snapshot(&snapshot).unwrap());
    }
    let find = |what: &str| repo.find_snapshot(what, &Default::default());
    assert_eq!(find("latest").unwrap().id, ids[8]);
    let found = find(&format!("{}:home/ada", &ids[3].to_string()[..12])).unwrap();
    assert_eq!((found.id, found.subfolder.as_deref()), (ids[3], Some("home/ada")));
    for nothing in ["", "zz", &Id::of(b"no").to_string(), "latests"] {
        assert!(matches!(find(nothing), Err(Error::NoSuchSnapshot(_))), "{nothing}");
    }
    let firsts: Vec<String> = ids.iter().map(|id| id.to_string()[..1].to_owned()).collect();
    if let Some(twice) = firsts.iter().find(|digit| firsts.iter().filter(|other| other == digit).count() > 1) {
        assert!(find(twice).unwrap_err().to_string().contains("more than one"));
    }
    assert_eq!(repo.snapshots().unwrap().all.iter().map(|(id, _)| *id).collect::<Vec<_>>(), ids);
}
