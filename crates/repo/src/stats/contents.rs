//! Files by content, and blobs by file.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Stats;
use crate::node::Node;
use crate::progress::{Amount, Progress, Step};
use crate::tree::Tree;
use crate::used::{IdSet, TreeVisitor, not_a_tree, walk_trees};
use crate::{BlobHandle, BlobKind, Error, Id, Repository, Result};

/// Counts every content once, with the size of the file that has it. As in restic, nodes without content together count as
/// one.
pub(super) fn count_files(repo: &Repository, roots: &[Id], progress: &dyn Progress) -> Result<Stats> {
    let counter = FileCounter::default();
    walk_trees(repo, roots, &counter, progress)?;
    let (total_size, total_file_count) = (counter.size.into_inner(), counter.files.into_inner());
    Ok(Stats { total_size, total_file_count, ..Stats::default() })
}

/// Names a content.
fn content_id(node: &Node) -> Id {
    let content = node.content.as_deref().unwrap_or_default();
    let mut bytes = Vec::with_capacity(content.len() * 32);
    content.iter().for_each(|id| bytes.extend_from_slice(id.as_bytes()));
    Id::of(&bytes)
}

#[derive(Default)]
struct FileCounter {
    contents: IdSet,
    files: AtomicU64,
    size: AtomicU64,
}

impl TreeVisitor for FileCounter {
    fn tree(&self, _repo: &Repository, id: &Id, json: &[u8], below: &mut Vec<Id>) -> Result<()> {
        let tree = Tree::parse(json).map_err(|reason| not_a_tree(id, reason))?;
        for node in &tree.nodes {
            below.extend(node.subtree);
            if self.contents.insert(&content_id(node)) {
                self.files.fetch_add(1, Ordering::Relaxed);
                self.size.fetch_add(node.size, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    fn unreadable(&self, _id: &Id, error: Error) -> Result<()> {
        Err(error)
    }
}

/// Counts the blobs of every content, each once for the path at which the content is met first. Depth first, in the order
/// of names: which path is first matters.
pub(super) fn count_blobs(repo: &Repository, roots: &[Id], progress: &dyn Progress) -> Result<Stats> {
    progress.begin(Step::WalkTrees, Amount::default());
    let mut counter = BlobCounter::new(repo, progress);
    for root in roots {
        counter.walk(root)?;
    }
    Ok(counter.stats)
}

struct BlobCounter<'r> {
    repo: &'r Repository,
    progress: &'r dyn Progress,
    stats: Stats,
    trees: HashSet<Id>,
    contents: HashSet<Id>,
    /// Hashes of paths, and of paths with a blob.
    seen: HashSet<Id>,
}

/// A directory on the way.
struct Place {
    nodes: std::vec::IntoIter<Node>,
    path: Vec<u8>,
}

impl<'r> BlobCounter<'r> {
    fn new(repo: &'r Repository, progress: &'r dyn Progress) -> BlobCounter<'r> {
        let (trees, contents, seen) = Default::default();
        BlobCounter { repo, progress, stats: Stats::default(), trees, contents, seen }
    }

    /// A tree that was met before holds no content that was not: it is passed over.
    fn walk(&mut self, root: &Id) -> Result<()> {
        let mut places = Vec::from_iter(self.enter(root, Vec::new())?);
        while let Some(place) = places.last_mut() {
            let Some(node) = place.nodes.next() else {
                places.pop();
                continue;
            };
            let path = [place.path.as_slice(), b"/", &node.name].concat();
            self.count(&node, &path)?;
            if let Some(subtree) = &node.subtree {
                places.extend(self.enter(subtree, path)?);
            }
        }
        Ok(())
    }

    fn enter(&mut self, tree: &Id, path: Vec<u8>) -> Result<Option<Place>> {
        self.repo.cancel().check()?;
        if !self.trees.insert(*tree) {
            return Ok(None);
        }
        self.progress.advance(Amount { items: 1, bytes: 0 });
        Ok(Some(Place { nodes: self.repo.read_tree(tree)?.nodes.into_iter(), path }))
    }

    fn count(&mut self, node: &Node, path: &[u8]) -> Result<()> {
        if !self.contents.insert(content_id(node)) {
            return Ok(());
        }
        for id in node.content.as_deref().unwrap_or_default() {
            self.stats.total_file_count += u64::from(self.seen.insert(Id::of(path)));
            if self.seen.insert(Id::of(&[path, b"\0", id.as_bytes()].concat())) {
                let blob = BlobHandle { kind: BlobKind::Data, id: *id };
                let location = self.repo.index()?.find(&blob).ok_or(Error::MissingBlob(blob))?;
                self.stats.total_size += u64::from(location.plain_length());
                self.stats.total_blob_count += 1;
            }
        }
        Ok(())
    }
}
