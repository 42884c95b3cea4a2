//! Whatever stood in the target, its content is the snapshot's afterwards, and only what differed was written.

use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use backend::{Backend, FileInfo, FileKind, FileName, Memory, Part};
use files::restore::{Options, Overwrite};
use proptest::prelude::*;

use crate::world::{THEN, World, linked};

/// Random content with runs of zeros, as pieces of `(byte, length)`.
fn content() -> impl Strategy<Value = Vec<u8>> {
    let run = (prop_oneof![Just(0_u8), any::<u8>()], 0_usize..90_000);
    proptest::collection::vec(run, 0..6)
        .prop_map(|runs| runs.into_iter().flat_map(|(byte, length)| std::iter::repeat_n(byte, length)).collect())
}

/// What stands in the place of the file before.
#[derive(Clone, Debug)]
enum Before {
    Nothing,
    Random(Vec<u8>),
    Cut(usize),
    Grown(usize),
    Flipped(Vec<usize>),
    Link,
    Directory,
}

fn before() -> impl Strategy<Value = Before> {
    prop_oneof![
        Just(Before::Nothing),
        content().prop_map(Before::Random),
        (0_usize..200_000).prop_map(Before::Cut),
        (1_usize..200_000).prop_map(Before::Grown),
        proptest::collection::vec(any::<usize>(), 1..4).prop_map(Before::Flipped),
        Just(Before::Link),
        Just(Before::Directory),
    ]
}

fn plant(before: &Before, wanted: &[u8], at: &std::path::Path) {
    let mut old = wanted.to_vec();
    match before {
        Before::Nothing => return,
        Before::Link => return std::os::unix::fs::symlink("elsewhere", at).unwrap(),
        Before::Directory => return std::fs::create_dir(at).unwrap(),
        Before::Random(content) => old = content.clone(),
        Before::Cut(length) => old.truncate(*length),
        Before::Grown(by) => old.extend(std::iter::repeat_n(7, *by)),
        Before::Flipped(_) if old.is_empty() => {}
        Before::Flipped(places) => places.iter().for_each(|place| old[place % wanted.len()] ^= 1),
    }
    std::fs::write(at, old).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    /// F14: restic once wrote wrong parts into files that were partly right, and left stale bytes in sparse ones.
    #[test]
    fn a_restore_onto_anything_gives_the_snapshot(
        first in content(),
        second in content(),
        old in (before(), before()),
        cut in prop_oneof![Just(4096_usize), 10_000_usize..70_000],
        sparse: bool,
        shared_name: bool,
        hard_link: bool,
    ) {
        let world = World::new();
        let target = tempfile::tempdir().unwrap();
        let mut nodes = vec![world.file("first", &first, cut), world.file("second", &second, cut)];
        if hard_link {
            nodes = vec![linked(world.file("first", &first, cut), 5), linked(world.file("second", &first, cut), 5)];
        }
        let second = if hard_link { first.clone() } else { second };
        let root = world.tree(nodes);
        plant(&old.0, &first, &target.path().join("first"));
        plant(&old.1, &second, &target.path().join("second"));
        let witness = tempfile::tempdir_in(target.path().parent().unwrap()).unwrap();
        let mut witnessed = None;
        if shared_name && target.path().join("first").is_file() {
            std::fs::hard_link(target.path().join("first"), witness.path().join("witness")).unwrap();
            witnessed = Some(std::fs::read(witness.path().join("witness")).unwrap());
        }
        let options = Options { sparse, verify: true, ..Options::default() };
        world.restores(root, target.path(), &options);
        prop_assert!(std::fs::read(target.path().join("first")).unwrap() == first);
        prop_assert!(std::fs::read(target.path().join("second")).unwrap() == second);
        let inode = |name: &str| std::fs::metadata(target.path().join(name)).unwrap().ino();
        prop_assert_eq!(inode("first") == inode("second"), hard_link);
        if let Some(witnessed) = witnessed {
            prop_assert!(std::fs::read(witness.path().join("witness")).unwrap() == witnessed, "another name's content changed");
        }
        let again = world.restores(root, target.path(), &options);
        prop_assert_eq!(again.bytes_restored, 0, "a second run finds nothing to write");
        prop_assert_eq!(std::fs::metadata(target.path().join("first")).unwrap().mtime(), THEN);
    }
}

/// Counts what is read.
struct Counting {
    memory: Arc<Memory>,
    read: AtomicU64,
}

impl Backend for Counting {
    fn location(&self) -> String {
        self.memory.location()
    }
    fn connections(&self) -> usize {
        2
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
        self.memory.read(file, part, into)?;
        self.read.fetch_add(into.len() as u64, Ordering::Relaxed);
        Ok(())
    }
    fn write(&self, file: &FileName, content: &[u8]) -> backend::Result<()> {
        self.memory.write(file, content)
    }
    fn remove(&self, file: &FileName) -> backend::Result<()> {
        self.memory.remove(file)
    }
}

#[test]
fn only_what_differs_is_fetched() {
    let memory = Arc::new(Memory::new());
    let counting = Arc::new(Counting { memory: memory.clone(), read: AtomicU64::new(0) });
    let world = World::over(memory, counting.clone());
    let target = tempfile::tempdir().unwrap();
    let content = testkit::sample::random_bytes(1, 1 << 20);
    let root = world.tree(vec![world.file("file", &content, 64 << 10)]);
    let mut old = content.clone();
    old[200_000] ^= 1;
    old.truncate(1_000_000);
    let path = target.path().join("file");
    std::fs::write(&path, old).unwrap();
    world.restore(root, target.path(), &Options { dry_run: true, ..Options::default() });
    counting.read.store(0, Ordering::Relaxed);
    let inode = std::fs::metadata(&path).unwrap().ino();
    let summary = world.restores(root, target.path(), &Options { verify: true, ..Options::default() });
    assert!(counting.read.load(Ordering::Relaxed) < 300_000, "two blobs at the start and the end, and a tree");
    assert!(std::fs::read(&path).unwrap() == content);
    assert_eq!(std::fs::metadata(&path).unwrap().ino(), inode, "it is rewritten in place");
    assert_eq!((summary.total_bytes, summary.bytes_restored), (1 << 20, 1 << 20));
}

#[test]
fn equal_size_and_time_are_trusted_only_when_asked() {
    let world = World::new();
    let target = tempfile::tempdir().unwrap();
    let root = world.tree(vec![world.file("file", b"right", 10)]);
    let path = target.path().join("file");
    world.restores(root, target.path(), &Options::default());
    let times = std::fs::FileTimes::new().set_modified(std::fs::metadata(&path).unwrap().modified().unwrap());
    std::fs::write(&path, "wrong").unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_times(times).unwrap();
    let if_changed = Options { overwrite: Overwrite::IfChanged, ..Options::default() };
    assert_eq!(world.restores(root, target.path(), &if_changed).files_skipped, 1);
    assert_eq!(std::fs::read(&path).unwrap(), b"wrong");
    world.restores(root, target.path(), &Options::default());
    assert_eq!(std::fs::read(&path).unwrap(), b"right");
}

#[test]
fn sparse_files_take_no_space_for_zeros_and_others_do() {
    let world = World::new();
    let mut content = vec![0; 8 << 20];
    content[5 << 20] = 1;
    let root = world.tree(vec![world.file("file", &content, 1 << 20)]);
    let blocks = |sparse| {
        let target = tempfile::tempdir().unwrap();
        world.restores(root, target.path(), &Options { sparse, verify: true, ..Options::default() });
        assert!(std::fs::read(target.path().join("file")).unwrap() == content);
        std::fs::metadata(target.path().join("file")).unwrap().blocks() * 512
    };
    assert!(blocks(true) < 1 << 20);
    assert!(blocks(false) >= 8 << 20);
}

#[test]
fn thousands_of_files_in_many_folders_come_back() {
    let world = World::new();
    let folders = (0..60).map(|folder| {
        let files = (0..100).map(|file| world.file(&format!("f{file}"), format!("{folder}/{file}").as_bytes(), 100));
        world.dir(&format!("d{folder}"), files.collect())
    });
    let root = world.tree(folders.collect());
    let target = tempfile::tempdir().unwrap();
    let summary = world.restores(root, target.path(), &Options { verify: true, ..Options::default() });
    assert_eq!((summary.total_files, summary.files_restored, summary.files_verified), (6060, 6060, 6000));
    for (folder, file) in [(0, 0), (59, 99), (33, 7)] {
        let path = target.path().join(format!("d{folder}/f{file}"));
        assert_eq!(std::fs::read_to_string(path).unwrap(), format!("{folder}/{file}"));
    }
}

/// F20: depth is no limit.
#[test]
fn a_folder_deeper_than_any_path_comes_back_and_is_deleted() {
    let world = World::new();
    let mut nodes = vec![world.file("bottom", b"deep", 10)];
    for _ in 0..600 {
        nodes = vec![world.dir("a-name-of-some-length", nodes)];
    }
    let root = world.tree(nodes);
    let target = tempfile::tempdir().unwrap();
    let summary = world.restores(root, target.path(), &Options { verify: true, ..Options::default() });
    assert_eq!(summary.files_verified, 1);
    let nothing = world.tree(Vec::new());
    let summary = world.restores(nothing, target.path(), &Options { delete: true, ..Options::default() });
    assert_eq!(summary.files_deleted, 601);
    assert_eq!(std::fs::read_dir(target.path()).unwrap().count(), 0);
}
