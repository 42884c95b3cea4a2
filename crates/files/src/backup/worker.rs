//! One thread of a backup: takes work from the queue until there is none, and writes a directory's tree when it fills its
//! last slot.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use backend::Id;
use parking_lot::Mutex;
use platform::{Dir, Stat, Subject, ThreadDir};
use repo::chunk::Cutter;
use repo::index::Index;
use repo::node::Node;
use repo::tree::TreeBuilder;
use repo::writer::{Saved, Scratch};
use repo::{BlobKind, Repository};

use super::directory::{Directory, Handles, Slot};
use super::observer::{Change, Finished, ItemError, ItemKind, ItemPath, Notice, Observer};
use super::queue::{Queue, Task};
use super::sink::Sink;
use super::{BackupError, Result};
use crate::exclude::Excludes;
use crate::metadata::{self, Ignore, NodeMaker, NodeStyle};

/// What all threads of a backup share.
pub(super) struct Run<'r> {
    pub(super) repo: &'r Arc<Repository>,
    pub(super) index: &'r Index,
    pub(super) observer: &'r dyn Observer,
    pub(super) excludes: &'r Excludes,
    pub(super) ignore: Ignore,
    pub(super) style: NodeStyle,
    pub(super) sink: Sink,
    pub(super) cutter: Cutter,
    pub(super) queue: Queue,
    pub(super) handles: Handles,
    /// Device and inode of our own directories.
    pub(super) own: Vec<(u64, u64)>,
    /// With `other_file_systems` excluded: the device of each target, by absolute path.
    pub(super) devices: Option<HashMap<Vec<u8>, u64>>,
    /// The chunk that the chunker cuts off endless zeros: its length and id.
    pub(super) zeros: OnceLock<(usize, Id)>,
    /// Items that could not be backed up.
    pub(super) errors: AtomicU64,
    /// Targets that were not excluded.
    pub(super) targets: AtomicU64,
    /// Files whose size changed while they were read.
    pub(super) changed_while_read: AtomicU64,
    /// Stored bytes of new blobs.
    pub(super) stored: AtomicU64,
    pub(super) counts: Mutex<Counts>,
    /// The finished root tree and how many nodes are in it.
    pub(super) root: OnceLock<(Id, usize)>,
    pub(super) failure: Mutex<Option<BackupError>>,
}

/// Items by how they stand to the parent snapshot.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) files: [u64; 3],
    pub(super) dirs: [u64; 3],
    pub(super) bytes: u64,
}

impl Counts {
    pub(super) fn add(&mut self, other: &Counts) {
        for at in 0..3 {
            self.files[at] += other.files[at];
            self.dirs[at] += other.dirs[at];
        }
        self.bytes += other.bytes;
    }

    fn count(&mut self, finished: &Finished) {
        let counts = if finished.kind == ItemKind::File { &mut self.files } else { &mut self.dirs };
        counts[finished.change as usize] += 1;
        self.bytes += finished.size;
    }
}

impl Run<'_> {
    /// Ends the backup with an error; the first one counts.
    pub(super) fn fail(&self, error: BackupError) {
        self.failure.lock().get_or_insert(error);
        self.queue.end();
    }

    pub(super) fn report(&self, error: &ItemError) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        self.observer.failed(error);
    }

    pub(super) fn report_io(&self, action: &'static str, path: Vec<u8>, source: io::Error) {
        self.report(&ItemError::Io { action, path: path_buf(path), source });
    }

    pub(super) fn is_own(&self, stat: &Stat) -> bool {
        self.own.contains(&(stat.device, stat.inode))
    }
}

pub(super) fn path_buf(path: Vec<u8>) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    PathBuf::from(std::ffi::OsString::from_vec(path))
}

/// One thread of a backup.
pub(super) struct Worker<'r> {
    pub(super) run: &'r Run<'r>,
    pub(super) maker: NodeMaker<'r>,
    pub(super) scratch: Scratch,
    /// For files that are read at once.
    pub(super) buffer: Vec<u8>,
    pub(super) names: Vec<u8>,
    counts: Counts,
    here: Option<ThreadDir>,
    /// The directory that this thread stepped into. The repository's own paths may be relative: go home before it is used.
    inside: Option<Arc<Dir>>,
}

/// Ends the others' waiting if this thread panics.
struct EndOnPanic<'r>(&'r Queue);

impl Drop for EndOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.end();
        }
    }
}

impl<'r> Worker<'r> {
    /// Must run in a thread of its own.
    pub(super) fn new(run: &'r Run<'r>) -> Worker<'r> {
        Worker {
            run,
            maker: NodeMaker::new(&run.style),
            scratch: run.sink.scratch(),
            buffer: Vec::new(),
            names: Vec::new(),
            counts: Counts::default(),
            here: ThreadDir::separate().ok(),
            inside: None,
        }
    }

    pub(super) fn work(mut self) {
        let _guard = EndOnPanic(&self.run.queue);
        while let Some(task) = self.run.queue.next() {
            if let Err(error) = self.perform(task) {
                self.run.fail(error);
            }
            self.run.queue.done();
        }
        self.run.counts.lock().add(&self.counts);
    }

    fn perform(&mut self, task: Task) -> Result<()> {
        let performed = self.perform_anywhere(task);
        self.go_home().and(performed)
    }

    fn perform_anywhere(&mut self, task: Task) -> Result<()> {
        match task {
            Task::Chunk(chunk) => self.save_chunk(chunk),
            Task::Window(file, buffer) => self.read_window(&file, buffer),
            Task::Files(task) => self.save_files(task),
            Task::Visit(above, job) => self.visit(above, job),
        }
    }

    pub(super) fn save(&mut self, kind: BlobKind, plain: &[u8]) -> Result<Saved> {
        self.go_home()?;
        let saved = self.run.sink.save(kind, plain, &mut self.scratch)?;
        if saved.new {
            self.run.stored.fetch_add(saved.stored, Ordering::Relaxed);
        }
        Ok(saved)
    }

    /// Fills a slot, and writes the trees of the directories that are complete thereby.
    pub(super) fn settle(&mut self, dir: Arc<Directory>, slot: u32, node: Option<Node>) -> Result<()> {
        if dir.fill(slot, node) { self.complete(dir) } else { Ok(()) }
    }

    /// Writes the tree of a directory whose slots are filled, and so on upwards.
    pub(super) fn complete(&mut self, mut dir: Arc<Directory>) -> Result<()> {
        loop {
            let (node, nodes, saved) = self.write_tree(&dir)?;
            let Some((above, slot)) = dir.above.clone() else {
                let _ = self.run.root.set((saved.id, nodes));
                self.run.queue.end();
                return Ok(());
            };
            let change = above.previous(slot, |previous| change(previous, &node));
            self.finished(&above, &node.name, Finished { change, ..saved.finished(ItemKind::Dir) });
            if !above.fill(slot, Some(node)) {
                return Ok(());
            }
            dir = above;
        }
    }

    /// Writes a directory's tree; returns its node, the number of nodes in the tree, and what became of it.
    fn write_tree(&mut self, dir: &Directory) -> Result<(Node, usize, SavedTree)> {
        let (node, slots) = {
            let mut state = dir.state.lock();
            (state.node.take(), std::mem::take(&mut state.slots))
        };
        let mut tree = TreeBuilder::default();
        let mut nodes = 0;
        for slot in &slots {
            if let Slot::Done(node) = slot {
                push(&mut tree, node)?;
                nodes += 1;
            }
        }
        drop(slots);
        let json = tree.finish();
        let saved = self.save(BlobKind::Tree, &json)?;
        let mut node = node.ok_or(BackupError::Internal("a directory without a node was completed"))?;
        node.subtree = Some(saved.id);
        Ok((node, nodes, SavedTree { id: saved.id, added: if saved.new { json.len() as u64 } else { 0 }, saved }))
    }

    /// Counts and tells that an item of `dir` is finished.
    pub(super) fn finished(&mut self, dir: &Directory, name: &[u8], finished: Finished) {
        self.counts.count(&finished);
        self.run.observer.finished(ItemPath { dir: &dir.shown_path(), name }, finished);
    }

    /// As [`Worker::finished`], where the directory's path is known.
    pub(super) fn finished_at(&mut self, item: ItemPath<'_>, finished: Finished) {
        self.counts.count(&finished);
        self.run.observer.finished(item, finished);
    }

    /// Fills in the extended attributes of a file that is not open. `path` tells its path where something goes wrong.
    pub(super) fn read_attributes(
        &mut self,
        place: &Arc<Dir>,
        file: &std::ffi::CStr,
        node: &mut Node,
        path: impl Fn() -> Vec<u8>,
    ) {
        let fallback;
        let subject = if self.step_into(place) {
            Subject::Path(file)
        } else {
            fallback = through_proc(place, file);
            Subject::Path(&fallback)
        };
        self.attributes_of(subject, node, path);
    }

    /// Steps into a directory; false where the system does not let us.
    fn step_into(&mut self, place: &Arc<Dir>) -> bool {
        let Some(here) = &self.here else { return false };
        if self.inside.as_ref().is_some_and(|inside| Arc::ptr_eq(inside, place)) {
            return true;
        }
        let entered = here.enter(&**place).is_ok();
        if entered {
            self.inside = Some(Arc::clone(place));
        }
        entered
    }

    /// Goes back to where this thread was at first: before the repository is used, whose paths may be relative.
    pub(super) fn go_home(&mut self) -> Result<()> {
        let (Some(here), Some(_)) = (&self.here, self.inside.take()) else { return Ok(()) };
        here.go_home().map_err(|_| BackupError::Internal("the working directory cannot be entered again"))
    }

    /// Fills in the extended attributes of an open file.
    pub(super) fn attributes_of(&mut self, subject: Subject<'_>, node: &mut Node, path: impl Fn() -> Vec<u8>) {
        let run = self.run;
        let complain = |source| run.report(&ItemError::Attributes { path: path_buf(path()), source });
        if let Err(error) = self.maker.read_attributes(subject, node, |_, error| complain(error)) {
            complain(error);
        }
    }

    pub(super) fn notice(&self, notice: &Notice) {
        self.run.observer.noticed(notice);
    }
}

/// A path to `file` in `place` for calls that know no open directories.
fn through_proc(place: &Dir, file: &std::ffi::CStr) -> std::ffi::CString {
    use std::os::fd::AsRawFd;
    let mut path = format!("/proc/self/fd/{}/", place.as_fd().as_raw_fd()).into_bytes();
    path.extend_from_slice(file.to_bytes());
    std::ffi::CString::new(path).unwrap_or_default()
}

pub(super) fn push(tree: &mut TreeBuilder, node: &Node) -> Result<()> {
    tree.push(node).map_err(|reason| BackupError::Repo(repo::Error::Invalid(reason)))
}

/// How `node` stands to what the parent snapshot had.
pub(super) fn change(previous: Option<&Node>, node: &Node) -> Change {
    match previous {
        None => Change::New,
        Some(previous) if metadata::same(previous, node) => Change::Unmodified,
        Some(_) => Change::Changed,
    }
}

struct SavedTree {
    id: Id,
    added: u64,
    saved: Saved,
}

impl SavedTree {
    fn finished(&self, kind: ItemKind) -> Finished {
        Finished { kind, change: Change::New, size: 0, added: self.added, added_packed: self.saved.stored }
    }
}
