//! What the cache keeps, what it forgets, and what it does not believe.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::Memory;

/// Storage that counts how often it is read.
struct Counted {
    memory: Memory,
    reads: AtomicU32,
}

impl Backend for Counted {
    fn location(&self) -> String {
        "counted".into()
    }
    fn connections(&self) -> usize {
        1
    }
    fn create(&self) -> Result<()> {
        self.memory.create()
    }
    fn list(&self, kind: FileKind) -> Result<Vec<FileInfo>> {
        self.memory.list(kind)
    }
    fn size(&self, file: &FileName) -> Result<u64> {
        self.memory.size(file)
    }
    fn read(&self, file: &FileName, part: Part, into: &mut Vec<u8>) -> Result<()> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.memory.read(file, part, into)
    }
    fn write(&self, file: &FileName, content: &[u8]) -> Result<()> {
        self.memory.write(file, content)
    }
    fn remove(&self, file: &FileName) -> Result<()> {
        self.memory.remove(file)
    }
}

struct Story {
    folder: tempfile::TempDir,
    storage: Arc<Counted>,
    id: String,
}

impl Story {
    fn new() -> Story {
        let storage = Arc::new(Counted { memory: Memory::new(), reads: AtomicU32::new(0) });
        storage.create().unwrap();
        Story { folder: tempfile::tempdir().unwrap(), storage, id: Id::of(b"repository").to_string() }
    }
    fn base(&self) -> PathBuf {
        self.folder.path().join("cache")
    }
    /// A cache as a new process opens it.
    fn open(&self) -> Cache<Arc<Counted>> {
        Cache::new(Arc::clone(&self.storage), &self.base(), &self.id).unwrap()
    }
    fn reads(&self) -> u32 {
        self.storage.reads.load(Ordering::Relaxed)
    }
    fn path(&self, file: &FileName) -> PathBuf {
        let id = file.id.to_string();
        self.base().join(&self.id).join(file.kind.directory()).join(&id[..2]).join(id)
    }
}

fn file(kind: FileKind, content: &[u8]) -> FileName {
    FileName::new(kind, Id::of(content))
}

fn read(cache: &impl Backend, file: &FileName, part: Part) -> Vec<u8> {
    let mut content = Vec::new();
    cache.read(file, part, &mut content).unwrap();
    content
}

#[test]
fn what_was_written_or_read_once_is_not_fetched_again() {
    let story = Story::new();
    let (written, found) = (file(FileKind::Index, b"written"), file(FileKind::Snapshot, b"found"));
    story.storage.write(&found, b"found").unwrap();
    let cache = story.open();
    cache.write(&written, b"written").unwrap();
    assert_eq!(read(&cache, &found, Part::Whole), b"found");
    for cache in [cache, story.open()] {
        assert_eq!(read(&cache, &written, Part::Whole), b"written");
        assert_eq!(read(&cache, &found, Part::Range { offset: 1, length: 3 }), b"oun");
    }
    assert_eq!(story.reads(), 1);
    assert!(story.path(&written).is_file());
    assert!(fs::read_to_string(story.base().join("CACHEDIR.TAG")).unwrap().starts_with("Signature: 8a477f597d28d17"));
}

#[test]
fn only_packs_of_trees_are_kept_and_then_whole() {
    let story = Story::new();
    let (trees, data) = (file(FileKind::Pack, b"trees"), file(FileKind::Pack, b"data"));
    story.storage.write(&trees, b"trees").unwrap();
    story.storage.write(&data, b"data").unwrap();
    let cache = story.open();
    cache.hint(Hint::TreePacks(&[trees.id]));
    for _ in 0..3 {
        assert_eq!(read(&cache, &trees, Part::Tail(2)), b"es");
        assert_eq!(read(&cache, &data, Part::Tail(2)), b"ta");
    }
    assert_eq!(story.reads(), 1 + 3);
    assert!(story.path(&trees).is_file() && !story.path(&data).exists());
}

#[test]
fn a_damaged_copy_is_dropped_and_fetched_again() {
    let story = Story::new();
    let index = file(FileKind::Index, b"content");
    story.open().write(&index, b"content").unwrap();
    for damage in [&b"contenT"[..], b"con", b""] {
        fs::write(story.path(&index), damage).unwrap();
        assert_eq!(read(&story.open(), &index, Part::Whole), b"content");
        assert_eq!(fs::read(story.path(&index)).unwrap(), b"content");
    }
    assert_eq!(story.reads(), 3);
}

#[test]
fn damaged_storage_never_gets_into_the_cache() {
    let story = Story::new();
    let index = file(FileKind::Index, b"content");
    story.storage.memory.overwrite(index, b"damaged".to_vec());
    assert_eq!(read(&story.open(), &index, Part::Whole), b"damaged");
    assert!(!story.path(&index).exists());
}

#[test]
fn what_the_storage_lost_or_removed_leaves_the_cache() {
    let story = Story::new();
    let cache = story.open();
    let (gone, removed) = (file(FileKind::Index, b"gone"), file(FileKind::Index, b"removed"));
    cache.write(&gone, b"gone").unwrap();
    cache.write(&removed, b"removed").unwrap();
    cache.remove(&removed).unwrap();
    assert!(!story.path(&removed).exists());
    story.storage.remove(&gone).unwrap();
    assert!(story.path(&gone).exists());
    assert_eq!(cache.list(FileKind::Index).unwrap(), []);
    assert!(!story.path(&gone).exists());
}

/// F36: a full disk under the cache costs speed, nothing else.
#[test]
fn a_cache_that_cannot_be_written_is_no_error() {
    let story = Story::new();
    let cache = story.open();
    let index = file(FileKind::Index, b"content");
    // A file stands where a directory should be made.
    fs::write(story.base().join(&story.id).join("index"), b"").unwrap();
    cache.write(&index, b"content").unwrap();
    assert_eq!(read(&cache, &index, Part::Whole), b"content");
    assert_eq!(story.reads(), 1);
}

#[test]
fn caches_are_listed_and_removed_but_nothing_else_is() {
    let story = Story::new();
    story.open().write(&file(FileKind::Index, b"content"), b"content").unwrap();
    fs::create_dir(story.base().join("photos")).unwrap();
    let caches = list_caches(&story.base()).unwrap();
    assert_eq!(caches.len(), 1);
    assert_eq!((caches[0].id.as_str(), caches[0].size), (story.id.as_str(), 8));
    remove_cache(&caches[0]).unwrap();
    assert_eq!(list_caches(&story.base()).unwrap(), []);
    assert!(story.base().join("photos").is_dir());
    assert_eq!(list_caches(Path::new("/no/such/directory")).unwrap(), []);
}
