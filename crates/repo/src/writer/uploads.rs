//! Full packs on their way into storage: header, hash, upload, and then the index may name their blobs.
//!
//! The number of pack buffers is fixed; who needs one while all are on their way waits.

use std::collections::BTreeSet;
use std::sync::Arc;

use backend::{FileInfo, FileKind, FileName, Hint, Id};
use crossbeam_channel::{Receiver, Sender};
use parking_lot::{Condvar, Mutex};

use super::index_queue::Take;
use super::{OpenPack, Shared};
use crate::{BlobKind, Error, Result};

/// A buffer that a large blob made larger than this times its content is not kept.
const KEPT_CAPACITY: usize = 64 << 20;

/// glibc maps what is larger than 32 MiB apart, so that freeing it gives it back to the system; what is not touched takes
/// no memory.
const MAPPED_APART: usize = 33 << 20;

/// A full pack and its place in the order of closing.
pub(super) struct Job {
    number: u64,
    kind: BlobKind,
    pack: OpenPack,
}

/// Buffers of one kind of pack: those of trees stay small.
struct Buffers {
    /// One at most: where packs fill slowly, the memory of the others is better not held.
    spare: Option<OpenPack>,
    /// Buffers that may still be made.
    unmade: usize,
    /// Bytes that a buffer has room for from the beginning: growing would hold its content twice for a moment.
    room: usize,
}

/// The state that savers, upload threads and `flush` share.
pub(super) struct Uploads {
    jobs: Mutex<Option<Sender<Job>>>,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    data: Buffers,
    trees: Buffers,
    next: u64,
    /// Numbers of packs that were sent and are not stored yet.
    under_way: BTreeSet<u64>,
    failure: Option<Arc<Error>>,
    stored: Vec<FileInfo>,
}

impl Uploads {
    /// With at most `buffers` packs of each kind in memory, which are closed at so many bytes.
    pub(super) fn new(buffers: usize, data: u64, trees: u64) -> (Uploads, Receiver<Job>) {
        let (sender, receiver) = crossbeam_channel::unbounded();
        let state = State {
            data: Buffers::new(buffers, data),
            trees: Buffers::new(buffers, trees),
            next: 0,
            under_way: BTreeSet::new(),
            failure: None,
            stored: Vec::new(),
        };
        (Uploads { jobs: Mutex::new(Some(sender)), state: Mutex::new(state), changed: Condvar::new() }, receiver)
    }

    /// The first failure, if there was one.
    pub(super) fn check(&self) -> Result<()> {
        self.state.lock().check()
    }

    /// Records a failure (the first one counts) and returns what callers get.
    pub(super) fn fail(&self, error: Error) -> Error {
        let mut state = self.state.lock();
        let error = match error {
            Error::Earlier(first) => first,
            error => Arc::new(error),
        };
        let first = Arc::clone(state.failure.get_or_insert(error));
        self.changed.notify_all();
        Error::Earlier(first)
    }

    /// An empty pack; waits while all are in use.
    pub(super) fn buffer(&self, kind: BlobKind) -> Result<OpenPack> {
        let mut state = self.state.lock();
        loop {
            state.check()?;
            if let Some(pack) = state.buffers(kind).take() {
                return Ok(pack);
            }
            self.changed.wait(&mut state);
        }
    }

    /// Takes an empty pack back.
    pub(super) fn give_back(&self, kind: BlobKind, mut pack: OpenPack) {
        pack.clear();
        if pack.content.capacity() > KEPT_CAPACITY {
            pack = OpenPack::default();
        }
        let surplus = self.state.lock().buffers(kind).put(pack);
        self.changed.notify_all();
        drop(surplus);
    }

    /// Hands a full pack to the upload threads. Never waits: buffers are what is limited.
    pub(super) fn send(&self, kind: BlobKind, pack: OpenPack) {
        let mut state = self.state.lock();
        let number = state.next;
        state.next += 1;
        state.under_way.insert(number);
        drop(state);
        let jobs = self.jobs.lock();
        let sent = jobs.as_ref().map(|jobs| jobs.send(Job { number, kind, pack }));
        debug_assert!(matches!(sent, Some(Ok(()))), "upload threads live as long as the writer");
    }

    /// Waits until all packs that were sent so far are stored.
    pub(super) fn wait_for_all(&self) -> Result<()> {
        let mut state = self.state.lock();
        let end = state.next;
        while state.under_way.first().is_some_and(|first| *first < end) {
            state.check()?;
            self.changed.wait(&mut state);
        }
        state.check()
    }

    /// Gives the memory of buffers that nobody uses back to the system; they are made again when they are needed.
    pub(super) fn release_spares(&self) {
        let mut state = self.state.lock();
        drop((state.data.release(), state.trees.release()));
    }

    fn done(&self, number: u64, kind: BlobKind, pack: OpenPack) {
        self.state.lock().under_way.remove(&number);
        self.give_back(kind, pack);
    }

    /// The packs that were stored, with their sizes.
    pub(super) fn stored(&self) -> Vec<FileInfo> {
        self.state.lock().stored.clone()
    }

    /// Lets the upload threads end.
    pub(super) fn close(&self) {
        self.jobs.lock().take();
    }
}

impl Buffers {
    /// Most packs end before the target; then comes the header.
    fn new(count: usize, target: u64) -> Buffers {
        let room = usize::try_from(target + target / 4).unwrap_or(KEPT_CAPACITY).clamp(MAPPED_APART, KEPT_CAPACITY);
        Buffers { spare: None, unmade: count, room }
    }

    /// Keeps a buffer; returns one that is not needed.
    fn put(&mut self, pack: OpenPack) -> Option<OpenPack> {
        let surplus = self.release();
        self.spare = Some(pack);
        surplus
    }

    /// The spare buffer, whose memory may go; another one may be made instead.
    fn release(&mut self) -> Option<OpenPack> {
        let spare = self.spare.take();
        self.unmade += usize::from(spare.is_some());
        spare
    }

    fn take(&mut self) -> Option<OpenPack> {
        self.spare.take().or_else(|| {
            self.unmade = self.unmade.checked_sub(1)?;
            Some(OpenPack::with_room(self.room))
        })
    }
}

impl State {
    fn buffers(&mut self, kind: BlobKind) -> &mut Buffers {
        match kind {
            BlobKind::Data => &mut self.data,
            BlobKind::Tree => &mut self.trees,
        }
    }

    fn check(&self) -> Result<()> {
        match &self.failure {
            Some(first) => Err(Error::Earlier(Arc::clone(first))),
            None => Ok(()),
        }
    }
}

/// An upload thread: works until the writer closes.
pub(super) fn run(shared: &Shared, jobs: &Receiver<Job>) {
    for Job { number, kind, pack } in jobs {
        let mut upload = Upload { shared, number, kind, pack };
        if let Err(error) = upload.run() {
            shared.uploads.fail(error);
        }
    }
}

/// One upload; however it ends, nobody waits for it afterwards.
struct Upload<'s> {
    shared: &'s Shared,
    number: u64,
    kind: BlobKind,
    pack: OpenPack,
}

impl Upload<'_> {
    fn run(&mut self) -> Result<()> {
        let Shared { repo, uploads, .. } = self.shared;
        uploads.check()?;
        let OpenPack { content, blobs } = &mut self.pack;
        crate::pack::append_header(repo.key(), blobs, content)?;
        let id = Id::of(content);
        if self.kind == BlobKind::Tree {
            repo.backend().hint(Hint::TreePacks(&[id]));
        }
        if let Some(watcher) = &self.shared.watcher {
            watcher.about_to_store(&id);
        }
        repo.backend().write(&FileName::new(FileKind::Pack, id), content)?;
        repo.index()?.add_pack(id, blobs);
        self.shared.in_flight.remove(blobs);
        self.shared.index_queue.push(id, blobs, repo.clock().monotonic());
        uploads.state.lock().stored.push(FileInfo { id, size: content.len() as u64 });
        self.shared.write_index_files(Take::WhatIsDue)
    }
}

impl Drop for Upload<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.shared.uploads.fail(Error::Invalid("an upload thread panicked".into()));
        }
        self.shared.uploads.done(self.number, self.kind, std::mem::take(&mut self.pack));
    }
}
