//! Visiting a directory: every entry is looked at once. What is unchanged takes its content from the parent snapshot, what
//! has to be read or visited is queued.

use std::ffi::{CStr, CString};
use std::sync::{Arc, Weak};

use platform::{Dir, FileType, NameList, Stat, Subject};
use repo::node::{Node, NodeKind};
use repo::{BlobHandle, BlobKind};

use super::directory::{Directory, FileJob, Origin, Slot, SubJob};
use super::observer::{Change, Finished, ItemError, ItemKind, ItemPath, Notice};
use super::queue::{FilesTask, Subdirs};
use super::worker::{Run, Worker, path_buf};
use super::{BackupError, Result};
use crate::exclude::{DirExcludes, held_by};
use crate::metadata;
use crate::path;
use crate::source::{SourceNode, Target};

/// Files per task: enough that taking tasks costs nothing, few enough that all threads get some.
const FILES_PER_TASK: usize = 32;

/// Bytes of files per task.
const BYTES_PER_TASK: u64 = 4 << 20;

/// What is found in a directory.
struct Findings<'d> {
    dir: &'d Arc<Directory>,
    shown: Vec<u8>,
    slots: Vec<Slot>,
    pending: usize,
    subdirs: Vec<SubJob>,
    batches: Vec<FilesTask>,
    batch_bytes: u64,
}

impl<'d> Findings<'d> {
    fn new(dir: &'d Arc<Directory>, entries: usize) -> Findings<'d> {
        let slots = Vec::with_capacity(entries);
        let shown = dir.shown_path();
        Findings { dir, shown, slots, pending: 0, subdirs: Vec::new(), batches: Vec::new(), batch_bytes: 0 }
    }

    fn done(&mut self, node: Node) {
        self.slots.push(Slot::Done(node));
    }

    /// Makes a slot that will be filled later.
    fn wait(&mut self, previous: Option<Node>) -> u32 {
        self.slots.push(Slot::Waiting { previous: previous.map(Box::new), live: Weak::new() });
        self.pending += 1;
        (self.slots.len() - 1) as u32
    }

    fn add_file(&mut self, place: &Arc<Dir>, path: &Arc<[u8]>, job: FileJob, size: u64) {
        self.batch_bytes += size;
        let fits = |task: &FilesTask| task.jobs.len() < FILES_PER_TASK && Arc::ptr_eq(&task.place, place);
        match self.batches.last_mut() {
            Some(last) if fits(last) && self.batch_bytes <= BYTES_PER_TASK => last.jobs.push(job),
            _ => {
                let (dir, place, path) = (Arc::clone(self.dir), Arc::clone(place), Arc::clone(path));
                self.batches.push(FilesTask { dir, place, path, jobs: vec![job] });
                self.batch_bytes = size;
            }
        }
    }
}

/// One entry.
struct Entry<'e> {
    place: &'e Arc<Dir>,
    /// The path of the directory it lies in.
    dir_path: &'e Arc<[u8]>,
    file: &'e CStr,
    /// Its name in the snapshot.
    name: &'e [u8],
    stat: Stat,
    previous: Option<Node>,
}

impl Entry<'_> {
    fn path(&self) -> Vec<u8> {
        path::child(self.dir_path, self.file.to_bytes())
    }
}

/// The parent snapshot's nodes of one directory, looked up in ascending order of names.
struct Previous(std::iter::Peekable<std::vec::IntoIter<Node>>);

impl Previous {
    fn take(&mut self, name: &[u8]) -> Option<Node> {
        while self.0.next_if(|node| node.name.as_slice() < name).is_some() {}
        self.0.next_if(|node| node.name.as_slice() == name)
    }
}

/// The excludes for a directory of this machine.
fn excludes<'r>(run: &'r Run<'r>, dir: &[u8], holds: impl Fn(&[u8]) -> bool) -> DirExcludes<'r> {
    run.excludes.within(dir, holds, |path, reason| {
        run.observer.noticed(&Notice::NotAMarker { path: path_buf(path), reason });
    })
}

impl Worker<'_> {
    /// Visits a subdirectory of `above`.
    pub(super) fn visit(&mut self, above: Arc<Directory>, job: SubJob) -> Result<()> {
        let slot = job.slot;
        let previous_tree = above.previous(slot, |previous| {
            previous.filter(|node| node.kind == NodeKind::Dir).and_then(|node| node.subtree)
        });
        let dir = Directory::new(Some(Arc::clone(&above)), job, previous_tree);
        self.go_home()?;
        let seen = match &dir.origin {
            Origin::Upper(source) => {
                let source = std::mem::take(&mut *source.lock());
                self.visit_upper(&dir, source)?
            }
            _ => self.visit_real(&dir)?,
        };
        if !seen {
            drop(dir);
            return self.settle(above, slot, None);
        }
        Ok(())
    }

    /// Visits the snapshot's root.
    pub(super) fn visit_root(&mut self, root: &Arc<Directory>, source: SourceNode) -> Result<()> {
        self.visit_upper(root, source).map(drop)
    }

    /// Visits a directory of this machine; false if it cannot be stored.
    fn visit_real(&mut self, dir: &Arc<Directory>) -> Result<bool> {
        let (place, stat, names) = match self.open(dir) {
            Ok(opened) => opened,
            Err(error) => {
                self.run.report_io("open", dir.path(), error);
                return Ok(false);
            }
        };
        let dir_path: Arc<[u8]> = dir.path().into();
        let mut node = self.maker.node(&dir.name, &stat);
        self.attributes_of(Subject::open(&*place), &mut node, || dir_path.to_vec());
        let mut previous = self.previous(dir);
        let excludes = excludes(self.run, &dir_path, held_by(&names));
        let mut found = Findings::new(dir, names.len());
        for at in 0..names.len() {
            let (name, file) = (names.name(at), names.get(at));
            if excludes.by_name(name) {
                self.excluded(&found, name);
                continue;
            }
            let Some(stat) = self.stat(&place, file, &dir_path) else { continue };
            if excludes.by_stat(name, &stat) || self.crosses(dir, &dir_path, name, &place, &stat) {
                self.excluded(&found, name);
                continue;
            }
            let previous = previous.take(name);
            self.consider(Entry { place: &place, dir_path: &dir_path, file, name, stat, previous }, &mut found);
        }
        self.queue(found, node)?;
        Ok(true)
    }

    fn open(&mut self, dir: &Arc<Directory>) -> std::io::Result<(Arc<Dir>, Stat, NameList)> {
        let place = dir.open(&self.run.handles)?;
        let stat = place.stat()?;
        let names = place.names(&mut self.names)?;
        Ok((place, stat, names))
    }

    /// What the parent snapshot has in `dir`.
    fn previous(&self, dir: &Directory) -> Previous {
        let tree = dir.previous_tree.map(|id| self.run.repo.read_tree(&id));
        let nodes = match tree {
            None => Vec::new(),
            Some(Ok(tree)) => tree.nodes,
            Some(Err(source)) => {
                self.run.report(&ItemError::ParentTree { path: path_buf(dir.shown_path()), source });
                Vec::new()
            }
        };
        Previous(nodes.into_iter().peekable())
    }

    fn excluded(&self, found: &Findings<'_>, name: &[u8]) {
        self.run.observer.excluded(ItemPath { dir: &found.shown, name });
    }

    /// What an entry is. One that vanished since its name was read is passed over, as in restic.
    fn stat(&self, place: &Dir, file: &CStr, dir_path: &[u8]) -> Option<Stat> {
        match place.stat_entry(file) {
            Ok(stat) => Some(stat),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => {
                self.run.report_io("examine", path::child(dir_path, file.to_bytes()), error);
                None
            }
        }
    }

    /// True if an entry is on a file system that is left out. A mount point itself stays.
    fn crosses(&self, dir: &Directory, dir_path: &[u8], name: &[u8], place: &Dir, stat: &Stat) -> bool {
        let (Some(devices), Some(mut device)) = (&self.run.devices, dir.device) else { return false };
        if devices.len() > 1
            && let Some(own) = devices.get(&path::child(dir_path, name))
        {
            device = *own;
        }
        if stat.device == device {
            return false;
        }
        let is_mount_point = stat.is_dir() && place.stat().is_ok_and(|dir_stat| Some(dir_stat.device) == dir.device);
        !is_mount_point
    }

    /// Decides what becomes of an entry that is not excluded.
    fn consider(&mut self, entry: Entry<'_>, found: &mut Findings<'_>) {
        match entry.stat.file_type {
            FileType::Regular => self.consider_file(entry, found),
            FileType::Directory if self.run.is_own(&entry.stat) => {
                self.notice(&Notice::SkippedOwn { path: path_buf(entry.path()) });
            }
            FileType::Directory => {
                let device = self.device_below(found.dir, &entry);
                let slot = found.wait(entry.previous);
                let origin = Origin::Entry(entry.file.to_owned());
                found.subdirs.push(SubJob { slot, name: entry.name.to_vec(), origin, device });
            }
            FileType::Socket => {}
            FileType::Unknown => self.run.report(&ItemError::UnknownType { path: path_buf(entry.path()) }),
            _ => self.consider_special(&entry, found),
        }
    }

    /// The device that what lies below a directory must be on.
    fn device_below(&self, dir: &Directory, entry: &Entry<'_>) -> Option<u64> {
        let devices = self.run.devices.as_ref()?;
        if devices.len() > 1
            && let Some(own) = devices.get(&entry.path())
        {
            return Some(*own);
        }
        dir.device
    }

    /// Links, devices, pipes.
    fn consider_special(&mut self, entry: &Entry<'_>, found: &mut Findings<'_>) {
        let mut node = self.maker.node(entry.name, &entry.stat);
        if entry.stat.file_type == FileType::Symlink {
            match entry.place.read_link(entry.file) {
                Ok(target) => node.link_target = target,
                Err(error) => return self.run.report_io("read", entry.path(), error),
            }
        }
        self.read_attributes(entry.place, entry.file, &mut node, || entry.path());
        found.done(node);
    }

    fn consider_file(&mut self, mut entry: Entry<'_>, found: &mut Findings<'_>) {
        let unchanged =
            entry.previous.as_ref().is_some_and(|node| !metadata::changed(&entry.stat, node, self.run.ignore));
        if unchanged && let Some(content) = self.stored_content(&mut entry) {
            return self.reuse(&entry, content, found);
        }
        let size = entry.stat.size;
        let slot = found.wait(entry.previous);
        let shown_as = (entry.name != entry.file.to_bytes()).then(|| entry.name.to_vec());
        found.add_file(entry.place, entry.dir_path, FileJob { slot, file: entry.file.to_owned(), shown_as }, size);
    }

    /// Takes the content that the parent snapshot recorded, if all of it is stored.
    fn stored_content(&self, entry: &mut Entry<'_>) -> Option<Vec<backend::Id>> {
        let content = &mut entry.previous.as_mut()?.content;
        let index = self.run.index;
        let is_stored = |id: &backend::Id| index.contains(&BlobHandle { kind: BlobKind::Data, id: *id });
        if content.as_ref()?.iter().all(is_stored) {
            return content.take();
        }
        self.notice(&Notice::ContentWasMissing { path: path_buf(entry.path()) });
        None
    }

    fn reuse(&mut self, entry: &Entry<'_>, content: Vec<backend::Id>, found: &mut Findings<'_>) {
        let mut node = self.maker.node(entry.name, &entry.stat);
        node.content = Some(content);
        self.read_attributes(entry.place, entry.file, &mut node, || entry.path());
        let item = ItemPath { dir: &found.shown, name: entry.name };
        let (kind, change, size) = (ItemKind::File, Change::Unmodified, entry.stat.size);
        self.finished_at(item, Finished { kind, change, size, added: 0, added_packed: 0 });
        self.run.observer.done(size);
        found.done(node);
    }

    /// Hands on what was found.
    fn queue(&mut self, found: Findings<'_>, node: Node) -> Result<()> {
        let Findings { dir, slots, pending, mut subdirs, batches, .. } = found;
        dir.set(node, slots, pending);
        if pending == 0 {
            return self.complete(Arc::clone(dir));
        }
        subdirs.reverse();
        if !subdirs.is_empty() {
            self.run.queue.push_subdirs(Subdirs { dir: Arc::clone(dir), jobs: subdirs });
        }
        for task in batches {
            self.run.queue.push_files(task);
        }
        Ok(())
    }

    /// Visits a directory above targets; false if it cannot be stored.
    fn visit_upper(&mut self, dir: &Arc<Directory>, source: SourceNode) -> Result<bool> {
        let Some(node) = self.upper_node(dir, &source) else { return Ok(false) };
        let mut previous = self.previous(dir);
        let mut found = Findings::new(dir, source.children.len());
        let mut near = None;
        for (name, child) in source.children {
            let previous = previous.take(&name);
            match child.target {
                Some(target) => self.consider_target(target, &name, previous, &mut near, &mut found),
                None => {
                    let slot = found.wait(previous);
                    let origin = Origin::Upper(parking_lot::Mutex::new(child));
                    found.subdirs.push(SubJob { slot, name, origin, device: None });
                }
            }
        }
        self.queue(found, node)?;
        Ok(true)
    }

    /// The node of a directory above targets; links on the way are followed, as in restic.
    fn upper_node(&mut self, dir: &Directory, source: &SourceNode) -> Option<Node> {
        let examined = if dir.above.is_none() { Stat::of_target(b"/") } else { Stat::of_target(&source.info) };
        let stat = match examined {
            Ok(stat) if stat.is_dir() => stat,
            Ok(_) => {
                self.run.report(&ItemError::ChangedType { path: path_buf(source.info.clone()) });
                return None;
            }
            Err(error) => {
                self.run.report_io("examine", source.info.clone(), error);
                return None;
            }
        };
        let mut node = self.maker.node(&dir.name, &stat);
        if dir.above.is_some() {
            self.upper_attributes(source, &mut node);
        }
        Some(node)
    }

    /// Attributes above targets may be none of this user's business: that is no error.
    fn upper_attributes(&mut self, source: &SourceNode, node: &mut Node) {
        let Ok(file) = CString::new(source.info.clone()) else { return };
        let run = self.run;
        let complain = |source_error| {
            let path = path_buf(source.info.clone());
            run.report(&ItemError::Attributes { path, source: source_error });
        };
        let read = self.maker.read_attributes(Subject::Path(&file), node, |_, error| complain(error));
        match read {
            Err(error) if error.kind() != std::io::ErrorKind::PermissionDenied => complain(error),
            _ => {}
        }
    }

    fn consider_target(
        &mut self,
        target: Target,
        name: &[u8],
        previous: Option<Node>,
        near: &mut Option<(Vec<u8>, Arc<Dir>)>,
        found: &mut Findings<'_>,
    ) {
        let dir_path: Arc<[u8]> = path::parent(&target.path).into();
        let Some(place) = self.place(&dir_path, near) else { return };
        let Ok(file) = CString::new(path::last(&target.path)) else { return };
        let excludes = (!target.named)
            .then(|| excludes(self.run, &dir_path, |held| Stat::of_path(&path::child(&dir_path, held)).is_ok()));
        if excludes.as_ref().is_some_and(|excludes| excludes.by_name(file.to_bytes())) {
            return self.excluded(found, name);
        }
        let Some(stat) = self.stat(&place, &file, &dir_path) else { return };
        let device = self.device_of_target(&target.path);
        let crosses = device.is_some_and(|device| device != stat.device) && !stat.is_dir();
        if excludes.is_some_and(|excludes| crosses || excludes.by_stat(file.to_bytes(), &stat)) {
            return self.excluded(found, name);
        }
        let before = found.subdirs.len();
        if !(stat.is_dir() && self.run.is_own(&stat)) {
            self.run.targets.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        self.consider(Entry { place: &place, dir_path: &dir_path, file: &file, name, stat, previous }, found);
        if let Some(job) = found.subdirs.get_mut(before) {
            job.device = device;
            job.origin = Origin::Target { place, file, path: target.path };
        }
    }

    /// The device that entries of a target must be on: that of the nearest path that was named.
    fn device_of_target(&self, path: &[u8]) -> Option<u64> {
        let devices = self.run.devices.as_ref()?;
        let mut at = path;
        loop {
            if let Some(device) = devices.get(at) {
                return Some(*device);
            }
            let above = path::parent(at);
            if above == at {
                return None;
            }
            at = above;
        }
    }

    /// The directory that a target lies in, opened to reach what is in it; the last one is kept.
    fn place(&self, dir_path: &[u8], near: &mut Option<(Vec<u8>, Arc<Dir>)>) -> Option<Arc<Dir>> {
        if let Some((path, place)) = near
            && path == dir_path
        {
            return Some(Arc::clone(place));
        }
        match Dir::open_to_reach(dir_path) {
            Ok(place) => {
                let place = Arc::new(place);
                *near = Some((dir_path.to_vec(), Arc::clone(&place)));
                Some(place)
            }
            Err(error) => {
                self.run.report_io("open", dir_path.to_vec(), error);
                None
            }
        }
    }
}

/// The snapshot's root, which has nothing above it.
pub(super) fn root(previous_tree: Option<backend::Id>) -> Arc<Directory> {
    let origin = Origin::Upper(parking_lot::Mutex::new(SourceNode::default()));
    Directory::new(None, SubJob { slot: 0, name: Vec::new(), origin, device: None }, previous_tree)
}

impl From<repo::Error> for BackupError {
    fn from(error: repo::Error) -> BackupError {
        BackupError::Repo(error)
    }
}
