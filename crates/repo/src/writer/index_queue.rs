//! Packs that are stored but that no stored index file names yet.

use std::time::Duration;

use backend::Id;
use parking_lot::Mutex;

use super::Shared;
use crate::Result;
use crate::index::{IndexFile, IndexPack};
use crate::pack::PackedBlob;

/// Blobs in an index file at most: half of what restic puts there, because the file is made in memory beside full packs.
const MAX_BLOBS: usize = 25_000;

/// After this time an index file is stored even if it is small, so that an interrupted backup loses little.
const MAX_AGE: Duration = Duration::from_secs(600);

/// What to take out of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Take {
    /// A file's worth, if there is one or the oldest pack has waited long enough.
    WhatIsDue,
    /// Everything.
    All,
}

/// Packs that wait for their index file.
#[derive(Default)]
pub(super) struct IndexQueue {
    waiting: Mutex<Waiting>,
    /// Held while a file is written, so that `flush` waits for files that others write.
    writing: Mutex<()>,
}

#[derive(Default)]
struct Waiting {
    packs: Vec<IndexPack>,
    blobs: usize,
    since: Option<Duration>,
}

impl IndexQueue {
    pub(super) fn push(&self, id: Id, blobs: &[PackedBlob], now: Duration) {
        let mut waiting = self.waiting.lock();
        waiting.blobs += blobs.len();
        waiting.since.get_or_insert(now);
        waiting.packs.push(IndexPack { id, blobs: blobs.to_vec(), time: None, size: None });
    }

    /// The next index file, if one is to be written.
    fn take(&self, what: Take, now: Duration) -> Option<IndexFile> {
        let mut waiting = self.waiting.lock();
        let due = what == Take::All || waiting.is_due(now);
        (due && !waiting.packs.is_empty()).then(|| waiting.take_file())
    }

    fn is_due(&self, now: Duration) -> bool {
        self.waiting.lock().is_due(now)
    }
}

impl Waiting {
    fn is_due(&self, now: Duration) -> bool {
        let old = self.since.is_some_and(|since| now.saturating_sub(since) >= MAX_AGE);
        old || self.blobs >= MAX_BLOBS
    }

    /// As many packs as fit one file, at least one.
    fn take_file(&mut self) -> IndexFile {
        let mut blobs = 0;
        let fits = |pack: &&IndexPack| {
            blobs += pack.blobs.len();
            blobs <= MAX_BLOBS
        };
        let count = self.packs.iter().take_while(fits).count().max(1);
        let packs: Vec<IndexPack> = self.packs.drain(..count).collect();
        self.blobs -= packs.iter().map(|pack| pack.blobs.len()).sum::<usize>();
        if self.packs.is_empty() {
            self.since = None;
        }
        IndexFile { packs, packs_to_delete: Vec::new() }
    }
}

impl Shared {
    /// Stores index files from the queue; a failure is everybody's.
    pub(super) fn write_index_files(&self, what: Take) -> Result<()> {
        if what == Take::WhatIsDue && !self.index_queue.is_due(self.repo.clock().monotonic()) {
            return Ok(());
        }
        let _writing = self.index_queue.writing.lock();
        while let Some(file) = self.index_queue.take(what, self.repo.clock().monotonic()) {
            if let Err(error) = self.repo.write_index_file(&file) {
                return Err(self.uploads.fail(error));
            }
        }
        self.uploads.check()
    }
}
