//! An image's bytes, from chunks that are fetched as they are asked for, ahead of whoever reads one after the other.
//!
//! At most [`KEPT`] chunks are in memory. Threads fetch; whoever reads waits for them and touches the repository never.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use backend::Id;
use hashbrown::HashMap;
use parking_lot::{Condvar, Mutex};
use repo::{Cancel, Repository};

use crate::image::{StoredDisk, zero_chunk};
use crate::restore::fetch::{self, Fetcher};
use crate::{CHUNK, ReadAt};

/// Chunks in memory: 64 MiB.
const KEPT: usize = 64;

/// Chunks that are fetched ahead of a reader, and how many of them are asked for at once.
const AHEAD: u64 = 32;
const GROUP: u64 = 8;

/// Segments of which the names of chunks are kept, 32 KiB each.
const SEGMENTS: usize = 32;

/// A disk of a snapshot that is read at any place. Made by [`ChunkReader::with`].
pub struct ChunkReader {
    size: u64,
    state: Mutex<State>,
    /// Told when there is something to fetch.
    wanted: Condvar,
    /// Told when something came.
    came: Condvar,
}

#[derive(Default)]
struct State {
    chunks: HashMap<u64, Slot>,
    /// Chunks to fetch.
    queue: VecDeque<u64>,
    /// What was read last.
    last: Option<u64>,
    clock: u64,
    is_closed: bool,
}

enum Slot {
    /// Somebody fetches it.
    OnItsWay,
    Here {
        bytes: Arc<Vec<u8>>,
        used: u64,
    },
    Failed(String),
}

/// Ends the threads, whatever happened.
struct Closing<'c>(&'c ChunkReader);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.state.lock().is_closed = true;
        self.0.wanted.notify_all();
        self.0.came.notify_all();
    }
}

impl ChunkReader {
    /// Runs `work` with a reader of a stored disk, which fetches with some threads meanwhile. Later reads fail.
    pub fn with<T>(
        repo: &Repository,
        disk: &StoredDisk,
        cancel: &Cancel,
        work: impl FnOnce(&Arc<ChunkReader>) -> T,
    ) -> repo::Result<T> {
        repo.index()?;
        let (state, wanted, came) = Default::default();
        let reader = Arc::new(ChunkReader { size: disk.geometry.size(), state, wanted, came });
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        let shelf = Shelf { repo, disk, ids: Mutex::default() };
        Ok(std::thread::scope(|scope| {
            let _closing = Closing(&reader);
            for _ in 0..(processors + 1).clamp(3, 6) {
                scope.spawn(|| {
                    // A fetcher that is lost must not leave a reader waiting.
                    let _closing = Closing(&reader);
                    Fetching { reader: &reader, shelf: &shelf, fetcher: Fetcher::new(repo), cancel }.run();
                });
            }
            work(&reader)
        }))
    }

    fn chunk(&self, number: u64) -> io::Result<Arc<Vec<u8>>> {
        let mut state = self.state.lock();
        state.look_ahead(number, self.size.div_ceil(CHUNK), &self.wanted);
        loop {
            if state.is_closed {
                return Err(io::Error::other("the image is closed, or reading it was interrupted"));
            }
            match state.take(number) {
                Some(Ok(bytes)) => return Ok(bytes),
                Some(Err(reason)) => return Err(io::Error::other(reason)),
                None => self.came.wait(&mut state),
            }
        }
    }
}

impl ReadAt for ChunkReader {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let is_within = offset.checked_add(into.len() as u64).is_some_and(|end| end <= self.size);
        if !is_within {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut done = 0;
        while done < into.len() {
            let (number, within) = ((offset + done as u64) / CHUNK, ((offset + done as u64) % CHUNK) as usize);
            let chunk = self.chunk(number)?;
            let part = chunk.get(within..).unwrap_or_default();
            let length = part.len().min(into.len() - done);
            if length == 0 {
                return Err(io::Error::other(format!("chunk {number} is shorter than it should be")));
            }
            into[done..done + length].copy_from_slice(&part[..length]);
            done += length;
        }
        Ok(())
    }
}

impl State {
    /// Asks for a chunk, and for what follows it if the one before was read last.
    fn look_ahead(&mut self, number: u64, chunks: u64, wanted: &Condvar) {
        let is_same = self.last == Some(number);
        let goes_on = self.last.is_some_and(|last| last + 1 == number);
        self.last = Some(number);
        if is_same && self.chunks.contains_key(&number) {
            return;
        }
        let mut asked = self.ask(number, true);
        if goes_on {
            let end = (number + 1 + AHEAD).min(chunks);
            let missing = (number + 1..end).filter(|next| !self.chunks.contains_key(next)).count() as u64;
            // In groups, which are one request where the chunks lie in a pack one behind the other.
            if missing >= GROUP.min(end - number - 1) {
                asked |= (number + 1..end).fold(false, |any, next| self.ask(next, false) | any);
            }
        }
        if asked {
            wanted.notify_all();
        }
    }

    fn ask(&mut self, number: u64, is_urgent: bool) -> bool {
        if self.chunks.contains_key(&number) {
            return false;
        }
        self.chunks.insert(number, Slot::OnItsWay);
        if is_urgent {
            self.queue.push_front(number)
        } else {
            self.queue.push_back(number)
        };
        true
    }

    fn take(&mut self, number: u64) -> Option<Result<Arc<Vec<u8>>, String>> {
        self.clock += 1;
        let now = self.clock;
        match self.chunks.get_mut(&number) {
            Some(Slot::Here { bytes, used }) => {
                *used = now;
                Some(Ok(Arc::clone(bytes)))
            }
            // Who asks again, tries again.
            Some(Slot::Failed(_)) => match self.chunks.remove(&number) {
                Some(Slot::Failed(reason)) => Some(Err(reason)),
                _ => None,
            },
            Some(Slot::OnItsWay) => None,
            // It came and gave way to others before we woke.
            None => {
                self.ask(number, true);
                None
            }
        }
    }

    fn keep(&mut self, number: u64, slot: Slot) {
        self.chunks.insert(number, slot);
        while self.chunks.len() > KEPT + AHEAD as usize {
            let age = |(number, slot): (&u64, &Slot)| match slot {
                Slot::OnItsWay => None,
                Slot::Here { used, .. } => Some((*used, *number)),
                Slot::Failed(_) => Some((0, *number)),
            };
            let Some((_, oldest)) = self.chunks.iter().filter_map(age).min() else { return };
            self.chunks.remove(&oldest);
        }
    }
}

/// Which blobs the chunks of a disk are.
struct Shelf<'s> {
    repo: &'s Repository,
    disk: &'s StoredDisk,
    ids: Mutex<VecDeque<(u64, Arc<Vec<Id>>)>>,
}

impl Shelf<'_> {
    fn id(&self, chunk: u64) -> Result<Id, String> {
        let per_segment = crate::SEGMENT / CHUNK;
        let (segment, within) = (chunk / per_segment, (chunk % per_segment) as usize);
        // Held while it is read: everybody who comes wants the same segment.
        let mut kept = self.ids.lock();
        if let Some((_, ids)) = kept.iter().find(|(number, _)| *number == segment) {
            return ids.get(within).copied().ok_or_else(|| format!("segment {segment} has no such chunk"));
        }
        let ids = self.disk.chunks(self.repo, segment).map_err(|error| told(&error))?;
        let id = ids.get(within).copied().ok_or_else(|| format!("segment {segment} has no such chunk"))?;
        if kept.len() >= SEGMENTS {
            kept.pop_front();
        }
        kept.push_back((segment, Arc::new(ids)));
        Ok(id)
    }
}

/// One thread that fetches.
struct Fetching<'f> {
    reader: &'f ChunkReader,
    shelf: &'f Shelf<'f>,
    fetcher: Fetcher<'f>,
    cancel: &'f Cancel,
}

impl Fetching<'_> {
    fn run(&mut self) {
        while let Some(group) = self.next() {
            if self.cancel.is_cancelled() {
                return;
            }
            self.fetch(&group);
        }
    }

    /// The next chunks to fetch, as far as they follow one another; waits for some.
    fn next(&self) -> Option<Vec<u64>> {
        let mut state = self.reader.state.lock();
        loop {
            if state.is_closed {
                return None;
            }
            let Some(first) = state.queue.pop_front() else {
                self.reader.wanted.wait(&mut state);
                continue;
            };
            let mut group = vec![first];
            while group.len() < GROUP as usize
                && state.queue.front().is_some_and(|next| *next == first + group.len() as u64)
            {
                group.extend(state.queue.pop_front());
            }
            return Some(group);
        }
    }

    fn fetch(&mut self, group: &[u64]) {
        let mut wanted = Vec::with_capacity(group.len());
        for &chunk in group {
            let length = self.shelf.disk.geometry.chunk_length(chunk);
            match self.shelf.id(chunk) {
                Ok(id) if id == zero_chunk(length) => self.put(chunk, Ok(vec![0; length])),
                Ok(id) => wanted.push((chunk, id)),
                Err(reason) => self.put(chunk, Err(reason)),
            }
        }
        let (fetches, lost) = match fetch::plan(self.shelf.repo, &wanted) {
            Ok(planned) => planned,
            Err(error) => return wanted.iter().for_each(|(chunk, _)| self.put(*chunk, Err(told(&error)))),
        };
        lost.iter().for_each(|chunk| self.put(*chunk, Err(format!("the repository has lost chunk {chunk}"))));
        let (reader, geometry) = (self.reader, &self.shelf.disk.geometry);
        for fetch in &fetches {
            self.fetcher.fetch(fetch, &mut |pieces, plain| {
                for piece in pieces {
                    let right = |bytes: &&[u8]| bytes.len() == geometry.chunk_length(piece.chunk);
                    let bytes = match &plain {
                        Ok(bytes) if right(bytes) => Ok(bytes.to_vec()),
                        Ok(_) => Err(format!("chunk {} has another length than it should have", piece.chunk)),
                        Err(error) => Err(told(error)),
                    };
                    put(reader, piece.chunk, bytes);
                }
            });
        }
    }

    fn put(&self, chunk: u64, bytes: Result<Vec<u8>, String>) {
        put(self.reader, chunk, bytes);
    }
}

fn put(reader: &ChunkReader, chunk: u64, bytes: Result<Vec<u8>, String>) {
    let mut state = reader.state.lock();
    state.clock += 1;
    let slot = match bytes {
        Ok(bytes) => Slot::Here { bytes: Arc::new(bytes), used: state.clock },
        Err(reason) => Slot::Failed(reason),
    };
    state.keep(chunk, slot);
    reader.came.notify_all();
}

/// An error with its causes.
fn told(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        words.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    words
}
