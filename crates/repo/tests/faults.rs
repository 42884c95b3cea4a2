//! Writing to storage that fails, stalls or lies.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use backend::{Backend, Class, Clock, FileInfo, FileKind, FileName, Memory, Part, SystemClock};
use repo::chunk::ChunkerKind;
use repo::compress::Compression;
use repo::key::{KdfParams, KeyOrigin};
use repo::repository::{InitOptions, OpenOptions};
use repo::snapshot::Snapshot;
use repo::writer::BlobWriter;
use repo::{BlobHandle, BlobKind, Cancel, Error, Repository};
use stead_repo as repo;

/// What happens to a write.
#[derive(Clone, Copy)]
enum Fault {
    /// It fails, and nothing is stored.
    Fails,
    /// "Stored", but it is not.
    IsLost,
    /// "Stored", but only the first half.
    IsTruncated,
    /// Index files are stored late.
    IsSlow,
}

/// Storage whose writes go wrong from one of them on.
struct Faulty {
    memory: Arc<Memory>,
    fault: Fault,
    first: usize,
    writes: AtomicUsize,
}

impl Faulty {
    fn new(memory: &Arc<Memory>, fault: Fault, first: usize) -> Arc<Faulty> {
        Arc::new(Faulty { memory: memory.clone(), fault, first, writes: AtomicUsize::new(0) })
    }
}

impl Backend for Faulty {
    fn location(&self) -> String {
        "faulty".into()
    }
    fn connections(&self) -> usize {
        3
    }
    fn create(&self) -> backend::Result<()> {
        self.memory.create()
    }
    fn list(&self, kind: FileKind) -> backend::Result<Vec<FileInfo>> {
        self.memory.list(kind)
    }
    fn size(&self, file: &FileName) -> backend::Result<u64> {
        self.memory.size(file)
    }
    fn read(&self, file: &FileName, part: Part, into: &mut Vec<u8>) -> backend::Result<()> {
        self.memory.read(file, part, into)
    }
    fn write(&self, file: &FileName, content: &[u8]) -> backend::Result<()> {
        if self.writes.fetch_add(1, Ordering::SeqCst) < self.first {
            return self.memory.write(file, content);
        }
        match self.fault {
            Fault::Fails => Err(backend::Error::new(Class::Full, "write", file, "no space")),
            Fault::IsLost => Ok(()),
            Fault::IsTruncated => self.memory.write(file, &content[..content.len() / 2]),
            Fault::IsSlow => {
                if file.kind == FileKind::Index {
                    std::thread::sleep(Duration::from_millis(30));
                }
                self.memory.write(file, content)
            }
        }
    }
    fn remove(&self, file: &FileName) -> backend::Result<()> {
        self.memory.remove(file)
    }
}

fn options(clock: Arc<dyn Clock>) -> OpenOptions {
    OpenOptions {
        key_hint: None,
        cache: None,
        compression: Compression::Off,
        pack_size: 4 << 20,
        clock,
        cancel: Cancel::default(),
    }
}

fn made() -> Arc<Memory> {
    let memory = Arc::new(Memory::new());
    let init = InitOptions {
        chunker: ChunkerKind::Gear,
        chunker_polynomial: None,
        version: 2,
        kdf: KdfParams::RANDOM_PASSWORD,
        origin: KeyOrigin { created: jiff::Zoned::now(), username: "ada".into(), hostname: "desk".into() },
    };
    Repository::init(memory.clone(), b"secret", &init, options(Arc::new(SystemClock))).unwrap();
    memory
}

fn open(backend: Arc<dyn Backend>) -> Arc<Repository> {
    Arc::new(Repository::open(backend, b"secret", options(Arc::new(SystemClock))).unwrap())
}

/// A backup of 7 MiB in two or three packs; what it stored is in the result if it ended well.
fn back_up(repo: &Arc<Repository>) -> repo::Result<Vec<BlobHandle>> {
    let writer = BlobWriter::new(repo);
    let mut scratch = writer.scratch();
    let mut blobs = Vec::new();
    for at in 0..7u8 {
        let plain = vec![at; 1 << 20];
        let id = writer.save(BlobKind::Data, &plain, &mut scratch)?.id;
        blobs.push(BlobHandle { kind: BlobKind::Data, id });
    }
    let tree = writer.save(BlobKind::Tree, b"{\"nodes\":[]}\n", &mut scratch)?.id;
    blobs.push(BlobHandle { kind: BlobKind::Tree, id: tree });
    writer.flush()?;
    assert!(writer.flush().is_ok(), "a second flush has nothing to do");
    writer.audit()?;
    let snapshot = serde_json::json!({ "time": "2026-11-22T02:00:00Z", "tree": tree });
    repo.write_snapshot(&serde_json::from_value::<Snapshot>(snapshot).unwrap())?;
    Ok(blobs)
}

fn assert_whole(memory: &Arc<Memory>, blobs: &[BlobHandle]) {
    let repo = open(memory.clone());
    blobs.iter().for_each(|blob| drop(repo.read_blob(blob).unwrap()));
}

fn snapshots(memory: &Memory) -> usize {
    memory.list(FileKind::Snapshot).unwrap().len()
}

/// F2, F8, F25: wherever storage fails, no snapshot is written, the error says why, and the next run heals it.
#[test]
fn a_write_that_fails_ends_the_backup_and_the_next_run_heals_it() {
    for first in 0.. {
        let memory = made();
        let result = back_up(&open(Faulty::new(&memory, Fault::Fails, first)));
        if let Ok(blobs) = &result {
            assert!(first >= 4, "{first} writes are too few for a backup");
            return assert_whole(&memory, blobs);
        }
        let error = result.unwrap_err();
        assert!(matches!(error.root(), Error::Backend(error) if error.class == Class::Full), "{error}");
        assert_eq!(snapshots(&memory), 0);
        let blobs = back_up(&open(memory.clone())).unwrap();
        assert_whole(&memory, &blobs);
    }
}

#[test]
fn after_a_failure_every_save_and_flush_fails() {
    let memory = made();
    let writer = BlobWriter::new(&open(Faulty::new(&memory, Fault::Fails, 0)));
    let mut scratch = writer.scratch();
    writer.save(BlobKind::Data, b"something", &mut scratch).unwrap();
    assert!(writer.flush().is_err());
    assert!(writer.save(BlobKind::Data, b"something", &mut scratch).is_err());
    assert!(writer.save(BlobKind::Data, b"else", &mut scratch).is_err());
    assert!(writer.flush().is_err() && writer.finish().is_err());
}

/// F7, F8: storage that says "stored" and stores nothing, or half.
#[test]
fn the_audit_finds_packs_that_were_lost_or_cut() {
    for fault in [Fault::IsLost, Fault::IsTruncated] {
        let memory = made();
        let error = back_up(&open(Faulty::new(&memory, fault, 1))).unwrap_err();
        assert!(matches!(error.root(), Error::Damaged { file, .. } if file.kind == FileKind::Pack), "{error}");
        assert_eq!(snapshots(&memory), 0);
    }
}

/// A clock on which every look costs eleven minutes: each pack is due for an index file.
#[derive(Default)]
struct HastyClock(AtomicU64);

impl Clock for HastyClock {
    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::now()
    }
    fn monotonic(&self) -> Duration {
        Duration::from_secs(660 * self.0.fetch_add(1, Ordering::Relaxed))
    }
    fn sleep(&self, _time: Duration) {}
}

/// F9: an index file that is on its way when the backup ends is waited for.
#[test]
fn a_flush_waits_for_index_files_that_are_on_their_way() {
    let memory = made();
    let slow = Faulty::new(&memory, Fault::IsSlow, 0);
    let repo = Repository::open(slow, b"secret", options(Arc::new(HastyClock::default()))).unwrap();
    let blobs = back_up(&Arc::new(repo)).unwrap();
    assert!(memory.list(FileKind::Index).unwrap().len() >= 2, "an index file per pack");
    assert_whole(&memory, &blobs);
}

#[test]
fn a_writer_that_is_dropped_amid_its_work_ends_its_threads() {
    let memory = made();
    for flushed in [false, true] {
        let writer = BlobWriter::new(&open(memory.clone()));
        let mut scratch = writer.scratch();
        for at in 100..106u8 {
            let plain = vec![at; 1 << 20];
            writer.save(BlobKind::Data, &plain, &mut scratch).unwrap();
        }
        if flushed {
            writer.flush().unwrap();
        }
    }
    assert!(Arc::strong_count(&memory) == 1, "all threads let go of the storage");
}
