//! The walk over the snapshot's trees: makes directories and everything that is no file, collects files in slices.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use backend::Id;
use crossbeam_channel::Sender;
use platform::{FileType, Stat};
use repo::BlobHandle;
use repo::blob::{BlobKind, BlobLocation};
use repo::node::{Node, NodeKind};
use repo::tree::TreeReader;

use super::ahead::Ahead;
use super::extra;
use super::folder::{Folder, OpenFolders, State};
use super::links::Links;
use super::metadata::{Wanted, time};
use super::run::Run;
use super::slice::{Flag, NewFile, Slice};
use super::special::{Decision, decide};
use super::{Action, Cause, Error, Overwrite, Selection, add};

/// Files in the first slice: few, so that writing begins soon. Each next one holds twice as many.
const FIRST_SLICE: usize = 2048;
/// Files in a slice at most: about 15 MiB of plan.
const LARGEST_SLICE: usize = 64 << 10;

/// The walk, on a thread of its own.
pub(super) struct Walk<'r, 'a> {
    pub(super) run: &'r Run<'a>,
    pub(super) folders: OpenFolders<'r>,
    /// Path within the snapshot of what is being looked at.
    pub(super) path: Vec<u8>,
    ahead: &'r Ahead<'a>,
    send: Sender<Slice>,
    slice: Slice,
    slice_files: usize,
    links: Links,
    next_number: u64,
    locations: Vec<BlobLocation>,
}

/// A directory on the way from the root to where the walk is: its files are done, its directories are left.
struct Frame {
    folder: Arc<Folder>,
    directories: std::vec::IntoIter<Directory>,
    path_length: usize,
}

/// What is kept of a directory's node until the walk comes to it.
struct Directory {
    name: Vec<u8>,
    wanted: Wanted,
    subtree: Option<Id>,
    selection: Selection,
}

impl Directory {
    /// Its tree, if the walk will go there.
    fn entrance(&self) -> Option<Id> {
        self.subtree.filter(|_| self.selection.below)
    }
}

impl<'r, 'a> Walk<'r, 'a> {
    pub(super) fn new(run: &'r Run<'a>, ahead: &'r Ahead<'a>, send: Sender<Slice>) -> Walk<'r, 'a> {
        Walk {
            run,
            folders: run.open_folders(),
            path: Vec::new(),
            ahead,
            send,
            slice: Slice::default(),
            slice_files: FIRST_SLICE,
            links: Links::default(),
            next_number: 1,
            locations: Vec::new(),
        }
    }

    /// Walks everything below `root`; returns the hard links that are still to be made. Only a root that cannot be read
    /// is an error; what cannot be read below is reported.
    pub(super) fn all(mut self, root: &Id, target: Arc<Folder>) -> Result<Links, Error> {
        let mut frames = vec![self.enter(root, target).map_err(|cause| match cause {
            Cause::Repository(error) => error,
            cause => repo::Error::Invalid(format!("the root tree {} is damaged: {cause}", root.short())),
        })?];
        while let Some(frame) = frames.last_mut() {
            let Some(directory) = frame.directories.next().filter(|_| !self.run.repo.cancel().is_cancelled()) else {
                self.leave(frames.pop());
                continue;
            };
            let folder = frame.folder.clone();
            let later = frames.iter().rev().flat_map(|frame| frame.directories.as_slice());
            self.ahead.want(std::iter::once(&directory).chain(later).filter_map(Directory::entrance));
            let path_length = self.path.len();
            match self.named(&directory.name).then(|| self.directory(&folder, directory)).flatten() {
                Some(frame) => frames.push(Frame { path_length, ..frame }),
                None => self.path.truncate(path_length),
            }
            self.run.release(folder, &mut self.folders);
        }
        self.flush();
        Ok(std::mem::take(&mut self.links))
    }

    /// Restores what is in a directory, but only notes the directories in it. Nodes are read one by one, because
    /// directories can be large.
    fn enter(&mut self, tree: &Id, folder: Arc<Folder>) -> Result<Frame, Cause> {
        let json = self.ahead.take(tree)?;
        if self.run.options.delete && !self.run.is_full() && self.resolve(&folder) == State::Existing {
            let names = TreeReader::new(&json).and_then(|nodes| nodes.map(|node| Ok(node?.name)).collect());
            extra::remove(self, &folder, &names.map_err(Cause::Other)?);
        }
        let mut directories = Vec::new();
        for node in TreeReader::new(&json).map_err(Cause::Other)? {
            match node {
                Ok(node) if node.kind == NodeKind::Dir => {
                    let wanted = Wanted::of(&node, self.run.options);
                    let selection = self.selection(&node.name);
                    directories.push(Directory { name: node.name, wanted, subtree: node.subtree, selection });
                }
                Ok(node) => self.leaf(&folder, node),
                Err(reason) => self.fail("read the content of", Cause::Other(reason)),
            }
            if self.run.repo.cancel().is_cancelled() {
                break;
            }
        }
        Ok(Frame { folder, directories: directories.into_iter(), path_length: 0 })
    }

    fn leave(&mut self, frame: Option<Frame>) {
        if let Some(frame) = frame {
            self.path.truncate(frame.path_length);
            self.run.release(frame.folder, &mut self.folders);
        }
    }

    /// What is selected of a directory in the one that is being looked at.
    fn selection(&mut self, name: &[u8]) -> Selection {
        let path_length = self.path.len();
        self.path.push(b'/');
        self.path.extend_from_slice(name);
        let selection = (self.run.options.select)(&self.path, true);
        self.path.truncate(path_length);
        selection
    }

    /// Puts a name behind the path; false, and reported, if it is none.
    fn named(&mut self, name: &[u8]) -> bool {
        self.path.push(b'/');
        self.path.extend_from_slice(name);
        if is_hostile(name) {
            let reason = "its name would lead elsewhere: the snapshot was made to do harm, or is damaged";
            self.fail("restore", Cause::Other(reason.into()));
            return false;
        }
        true
    }

    /// Restores, or notes, what is no directory.
    fn leaf(&mut self, folder: &Arc<Folder>, node: Node) {
        let path_length = self.path.len();
        if self.named(&node.name) && (self.run.options.select)(&self.path, false).itself {
            if self.run.is_full() {
                self.count(&node);
            } else if !self.ensure(folder) {
                // The folder was reported.
            } else if node.kind == NodeKind::File {
                self.file(folder, &node);
            } else {
                self.special(folder, &node);
            }
        }
        self.path.truncate(path_length);
    }

    /// After the disk is full, only what is missing is counted.
    fn count(&self, node: &Node) {
        add(&self.run.progress.total_files, 1);
        add(&self.run.progress.total_bytes, if node.kind == NodeKind::File { node.size } else { 0 });
    }

    /// Makes a directory if it is selected; returns a frame if the walk goes down.
    fn directory(&mut self, parent: &Arc<Folder>, directory: Directory) -> Option<Frame> {
        let selection = directory.selection;
        if !selection.itself && !selection.below {
            return None;
        }
        let entrance = directory.entrance();
        let mut folder = Folder::new(self.next_number, Some(parent.clone()), directory.name, Some(directory.wanted));
        folder.selected = selection.itself;
        self.next_number += 1;
        let folder = Arc::new(folder);
        if selection.itself {
            add(&self.run.progress.total_files, 1);
            if !self.run.is_full() && !self.ensure(&folder) {
                return None;
            }
        }
        let entered = match entrance {
            Some(subtree) => self.enter(&subtree, folder.clone()).map(Some),
            None => Ok(None),
        };
        let entered = entered.unwrap_or_else(|cause| {
            self.fail("read the content of", cause);
            None
        });
        self.run.release(folder, &mut self.folders);
        entered
    }

    fn file(&mut self, folder: &Arc<Folder>, node: &Node) {
        let there = match self.look(folder, &node.name) {
            Ok(there) => there,
            Err(error) => return self.failed_file(node, error.into()),
        };
        if let Some(there) = &there
            && decide(self.run.options.overwrite, there, node) == Decision::Keep
        {
            return self.skip(node);
        }
        if self.links.is_another_name(folder, node) {
            return add(&self.run.progress.total_files, 1);
        }
        if let Err(error) = self.locate(node) {
            return self.failed_file(node, error.into());
        }
        match self.make_room(folder, node, there) {
            Ok(flags) => self.collect(folder, node, flags),
            Err(error) => self.failed_file(node, error.into()),
        }
    }

    fn skip(&self, node: &Node) {
        add(&self.run.progress.files_skipped, 1);
        add(&self.run.progress.bytes_skipped, node.size);
        self.run.item(|| self.path.clone(), Action::Unchanged, node.size);
    }

    fn failed_file(&self, node: &Node, cause: Cause) {
        self.count(node);
        self.fail("restore", cause);
    }

    /// Finds all blobs first: a file of which a part is lost is left as it is in the target, not torn.
    fn locate(&mut self, node: &Node) -> Result<(), repo::Error> {
        self.locations.clear();
        for id in node.content.as_deref().unwrap_or_default() {
            let handle = BlobHandle { kind: BlobKind::Data, id: *id };
            self.locations.push(self.run.index.find(&handle).ok_or(repo::Error::MissingBlob(handle))?);
        }
        Ok(())
    }

    /// Removes what stands in the way; returns the flags with which the file begins.
    fn make_room(&mut self, folder: &Folder, node: &Node, there: Option<Stat>) -> io::Result<u8> {
        match there {
            Some(there) if there.is_file() => {
                let same = there.size == node.size && there.modified == time(node.mtime);
                let trusted = same && self.run.options.overwrite == Overwrite::IfChanged;
                Ok(Flag::Existing as u8 | if trusted { Flag::Trusted as u8 } else { 0 })
            }
            Some(there) => self.clear(folder, &node.name, &there).map(|()| 0),
            None => Ok(0),
        }
    }

    fn collect(&mut self, folder: &Arc<Folder>, node: &Node, flags: u8) {
        if flags & Flag::Existing as u8 == 0 {
            self.count(node);
        }
        self.links.remember(folder, node);
        let wanted = Wanted::of(node, self.run.options);
        self.slice.begin(folder, NewFile { name: &node.name, wanted, claimed: node.size, flags });
        for (id, location) in node.content.iter().flatten().zip(&self.locations) {
            self.slice.push(id, location);
        }
        if self.slice.is_full(self.slice_files) {
            self.flush();
            self.slice_files = (self.slice_files * 2).min(LARGEST_SLICE);
        }
    }

    fn flush(&mut self) {
        // The receiver goes away only when it stopped; then nobody needs the slice.
        let _ = self.send.send(std::mem::take(&mut self.slice));
    }

    /// What stands under a name; asks nobody where we made the folder ourselves.
    pub(super) fn look(&mut self, folder: &Folder, name: &[u8]) -> io::Result<Option<Stat>> {
        match folder.state() {
            State::Existing => self.folders.get(folder)?.look(name),
            _ => Ok(None),
        }
    }

    /// Removes what stands under a name: a directory only if it is empty or everything else is to be deleted, too. A dry
    /// run finds out whether that would work.
    pub(super) fn clear(&mut self, folder: &Folder, name: &[u8], there: &Stat) -> io::Result<()> {
        let is_directory = there.file_type == FileType::Directory;
        if is_directory && self.run.options.delete {
            return extra::remove_directory(self, folder, name);
        }
        let directory = self.folders.get(folder)?;
        let removed = match (is_directory, self.run.options.dry_run) {
            (false, true) => return Ok(()),
            (false, false) => return directory.remove(name),
            (true, true) => require_empty(directory, name),
            (true, false) => directory.remove_directory(name),
        };
        removed.map_err(|error| io::Error::new(error.kind(), format!("a directory is in its place: {error}")))
    }

    /// Finds out whether a folder exists, without making it.
    fn resolve(&mut self, folder: &Arc<Folder>) -> State {
        for folder in unknown_way(folder).iter().rev() {
            let Some(parent) = &folder.parent else { continue };
            let state = match parent.state() {
                State::Existing => self.look_for_directory(parent, folder),
                State::Failed => State::Failed,
                _ => State::Missing,
            };
            folder.set_state(state);
        }
        folder.state()
    }

    fn look_for_directory(&mut self, parent: &Folder, folder: &Folder) -> State {
        let there = self.folders.get(parent).and_then(|directory| directory.look(&folder.name));
        if !there.is_ok_and(|there| there.is_some_and(|there| there.is_dir())) {
            return State::Missing;
        }
        let bequeaths = self.folders.get(folder).and_then(|directory| directory.bequeaths());
        folder.set_bequeaths(bequeaths.unwrap_or(true));
        State::Existing
    }

    /// Makes a folder and all above it; false if that failed, which is reported once.
    pub(super) fn ensure(&mut self, folder: &Arc<Folder>) -> bool {
        folder.touch();
        match self.resolve(folder) {
            State::Existing | State::Fresh => return true,
            State::Failed => return false,
            _ if self.run.options.dry_run => return true,
            _ => {}
        }
        let mut way = vec![folder];
        while let Some(parent) = way[way.len() - 1].parent.as_ref().filter(|parent| parent.state() == State::Missing) {
            way.push(parent);
        }
        way.iter().rev().all(|folder| self.make(folder))
    }

    fn make(&mut self, folder: &Folder) -> bool {
        let Some(parent) = &folder.parent else { return false };
        match self.make_directory(parent, &folder.name) {
            Ok(()) => {
                folder.set_state(State::Fresh);
                folder.set_bequeaths(parent.bequeaths());
                true
            }
            Err(error) => {
                folder.set_state(State::Failed);
                let path = folder.path_of(b"");
                self.run.failed(super::ItemError { path, action: "make the directory", cause: error.into() });
                false
            }
        }
    }

    fn make_directory(&mut self, parent: &Folder, name: &[u8]) -> io::Result<()> {
        let directory = self.folders.get(parent)?;
        match directory.make(name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            result => return result,
        }
        if self.run.options.overwrite == Overwrite::Never {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "something else is in its place, which has to stay",
            ));
        }
        directory.remove(name)?;
        directory.make(name)
    }
}

impl Drop for Walk<'_, '_> {
    fn drop(&mut self) {
        self.ahead.end();
        self.run.progress.walked.store(true, Ordering::Relaxed);
    }
}

/// The folder and those above it of which nothing is known.
fn unknown_way(folder: &Arc<Folder>) -> Vec<&Arc<Folder>> {
    let mut way = Vec::new();
    let mut here = Some(folder);
    while let Some(folder) = here.filter(|folder| folder.state() == State::Unknown) {
        way.push(folder);
        here = folder.parent.as_ref();
    }
    way
}

fn require_empty(directory: &platform::create::Directory, name: &[u8]) -> io::Result<()> {
    match directory.open(name)?.names()?.is_empty() {
        true => Ok(()),
        false => Err(io::ErrorKind::DirectoryNotEmpty.into()),
    }
}

/// Names that are no names. Parsing refuses them, too; a restore does not rely on that.
pub(super) fn is_hostile(name: &[u8]) -> bool {
    matches!(name, b"" | b"." | b"..")
        || name.len() > u16::MAX.into()
        || name.iter().any(|byte| matches!(byte, b'/' | 0))
}
