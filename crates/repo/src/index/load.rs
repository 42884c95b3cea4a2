//! Loading the index: cache files for what they cover, index files for the rest.

use std::collections::HashSet;
use std::sync::Arc;

use backend::{FileKind, FileName, Id};
use parking_lot::Mutex;

use super::cache::{Batch, IndexCache};
use super::row::Row;
use super::segment::Segment;
use super::{Index, IndexFile, IndexPack, Learned, MarkedPack};
use crate::unpacked::Unpacked;
use crate::workers::{self, Workers};
use crate::{Cancel, Error, Result};

/// Rows that are sorted in memory at once: 24 MiB.
const BATCH: usize = 512 << 10;

impl Index {
    /// Reads what is stored now. With a cache, what had to be decoded is in it afterwards.
    pub(crate) fn load(files: &Arc<Unpacked>, cache: Option<&IndexCache>, cancel: &Cancel) -> Result<Index> {
        let existing: HashSet<Id> = files.backend.list(FileKind::Index)?.iter().map(|file| file.id).collect();
        loop {
            let segments = cache.map(|cache| cache.open(&existing)).unwrap_or_default();
            let mut missing = existing.clone();
            segments.iter().flat_map(|segment| segment.covered().unwrap_or_default()).for_each(|id| {
                missing.remove(&id);
            });
            let loader = Loader { cache, state: Mutex::new(State { segments, ..State::default() }) };
            loader.decode(files, &missing.into_iter().collect::<Vec<_>>(), cancel)?;
            let State { segments, learned, marked, .. } = loader.finish();
            let consolidated = match cache {
                Some(cache) => cache.consolidate(segments),
                None => Some(segments),
            };
            // A damaged cache file was removed: the next round decodes what it covered.
            if let Some(segments) = consolidated {
                return Ok(Index::new(Arc::clone(files), segments, learned, marked));
            }
        }
    }
}

/// Reads one index file.
pub(super) fn read(files: &Unpacked, id: &Id) -> Result<IndexFile> {
    let json = files.read(FileKind::Index, id)?;
    IndexFile::parse(&json).map_err(|reason| Error::damaged(FileName::new(FileKind::Index, *id), reason))
}

/// Sorts decoded index files into a batch for the cache, or into memory.
struct Loader<'c> {
    cache: Option<&'c IndexCache>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    segments: Vec<Segment>,
    batch: Batch,
    learned: Learned,
    marked: Vec<MarkedPack>,
    cache_failed: bool,
}

impl Loader<'_> {
    /// Decodes index files on several threads.
    fn decode(&self, files: &Unpacked, ids: &[Id], cancel: &Cancel) -> Result<()> {
        let workers = Workers::decoders(&*files.backend);
        workers::for_each(
            workers,
            ids,
            || (),
            |(), id| {
                cancel.check()?;
                self.add(*id, read(files, id)?);
                Ok(())
            },
        )
    }

    fn add(&self, id: Id, content: IndexFile) {
        let mut state = self.state.lock();
        // Files that mark packs for deletion are decoded every time, so that cache files need not know of marks.
        if self.cache.is_none() || state.cache_failed || !content.packs_to_delete.is_empty() {
            content.packs.iter().for_each(|pack| state.learned.add_pack(pack.id, &pack.blobs));
            state.marked.extend(content.packs_to_delete.into_iter().map(|pack| MarkedPack { index: id, pack }));
            return;
        }
        state.batch.covered.push(id);
        content.packs.iter().for_each(|pack| state.batch.add_pack(pack));
        if state.batch.rows.len() >= BATCH {
            self.end_batch(&mut state);
        }
    }

    /// Puts the batch into a cache file, or into memory if that fails.
    fn end_batch(&self, state: &mut State) {
        let mut batch = std::mem::take(&mut state.batch);
        let written = match self.cache {
            Some(cache) if batch.is_worth_a_file() => batch.write(cache).map_err(|_| state.cache_failed = true).ok(),
            _ => None,
        };
        match written {
            Some(segment) => state.segments.push(segment),
            None => batch.teach(&mut state.learned),
        }
    }

    fn finish(self) -> State {
        let mut state = self.state.into_inner();
        let loader = Loader { cache: self.cache, state: Mutex::default() };
        loader.end_batch(&mut state);
        state
    }
}

impl Batch {
    fn add_pack(&mut self, pack: &IndexPack) {
        let number = self.packs.len() as u32;
        self.packs.push(pack.id);
        self.rows.extend(pack.blobs.iter().map(|entry| Row::new(number, entry)));
    }

    fn teach(&mut self, learned: &mut Learned) {
        self.rows.sort_unstable_by_key(|row| (row.pack(), row.entry().offset));
        for rows in self.rows.chunk_by(|a, b| a.pack() == b.pack()) {
            let blobs: Vec<_> = rows.iter().map(Row::entry).collect();
            learned.add_pack(self.packs[rows[0].pack() as usize], &blobs);
        }
        // Packs without blobs are known, too.
        self.packs.iter().for_each(|pack| learned.add_pack(*pack, &[]));
    }
}
