//! What a restore will remove: known, and shown, before anything is done. Nothing else is ever removed.
//!
//! Only what cannot be undone is planned: with [`Options::delete`], the removal of what the snapshot does not have. A
//! restore into an empty folder has nothing to plan and is not slowed down. What changes in the target between planning and
//! executing is left alone, and said.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backend::Id;
use hashbrown::HashSet;
use platform::Stat;
use platform::create::Directory;
use repo::blob::BlobKind;
use repo::node::{Node, NodeKind};
use repo::tree::TreeReader;
use repo::{BlobHandle, Repository};

use super::extra::{self, Fate, Outcome};
use super::folder::{Folder, OpenFolders};
use super::run::Run;
use super::special::{Decision, decide};
use super::walk::is_hostile;
use super::{Error, Observer, Options, Progress, Selection, Summary};

/// A restore that is ready to be executed, and what it will remove. Takes about 50 bytes and a path for each of these.
pub struct Plan<'a> {
    pub(super) repo: &'a Repository,
    pub(super) root: Id,
    pub(super) target: PathBuf,
    pub(super) options: &'a Options<'a>,
    paths: Vec<u8>,
    deletions: Vec<Entry>,
}

/// Something that will be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deletion<'p> {
    /// Its path, as if it were in the snapshot.
    pub path: &'p [u8],
    /// Its bytes; zero for what is no file.
    pub size: u64,
}

struct Entry {
    at: usize,
    length: usize,
    size: u64,
    stamp: Stamp,
}

/// What tells a thing from another one that took its place, and from itself after it was changed.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp([u8; 16]);

impl Stamp {
    /// A directory is the same whatever is in it: that has stamps of its own.
    fn of(there: &Stat) -> Stamp {
        let (size, modified) = if there.is_dir() { Default::default() } else { (there.size, Some(there.modified)) };
        let words = format!(
            "{} {} {:?} {size} {:?}",
            there.device,
            there.inode,
            there.file_type,
            modified.map(|time| (time.seconds, time.nanoseconds))
        );
        let mut stamp = [0; 16];
        stamp.copy_from_slice(&Id::of(words.as_bytes()).as_bytes()[..16]);
        Stamp(stamp)
    }
}

/// Whether something may be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// It is as it was when the plan was made.
    Granted,
    /// It was not there.
    Unknown,
    /// It was changed.
    Changed,
}

/// Plans to restore what `options` select of the tree `root` into the directory `target`, which need not exist. Changes
/// nothing. Folders that cannot be read are kept with all that is in them; executing the plan says why.
///
/// # Errors
/// If the target cannot be opened, or somebody asked to stop.
pub fn plan<'a>(repo: &'a Repository, root: &Id, target: &Path, options: &'a Options<'a>) -> Result<Plan<'a>, Error> {
    let (paths, deletions) = Default::default();
    let mut plan = Plan { repo, root: *root, target: target.to_path_buf(), options, paths, deletions };
    if !options.delete {
        return Ok(plan);
    }
    match Directory::at_path(target) {
        Ok(directory) => {
            let (folders, waiting) = (OpenFolders::new(Some(&directory)), Vec::new());
            Survey { plan: &mut plan, folders, waiting, next_number: 1 }.all()?;
            plan.sort();
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(Error::Target { path: target.to_path_buf(), source }),
    }
    Ok(plan)
}

impl Plan<'_> {
    /// What will be removed, in the order of paths; directories before what is in them.
    pub fn deletions(&self) -> impl ExactSizeIterator<Item = Deletion<'_>> {
        self.deletions.iter().map(|entry| Deletion { path: self.path(entry), size: entry.size })
    }

    /// Restores, and removes what the plan lists and nothing else; with [`Options::dry_run`] only tells. Things in the
    /// target that are new or changed since the plan was made stay and are reported to `observer`.
    ///
    /// Returns the figures, with `errors` counting what could not be restored; each was reported to `observer`.
    pub fn execute(&self, progress: &Progress, observer: &dyn Observer) -> Result<Summary, Error> {
        Run::new(self, progress, observer)?.all(&self.root)
    }

    /// Whether the thing at `path` may be removed.
    pub(super) fn leave(&self, path: &[u8], there: &Stat) -> Leave {
        match self.deletions.binary_search_by(|entry| self.path(entry).cmp(path)) {
            Ok(at) if self.deletions[at].stamp == Stamp::of(there) => Leave::Granted,
            Ok(_) => Leave::Changed,
            Err(_) => Leave::Unknown,
        }
    }

    fn path(&self, entry: &Entry) -> &[u8] {
        &self.paths[entry.at..entry.at + entry.length]
    }

    fn add(&mut self, path: &[u8], there: &Stat) {
        let size = if there.is_file() { there.size } else { 0 };
        self.deletions.push(Entry { at: self.paths.len(), length: path.len(), size, stamp: Stamp::of(there) });
        self.paths.extend_from_slice(path);
    }

    fn sort(&mut self) {
        let paths = &self.paths;
        let path = |entry: &Entry| &paths[entry.at..entry.at + entry.length];
        self.deletions.sort_unstable_by(|a, b| path(a).cmp(path(b)));
    }
}

impl Fate for Plan<'_> {
    fn select(&self, path: &[u8], is_directory: bool) -> Selection {
        (self.options.select)(path, is_directory)
    }

    fn meet(&mut self, _: &Directory, _: &[u8], path: &[u8], there: &Stat) -> io::Result<Outcome> {
        self.add(path, there);
        Ok(Outcome::Gone)
    }

    /// What cannot be looked at is not planned to go.
    fn failed(&mut self, _: Vec<u8>, _: io::Error) {}
}

/// A walk over the folders that both the snapshot and the target have.
struct Survey<'p, 'a> {
    plan: &'p mut Plan<'a>,
    folders: OpenFolders<'p>,
    waiting: Vec<(Arc<Folder>, Id)>,
    next_number: u64,
}

impl Survey<'_, '_> {
    fn all(mut self) -> Result<(), Error> {
        self.waiting.push((Arc::new(Folder::new(0, None, Vec::new(), None)), self.plan.root));
        while let Some((folder, tree)) = self.waiting.pop() {
            self.plan.repo.cancel().check()?;
            // Everything in a folder that is not known wholly is kept.
            _ = self.folder(&folder, &tree);
            self.folders.leave(&folder);
        }
        Ok(())
    }

    fn folder(&mut self, folder: &Arc<Folder>, tree: &Id) -> Result<(), super::Cause> {
        let json = self.plan.repo.read_blob(&BlobHandle { kind: BlobKind::Tree, id: *tree })?;
        let nodes = || TreeReader::new(&json).map_err(super::Cause::Other);
        let wanted: Result<HashSet<Vec<u8>>, String> = nodes()?.map(|node| Ok(node?.name)).collect();
        let wanted = wanted.map_err(super::Cause::Other)?;
        let there: HashSet<Vec<u8>> = self.folders.get(folder)?.names()?.into_iter().collect();
        for name in there.iter().filter(|name| !wanted.contains(*name)) {
            extra::entry(self.plan, self.folders.get(folder)?, folder.path_of(name), name);
        }
        for node in nodes()?.flatten().filter(|node| there.contains(&node.name) && !is_hostile(&node.name)) {
            self.both_have(folder, &node)?;
        }
        Ok(())
    }

    /// Looks at what stands under a name that the snapshot has, too.
    fn both_have(&mut self, folder: &Arc<Folder>, node: &Node) -> io::Result<()> {
        let path = folder.path_of(&node.name);
        let selection = (self.plan.options.select)(&path, node.kind == NodeKind::Dir);
        let directory = self.folders.get(folder)?;
        let Some(there) = directory.look(&node.name)?.filter(Stat::is_dir) else { return Ok(()) };
        if node.kind != NodeKind::Dir {
            let gives_way = decide(self.plan.options.overwrite, &there, node) == Decision::Replace;
            if selection.itself && gives_way && node.kind != NodeKind::Socket {
                extra::entry(self.plan, directory, path, &node.name);
            }
        } else if let Some(subtree) = node.subtree.filter(|_| selection.below) {
            let below = Folder::new(self.next_number, Some(folder.clone()), node.name.clone(), None);
            self.next_number += 1;
            self.waiting.push((Arc::new(below), subtree));
        }
        Ok(())
    }
}
