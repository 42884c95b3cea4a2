//! Is everything there that snapshots need, by what index and listings say?

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use backend::{FileInfo, FileKind};
use parking_lot::Mutex;

use super::{CheckCounts, CheckOptions, CheckReport, Problem, ends_check};
use crate::index::Index;
use crate::node::{Node, NodeKind};
use crate::pack::{self, PackedBlob};
use crate::progress::Progress;
use crate::tree::Tree;
use crate::used::{BlobSet, Elsewhere, TreeVisitor, not_a_tree, walk_trees};
use crate::{BlobHandle, BlobKind, Error, Id, Repository, Result, presence};

/// Root trees of the snapshots to check; snapshots that cannot be read are reported.
pub(super) fn roots(repo: &Repository, options: &CheckOptions, report: &mut CheckReport) -> Result<Vec<Id>> {
    let listed = repo.snapshots()?;
    let is_meant = |id: &Id| options.snapshots.as_ref().is_none_or(|only| only.contains(id));
    for (id, error) in listed.damaged.into_iter().filter(|(id, _)| is_meant(id)) {
        if ends_check(&error) {
            return Err(error);
        }
        report.errors.push(Problem::Snapshot { id, error });
    }
    let meant = listed.all.into_iter().filter(|(id, _)| is_meant(id));
    let roots: Vec<Id> = meant.map(|(_, snapshot)| snapshot.tree).collect();
    report.counts.snapshots = roots.len() as u64;
    Ok(roots)
}

/// Compares the index with what the storage has.
pub(super) fn check_packs(repo: &Repository, stored: &[FileInfo], counts: &mut CheckCounts) -> Result<Vec<Problem>> {
    let index = repo.index()?;
    let mut unseen: HashMap<Id, u64> = stored.iter().map(|file| (file.id, file.size)).collect();
    let (mut problems, mut unlisted) = (Vec::new(), Vec::new());
    index.for_each_pack(&mut |id, blobs| {
        counts.packs += 1;
        match unseen.remove(id) {
            Some(size) => problems.extend(check_pack(*id, blobs, Some(size))),
            None => unlisted.push((*id, blobs.to_vec())),
        }
    })?;
    problems.extend(check_unlisted(repo, &unlisted)?);
    for marked in index.packs_to_delete() {
        counts.packs_to_delete += u64::from(unseen.remove(&marked.pack.id).is_some());
    }
    let mut orphans: Vec<Id> = unseen.into_keys().collect();
    orphans.sort_unstable();
    problems.extend(orphans.into_iter().map(|pack| Problem::OrphanedPack { pack }));
    Ok(problems)
}

/// A pack that a listing leaves out is missing only if the storage says so when it is asked for it (F11).
fn check_unlisted(repo: &Repository, packs: &[(Id, Vec<PackedBlob>)]) -> Result<Vec<Problem>> {
    let ids: Vec<Id> = packs.iter().map(|(id, _)| *id).collect();
    let there: HashMap<Id, u64> = presence::there_after_all(repo, FileKind::Pack, &ids)?.into_iter().collect();
    let mut problems = Vec::new();
    for (id, blobs) in packs {
        let size = there.get(id).copied();
        problems.extend(size.map(|_| Problem::UnlistedPack { pack: *id }));
        problems.extend(check_pack(*id, blobs, size));
    }
    Ok(problems)
}

fn check_pack(pack: Id, blobs: &[PackedBlob], size: Option<u64>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let expected = expected_size(blobs);
    match size {
        None => problems.push(Problem::MissingPack { pack }),
        Some(size) if size != expected => problems.push(Problem::PackSize { pack, size, expected }),
        Some(_) => {}
    }
    if blobs.iter().any(|entry| entry.blob.kind != blobs[0].blob.kind) {
        problems.push(Problem::MixedPack { pack });
    }
    problems
}

/// Bytes that a pack with these blobs has.
pub(super) fn expected_size(blobs: &[PackedBlob]) -> u64 {
    pack::header_size(blobs) + blobs.iter().map(|entry| u64::from(entry.length)).sum::<u64>()
}

/// Walks all trees. What they use is collected in `used` where that is wanted.
pub(super) fn check_trees(
    repo: &Repository,
    roots: &[Id],
    used: Option<&BlobSet>,
    progress: &dyn Progress,
    counts: &mut CheckCounts,
) -> Result<Vec<Problem>> {
    let marked = marked_only(repo.index()?);
    let checker = TreeChecker { used, marked, problems: Mutex::default(), trees: AtomicU64::new(0) };
    walk_trees(repo, roots, &checker, progress)?;
    counts.trees = checker.trees.into_inner();
    Ok(checker.problems.into_inner())
}

/// Blobs that lie in packs marked for deletion and nowhere else.
fn marked_only(index: &Index) -> Elsewhere {
    let packs = index.packs_to_delete().iter().map(|marked| &marked.pack);
    let blobs = packs.flat_map(|pack| pack.blobs.iter().map(|blob| (blob.blob, (pack.id, *blob))));
    blobs.filter(|(blob, _)| !index.contains(blob)).collect()
}

struct TreeChecker<'u> {
    used: Option<&'u BlobSet>,
    marked: Elsewhere,
    problems: Mutex<Vec<Problem>>,
    trees: AtomicU64,
}

impl TreeVisitor for TreeChecker<'_> {
    fn tree(&self, repo: &Repository, id: &Id, json: &[u8], below: &mut Vec<Id>) -> Result<()> {
        self.trees.fetch_add(1, Ordering::Relaxed);
        let handle = BlobHandle { kind: BlobKind::Tree, id: *id };
        if let Some(used) = self.used {
            used.insert(&handle);
        }
        match Tree::parse(json) {
            Err(reason) => self.report(Problem::Tree { tree: *id, error: not_a_tree(id, reason) }),
            Ok(tree) => {
                let index = repo.index()?;
                tree.nodes.iter().for_each(|node| self.check_node(index, id, node, below));
            }
        }
        Ok(())
    }

    fn unreadable(&self, id: &Id, error: Error) -> Result<()> {
        if ends_check(&error) {
            return Err(error);
        }
        self.report(Problem::Tree { tree: *id, error });
        Ok(())
    }

    fn elsewhere(&self, tree: &BlobHandle) -> Option<(Id, PackedBlob)> {
        let place = self.marked.get(tree).copied();
        if place.is_some() {
            self.report(Problem::MarkedBlob { blob: *tree });
        }
        place
    }
}

impl TreeChecker<'_> {
    fn report(&self, problem: Problem) {
        self.problems.lock().push(problem);
    }

    fn check_node(&self, index: &Index, tree: &Id, node: &Node, below: &mut Vec<Id>) {
        let wrong = |what: &str| {
            let reason = format!("{:?} {what}", String::from_utf8_lossy(&node.name));
            self.report(Problem::Node { tree: *tree, reason });
        };
        match (node.kind, &node.content, &node.subtree) {
            (NodeKind::File, None, _) => wrong("is a file without a list of blobs"),
            (NodeKind::File, Some(content), _) => {
                content.iter().for_each(|blob| self.check_blob(index, tree, node, *blob));
            }
            (NodeKind::Dir, _, None) => wrong("is a directory without a tree"),
            (NodeKind::Dir, _, Some(subtree)) if subtree.is_null() => wrong("is a directory with a null tree"),
            (NodeKind::Dir, _, Some(subtree)) => below.push(*subtree),
            (NodeKind::Irregular, ..) => wrong("has an invalid type"),
            _ => {}
        }
    }

    // The file's size is not compared with its blobs': it fails in cases that nobody can mend (restic #1887).
    fn check_blob(&self, index: &Index, tree: &Id, node: &Node, id: Id) {
        let blob = BlobHandle { kind: BlobKind::Data, id };
        let is_new = self.used.is_none_or(|used| used.insert(&blob));
        if index.contains(&blob) {
            return;
        }
        match self.marked.contains_key(&blob) {
            true if is_new => self.report(Problem::MarkedBlob { blob }),
            true => {}
            false => {
                let name = String::from_utf8_lossy(&node.name).into_owned();
                self.report(Problem::MissingBlob { tree: *tree, name, blob: id });
            }
        }
    }
}

/// Blobs that no snapshot uses.
pub(super) fn unused(index: &Index, used: &BlobSet) -> Result<Vec<Problem>> {
    let mut unused = Vec::new();
    index.for_each_pack(&mut |_, blobs| {
        unused.extend(blobs.iter().map(|entry| entry.blob).filter(|blob| !used.contains(blob)));
    })?;
    Ok(unused.into_iter().map(|blob| Problem::UnusedBlob { blob }).collect())
}
