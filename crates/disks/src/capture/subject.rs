//! One of the disks that are captured: what of it was handed on, and what is still to be.

use std::collections::BTreeSet;
use std::path::Path;

use platform::direct::Claim;
use platform::{BlockDevice, DiskCounts};

use super::reading::{Reader, Request, Taken};
use super::{CaptureError, Source, Start, Unreadable, View};
use crate::{CHUNK, Extents, Sink, Tracker};

/// A disk, and where its image stands.
pub(super) struct Subject<'a> {
    pub(super) source: Source<'a>,
    pub(super) reader: Reader,
    /// What was in use, of each chunk, when it was handed on.
    shown: Extents,
    /// What was written since, and is not handed on yet.
    owed: Extents,
    /// Sectors written when it was opened.
    written: u64,
}

/// What is read next.
#[derive(Debug)]
pub(super) struct Plan {
    /// In order.
    pub(super) chunks: Vec<u64>,
    /// Chunks that had something and have nothing now.
    pub(super) emptied: Vec<u64>,
    pub(super) used: Extents,
    /// Bytes in use of the chunks.
    pub(super) bytes: u64,
}

impl<'a> Subject<'a> {
    pub(super) fn open(mut source: Source<'a>, unreadable: Unreadable) -> Result<Subject<'a>, CaptureError> {
        let claim = if matches!(source.view, View::Offline) { Claim::Exclusive } else { Claim::Shared };
        let reader = Reader::open(source.device, claim, unreadable)?;
        let start = std::mem::replace(&mut source.start, Start::Everything);
        let (shown, owed) = match start {
            Start::Everything => (Extents::new(), Extents::new()),
            Start::Since { changed, used } => (used, changed),
        };
        let written = written(reader.device());
        Ok(Subject { source, reader, shown, owed, written })
    }

    pub(super) fn tracker(&self) -> Option<&'a Tracker> {
        match self.source.view {
            View::Tracked(tracker) | View::TrackedBelow(tracker, _) => Some(tracker),
            _ => None,
        }
    }

    /// The disk that the device is, or is part of.
    pub(super) fn disk(&self) -> Result<BlockDevice, CaptureError> {
        let device = self.reader.path().to_owned();
        self.reader.device().disk().map_err(|cause| CaptureError::Open { device, cause })
    }

    /// Learns what was written, in bytes of the whole disk.
    pub(super) fn was_written(&mut self, on_disk: &Extents) {
        let local = self.local(on_disk);
        self.owed.extend(local.iter());
    }

    fn local(&self, on_disk: &Extents) -> Extents {
        if let View::TrackedBelow(_, places) = self.source.view {
            return places.on_device(on_disk);
        }
        let start = self.reader.device().start().unwrap_or(0);
        let ours = on_disk.within(start..start + self.reader.size());
        ours.map(|range| range.start - start..range.end - start).collect()
    }

    /// The first byte of what was written and is in use.
    pub(super) fn first_used(&self, on_disk: &Extents, used: &Extents) -> Option<u64> {
        self.local(on_disk).iter().find_map(|range| used.within(range).next()).map(|range| range.start)
    }

    /// Everything must be read once more.
    pub(super) fn owes_everything(&mut self) {
        self.owed = Extents::all(self.reader.size());
    }

    /// What is in use now, and what of it is to be read: what was written, and what came into use without being written.
    pub(super) fn plan(&mut self) -> Result<Plan, CaptureError> {
        let device = self.reader.path().to_owned();
        let mut used = (self.source.used)().map_err(|cause| CaptureError::UsedMap { device, cause })?;
        used.remove(self.reader.size()..u64::MAX);
        let mut wanted = BTreeSet::new();
        for range in self.owed.iter().flat_map(|range| used.within(range)).chain(self.new_in(&used).iter()) {
            wanted.extend(range.start / CHUNK..range.end.div_ceil(CHUNK));
        }
        let chunks: Vec<u64> = wanted.into_iter().collect();
        let bytes =
            chunks.iter().flat_map(|chunk| used.within(span(*chunk))).map(|range| range.end - range.start).sum();
        let emptied = self.emptied(&used);
        Ok(Plan { chunks, emptied, used, bytes })
    }

    fn new_in(&self, used: &Extents) -> Extents {
        let mut new = used.clone();
        self.shown.iter().for_each(|range| new.remove(range));
        new
    }

    fn emptied(&self, used: &Extents) -> Vec<u64> {
        let mut chunks = BTreeSet::new();
        for range in self.shown.iter() {
            chunks.extend(range.start / CHUNK..range.end.div_ceil(CHUNK));
        }
        chunks.into_iter().filter(|chunk| !used.touches(span(*chunk))).collect()
    }

    /// Reads what is planned.
    pub(super) fn read(
        &self,
        plan: &Plan,
        threads: usize,
        stop: &(dyn Fn() -> bool + Sync),
        take: &(dyn Fn(u64, Vec<u8>) -> Result<(), CaptureError> + Sync),
    ) -> Result<(Taken, bool), CaptureError> {
        self.reader.read(&Request { chunks: &plan.chunks, used: &plan.used, threads, stop, take })
    }

    /// Where its chunks go.
    pub(super) fn store(&self) -> Store<'_> {
        Store { device: self.reader.path(), sink: self.source.sink }
    }

    /// Hands chunks on that have nothing any more.
    pub(super) fn put_emptied(&self, plan: &Plan) -> Result<(), CaptureError> {
        let size = self.reader.size();
        plan.emptied.iter().try_for_each(|&chunk| {
            let range = span(chunk);
            self.store().put(chunk, vec![0; range.end.min(size).saturating_sub(range.start) as usize])
        })
    }

    /// All that was planned is handed on. It must be the latest plan, and no marks taken since.
    pub(super) fn settle(&mut self, plan: &Plan) {
        for range in plan.chunks.iter().chain(&plan.emptied).map(|chunk| span(*chunk)) {
            self.shown.remove(range.clone());
            self.shown.extend(plan.used.within(range));
        }
        // What was written where nothing is in use is read once it is, as new.
        self.owed = Extents::new();
    }

    /// Sectors that were written since it was opened.
    pub(super) fn written_since(&self) -> u64 {
        written(self.reader.device()).wrapping_sub(self.written)
    }
}

/// Where the chunks of one disk go.
#[derive(Clone, Copy)]
pub(super) struct Store<'a> {
    device: &'a Path,
    sink: &'a dyn Sink,
}

impl Store<'_> {
    /// Hands a chunk on.
    pub(super) fn put(&self, chunk: u64, content: Vec<u8>) -> Result<(), CaptureError> {
        let failed = |cause| CaptureError::Sink { device: self.device.to_owned(), chunk, cause };
        self.sink.put(chunk, content).map_err(failed)
    }
}

fn span(chunk: u64) -> std::ops::Range<u64> {
    chunk * CHUNK..(chunk + 1) * CHUNK
}

fn written(device: &BlockDevice) -> u64 {
    DiskCounts::of(device).map_or(0, |counts| counts.sectors_written)
}
