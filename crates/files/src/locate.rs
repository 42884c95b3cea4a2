//! Finding a path in a snapshot.

use backend::Id;
use repo::Repository;
use repo::node::{Node, NodeKind};

use crate::path;

/// A path that could not be found.
#[derive(Debug, thiserror::Error)]
pub enum LocateError {
    /// Nothing has this path.
    #[error("{path} is not in the snapshot")]
    NotFound {
        /// The path up to the part that is missing.
        path: String,
    },
    /// Something has this path, but it is no directory.
    #[error("{path} is not a directory in the snapshot")]
    NotADirectory {
        /// The path up to the part that is no directory.
        path: String,
    },
    /// The repository failed.
    #[error(transparent)]
    Repository(#[from] repo::Error),
}

/// The node at `path` below the tree `root`; `None` if the path is the root itself.
pub fn locate(repo: &Repository, root: &Id, path: &[u8]) -> Result<Option<Node>, LocateError> {
    let path = path::absolute(b"/", path);
    let mut found: Option<Node> = None;
    let mut so_far = String::new();
    for part in path::parts(&path) {
        let tree = match &found {
            None => *root,
            Some(node) => {
                node.subtree.filter(|_| node.kind == NodeKind::Dir).ok_or_else(|| not_a_directory(&so_far))?
            }
        };
        so_far = format!("{so_far}/{}", String::from_utf8_lossy(part));
        let mut nodes = repo.read_tree(&tree)?.nodes;
        let at = nodes.binary_search_by(|node| node.name.as_slice().cmp(part));
        let at = at.map_err(|_| LocateError::NotFound { path: so_far.clone() })?;
        found = Some(nodes.swap_remove(at));
    }
    Ok(found)
}

/// The tree of the directory at `path` below the tree `root`, as `snapshot:path` names it.
pub fn subfolder(repo: &Repository, root: &Id, path: &[u8]) -> Result<Id, LocateError> {
    match locate(repo, root, path)? {
        None => Ok(*root),
        Some(node) => {
            let tree = node.subtree.filter(|_| node.kind == NodeKind::Dir);
            tree.ok_or_else(|| not_a_directory(&String::from_utf8_lossy(path)))
        }
    }
}

fn not_a_directory(path: &str) -> LocateError {
    LocateError::NotADirectory { path: path.into() }
}
