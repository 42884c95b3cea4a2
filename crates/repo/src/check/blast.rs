//! What damage means to people: which files of which snapshots cannot be restored completely.

use std::collections::{HashMap, HashSet};

use super::{CheckReport, Problem};
use crate::node::NodeKind;
use crate::tree::Tree;
use crate::{BlobHandle, BlobKind, Id, Repository, Result};

/// A path of a snapshot that cannot be restored completely.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affected {
    /// Which snapshot.
    pub snapshot: Id,
    /// The file, or the directory whose list of files is gone; raw bytes from the snapshot's root.
    pub path: Vec<u8>,
}

/// Finds the first `limit` paths that the errors of a report affect, newest snapshots first. Reads trees of all snapshots;
/// only on request.
pub fn affected(repo: &Repository, report: &CheckReport, limit: usize) -> Result<Vec<Affected>> {
    let lost = lost_blobs(repo, report)?;
    if lost.is_empty() {
        return Ok(Vec::new());
    }
    let mut search = Search { repo, lost, touched: HashMap::new(), found: Vec::new(), limit };
    for (id, snapshot) in repo.snapshots()?.all.into_iter().rev() {
        search.visit(id, &snapshot.tree, &mut Vec::new())?;
    }
    Ok(search.found)
}

/// Every blob that is damaged or missing in all places that should have it.
fn lost_blobs(repo: &Repository, report: &CheckReport) -> Result<HashSet<BlobHandle>> {
    let bad_packs: HashSet<Id> = report.errors.iter().filter_map(unusable_pack).collect();
    let mut suspects: HashSet<BlobHandle> = report.errors.iter().flat_map(Problem::blobs).collect();
    let index = repo.index()?;
    index.for_each_pack(&mut |id, blobs| {
        if bad_packs.contains(id) {
            suspects.extend(blobs.iter().map(|entry| entry.blob));
        }
    })?;
    // What can be read, here or elsewhere, is not lost.
    suspects.retain(|blob| repo.read_blob(blob).is_err() || is_bad_tree(report, blob));
    Ok(suspects)
}

fn unusable_pack(problem: &Problem) -> Option<Id> {
    match problem {
        Problem::MissingPack { pack } | Problem::PackSize { pack, .. } | Problem::PackUnreadable { pack, .. } => {
            Some(*pack)
        }
        _ => None,
    }
}

/// A tree that reads back but is no tree.
fn is_bad_tree(report: &CheckReport, blob: &BlobHandle) -> bool {
    let is_it = |problem: &Problem| matches!(problem, Problem::Tree { tree, .. } | Problem::Node { tree, .. } if *tree == blob.id);
    blob.kind == BlobKind::Tree && report.errors.iter().any(is_it)
}

struct Search<'r> {
    repo: &'r Repository,
    lost: HashSet<BlobHandle>,
    /// Whether a tree or anything below it is affected.
    touched: HashMap<Id, bool>,
    found: Vec<Affected>,
    limit: usize,
}

impl Search<'_> {
    /// Depth first; trees that are known to be sound are not read again. True if anything in the tree is affected.
    fn visit(&mut self, snapshot: Id, tree: &Id, path: &mut Vec<u8>) -> Result<bool> {
        self.repo.cancel().check()?;
        if self.found.len() >= self.limit || self.touched.get(tree) == Some(&false) {
            return Ok(false);
        }
        let handle = BlobHandle { kind: BlobKind::Tree, id: *tree };
        let is_lost = self.lost.contains(&handle);
        let tree_read = if is_lost { None } else { self.repo.read_tree(tree).ok() };
        let is_touched = match tree_read {
            Some(read) => self.visit_nodes(snapshot, &read, path)?,
            None => {
                self.note(snapshot, path);
                true
            }
        };
        if self.found.len() < self.limit {
            self.touched.insert(*tree, is_touched);
        }
        Ok(is_touched)
    }

    fn visit_nodes(&mut self, snapshot: Id, tree: &Tree, path: &mut Vec<u8>) -> Result<bool> {
        let mut is_touched = false;
        for node in &tree.nodes {
            let length = path.len();
            path.push(b'/');
            path.extend_from_slice(&node.name);
            match (node.kind, &node.subtree) {
                (NodeKind::Dir, Some(subtree)) => is_touched |= self.visit(snapshot, subtree, path)?,
                _ if self.is_lost(node.content.as_deref().unwrap_or_default()) => {
                    self.note(snapshot, path);
                    is_touched = true;
                }
                _ => {}
            }
            path.truncate(length);
        }
        Ok(is_touched)
    }

    fn is_lost(&self, content: &[Id]) -> bool {
        content.iter().any(|id| self.lost.contains(&BlobHandle { kind: BlobKind::Data, id: *id }))
    }

    fn note(&mut self, snapshot: Id, path: &[u8]) {
        if self.found.len() < self.limit {
            self.found.push(Affected { snapshot, path: if path.is_empty() { b"/".to_vec() } else { path.to_vec() } });
        }
    }
}
