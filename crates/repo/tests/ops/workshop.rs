//! Makes repositories with known content, and reads them back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use backend::{Backend, Clock, FileKind, FileName, Id, Memory, Part};
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use rand::{Rng, RngCore, SeedableRng};
use repo::cancel::Cancel;
use repo::chunk::ChunkerKind;
use repo::compress::Compression;
use repo::key::{KdfParams, KeyOrigin};
use repo::lock::{Lock, LockKind, LockOptions, LockOwner};
use repo::node::{Node, NodeKind};
use repo::progress::Silent;
use repo::prune::{self, PruneOptions, PruneOutcome, PruneWhen};
use repo::repository::{InitOptions, OpenOptions};
use repo::snapshot::Snapshot;
use repo::tree::TreeBuilder;
use repo::writer::{BlobWriter, Scratch};
use repo::{BlobHandle, BlobKind, Repository};

/// A snapshot's files: path to the numbers of its chunks.
pub(crate) type Files = BTreeMap<String, Vec<u32>>;

/// A clock that goes only when told.
pub(crate) struct StoppedClock(Mutex<Timestamp>);

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        *self.0.lock()
    }
    fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.now().as_nanosecond() as u64)
    }
    fn sleep(&self, time: Duration) {
        *self.0.lock() += SignedDuration::try_from(time).unwrap();
    }
}

/// One storage and how to open it.
pub(crate) struct Workshop {
    pub(crate) storage: Arc<dyn Backend>,
    pub(crate) clock: Arc<StoppedClock>,
    cache: Option<tempfile::TempDir>,
    caches_files: bool,
    compression: Compression,
}

impl Workshop {
    /// An empty repository in memory.
    pub(crate) fn new() -> Workshop {
        Workshop::on(Arc::new(Memory::new()), 2)
    }

    /// An empty repository in `storage`.
    pub(crate) fn on(storage: Arc<dyn Backend>, version: u32) -> Workshop {
        let now = "2026-11-22T12:00:00Z".parse().unwrap();
        let workshop = Workshop {
            storage,
            clock: Arc::new(StoppedClock(Mutex::new(now))),
            cache: None,
            caches_files: false,
            compression: Compression::Auto,
        };
        let init = InitOptions {
            chunker: ChunkerKind::Rabin,
            chunker_polynomial: None,
            version,
            kdf: KdfParams::RANDOM_PASSWORD,
            origin: KeyOrigin {
                created: now.to_zoned(jiff::tz::TimeZone::UTC),
                username: "u".into(),
                hostname: "h".into(),
            },
        };
        Repository::init(Arc::clone(&workshop.storage), b"test", &init, workshop.options()).unwrap();
        workshop
    }

    /// With a cache directory, as a machine has.
    pub(crate) fn with_cache(mut self) -> Workshop {
        self.cache = Some(tempfile::tempdir().unwrap());
        self
    }

    /// Writes data uncompressed.
    pub(crate) fn uncompressed(mut self) -> Workshop {
        self.compression = Compression::Off;
        self
    }

    /// The same repository, opened with default options.
    pub(crate) fn sharing(other: &Workshop) -> Workshop {
        let (storage, clock) = (Arc::clone(&other.storage), Arc::clone(&other.clock));
        Workshop { storage, clock, cache: None, caches_files: false, compression: Compression::Auto }
    }

    /// Also keeps copies of snapshots, index files and tree packs there, as a machine with remote storage does.
    pub(crate) fn with_copies(mut self) -> Workshop {
        self.caches_files = true;
        self.with_cache()
    }

    /// With a clock of its own that goes so many hours ahead of (or behind) what it was.
    pub(crate) fn with_clock_off_by(mut self, hours: i64) -> Workshop {
        let now = self.clock.now() + SignedDuration::from_hours(hours);
        self.clock = Arc::new(StoppedClock(Mutex::new(now)));
        self
    }

    /// Where this machine's caches are.
    pub(crate) fn cache(&self) -> Option<&std::path::Path> {
        self.cache.as_ref().map(tempfile::TempDir::path)
    }

    fn options(&self) -> OpenOptions {
        OpenOptions {
            key_hint: None,
            cache: self.cache.as_ref().map(|cache| cache.path().to_owned()),
            compression: self.compression,
            pack_size: 4 << 20,
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            cancel: Cancel::default(),
        }
    }

    pub(crate) fn open(&self) -> Arc<Repository> {
        self.open_through(Arc::clone(&self.storage)).unwrap()
    }

    /// Opens the same repository through another backend.
    pub(crate) fn open_through(&self, backend: Arc<dyn Backend>) -> repo::Result<Arc<Repository>> {
        let repo = Repository::open(backend, b"test", self.options())?;
        let Some(base) = self.cache().filter(|_| self.caches_files) else { return Ok(Arc::new(repo)) };
        let cached = |storage, id: &Id| {
            Arc::new(backend::Cache::new(storage, base, &id.to_string()).unwrap()) as Arc<dyn Backend>
        };
        Ok(Arc::new(repo.through(cached)))
    }

    pub(crate) fn lock(&self, repo: &Repository, kind: LockKind) -> Lock {
        let owner = LockOwner::this_process("workshop", "tester");
        Lock::acquire(repo, &LockOptions { kind, owner, wait: Duration::ZERO }).unwrap()
    }

    pub(crate) fn wait(&self, hours: i64) {
        *self.clock.0.lock() += SignedDuration::from_hours(hours);
    }

    pub(crate) fn wait_until(&self, time: Timestamp) {
        *self.clock.0.lock() = time;
    }

    /// Backs up files as a snapshot of now.
    pub(crate) fn save(&self, files: &Files) -> Id {
        self.save_with(&self.open(), files)
    }

    /// The same with a repository that was opened before, and knows its index of then.
    pub(crate) fn save_with(&self, repo: &Arc<Repository>, files: &Files) -> Id {
        let tree = store(repo, files);
        self.write_snapshot(repo, tree, &self.clock.now().to_string())
    }

    pub(crate) fn write_snapshot(&self, repo: &Repository, tree: Id, time: &str) -> Id {
        repo.write_snapshot(&snapshot(tree, time)).unwrap()
    }

    pub(crate) fn forget(&self, id: Id) {
        self.storage.remove(&FileName::new(FileKind::Snapshot, id)).unwrap();
    }

    /// Plans and executes.
    pub(crate) fn prune(&self, options: &PruneOptions) -> PruneOutcome {
        self.try_prune(options).unwrap()
    }

    pub(crate) fn try_prune(&self, options: &PruneOptions) -> repo::Result<PruneOutcome> {
        let repo = self.open();
        let kind = if options.when == PruneWhen::Now { LockKind::Exclusive } else { LockKind::Shared };
        let _lock = self.lock(&repo, kind);
        prune::execute(&repo, prune::plan_prune(&repo, options, &Silent)?, &Silent)
    }

    /// Problems that a check with all data finds, as text.
    pub(crate) fn check(&self) -> Vec<String> {
        let options = repo::check::CheckOptions { read_data: repo::check::ReadData::All, ..Default::default() };
        let report = repo::check::check(&self.open(), &options, &Silent).unwrap();
        report.errors.iter().map(ToString::to_string).collect()
    }

    pub(crate) fn list(&self, kind: FileKind) -> Vec<Id> {
        let mut ids: Vec<Id> = self.storage.list(kind).unwrap().into_iter().map(|file| file.id).collect();
        ids.sort();
        ids
    }

    pub(crate) fn bytes(&self, file: FileName) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.storage.read(&file, Part::Whole, &mut bytes).unwrap();
        bytes
    }

    /// Puts other bytes under a name, as a broken disk does.
    pub(crate) fn overwrite(&self, file: FileName, bytes: &[u8]) {
        self.storage.remove(&file).unwrap();
        self.storage.write(&file, bytes).unwrap();
    }
}

/// A snapshot of host `office`.
pub(crate) fn snapshot(tree: Id, time: &str) -> Snapshot {
    let json =
        serde_json::json!({"time": time, "tree": tree, "paths": ["/work"], "hostname": "office", "username": "u"});
    serde_json::from_value(json).unwrap()
}

/// The bytes of a chunk: its number decides everything. Half of them compress.
pub(crate) fn chunk(number: u32) -> Vec<u8> {
    let mut random = rand::rngs::StdRng::seed_from_u64(number.into());
    let mut bytes = vec![0; random.random_range(100..3000)];
    random.fill_bytes(&mut bytes);
    if number.is_multiple_of(2) {
        bytes.iter_mut().for_each(|byte| *byte %= 4);
    }
    bytes
}

/// Files `name` with these chunks each.
pub(crate) fn files(list: &[(&str, &[u32])]) -> Files {
    list.iter().map(|(path, chunks)| (path.to_string(), chunks.to_vec())).collect()
}

/// Stores trees and data; returns the root.
pub(crate) fn store(repo: &Arc<Repository>, files: &Files) -> Id {
    let writer = BlobWriter::new(repo);
    let root = store_directory(&writer, &mut writer.scratch(), files);
    writer.finish().unwrap();
    root
}

fn store_directory(writer: &BlobWriter, scratch: &mut Scratch, files: &Files) -> Id {
    let mut directories: BTreeMap<&str, Files> = BTreeMap::new();
    let mut nodes = Vec::new();
    for (path, chunks) in files {
        match path.split_once('/') {
            Some((directory, rest)) => {
                directories.entry(directory).or_default().insert(rest.to_owned(), chunks.clone());
            }
            None => nodes.push(store_file(writer, scratch, path, chunks)),
        }
    }
    for (name, files) in directories {
        let mut node = Node::new(name, NodeKind::Dir);
        node.subtree = Some(store_directory(writer, scratch, &files));
        nodes.push(node);
    }
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    let mut builder = TreeBuilder::default();
    nodes.iter().for_each(|node| builder.push(node).unwrap());
    writer.save(BlobKind::Tree, &builder.finish(), scratch).unwrap().id
}

fn store_file(writer: &BlobWriter, scratch: &mut Scratch, name: &str, chunks: &[u32]) -> Node {
    let mut node = Node::new(name, NodeKind::File);
    node.links = 1;
    let save = |number: &u32| {
        let bytes = chunk(*number);
        node.size += bytes.len() as u64;
        writer.save(BlobKind::Data, &bytes, scratch).unwrap().id
    };
    node.content = Some(chunks.iter().map(save).collect());
    node
}

/// Reads a snapshot completely.
pub(crate) fn load(repo: &Repository, id: Id) -> repo::Result<Files> {
    let mut files = Files::new();
    load_directory(repo, &repo.read_snapshot(&id)?.tree, "", &mut files)?;
    Ok(files)
}

fn load_directory(repo: &Repository, tree: &Id, prefix: &str, files: &mut Files) -> repo::Result<()> {
    for node in repo.read_tree(tree)?.nodes {
        let path = format!("{prefix}{}", node.display_name());
        match (&node.content, &node.subtree) {
            (_, Some(subtree)) => load_directory(repo, subtree, &format!("{path}/"), files)?,
            (content, None) => {
                let ids = content.as_deref().unwrap_or_default();
                let chunks = ids.iter().map(|id| load_chunk(repo, *id)).collect::<repo::Result<_>>()?;
                files.insert(path, chunks);
            }
        }
    }
    Ok(())
}

fn load_chunk(repo: &Repository, id: Id) -> repo::Result<u32> {
    let bytes = repo.read_blob(&BlobHandle { kind: BlobKind::Data, id })?;
    let number = (0..NUMBERS).find(|number| chunk(*number) == bytes);
    Ok(number.expect("a chunk of ours"))
}

/// Chunks have numbers below this.
pub(crate) const NUMBERS: u32 = 60;
