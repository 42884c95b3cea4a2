//! Checkpoints: what a long backup has so far, as a snapshot that the next run can take unchanged files from.
//!
//! A checkpoint holds what is finished, and where nothing is finished yet what the parent snapshot had.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use backend::Id;
use repo::BlobKind;
use repo::node::Node;
use repo::tree::TreeBuilder;
use repo::writer::Scratch;

use super::Result;
use super::directory::{Directory, Slot};
use super::worker::{Run, push};

/// When checkpoints are written; never while nothing new was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointPolicy {
    /// After this time.
    pub every: Duration,
    /// After this many stored bytes, if that is earlier.
    pub bytes: u64,
}

impl Default for CheckpointPolicy {
    fn default() -> CheckpointPolicy {
        CheckpointPolicy { every: Duration::from_secs(5 * 60), bytes: 8 << 30 }
    }
}

/// Where a directory's node goes: which directory of the list, which slot.
type Place = (usize, u32);

/// Saves the trees of a checkpoint and returns the root's id; `None` if there is nothing in it. What it needs is durable
/// after the next flush.
pub(super) fn save_trees(run: &Run<'_>, root: &Arc<Directory>, scratch: &mut Scratch) -> Result<Option<Id>> {
    let live = live_directories(root);
    let mut finished: HashMap<Place, Node> = HashMap::new();
    for (at, (dir, place)) in live.iter().enumerate().rev() {
        let Some((mut node, json, nodes)) = partial_tree(dir, at, &mut finished)? else { continue };
        if nodes == 0 && place.is_none() {
            return Ok(None);
        }
        let saved = run.sink.save(BlobKind::Tree, &json, scratch)?;
        node.subtree = Some(saved.id);
        match place {
            Some(place) => drop(finished.insert(*place, node)),
            None => return Ok(Some(saved.id)),
        }
    }
    Ok(None)
}

/// Directories that are being backed up, each behind the one above it.
fn live_directories(root: &Arc<Directory>) -> Vec<(Arc<Directory>, Option<Place>)> {
    let mut live = vec![(Arc::clone(root), None)];
    let mut at = 0;
    while at < live.len() {
        let dir = Arc::clone(&live[at].0);
        let state = dir.state.lock();
        for (slot, content) in state.slots.iter().enumerate() {
            if let Slot::Waiting { live: below, .. } = content
                && let Some(below) = below.upgrade()
            {
                live.push((below, Some((at, slot as u32))));
            }
        }
        at += 1;
    }
    live
}

/// A directory's node and the JSON of what it has so far, and how many nodes that is; `None` if it was not read yet or is
/// complete by now.
fn partial_tree(
    dir: &Directory,
    at: usize,
    finished: &mut HashMap<Place, Node>,
) -> Result<Option<(Node, Vec<u8>, usize)>> {
    let state = dir.state.lock();
    let Some(node) = state.node.clone() else { return Ok(None) };
    let mut tree = TreeBuilder::default();
    let mut nodes = 0;
    for (slot, content) in state.slots.iter().enumerate() {
        let below = finished.remove(&(at, slot as u32));
        let entry = match content {
            Slot::Done(node) => Some(node),
            Slot::Waiting { previous, .. } => below.as_ref().or(previous.as_deref()),
            Slot::Nothing => None,
        };
        if let Some(entry) = entry {
            push(&mut tree, entry)?;
            nodes += 1;
        }
    }
    Ok(Some((node, tree.finish(), nodes)))
}
