//! A repository in memory in which trees are built by hand, good ones and hostile ones.

use std::path::Path;
use std::sync::Arc;

use backend::{Backend, Id, Memory, SystemClock};
use files::restore::{Error, ItemError, Observer, Options, Progress, Summary, restore};
use parking_lot::Mutex;
use repo::chunk::ChunkerKind;
use repo::compress::Compression;
use repo::key::{KdfParams, KeyOrigin};
use repo::node::{Node, NodeKind, NodeTime};
use repo::repository::{InitOptions, OpenOptions};
use repo::tree::TreeBuilder;
use repo::writer::BlobWriter;
use repo::{BlobKind, Cancel, Repository};

/// 2001-09-09, so that no test mistakes "now" for it.
pub(crate) const THEN: i64 = 1_000_000_000;

pub(crate) struct World {
    pub(crate) memory: Arc<Memory>,
    pub(crate) repo: Arc<Repository>,
    writer: BlobWriter,
}

/// Options that any repository in a test is opened with.
pub(crate) fn open_options() -> OpenOptions {
    OpenOptions {
        key_hint: None,
        cache: None,
        compression: Compression::Auto,
        pack_size: 4 << 20,
        clock: Arc::new(SystemClock),
        cancel: Cancel::default(),
    }
}

/// Opens a new repository, with the password `test`.
pub(crate) fn init(backend: Arc<dyn Backend>) -> Arc<Repository> {
    let created = jiff::Timestamp::UNIX_EPOCH.to_zoned(jiff::tz::TimeZone::UTC);
    let init = InitOptions {
        chunker: ChunkerKind::Gear,
        chunker_polynomial: None,
        version: 2,
        kdf: KdfParams::RANDOM_PASSWORD,
        origin: KeyOrigin { created, username: "tester".into(), hostname: "host".into() },
    };
    Arc::new(Repository::init(backend, b"test", &init, open_options()).unwrap())
}

impl World {
    pub(crate) fn new() -> World {
        let memory = Arc::new(Memory::new());
        World::over(memory.clone(), memory)
    }

    /// A world whose repository is stored in `backend`, which may be anything over `memory`.
    pub(crate) fn over(memory: Arc<Memory>, backend: Arc<dyn Backend>) -> World {
        let repo = init(backend);
        let writer = BlobWriter::new(&repo);
        World { memory, repo, writer }
    }

    /// A file whose content is cut every `cut` bytes.
    pub(crate) fn file(&self, name: &str, content: &[u8], cut: usize) -> Node {
        let mut node = node(name, NodeKind::File, 0o644);
        node.size = content.len() as u64;
        node.content = Some(content.chunks(cut).map(|chunk| self.blob(BlobKind::Data, chunk)).collect());
        node
    }

    pub(crate) fn dir(&self, name: &str, nodes: Vec<Node>) -> Node {
        let mut node = node(name, NodeKind::Dir, 1 << 31 | 0o755);
        node.subtree = Some(self.tree(nodes));
        node
    }

    pub(crate) fn tree(&self, mut nodes: Vec<Node>) -> Id {
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        let mut builder = TreeBuilder::default();
        nodes.iter().for_each(|node| builder.push(node).unwrap());
        self.blob(BlobKind::Tree, &builder.finish())
    }

    pub(crate) fn blob(&self, kind: BlobKind, content: &[u8]) -> Id {
        self.writer.save(kind, content, &mut self.writer.scratch()).unwrap().id
    }

    /// Stores what was made so far.
    pub(crate) fn flush(&self) {
        self.writer.flush().unwrap();
    }

    /// Restores; returns the figures and the errors in words.
    pub(crate) fn restore(&self, root: Id, target: &Path, options: &Options<'_>) -> (Summary, Vec<String>) {
        let (result, errors) = self.try_restore(root, target, options);
        (result.unwrap(), errors)
    }

    pub(crate) fn try_restore(
        &self,
        root: Id,
        target: &Path,
        options: &Options<'_>,
    ) -> (Result<Summary, Error>, Vec<String>) {
        self.writer.flush().unwrap();
        try_restore(&self.repo, root, target, options)
    }

    /// Restores without any error.
    #[track_caller]
    pub(crate) fn restores(&self, root: Id, target: &Path, options: &Options<'_>) -> Summary {
        let (summary, errors) = self.restore(root, target, options);
        assert_eq!(errors, [""; 0]);
        assert_eq!(summary.errors, 0);
        summary
    }
}

pub(crate) fn try_restore(
    repo: &Repository,
    root: Id,
    target: &Path,
    options: &Options<'_>,
) -> (Result<Summary, Error>, Vec<String>) {
    let heard = Heard::default();
    let result = restore(repo, &root, target, options, &Progress::default(), &heard);
    (result, heard.errors.into_inner())
}

/// Remembers what is reported.
#[derive(Default)]
struct Heard {
    errors: Mutex<Vec<String>>,
}

impl Observer for Heard {
    fn failed(&self, error: &ItemError) {
        self.errors.lock().push(format!("{error}: {}", error.cause));
    }
}

pub(crate) fn node(name: &str, kind: NodeKind, mode: u32) -> Node {
    let mut node = Node::new(name, kind);
    node.mode = mode;
    node.uid = rustix::process::geteuid().as_raw();
    node.gid = rustix::process::getegid().as_raw();
    node.mtime = NodeTime { seconds: THEN, nanoseconds: 123_456_789, offset: 0 };
    node.atime = node.mtime;
    node.links = 1;
    node
}

pub(crate) fn link(name: &str, target: &str) -> Node {
    let mut node = node(name, NodeKind::Symlink, 1 << 27 | 0o777);
    node.link_target = target.into();
    node
}

/// Gives a node a second name's inode.
pub(crate) fn linked(mut node: Node, inode: u64) -> Node {
    node.links = 2;
    node.inode = inode;
    node
}
