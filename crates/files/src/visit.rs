//! A walk over the trees of a snapshot, in order, that holds one directory per level.

use backend::Id;
use repo::Repository;
use repo::node::{Node, NodeKind};

use crate::path;

/// Where a walk goes after a directory's node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Descend {
    /// Into it.
    Into,
    /// Past it.
    Past,
}

/// What a walk comes to.
#[derive(Debug)]
pub enum Visit<'v> {
    /// A node. The answer counts for directories only.
    Node {
        /// Absolute path.
        path: &'v [u8],
        /// What is there.
        node: &'v Node,
        /// The tree that holds it.
        tree: &'v Id,
    },
    /// The end of a directory that was entered. The answer does not matter.
    Leave {
        /// Absolute path.
        path: &'v [u8],
        /// Its tree.
        tree: &'v Id,
    },
    /// A directory whose tree cannot be read. The answer does not matter.
    Unreadable {
        /// Absolute path.
        path: &'v [u8],
        /// Why.
        error: repo::Error,
    },
}

struct Level {
    nodes: std::vec::IntoIter<Node>,
    tree: Id,
    path_length: usize,
}

/// Visits everything below the tree `root`, whose own path is `path`; directories before what is in them, names in
/// ascending order. Ends early with the first error of `visit`. An unreadable root is an error; others are visited.
pub fn visit<E: From<repo::Error>>(
    repo: &Repository,
    root: &Id,
    path: &[u8],
    visit: &mut dyn FnMut(Visit<'_>) -> Result<Descend, E>,
) -> Result<(), E> {
    let mut path = path.to_vec();
    let nodes = repo.read_tree(root)?.nodes.into_iter();
    let mut levels = vec![Level { nodes, tree: *root, path_length: path.len() }];
    while let Some(level) = levels.last_mut() {
        repo.cancel().check()?;
        path.truncate(level.path_length);
        let Some(node) = level.nodes.next() else {
            visit(Visit::Leave { path: &path, tree: &level.tree })?;
            levels.pop();
            continue;
        };
        path = path::child(&path, &node.name);
        let descend = visit(Visit::Node { path: &path, node: &node, tree: &level.tree })?;
        let Some(tree) = node.subtree.filter(|_| node.kind == NodeKind::Dir && descend == Descend::Into) else {
            continue;
        };
        match repo.read_tree(&tree) {
            Ok(below) => levels.push(Level { nodes: below.nodes.into_iter(), tree, path_length: path.len() }),
            Err(error) => {
                visit(Visit::Unreadable { path: &path, error })?;
            }
        }
    }
    Ok(())
}
