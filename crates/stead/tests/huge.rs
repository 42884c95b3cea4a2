//! Things that are too large: folders of very many entries, attributes and images beyond all measure. Whatever another
//! program or a bad day put into a repository, looking at it takes bounded memory, or ends with words.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use backend::{Id, Local, SystemClock};
use repo::compress::Compression;
use repo::node::{ExtendedAttribute, Node, NodeKind};
use repo::repository::OpenOptions;
use repo::tree::TreeBuilder;
use repo::writer::BlobWriter;
use repo::{BlobKind, Cancel, Repository};
use testkit::Peer;

const STEAD: &str = env!("CARGO_BIN_EXE_stead");

/// The first number, or the second where there is time.
fn usual_or_all(usual: usize, all: usize) -> usize {
    if std::env::var_os("STEAD_KILLS").is_some() { all } else { usual }
}

/// A repository whose snapshots are made by hand.
struct Workbench {
    room: tempfile::TempDir,
    repo: Arc<Repository>,
}

impl Workbench {
    fn new() -> Workbench {
        let room = tempfile::tempdir().expect("room");
        Peer::at(STEAD).succeeds(&room.path().join("repository"), ["init"]);
        let options = OpenOptions {
            key_hint: None,
            cache: None,
            compression: Compression::Fastest,
            pack_size: 16 << 20,
            clock: Arc::new(SystemClock),
            cancel: Cancel::default(),
        };
        let storage = Arc::new(Local::new(room.path().join("repository"), 2));
        let repo = Arc::new(Repository::open(storage, b"test", options).expect("opens"));
        Workbench { room, repo }
    }

    /// A snapshot of one tree with these nodes, and of the data that `content` stores.
    fn snapshot(&self, nodes: impl Iterator<Item = Node>, data: &[&[u8]]) {
        let writer = BlobWriter::new(&self.repo);
        let mut scratch = writer.scratch();
        let mut tree = TreeBuilder::default();
        nodes.for_each(|node| tree.push(&node).expect("in order"));
        data.iter().for_each(|data| _ = writer.save(BlobKind::Data, data, &mut scratch).expect("stored"));
        let root = writer.save(BlobKind::Tree, &tree.finish(), &mut scratch).expect("stored").id;
        writer.finish().expect("stored");
        let snapshot =
            serde_json::json!({ "time": "2026-11-22T02:00:00Z", "tree": root, "paths": ["/"], "hostname": "x" });
        self.repo.write_snapshot(&serde_json::from_value(snapshot).expect("a snapshot")).expect("stored");
    }

    /// Runs stead with so much address space and no more.
    fn within(&self, megabytes: usize, words: &[&str]) -> Output {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -v {}; exec \"$0\" \"$@\"", megabytes << 10), STEAD, "--no-cache"]);
        let repository = self.room.path().join("repository");
        command.args(words).env("RESTIC_REPOSITORY", repository).env("RESTIC_PASSWORD", "test");
        command.output().expect("runs")
    }

    #[track_caller]
    fn succeeds_within(&self, megabytes: usize, words: &[&str]) -> Vec<u8> {
        let output = self.within(megabytes, words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    fn target(&self) -> PathBuf {
        self.room.path().join("restored")
    }
}

fn file(name: String, content: Vec<Id>, size: u64) -> Node {
    let mut node = Node::new(name, NodeKind::File);
    (node.mode, node.links, node.size, node.content) = (0o644, 1, size, Some(content));
    node
}

fn lines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

fn names(folder: &Path) -> usize {
    std::fs::read_dir(folder).expect("a folder").count()
}

/// F20: a folder of very many entries is backed up, and comes back.
#[test]
fn a_folder_of_very_many_entries_comes_back() {
    let count = usual_or_all(20_000, 400_000);
    let bench = Workbench::new();
    let source = bench.room.path().join("source");
    std::fs::create_dir(&source).expect("a folder");
    (0..count).for_each(|number| _ = std::fs::File::create(source.join(format!("entry {number}"))).expect("a file"));
    let path = source.to_str().expect("UTF-8");
    for _ in 0..2 {
        bench.succeeds_within(1500, &["backup", path]);
    }
    let target = bench.target();
    let below = format!("latest:{path}");
    bench.succeeds_within(1500, &["restore", &below, "--target", target.to_str().expect("UTF-8")]);
    assert_eq!(names(&target), count);
}

/// F20: a tree blob of 50 MB (with `--all`: of 500), which made Velero's restic run out of memory.
#[test]
fn a_tree_of_very_many_entries_is_read_in_bounded_memory() {
    let count = usual_or_all(200_000, 2_000_000);
    let bench = Workbench::new();
    bench.snapshot((0..count).map(|number| file(format!("entry {number:08}"), Vec::new(), 0)), &[]);
    let megabytes = usual_or_all(900, 5000);
    bench.succeeds_within(megabytes, &["check", "--read-data"]);
    assert!(lines(&bench.succeeds_within(megabytes, &["ls", "latest"])) >= count);
    assert_eq!(lines(&bench.succeeds_within(megabytes, &["find", "entry 00000007", "--json"])), 1);
    bench.succeeds_within(megabytes, &["prune"]);
    bench.succeeds_within(megabytes, &["stats", "--mode", "raw-data"]);
}

/// F20: an entry with attributes of a hundred megabytes, which no file system here holds: everything else can be had.
#[test]
fn attributes_of_a_hundred_megabytes_are_read_in_bounded_memory() {
    let bench = Workbench::new();
    let mut odd = file("odd".into(), vec![Id::of(b"content")], 7);
    let value = testkit::sample::random_bytes(1, 100 << 20);
    odd.extended_attributes = vec![ExtendedAttribute { name: "user.large".into(), value: Some(value) }];
    let even = file("even".into(), vec![Id::of(b"content")], 7);
    bench.snapshot([even, odd].into_iter(), &[b"content"]);
    for words in [&["check", "--read-data"][..], &["ls", "latest"], &["find", "odd"], &["prune"]] {
        bench.succeeds_within(1500, words);
    }
    let target = bench.target();
    let output = bench.within(1500, &["restore", "latest", "--target", target.to_str().expect("UTF-8")]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("odd"), "{output:?}");
    for name in ["even", "odd"] {
        assert_eq!(std::fs::read(target.join(name)).expect("a file"), b"content");
    }
}

/// F20: the image of a disk of one terabyte, all of it the same chunk.
#[test]
fn an_image_of_a_terabyte_is_looked_at_in_bounded_memory() {
    const CHUNK: usize = 1 << 20;
    const CHUNKS: usize = 1 << 20;
    let bench = Workbench::new();
    let zeros = vec![0; CHUNK];
    let image = file("image".into(), vec![Id::of(&zeros); CHUNKS], (CHUNK * CHUNKS) as u64);
    bench.snapshot(std::iter::once(image), &[&zeros]);
    for words in [&["check", "--read-data"][..], &["ls", "--long", "latest"], &["stats"], &["prune"]] {
        bench.succeeds_within(1500, words);
    }
    let words =
        ["restore", "latest", "--dry-run", "--target", bench.target().to_str().expect("UTF-8")].map(str::to_owned);
    bench.succeeds_within(1500, &words.each_ref().map(String::as_str));
}
