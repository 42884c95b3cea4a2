//! Hard links: several names of one file. The first name is restored as a file, the others are linked to it in the end.

use std::sync::Arc;

use backend::Id;
use hashbrown::HashMap;
use repo::node::Node;

use super::folder::{Folder, OpenFolders};
use super::run::Run;
use super::{Action, Cause, ItemError, add};

/// The first name of a file.
struct First {
    folder: Arc<Folder>,
    name: Vec<u8>,
}

/// What makes two names one file: inode, device, and content.
type Key = (u64, u64, Id);

/// Another name.
struct Other {
    folder: Arc<Folder>,
    name: Vec<u8>,
    first: usize,
}

/// Names of files with several, as the walk finds them.
#[derive(Default)]
pub(super) struct Links {
    first: Vec<First>,
    by_key: HashMap<Key, usize>,
    others: Vec<Other>,
}

impl Links {
    /// True, and noted, if `node` is another name of a file that was met before. Names that only claim to be one file
    /// but differ in content are restored apart: nothing is lost when a file was replaced while it was backed up.
    pub(super) fn is_another_name(&mut self, folder: &Arc<Folder>, node: &Node) -> bool {
        let Some(first) = key(node).and_then(|key| self.by_key.get(&key).copied()) else { return false };
        self.others.push(Other { folder: folder.clone(), name: node.name.clone(), first });
        true
    }

    /// Notes the first name of a file that has several.
    pub(super) fn remember(&mut self, folder: &Arc<Folder>, node: &Node) {
        if let Some(key) = key(node) {
            self.by_key.insert(key, self.first.len());
            self.first.push(First { folder: folder.clone(), name: node.name.clone() });
        }
    }

    /// Makes all other names, and lets go of the folders.
    pub(super) fn make(self, run: &Run<'_>) {
        let mut from = run.open_folders();
        let mut to = run.open_folders();
        for other in &self.others {
            if run.is_stopped() {
                break;
            }
            let first = &self.first[other.first];
            match link(run, &mut from, &mut to, first, other) {
                Ok(action) => {
                    add(&run.progress.files_restored, 1);
                    run.item(|| other.folder.path_of(&other.name), action, 0);
                }
                Err(cause) => {
                    let path = other.folder.path_of(&other.name);
                    run.failed(ItemError { path, action: "link", cause });
                }
            }
        }
        let folders = self.others.into_iter().map(|other| other.folder).chain(self.first.into_iter().map(|f| f.folder));
        for folder in folders {
            run.release(folder, &mut to);
        }
    }
}

fn link(
    run: &Run<'_>,
    from: &mut OpenFolders<'_>,
    to: &mut OpenFolders<'_>,
    first: &First,
    other: &Other,
) -> Result<Action, Cause> {
    if run.has_failed(&first.folder, &first.name) {
        let first = String::from_utf8_lossy(&first.folder.path_of(&first.name)).into_owned();
        return Err(Cause::Other(format!("{first}, which is the same file, was not restored")));
    }
    if run.options.dry_run {
        return Ok(Action::Restored);
    }
    let (from, to) = (from.get(&first.folder)?, to.get(&other.folder)?);
    let there = to.look(&other.name)?;
    if let Some(there) = &there {
        let source = from.look(&first.name)?;
        if source.is_some_and(|source| (source.device, source.inode) == (there.device, there.inode)) {
            return Ok(Action::Unchanged);
        }
        if there.is_dir() {
            to.remove_directory(&other.name)?;
        }
        to.remove(&other.name)?;
    }
    to.link(&other.name, from, &first.name)?;
    Ok(if there.is_some() { Action::Updated } else { Action::Restored })
}

fn key(node: &Node) -> Option<Key> {
    if node.links < 2 || node.inode == 0 {
        return None;
    }
    let ids = node.content.as_deref().unwrap_or_default();
    let content = Id::of(&ids.iter().flat_map(|id| *id.as_bytes()).collect::<Vec<u8>>());
    Some((node.inode, node.device_id, content))
}
