//! Which blobs do snapshots use? Every tree below their roots is read once, in parallel, and what it names is collected.
//!
//! Deletion is decided on the answer, so it errs on one side only: it may name a blob too many, never one too few. A tree
//! that cannot be read, or a blob that the index does not know, is an error.

mod blob_set;
mod references;
mod walk;

use crate::pack::PackedBlob;
use crate::progress::Progress;
use crate::{BlobHandle, BlobKind, Error, Id, Repository, Result};

pub(crate) use blob_set::{BlobSet, IdSet};
pub(crate) use references::{References, find_references, not_a_tree};
pub(crate) use walk::{TreeVisitor, walk_new_trees, walk_trees};

/// The blobs that some snapshots use.
pub struct UsedBlobs(BlobSet);

impl UsedBlobs {
    /// True if the blob is used. Says so of an unused blob once in 2^64 divided by the number of used blobs.
    pub fn contains(&self, blob: &BlobHandle) -> bool {
        self.0.contains(blob)
    }

    /// How many blobs are used, data and trees.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if nothing is used.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Where blobs lie that the index does not know: in packs that wait for deletion.
pub(crate) type Elsewhere = std::collections::HashMap<BlobHandle, (Id, PackedBlob)>;

/// Collects what the snapshots with these root trees use.
pub fn used_blobs(repo: &Repository, roots: &[Id], progress: &dyn Progress) -> Result<UsedBlobs> {
    used_blobs_also(repo, roots, &Elsewhere::new(), progress)
}

/// As [`used_blobs`], but blobs that the index does not know may also be `elsewhere`.
pub(crate) fn used_blobs_also(
    repo: &Repository,
    roots: &[Id],
    elsewhere: &Elsewhere,
    progress: &dyn Progress,
) -> Result<UsedBlobs> {
    let collector = Collector { used: BlobSet::default(), elsewhere };
    walk_trees(repo, roots, &collector, progress)?;
    Ok(UsedBlobs(collector.used))
}

struct Collector<'a> {
    used: BlobSet,
    elsewhere: &'a Elsewhere,
}

impl TreeVisitor for Collector<'_> {
    fn tree(&self, repo: &Repository, id: &Id, json: &[u8], below: &mut Vec<Id>) -> Result<()> {
        let References { data, trees } = find_references(id, json)?;
        self.used.insert(&BlobHandle { kind: BlobKind::Tree, id: *id });
        let index = repo.index()?;
        for id in data {
            let blob = BlobHandle { kind: BlobKind::Data, id };
            if self.used.insert(&blob) && !index.contains(&blob) && !self.elsewhere.contains_key(&blob) {
                return Err(Error::MissingBlob(blob));
            }
        }
        below.extend(trees);
        Ok(())
    }

    fn unreadable(&self, _id: &Id, error: Error) -> Result<()> {
        Err(error)
    }

    fn elsewhere(&self, tree: &BlobHandle) -> Option<(Id, PackedBlob)> {
        self.elsewhere.get(tree).copied()
    }
}
