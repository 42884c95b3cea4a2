//! Visits every tree below some roots once, many at a time, neighbours in a pack together.

use parking_lot::Mutex;

use super::IdSet;
use crate::pack::PackedBlob;
use crate::progress::{Amount, Progress, Step};
use crate::runs::{self, RunReader};
use crate::workers::{self, Workers};
use crate::{BlobHandle, BlobKind, Error, Id, Repository, Result};

/// Trees that are fetched in one round; enough to find neighbours, few enough to keep the list of waiting ones short.
const BATCH: usize = 1 << 16;

/// Is shown trees, from many threads.
pub(crate) trait TreeVisitor: Sync {
    /// A tree whose bytes match its name; pushes the subtrees to visit. An error ends the walk.
    fn tree(&self, repo: &Repository, id: &Id, json: &[u8], below: &mut Vec<Id>) -> Result<()>;

    /// A tree that cannot be had. An error ends the walk.
    fn unreadable(&self, id: &Id, error: Error) -> Result<()>;

    /// Where a tree lies that the index does not know.
    fn elsewhere(&self, _tree: &BlobHandle) -> Option<(Id, PackedBlob)> {
        None
    }
}

/// Walks all trees that can be reached from `roots`.
pub(crate) fn walk_trees(
    repo: &Repository,
    roots: &[Id],
    visitor: &dyn TreeVisitor,
    progress: &dyn Progress,
) -> Result<()> {
    progress.begin(Step::WalkTrees, Amount::default());
    walk_new_trees(repo, roots, &IdSet::default(), visitor, progress)
}

/// As [`walk_trees`], but passes over trees that were `visited` by an earlier walk, with all below them.
pub(crate) fn walk_new_trees(
    repo: &Repository,
    roots: &[Id],
    visited: &IdSet,
    visitor: &dyn TreeVisitor,
    progress: &dyn Progress,
) -> Result<()> {
    let mut waiting: Vec<Id> = roots.iter().filter(|id| visited.insert(id)).copied().collect();
    while !waiting.is_empty() {
        let batch = waiting.split_off(waiting.len().saturating_sub(BATCH));
        visit(repo, batch, visitor, progress, &|below| visited.insert(below), &mut waiting)?;
    }
    Ok(())
}

fn visit(
    repo: &Repository,
    batch: Vec<Id>,
    visitor: &dyn TreeVisitor,
    progress: &dyn Progress,
    is_new: &(dyn Fn(&Id) -> bool + Sync),
    waiting: &mut Vec<Id>,
) -> Result<()> {
    let runs = runs::runs(locate(repo, batch, visitor)?);
    let found = Mutex::new(waiting);
    let make = || (RunReader::new(), Vec::new());
    workers::for_each(Workers::readers(repo), runs, make, |(reader, below), run| {
        reader.read(repo, &run, &mut |blob, outcome| {
            match outcome {
                Ok(opened) => visitor.tree(repo, &blob.id, opened.plain, below)?,
                Err(error) => visitor.unreadable(&blob.id, error)?,
            }
            below.retain(|id| is_new(id));
            found.lock().append(below);
            Ok(())
        })?;
        progress.advance(Amount { items: run.blobs.len() as u64, bytes: 0 });
        Ok(())
    })
}

fn locate(repo: &Repository, batch: Vec<Id>, visitor: &dyn TreeVisitor) -> Result<Vec<(Id, PackedBlob)>> {
    let index = repo.index()?;
    let mut located = Vec::with_capacity(batch.len());
    for id in batch {
        let blob = BlobHandle { kind: BlobKind::Tree, id };
        let known = index.find(&blob).map(|location| (location.pack, runs::packed(blob, &location)));
        match known.or_else(|| visitor.elsewhere(&blob)) {
            Some(place) => located.push(place),
            None => visitor.unreadable(&id, Error::MissingBlob(blob))?,
        }
    }
    Ok(located)
}
