//! Copying snapshots to another repository, with restic's meaning.
//!
//! Trees keep their bytes, data keeps its cuts; everything is encrypted anew with the other repository's key. A snapshot is
//! written after everything that it needs is durable there. A copy remembers which snapshot it is of (`original`), so a
//! later run passes over what was copied already.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::pack::PackedBlob;
use crate::progress::{Amount, Progress, Step};
use crate::retention::Stored;
use crate::runs::{self, RunReader};
use crate::snapshot::Snapshot;
use crate::used::{BlobSet, IdSet, References, TreeVisitor, find_references, walk_new_trees};
use crate::workers::{self, Workers};
use crate::writer::{BlobWriter, Scratch};
use crate::{BlobHandle, BlobKind, Error, Id, Repository, Result};

/// Snapshots are collected until so many packs' worth of data is to be copied: a pass over many packs reads them better.
const PACKS_PER_PASS: u64 = 100;

/// Packs whose lists of blobs wait for a worker.
const WAITING_PACKS: usize = 16;

/// What became of one snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copied {
    /// It is new there, under this id.
    New(Id),
    /// A copy of it is there already.
    Already(Id),
}

/// How much was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopyOutcome {
    /// Snapshots written.
    pub snapshots: u64,
    /// Snapshots that were there already.
    pub skipped: u64,
    /// Blobs that were new there.
    pub blobs: u64,
    /// Their stored bytes there.
    pub bytes: u64,
}

/// Copies `snapshots` of `from`; `each` is told what became of every one of them once that is so.
pub fn copy(
    from: &Repository,
    to: &Arc<Repository>,
    snapshots: Vec<Stored>,
    each: &mut dyn FnMut(&Stored, Copied),
    progress: &dyn Progress,
) -> Result<CopyOutcome> {
    let there = SnapshotsThere::list(to)?;
    from.load_index()?;
    to.load_index()?;
    let mut copier = Copier::new(from, to, progress);
    for stored in snapshots {
        match there.copy_of(&stored) {
            Some(copy) => {
                copier.outcome.skipped += 1;
                each(&stored, Copied::Already(copy));
            }
            None => copier.add(stored, each)?,
        }
    }
    copier.pass(each)?;
    Ok(copier.outcome)
}

/// What is in the target, by the snapshot that it is a copy of.
struct SnapshotsThere(HashMap<Id, Vec<Stored>>);

impl SnapshotsThere {
    fn list(to: &Repository) -> Result<SnapshotsThere> {
        let mut by_original: HashMap<Id, Vec<Stored>> = HashMap::new();
        for stored in to.snapshots()?.all {
            if let Some(original) = stored.1.original {
                by_original.entry(original).or_default().push(stored.clone());
            }
            by_original.entry(stored.0).or_default().push(stored);
        }
        Ok(SnapshotsThere(by_original))
    }

    fn copy_of(&self, (id, snapshot): &Stored) -> Option<Id> {
        let candidates = self.0.get(&snapshot.original.unwrap_or(*id))?;
        candidates.iter().find(|(_, there)| is_same(snapshot, there)).map(|(id, _)| *id)
    }
}

/// restic's rule: everything but `parent` and `original` is equal.
fn is_same(a: &Snapshot, b: &Snapshot) -> bool {
    let same_time = matches!((a.timestamp(), b.timestamp()), (Ok(a), Ok(b)) if a == b);
    let who = |s: &Snapshot| (s.hostname.clone(), s.username.clone(), s.uid, s.gid);
    let same_set = |a: &[String], b: &[String]| a.len() == b.len() && b.iter().all(|item| a.contains(item));
    same_time
        && a.tree == b.tree
        && who(a) == who(b)
        && a.excludes == b.excludes
        && same_set(&a.paths, &b.paths)
        && same_set(&a.tags, &b.tags)
}

struct Copier<'a> {
    from: &'a Repository,
    to: &'a Arc<Repository>,
    progress: &'a dyn Progress,
    writer: BlobWriter,
    visited: IdSet,
    waiting: Vec<Stored>,
    wanted: Wanted,
    outcome: CopyOutcome,
}

/// What the waiting snapshots need that the target does not have. Data is kept by fingerprint: at worst a blob too many is
/// copied.
#[derive(Default)]
struct Wanted {
    blobs: BlobSet,
    count: AtomicU64,
    bytes: AtomicU64,
}

impl<'a> Copier<'a> {
    fn new(from: &'a Repository, to: &'a Arc<Repository>, progress: &'a dyn Progress) -> Copier<'a> {
        Copier {
            from,
            to,
            progress,
            writer: BlobWriter::new(to),
            visited: IdSet::default(),
            waiting: Vec::new(),
            wanted: Wanted::default(),
            outcome: CopyOutcome::default(),
        }
    }

    fn add(&mut self, stored: Stored, each: &mut dyn FnMut(&Stored, Copied)) -> Result<()> {
        let finder = Finder { to: self.to, wanted: &self.wanted };
        self.progress.begin(Step::WalkTrees, Amount::default());
        walk_new_trees(self.from, &[stored.1.tree], &self.visited, &finder, self.progress)?;
        self.waiting.push(stored);
        match self.wanted.bytes.load(Ordering::Relaxed) >= PACKS_PER_PASS * self.to.options().pack_size {
            true => self.pass(each),
            false => Ok(()),
        }
    }

    /// Copies what is wanted, then writes the snapshots that waited for it.
    fn pass(&mut self, each: &mut dyn FnMut(&Stored, Copied)) -> Result<()> {
        self.copy_blobs()?;
        self.writer.flush()?;
        self.wanted = Wanted::default();
        for stored in self.waiting.drain(..) {
            let (id, snapshot) = &stored;
            let original = snapshot.original.or(Some(*id));
            let new = self.to.write_snapshot(&Snapshot { parent: None, original, ..snapshot.clone() })?;
            self.outcome.snapshots += 1;
            each(&stored, Copied::New(new));
        }
        Ok(())
    }

    fn copy_blobs(&mut self) -> Result<()> {
        let (count, bytes) = (self.wanted.count.load(Ordering::Relaxed), self.wanted.bytes.load(Ordering::Relaxed));
        if count == 0 {
            return Ok(());
        }
        self.progress.begin(Step::CopyBlobs, Amount { items: count, bytes });
        let (blobs, stored) = (AtomicU64::new(0), AtomicU64::new(0));
        let index = self.from.index()?;
        let (sender, packs) = crossbeam_channel::bounded(WAITING_PACKS);
        let make = || (RunReader::new(), self.writer.scratch());
        let work = |(reader, scratch): &mut (RunReader, Scratch), (pack, entries): (Id, Vec<PackedBlob>)| {
            self.copy_pack(pack, entries, reader, scratch, &blobs, &stored)
        };
        std::thread::scope(|scope| {
            let wanted = &self.wanted.blobs;
            let reading = scope.spawn(move || {
                index.for_each_pack(&mut |pack, entries| {
                    let entries: Vec<_> =
                        entries.iter().filter(|entry| wanted.contains(&entry.blob)).copied().collect();
                    if !entries.is_empty() {
                        // Nobody takes it any more after an error, which the workers return.
                        let _ = sender.send((*pack, entries));
                    }
                })
            });
            workers::for_each(Workers::readers(self.from), packs, make, work)?;
            reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })?;
        self.outcome.blobs += blobs.into_inner();
        self.outcome.bytes += stored.into_inner();
        Ok(())
    }

    fn copy_pack(
        &self,
        pack: Id,
        entries: Vec<PackedBlob>,
        reader: &mut RunReader,
        scratch: &mut Scratch,
        blobs: &AtomicU64,
        bytes: &AtomicU64,
    ) -> Result<()> {
        for run in runs::runs(entries.into_iter().map(|entry| (pack, entry)).collect()) {
            reader.read(self.from, &run, &mut |blob, outcome| {
                let opened = outcome?;
                let saved = self.writer.save_as(blob, opened.plain, scratch)?;
                blobs.fetch_add(saved.new.into(), Ordering::Relaxed);
                bytes.fetch_add(saved.stored, Ordering::Relaxed);
                self.progress.advance(Amount { items: 1, bytes: opened.packed.length.into() });
                Ok(())
            })?;
        }
        Ok(())
    }
}

/// Finds what a tree needs that the target does not have.
struct Finder<'a> {
    to: &'a Repository,
    wanted: &'a Wanted,
}

impl Finder<'_> {
    fn want(&self, from: &Repository, blob: BlobHandle) -> Result<()> {
        if self.to.index()?.contains(&blob) || !self.wanted.blobs.insert(&blob) {
            return Ok(());
        }
        let location = from.index()?.find(&blob).ok_or(Error::MissingBlob(blob))?;
        self.wanted.count.fetch_add(1, Ordering::Relaxed);
        self.wanted.bytes.fetch_add(location.length.into(), Ordering::Relaxed);
        Ok(())
    }
}

impl TreeVisitor for Finder<'_> {
    fn tree(&self, from: &Repository, id: &Id, json: &[u8], below: &mut Vec<Id>) -> Result<()> {
        let References { data, trees } = find_references(id, json)?;
        self.want(from, BlobHandle { kind: BlobKind::Tree, id: *id })?;
        for id in data {
            self.want(from, BlobHandle { kind: BlobKind::Data, id })?;
        }
        below.extend(trees);
        Ok(())
    }

    fn unreadable(&self, _id: &Id, error: Error) -> Result<()> {
        Err(error)
    }
}
