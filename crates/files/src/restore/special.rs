//! Everything that is no file and no directory: links, devices, pipes.

use std::io;
use std::sync::Arc;

use platform::create::Directory;
use platform::{FileType, Stat};
use repo::node::{Node, NodeKind};

use super::folder::Folder;
use super::metadata::{Ground, Wanted, time};
use super::walk::Walk;
use super::{Action, ItemError, Overwrite, add};

/// What to do about something that stands where an item belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// It stays, the item is skipped.
    Keep,
    /// It becomes the item.
    Replace,
}

/// Whether `there` gives way to `node`.
pub(super) fn decide(overwrite: Overwrite, there: &Stat, node: &Node) -> Decision {
    match overwrite {
        Overwrite::Never => Decision::Keep,
        Overwrite::IfNewer if time(node.mtime) <= there.modified => Decision::Keep,
        _ => Decision::Replace,
    }
}

impl Walk<'_, '_> {
    /// Restores a node that is no file and no directory.
    pub(super) fn special(&mut self, folder: &Arc<Folder>, node: &Node) {
        if node.kind == NodeKind::Socket {
            // A socket without its program is nothing; restic does not store them.
            return add(&self.run.progress.files_skipped, 1);
        }
        let action = match self.place_special(folder, node) {
            Ok(action) => action,
            Err(cause) => {
                add(&self.run.progress.total_files, 1);
                return self.fail("restore", cause.into());
            }
        };
        let figures = self.run.progress;
        if action == Action::Unchanged {
            add(&figures.files_skipped, 1);
        } else {
            add(&figures.total_files, 1);
            add(&figures.files_restored, 1);
        }
        self.run.item(|| self.path.clone(), action, 0);
    }

    fn place_special(&mut self, folder: &Arc<Folder>, node: &Node) -> io::Result<Action> {
        let there = self.look(folder, &node.name)?;
        let mut action = Action::Restored;
        let mut ground = if folder.bequeaths() { Ground::Used } else { Ground::Plain };
        if let Some(there) = &there {
            if decide(self.run.options.overwrite, there, node) == Decision::Keep {
                return Ok(Action::Unchanged);
            }
            action = Action::Updated;
        }
        let right = there.is_some_and(|there| self.is_same(folder, &there, node));
        if self.run.options.dry_run {
            if let Some(there) = there.filter(|_| !right) {
                self.clear(folder, &node.name, &there)?;
            }
            return Ok(action);
        }
        if right {
            ground = Ground::Used;
        } else {
            if let Some(there) = &there {
                self.clear(folder, &node.name, there)?;
            }
            make(self.folders.get(folder)?, node)?;
        }
        let wanted = Wanted::of(node, self.run.options);
        let directory = self.folders.get(folder)?;
        wanted.apply(ground, None, &self.run.us, self.run.options, |metadata| {
            directory.set_metadata(&node.name, metadata)
        })?;
        Ok(action)
    }

    /// True if what stands there is the node's already, metadata apart.
    fn is_same(&mut self, folder: &Folder, there: &Stat, node: &Node) -> bool {
        match (there.file_type, node.kind) {
            (FileType::Fifo, NodeKind::Fifo) => true,
            (FileType::BlockDevice, NodeKind::Device) | (FileType::CharDevice, NodeKind::CharDevice) => {
                there.represents == node.device
            }
            (FileType::Symlink, NodeKind::Symlink) => {
                let target = self.folders.get(folder).and_then(|directory| directory.read_link(&node.name));
                target.is_ok_and(|target| target == node.link_target)
            }
            _ => false,
        }
    }

    /// Reports that the item at the walk's path failed.
    pub(super) fn fail(&self, action: &'static str, cause: super::Cause) {
        self.run.failed(ItemError { path: self.path.clone(), action, cause });
    }
}

fn make(directory: &Directory, node: &Node) -> io::Result<()> {
    let kind = match node.kind {
        NodeKind::Symlink => return directory.symlink(&node.name, &node.link_target),
        NodeKind::Device => FileType::BlockDevice,
        NodeKind::CharDevice => FileType::CharDevice,
        NodeKind::Fifo => FileType::Fifo,
        kind => return Err(io::Error::new(io::ErrorKind::Unsupported, format!("a node of kind {kind:?} has no form"))),
    };
    directory.make_special(&node.name, kind, node.device)
}

#[cfg(test)]
pub(in crate::restore) mod tests {
    use repo::node::NodeTime;

    use super::*;

    pub(in crate::restore) fn node(name: &[u8]) -> Node {
        Node::new(name, NodeKind::File)
    }

    #[test]
    fn what_is_as_old_as_the_snapshot_is_not_overwritten_by_if_newer() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        let there = Directory::at_path(folder.path()).unwrap().look(b"file").unwrap().unwrap();
        let mut node = node(b"file");
        node.mtime = NodeTime { seconds: there.modified.seconds, nanoseconds: there.modified.nanoseconds, offset: 0 };
        assert_eq!(decide(Overwrite::IfNewer, &there, &node), Decision::Keep);
        assert_eq!(decide(Overwrite::Never, &there, &node), Decision::Keep);
        assert_eq!(decide(Overwrite::Always, &there, &node), Decision::Replace);
        node.mtime.seconds += 1;
        assert_eq!(decide(Overwrite::IfNewer, &there, &node), Decision::Replace);
    }
}
