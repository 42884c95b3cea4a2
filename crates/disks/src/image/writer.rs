//! Writes one disk's image: chunks come from any thread, in any order and more than once; workers hash, compress and pack
//! them; at the end the segments get their trees.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;

use backend::Id;
use crossbeam_channel::{Receiver, Sender};
use parking_lot::{Condvar, Mutex};
use repo::writer::Scratch;

use super::table::{SegmentTree, Table, Trees};
use super::{
    DiskName, Figures, FinishedImage, Geometry, ImageError, Result, SegmentState, Store, StoredDisk, TableState, tree,
};
use crate::{CHUNK, Sink};

/// What a chunk is that is never put.
#[derive(Clone, Debug)]
pub enum Base {
    /// Zeros.
    Zeros,
    /// What it was in an earlier image of the same size.
    Parent(StoredDisk),
    /// What an interrupted run had stored.
    Resumed(TableState),
}

/// One disk's image while it is written.
pub struct ImageWriter {
    shared: Arc<Shared>,
    queue: Option<Sender<Work>>,
    workers: Vec<JoinHandle<()>>,
}

struct Shared {
    store: Arc<Store>,
    name: DiskName,
    table: Table,
    zeros: Vec<u8>,
    failure: Mutex<Option<Arc<ImageError>>>,
    waiting: Mutex<usize>,
    settled: Condvar,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    chunks: AtomicU64,
    zero_chunks: AtomicU64,
    bytes: AtomicU64,
    new_bytes: AtomicU64,
    new_stored: AtomicU64,
}

/// A chunk on its way to a worker.
struct Work {
    number: u64,
    ticket: u64,
    content: Vec<u8>,
}

impl ImageWriter {
    /// Begins an image of a disk of `size` bytes, with so many workers (at least one).
    pub fn new(store: &Arc<Store>, name: DiskName, size: u64, base: Base, workers: usize) -> Result<ImageWriter> {
        let geometry = Geometry::new(size).ok_or(ImageError::TooLarge { size })?;
        let table = Table::new(geometry, base.state(&name, &geometry)?)?;
        let shared = Arc::new(Shared {
            store: Arc::clone(store),
            name,
            table,
            zeros: vec![0; CHUNK as usize],
            failure: Mutex::default(),
            waiting: Mutex::default(),
            settled: Condvar::new(),
            counts: Counts::default(),
        });
        let count = workers.max(1);
        let (queue, work) = crossbeam_channel::bounded(count);
        let start = |_| {
            let (shared, work) = (Arc::clone(&shared), work.clone());
            std::thread::spawn(move || shared.work(&work))
        };
        let workers = (0..count).map(start).collect();
        Ok(ImageWriter { shared, queue: Some(queue), workers })
    }

    /// The disk's name.
    pub fn name(&self) -> &DiskName {
        &self.shared.name
    }

    /// How the disk is cut.
    pub fn geometry(&self) -> &Geometry {
        self.shared.table.geometry()
    }

    /// What was put so far.
    pub fn figures(&self) -> Figures {
        self.shared.counts.figures()
    }

    /// Makes a chunk zeros.
    pub fn put_zeros(&self, number: u64) -> Result<()> {
        let length = self.geometry().chunk_length(number);
        self.shared.check(number, length)?;
        self.shared.set_zeros(number, length)
    }

    /// What is known now, to go on from after a crash: chunks count as put even if their packs are still on their way.
    pub fn state(&self) -> TableState {
        self.shared.table.state()
    }

    /// How many segments take memory for their chunks.
    pub fn open_segments(&self) -> usize {
        self.shared.table.open_segments()
    }

    /// Makes the trees of all segments durable that nothing is on the way for, and lets their chunks go from memory. Others may
    /// go on putting chunks.
    pub fn settle(&self) -> Result<()> {
        let trees = self.shared.trees(&mut self.shared.store.scratch())?;
        self.shared.store.flush()?;
        self.shared.table.forget(&trees);
        Ok(())
    }

    /// Waits until all chunks that were put are stored or in an open pack.
    pub fn drain(&self) -> Result<()> {
        let mut waiting = self.shared.waiting.lock();
        while *waiting > 0 {
            self.shared.settled.wait(&mut waiting);
        }
        self.shared.check_failure()
    }

    /// Waits for all chunks and stores the trees of the disk. They are durable after [`Store::finish`].
    pub fn finish(mut self) -> Result<FinishedImage> {
        self.join();
        self.shared.check_failure()?;
        let mut scratch = self.shared.store.scratch();
        let trees = self.shared.trees(&mut scratch)?;
        self.shared.table.forget(&trees);
        let tree = self.shared.save_disk(&mut scratch)?;
        let size = self.geometry().size();
        Ok(FinishedImage { name: self.shared.name.clone(), size, tree, figures: self.figures() })
    }

    fn join(&mut self) {
        self.queue.take();
        for worker in self.workers.drain(..) {
            if worker.join().is_err() {
                self.shared.fail(ImageError::Internal("a worker panicked".into()));
            }
        }
    }
}

impl Drop for ImageWriter {
    fn drop(&mut self) {
        self.join();
    }
}

impl Sink for ImageWriter {
    fn put(&self, number: u64, content: Vec<u8>) -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let shared = &self.shared;
        shared.check(number, content.len())?;
        if content == shared.zeros[..content.len()] {
            return Ok(shared.set_zeros(number, content.len())?);
        }
        let ticket = shared.table.expect(number);
        *shared.waiting.lock() += 1;
        let sent = self.queue.as_ref().map(|queue| queue.send(Work { number, ticket, content }));
        match sent {
            Some(Ok(())) => Ok(()),
            _ => {
                shared.done();
                Err(ImageError::Internal("the workers are gone".into()).into())
            }
        }
    }
}

impl Shared {
    /// An error for a chunk that cannot be, and once anything failed.
    fn check(&self, number: u64, length: usize) -> Result<()> {
        let geometry = self.table.geometry();
        if number >= geometry.chunks() || length != geometry.chunk_length(number) {
            return Err(ImageError::Chunk { number, length });
        }
        self.check_failure()
    }

    fn check_failure(&self) -> Result<()> {
        self.failure.lock().as_ref().map_or(Ok(()), |first| Err(ImageError::Earlier(Arc::clone(first))))
    }

    fn fail(&self, error: ImageError) {
        self.failure.lock().get_or_insert_with(|| Arc::new(error));
    }

    fn set_zeros(&self, number: u64, length: usize) -> Result<()> {
        let ticket = self.table.expect(number);
        self.counts.zero_chunks.fetch_add(1, Relaxed);
        self.counts.put(length);
        self.table.set(number, ticket, self.table.zero(number), self)
    }

    fn work(&self, work: &Receiver<Work>) {
        let mut scratch = self.store.scratch();
        for Work { number, ticket, content } in work {
            // After a failure the queue is emptied, so that nobody waits for room in it.
            if self.failure.lock().is_none()
                && let Err(error) = self.save(number, ticket, &content, &mut scratch)
            {
                self.fail(error);
            }
            self.done();
        }
    }

    fn done(&self) {
        *self.waiting.lock() -= 1;
        self.settled.notify_all();
    }

    fn save(&self, number: u64, ticket: u64, content: &[u8], scratch: &mut Scratch) -> Result<()> {
        let saved = self.store.save_chunk(content, scratch)?;
        self.counts.put(content.len());
        if saved.new {
            self.counts.new_bytes.fetch_add(content.len() as u64, Relaxed);
            self.counts.new_stored.fetch_add(saved.stored, Relaxed);
        }
        self.table.set(number, ticket, saved.id, self)
    }

    fn trees(&self, scratch: &mut Scratch) -> Result<Vec<SegmentTree>> {
        self.table.trees(|segment, chunks| self.save_segment(segment, chunks, scratch))
    }

    fn save_segment(&self, segment: u64, chunks: &[Id], scratch: &mut Scratch) -> Result<Id> {
        let geometry = self.table.geometry();
        let range = geometry.chunks_of(segment);
        for chunk in [range.start, range.end.saturating_sub(1)] {
            if chunks.contains(&self.table.zero(chunk)) {
                self.store.save_chunk(&self.zeros[..geometry.chunk_length(chunk)], scratch)?;
            }
        }
        let json = tree::segment(geometry.segment_length(segment), chunks.to_vec())?;
        self.store.save_tree(&json, scratch)
    }

    /// Stores the disk's tree. All segments are stored or zeros.
    fn save_disk(&self, scratch: &mut Scratch) -> Result<Id> {
        let mut full_zeros = None;
        let mut nodes = Vec::with_capacity(self.table.geometry().segments() as usize);
        for (number, state) in self.table.state().segments.into_iter().enumerate() {
            let segment = match state {
                SegmentState::Stored(tree) => tree,
                SegmentState::Zero => self.zero_segment(number as u64, &mut full_zeros, scratch)?,
                SegmentState::Chunks(_) => return Err(ImageError::Internal("a segment is not finished".into())),
            };
            nodes.push(tree::directory(Geometry::directory(number as u64), segment));
        }
        self.store.save_tree(&tree::json(&nodes)?, scratch)
    }

    /// The tree of a segment of zeros; that of full ones is stored once.
    fn zero_segment(&self, segment: u64, full: &mut Option<Id>, scratch: &mut Scratch) -> Result<Id> {
        let is_full = self.table.geometry().segment_length(segment) == crate::SEGMENT;
        if let (true, Some(known)) = (is_full, *full) {
            return Ok(known);
        }
        let tree = self.save_segment(segment, &self.table.zero_chunks(segment), scratch)?;
        if is_full {
            *full = Some(tree);
        }
        Ok(tree)
    }
}

impl Trees for Shared {
    fn chunks(&self, segment: u64, tree: &Id) -> Result<Vec<Id>> {
        let read = self.store.repo().read_tree(tree)?;
        let damaged = |reason| ImageError::Parent { name: self.name.to_string(), reason };
        super::tree::chunks(read, self.table.geometry(), segment).map_err(damaged)
    }
}

impl Counts {
    fn put(&self, length: usize) {
        self.chunks.fetch_add(1, Relaxed);
        self.bytes.fetch_add(length as u64, Relaxed);
    }

    fn figures(&self) -> Figures {
        Figures {
            chunks: self.chunks.load(Relaxed),
            zero_chunks: self.zero_chunks.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            new_bytes: self.new_bytes.load(Relaxed),
            new_stored: self.new_stored.load(Relaxed),
        }
    }
}

impl Base {
    fn state(self, name: &DiskName, geometry: &Geometry) -> Result<TableState> {
        match self {
            Base::Zeros => Ok(TableState::default()),
            Base::Resumed(state) => Ok(state),
            Base::Parent(parent) if parent.geometry == *geometry => {
                let segments = parent.segments.into_iter().map(SegmentState::Stored).collect();
                Ok(TableState { segments, done: Vec::new() })
            }
            Base::Parent(parent) => {
                let reason = format!("that has {} bytes, the disk {}", parent.geometry.size(), geometry.size());
                Err(ImageError::Parent { name: name.to_string(), reason })
            }
        }
    }
}
