//! What restoring every snapshot would write: every node counts, a hard-linked file's size once per snapshot.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::Mutex;

use super::Stats;
use crate::node::{Node, NodeKind};
use crate::progress::Progress;
use crate::tree::Tree;
use crate::used::{TreeVisitor, not_a_tree, walk_trees};
use crate::{Error, Id, Repository, Result};

/// One directory without what is below it.
struct Own {
    nodes: u64,
    size: u64,
    links: Vec<Link>,
    below: Vec<Id>,
}

/// A directory with all that is below it.
struct Sum {
    nodes: u64,
    size: u64,
    /// Own hard links and, shared, those of subdirectories that have some.
    links: Vec<Link>,
    below: Vec<Arc<Sum>>,
}

#[derive(Clone, Copy)]
struct Link {
    inode: u64,
    device: u64,
    size: u64,
}

pub(super) fn count(repo: &Repository, roots: &[Id], progress: &dyn Progress) -> Result<Stats> {
    let reader = Reader::default();
    walk_trees(repo, roots, &reader, progress)?;
    let mut sums = Sums { own: reader.0.into_inner(), done: HashMap::new() };
    let mut stats = Stats::default();
    for root in roots {
        let sum = sums.of(root);
        stats.total_file_count += sum.nodes;
        stats.total_size += sum.size + linked_size(&sum, &mut HashSet::new());
    }
    Ok(stats)
}

/// Bytes of hard-linked files, each file once.
fn linked_size(sum: &Sum, seen: &mut HashSet<(u64, u64)>) -> u64 {
    let is_first = |link: &&Link| link.inode == 0 || seen.insert((link.inode, link.device));
    let own: u64 = sum.links.iter().filter(is_first).map(|link| link.size).sum();
    own + sum.below.iter().map(|below| linked_size(below, seen)).sum::<u64>()
}

#[derive(Default)]
struct Reader(Mutex<HashMap<Id, Own>>);

impl TreeVisitor for Reader {
    fn tree(&self, _repo: &Repository, id: &Id, json: &[u8], below: &mut Vec<Id>) -> Result<()> {
        let tree = Tree::parse(json).map_err(|reason| not_a_tree(id, reason))?;
        let own = Own::of(&tree.nodes);
        below.extend(&own.below);
        self.0.lock().insert(*id, own);
        Ok(())
    }

    fn unreadable(&self, _id: &Id, error: Error) -> Result<()> {
        Err(error)
    }
}

impl Own {
    fn of(nodes: &[Node]) -> Own {
        let mut own = Own { nodes: nodes.len() as u64, size: 0, links: Vec::new(), below: Vec::new() };
        for node in nodes {
            own.below.extend(node.subtree);
            match node.links == 1 || node.kind == NodeKind::Dir {
                true => own.size += node.size,
                false => own.links.push(Link { inode: node.inode, device: node.device_id, size: node.size }),
            }
        }
        // Symbolic links and devices take no bytes: nothing is gained by remembering them.
        own.links.retain(|link| link.size > 0);
        own
    }
}

struct Sums {
    own: HashMap<Id, Own>,
    done: HashMap<Id, Arc<Sum>>,
}

impl Sums {
    /// Sums up a tree, children first, without recursion: stored trees decide how deep they go.
    fn of(&mut self, root: &Id) -> Arc<Sum> {
        let mut path = vec![*root];
        while let Some(id) = path.last().copied() {
            let below: &[Id] = self.own.get(&id).map_or(&[], |own| &own.below);
            let missing: Vec<Id> = below.iter().filter(|id| !self.done.contains_key(*id)).copied().collect();
            if missing.is_empty() {
                path.pop();
                self.finish(id);
            } else {
                path.extend(missing);
            }
        }
        Arc::clone(&self.done[root])
    }

    fn finish(&mut self, id: Id) {
        let Some(own) = self.own.remove(&id) else { return };
        let mut sum = Sum { nodes: own.nodes, size: own.size, links: own.links, below: Vec::new() };
        for child in &own.below {
            let child = &self.done[child];
            sum.nodes += child.nodes;
            sum.size += child.size;
            if !child.links.is_empty() || !child.below.is_empty() {
                sum.below.push(Arc::clone(child));
            }
        }
        self.done.insert(id, Arc::new(sum));
    }
}
