//! Trees that the walk will come to, fetched before it does: storage that answers late is asked for several at a time.
//!
//! What is kept is bounded, whatever the snapshot holds: a few trees, and a few megabytes of them, besides those that are
//! being fetched. What the walk leaves out is never asked for.

use std::sync::Arc;

use backend::Id;
use hashbrown::{HashMap, HashSet};
use parking_lot::{Condvar, Mutex};
use repo::blob::BlobKind;
use repo::{BlobHandle, Repository};

/// How far the walk looks ahead, in trees.
pub(super) const WINDOW: usize = 32;
/// Trees that are kept at most.
const MOST_TREES: usize = 2 * WINDOW;
/// No more trees are fetched while those that are kept have so many bytes.
const MOST_BYTES: usize = 8 << 20;
/// A storage that is asked no more often at a time is a disk of this machine: another thread costs more than its answer.
const LOCAL_CONNECTIONS: usize = 2;
/// Threads at most, however many requests the storage takes.
const MOST_THREADS: usize = 16;

/// Trees of one restore, fetched ahead of its walk.
pub(super) struct Ahead<'r> {
    repo: &'r Repository,
    threads: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// What the walk comes to, the nearest first; the same tree several times if it goes there several times.
    near: Vec<Id>,
    /// What to fetch, the next one last.
    wanted: Vec<Id>,
    fetching: HashSet<Id>,
    ready: HashMap<Id, repo::Result<Arc<Vec<u8>>>>,
    bytes: usize,
    has_ended: bool,
}

impl<'r> Ahead<'r> {
    pub(super) fn new(repo: &'r Repository) -> Ahead<'r> {
        let threads = match repo.backend().connections() {
            0..=LOCAL_CONNECTIONS => 0,
            connections => connections.min(MOST_THREADS),
        };
        Ahead { repo, threads, state: Mutex::default(), changed: Condvar::new() }
    }

    /// How many threads shall call [`Ahead::fetch`]; none where the walk reads as quickly by itself.
    pub(super) fn threads(&self) -> usize {
        self.threads
    }

    /// One thread's work, until the end.
    pub(super) fn fetch(&self) {
        let mut state = self.state.lock();
        while !state.has_ended {
            let Some(id) = state.next() else {
                self.changed.wait(&mut state);
                continue;
            };
            state.fetching.insert(id);
            drop(state);
            let tree = self.read(&id);
            state = self.state.lock();
            state.fetching.remove(&id);
            state.keep(id, tree);
            self.changed.notify_all();
        }
    }

    /// Says what the walk comes to, the nearest first; of what it said before, only what is fetched already is remembered.
    pub(super) fn want(&self, trees: impl Iterator<Item = Id>) {
        if self.threads == 0 {
            return;
        }
        let mut state = self.state.lock();
        state.near.clear();
        state.near.extend(trees.take(WINDOW));
        state.make_room();
        state.choose();
        if !state.wanted.is_empty() {
            self.changed.notify_all();
        }
    }

    /// The content of a tree, fetched before or now.
    pub(super) fn take(&self, id: &Id) -> repo::Result<Arc<Vec<u8>>> {
        let mut state = self.state.lock();
        while state.fetching.contains(id) {
            self.changed.wait(&mut state);
        }
        state.wanted.retain(|wanted| wanted != id);
        match state.take(id) {
            Some(tree) => tree,
            None => {
                drop(state);
                self.read(id)
            }
        }
    }

    /// Sends the threads home.
    pub(super) fn end(&self) {
        self.state.lock().has_ended = true;
        self.changed.notify_all();
    }

    fn read(&self, id: &Id) -> repo::Result<Arc<Vec<u8>>> {
        self.repo.read_blob(&BlobHandle { kind: BlobKind::Tree, id: *id }).map(Arc::new)
    }
}

impl State {
    fn next(&mut self) -> Option<Id> {
        let has_room = self.bytes < MOST_BYTES && self.ready.len() + self.fetching.len() < MOST_TREES;
        self.wanted.pop().filter(|_| has_room)
    }

    /// Wants what is near, each once, unless it is there or on its way; there are few, so that they are simply compared.
    fn choose(&mut self) {
        self.wanted.clear();
        for id in &self.near {
            let is_known = self.wanted.contains(id) || self.fetching.contains(id) || self.ready.contains_key(id);
            if !is_known {
                self.wanted.push(*id);
            }
        }
        self.wanted.reverse();
    }

    fn keep(&mut self, id: Id, tree: repo::Result<Arc<Vec<u8>>>) {
        self.bytes += length(&tree);
        self.ready.insert(id, tree);
    }

    /// A tree for the walk; a copy of it stays if the walk comes to it again soon, as to empty folders.
    fn take(&mut self, id: &Id) -> Option<repo::Result<Arc<Vec<u8>>>> {
        let comes_again = self.near.iter().filter(|near| *near == id).count() > 1;
        match self.ready.get(id) {
            Some(Ok(tree)) if comes_again => Some(Ok(Arc::clone(tree))),
            _ => self.remove(id),
        }
    }

    fn remove(&mut self, id: &Id) -> Option<repo::Result<Arc<Vec<u8>>>> {
        let tree = self.ready.remove(id)?;
        self.bytes -= length(&tree);
        Some(tree)
    }

    /// Drops what is far away, if it keeps what is near from being fetched.
    fn make_room(&mut self) {
        if self.bytes < MOST_BYTES && self.ready.len() + WINDOW <= MOST_TREES {
            return;
        }
        let far: Vec<Id> = self.ready.keys().filter(|id| !self.near.contains(id)).copied().collect();
        for id in &far {
            self.remove(id);
        }
    }
}

fn length(tree: &repo::Result<Arc<Vec<u8>>>) -> usize {
    tree.as_ref().map_or(0, |tree| tree.len())
}
