//! Storage that answers late is asked for several things at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use backend::{Backend, FileInfo, FileKind, FileName, Memory, Part, Result};
use files::restore::{Options, Selection};

use crate::world::{World, link};

/// Answers late, and counts how many wait for it.
struct Late {
    inner: Arc<Memory>,
    connections: usize,
    waiting: AtomicUsize,
    most: AtomicUsize,
    reads: AtomicUsize,
}

impl Late {
    fn new(inner: Arc<Memory>, connections: usize) -> Arc<Late> {
        let (waiting, most, reads) = Default::default();
        Arc::new(Late { inner, connections, waiting, most, reads })
    }

    /// The most that waited at a time, and how many there were, since this was asked the last time.
    fn seen(&self) -> (usize, usize) {
        (self.most.swap(0, Ordering::SeqCst), self.reads.swap(0, Ordering::SeqCst))
    }
}

impl Backend for Late {
    fn location(&self) -> String {
        self.inner.location()
    }
    fn connections(&self) -> usize {
        self.connections
    }
    fn create(&self) -> Result<()> {
        self.inner.create()
    }
    fn list(&self, kind: FileKind) -> Result<Vec<FileInfo>> {
        self.inner.list(kind)
    }
    fn size(&self, file: &FileName) -> Result<u64> {
        self.inner.size(file)
    }
    fn read(&self, file: &FileName, part: Part, into: &mut Vec<u8>) -> Result<()> {
        let waiting = self.waiting.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(waiting, Ordering::SeqCst);
        self.reads.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(2));
        let result = self.inner.read(file, part, into);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        result
    }
    fn write(&self, file: &FileName, content: &[u8]) -> Result<()> {
        self.inner.write(file, content)
    }
    fn remove(&self, file: &FileName) -> Result<()> {
        self.inner.remove(file)
    }
}

/// Folders of folders, each with a link of its own, so that no two are the same; no file, so that only trees are read.
fn folders(world: &World, prefix: &str, outer: usize, inner: usize) -> Vec<repo::node::Node> {
    let leaf = |at, below| {
        let link = link("link", &format!("{prefix}{at}-{below}"));
        world.dir(&format!("{prefix}{below:04}"), vec![link])
    };
    let folder = |at| world.dir(&format!("{prefix}{at:04}"), (0..inner).map(|below| leaf(at, below)).collect());
    (0..outer).map(folder).collect()
}

#[test]
fn the_folders_of_a_far_repository_are_fetched_several_at_a_time() {
    for (outer, inner) in [(500, 1), (20, 50), (1, 1000)] {
        let memory = Arc::new(Memory::new());
        let late = Late::new(memory.clone(), 5);
        let world = World::over(memory, late.clone());
        let root = world.tree(folders(&world, "d", outer, inner));
        let target = tempfile::tempdir().unwrap();
        world.flush();
        late.seen();
        let summary = world.restores(root, target.path(), &Options::default());
        assert_eq!(summary.files_restored as usize, outer + 2 * outer * inner);
        let (most, reads) = late.seen();
        assert!((4..=6).contains(&most), "{most} requests at a time");
        // Each is fetched about once, though there is no room for all.
        let trees = 1 + outer + outer * inner;
        assert!(reads <= trees + trees / 5, "{reads} requests for {trees} folders");
    }
}

#[test]
fn folders_that_are_left_out_are_not_fetched() {
    let memory = Arc::new(Memory::new());
    let late = Late::new(memory.clone(), 5);
    let world = World::over(memory, late.clone());
    let mut nodes = folders(&world, "other", 200, 1);
    nodes.extend(folders(&world, "wanted", 2, 1));
    let root = world.tree(nodes);
    let target = tempfile::tempdir().unwrap();
    world.flush();
    late.seen();
    let select = |path: &[u8], _| match path.starts_with(b"/wanted") {
        true => Selection::ALL,
        false => Selection { itself: false, below: false },
    };
    world.restores(root, target.path(), &Options { select: &select, ..Options::default() });
    assert_eq!(late.seen().1, 1 + 2 * 2);
}

#[test]
fn a_folder_that_comes_again_and_again_is_fetched_once() {
    let memory = Arc::new(Memory::new());
    let late = Late::new(memory.clone(), 5);
    let world = World::over(memory, late.clone());
    let empty = |at: usize| world.dir(&format!("d{at}"), vec![]);
    let root = world.tree((0..200).map(empty).collect());
    let target = tempfile::tempdir().unwrap();
    world.flush();
    late.seen();
    world.restores(root, target.path(), &Options::default());
    assert_eq!(late.seen().1, 2);
}
