//! A directory that is being backed up: a slot for each entry, filled in any order. When the last one is filled its tree can
//! be written, and its own node fills a slot of the directory above.

use std::collections::VecDeque;
use std::ffi::{CStr, CString};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use backend::Id;
use parking_lot::Mutex;
use platform::Dir;
use repo::node::Node;

use crate::path;
use crate::source::SourceNode;

/// Where a directory's content comes from.
pub(super) enum Origin {
    /// From what was asked for: a directory above targets, or the snapshot's root.
    Upper(Mutex<SourceNode>),
    /// From a target at this absolute path.
    Target { place: Arc<Dir>, file: CString, path: Vec<u8> },
    /// From an entry of the directory above.
    Entry(CString),
}

/// A file of a directory that has to be read.
pub(super) struct FileJob {
    pub(super) slot: u32,
    /// Its name where it lies.
    pub(super) file: CString,
    /// Its name in the snapshot, where that is another.
    pub(super) shown_as: Option<Vec<u8>>,
}

impl FileJob {
    pub(super) fn name(&self) -> &[u8] {
        self.shown_as.as_deref().unwrap_or(self.file.to_bytes())
    }
}

/// A subdirectory that has to be visited.
pub(super) struct SubJob {
    pub(super) slot: u32,
    /// Its name in the snapshot.
    pub(super) name: Vec<u8>,
    pub(super) origin: Origin,
    /// The device that its entries must be on, if they must be on one.
    pub(super) device: Option<u64>,
}

/// What is known of one entry.
#[derive(Default)]
#[expect(clippy::large_enum_variant, reason = "nearly all slots end as nodes")]
pub(super) enum Slot {
    /// It is left out.
    #[default]
    Nothing,
    /// It is being worked on. What the parent snapshot had stands in for it in checkpoints.
    Waiting { previous: Option<Box<Node>>, live: Weak<Directory> },
    /// It is finished.
    Done(Node),
}

/// A directory that is being backed up.
pub(super) struct Directory {
    /// The directory above, and which slot of it is ours.
    pub(super) above: Option<(Arc<Directory>, u32)>,
    /// Name in the snapshot; empty for the root.
    pub(super) name: Vec<u8>,
    pub(super) origin: Origin,
    /// The device that entries must be on, if they must be on one.
    pub(super) device: Option<u64>,
    /// What the parent snapshot has here.
    pub(super) previous_tree: Option<Id>,
    pub(super) state: Mutex<State>,
    /// Slots that are not filled yet.
    pending: AtomicUsize,
    handle: Mutex<Handle>,
}

#[derive(Default)]
pub(super) struct State {
    /// The directory's own node once it was read; without it nothing of it is stored.
    pub(super) node: Option<Node>,
    pub(super) slots: Vec<Slot>,
}

#[derive(Default)]
struct Handle {
    open: Option<Arc<Dir>>,
    /// Device and inode at first sight: what is opened again must be the same.
    identity: Option<(u64, u64)>,
}

impl Directory {
    pub(super) fn new(above: Option<Arc<Directory>>, job: SubJob, previous_tree: Option<Id>) -> Arc<Directory> {
        let SubJob { slot, name, origin, device } = job;
        let above = above.map(|above| (above, slot));
        let dir = Arc::new(Directory {
            above,
            name,
            origin,
            device,
            previous_tree,
            state: Mutex::default(),
            pending: AtomicUsize::new(0),
            handle: Mutex::default(),
        });
        if let Some((above, slot)) = &dir.above
            && let Slot::Waiting { live, .. } = &mut above.state.lock().slots[*slot as usize]
        {
            *live = Arc::downgrade(&dir);
        }
        dir
    }

    /// Sets what was found, of which `pending` slots are still to be filled.
    pub(super) fn set(&self, node: Node, slots: Vec<Slot>, pending: usize) {
        self.pending.store(pending, Ordering::Release);
        *self.state.lock() = State { node: Some(node), slots };
    }

    /// Fills a slot; true if it was the last.
    pub(super) fn fill(&self, slot: u32, node: Option<Node>) -> bool {
        let filled = node.map_or(Slot::Nothing, Slot::Done);
        let before = std::mem::replace(&mut self.state.lock().slots[slot as usize], filled);
        drop(before);
        self.pending.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// What the parent snapshot had in a slot that is being worked on.
    pub(super) fn previous<T>(&self, slot: u32, look: impl FnOnce(Option<&Node>) -> T) -> T {
        match &self.state.lock().slots[slot as usize] {
            Slot::Waiting { previous, .. } => look(previous.as_deref()),
            _ => look(None),
        }
    }

    /// The absolute path of the directory itself on this machine; of a directory above targets, of nothing.
    pub(super) fn path(&self) -> Vec<u8> {
        let mut names = Vec::new();
        let mut dir = self;
        let base = loop {
            match (&dir.origin, &dir.above) {
                (Origin::Entry(name), Some((above, _))) => {
                    names.push(name.to_bytes());
                    dir = above;
                }
                (Origin::Target { path, .. }, _) => break &path[..],
                _ => break b"/",
            }
        };
        names.iter().rev().fold(base.to_vec(), |path, name| path::child(&path, name))
    }

    /// The absolute path within the snapshot.
    pub(super) fn shown_path(&self) -> Vec<u8> {
        let mut names = Vec::new();
        let mut dir = self;
        while let Some((above, _)) = &dir.above {
            names.push(&dir.name[..]);
            dir = above;
        }
        names.reverse();
        let mut path = b"/".to_vec();
        path.extend_from_slice(&names.join(&b'/'));
        path
    }

    /// Opens the directory, which may mean opening those above it again.
    pub(super) fn open(self: &Arc<Directory>, handles: &Handles) -> io::Result<Arc<Dir>> {
        let mut closed = Vec::new();
        let mut dir = self;
        let mut place = loop {
            if let Some(open) = &dir.handle.lock().open {
                break Arc::clone(open);
            }
            closed.push(dir);
            match (&dir.origin, &dir.above) {
                (Origin::Entry(_), Some((above, _))) => dir = above,
                (Origin::Target { place, .. }, _) => break Arc::clone(place),
                _ => return Err(io::Error::from(io::ErrorKind::NotADirectory)),
            }
        };
        while let Some(dir) = closed.pop() {
            place = dir.open_in(&place)?;
            handles.remember(dir);
        }
        Ok(place)
    }

    fn open_in(&self, place: &Dir) -> io::Result<Arc<Dir>> {
        let file: &CStr = match &self.origin {
            Origin::Entry(file) | Origin::Target { file, .. } => file,
            Origin::Upper(_) => return Err(io::Error::from(io::ErrorKind::NotADirectory)),
        };
        let open = Arc::new(place.open_dir(file)?);
        let stat = open.stat()?;
        let mut handle = self.handle.lock();
        let identity = (stat.device, stat.inode);
        if *handle.identity.get_or_insert(identity) != identity {
            return Err(io::Error::other("it was replaced by another directory meanwhile"));
        }
        handle.open = Some(Arc::clone(&open));
        Ok(open)
    }
}

impl Drop for Directory {
    /// Lets go of the directories above one by one: a chain of any length must not overflow the stack.
    fn drop(&mut self) {
        let mut above = self.above.take();
        while let Some((dir, _)) = above {
            above = Arc::into_inner(dir).and_then(|mut dir| dir.above.take());
        }
    }
}

/// Keeps the directories that were used last open, and no more than the system lets us.
pub(super) struct Handles {
    recent: Mutex<VecDeque<Weak<Directory>>>,
    limit: usize,
}

impl Handles {
    pub(super) fn new(limit: usize) -> Handles {
        Handles { recent: Mutex::default(), limit }
    }

    fn remember(&self, dir: &Arc<Directory>) {
        let mut recent = self.recent.lock();
        recent.push_back(Arc::downgrade(dir));
        let oldest = if recent.len() > self.limit { recent.pop_front() } else { None };
        drop(recent);
        if let Some(oldest) = oldest.and_then(|oldest| oldest.upgrade()) {
            oldest.handle.lock().open = None;
        }
    }
}
