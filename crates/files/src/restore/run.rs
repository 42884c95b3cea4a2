//! One restore: what all its parts share, and the order in which they work.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use backend::Id;
use crossbeam_channel::Receiver;
use hashbrown::HashSet;
use parking_lot::Mutex;
use platform::create::{Directory, Identity, identity, set_metadata};
use repo::Repository;
use repo::index::Index;

use super::ahead::Ahead;
use super::compare;
use super::folder::{Folder, OpenFolders, State};
use super::metadata::Ground;
use super::plan::Plan;
use super::slice::{Flag, Slice};
use super::walk::Walk;
use super::write;
use super::{Action, Cause, Error, ItemError, Observer, Options, Progress, Summary, add};

/// What all parts of one restore share.
pub(super) struct Run<'a> {
    pub(super) repo: &'a Repository,
    pub(super) index: &'a Index,
    pub(super) plan: &'a Plan<'a>,
    pub(super) options: &'a Options<'a>,
    pub(super) progress: &'a Progress,
    pub(super) observer: &'a dyn Observer,
    /// `None` if it does not exist and this is a dry run.
    pub(super) target: Option<Directory>,
    pub(super) us: Identity,
    full: AtomicBool,
    full_at: Mutex<Option<Vec<u8>>>,
    failed: Mutex<HashSet<(u64, Vec<u8>)>>,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        plan: &'a Plan<'a>,
        progress: &'a Progress,
        observer: &'a dyn Observer,
    ) -> Result<Run<'a>, Error> {
        let (repo, options, target) = (plan.repo, plan.options, plan.target.as_path());
        let index = repo.index()?;
        let target =
            open_target(target, options).map_err(|source| Error::Target { path: target.to_path_buf(), source })?;
        let (full, full_at, failed) = <(AtomicBool, Mutex<_>, Mutex<_>)>::default();
        Ok(Run { repo, index, plan, options, progress, observer, target, us: identity(), full, full_at, failed })
    }

    /// Restores everything below the tree `root`.
    pub(super) fn all(&self, root: &Id) -> Result<Summary, Error> {
        let target = Arc::new(self.target_folder());
        let (send, receive) = crossbeam_channel::bounded(0);
        let ahead = Ahead::new(self.repo);
        let links = std::thread::scope(|scope| {
            for _ in 0..ahead.threads() {
                scope.spawn(|| ahead.fetch());
            }
            let walker = scope.spawn(|| Walk::new(self, &ahead, send).all(root, target.clone()));
            self.slices(&receive);
            // A walker that wants to send after an early end must not wait for us.
            drop(receive);
            walker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })?;
        self.progress.walked.store(true, Ordering::Relaxed);
        links.make(self);
        self.release(target, &mut self.open_folders());
        self.repo.cancel().check()?;
        self.verdict()
    }

    fn target_folder(&self) -> Folder {
        let folder = Folder::new(0, None, Vec::new(), None);
        match &self.target {
            Some(target) => {
                folder.set_state(State::Existing);
                folder.set_bequeaths(target.bequeaths().unwrap_or(true));
            }
            None => folder.set_state(State::Missing),
        }
        folder
    }

    fn slices(&self, receive: &Receiver<Slice>) {
        let mut folders = self.open_folders();
        for mut slice in receive {
            if !self.is_stopped() {
                self.slice(&slice);
            }
            let failed = slice.files.iter().filter(|file| file.is(Flag::Failed));
            let failed = failed.map(|file| (slice.folder(file).number, slice.name(file).to_vec()));
            self.failed.lock().extend(failed);
            for folder in std::mem::take(&mut slice.folders) {
                self.release(folder, &mut folders);
            }
        }
    }

    fn slice(&self, slice: &Slice) {
        let mut needed = compare::needed(self, slice);
        if self.options.dry_run {
            return compare::tell(self, slice);
        }
        write::all(self, slice, &mut needed);
        if self.options.verify {
            compare::verify(self, slice);
        }
    }

    fn verdict(&self) -> Result<Summary, Error> {
        let summary = self.progress.summary();
        match self.full_at.lock().take() {
            None => Ok(summary),
            Some(path) => Err(Error::NoSpace {
                path,
                missing_files: summary.total_files.saturating_sub(summary.files_restored),
                missing_bytes: summary.total_bytes.saturating_sub(summary.bytes_restored),
                summary,
            }),
        }
    }

    /// Lets go of a folder; the last one to do so sets its metadata, and lets go of its parent.
    pub(super) fn release(&self, folder: Arc<Folder>, open: &mut OpenFolders<'_>) {
        let mut next = Some(folder);
        while let Some(mut folder) = next.and_then(Arc::into_inner) {
            self.finish_folder(&folder, open);
            open.leave(&folder);
            next = folder.parent.take();
        }
    }

    fn finish_folder(&self, folder: &Folder, open: &mut OpenFolders<'_>) {
        let Some(wanted) = folder.wanted.as_ref().filter(|_| folder.is_touched() && folder.state() != State::Failed)
        else {
            return;
        };
        let existed = folder.state() == State::Existing;
        if !self.options.dry_run && matches!(folder.state(), State::Fresh | State::Existing) {
            let ground = if existed || folder.bequeaths() { Ground::Used } else { Ground::Plain };
            let opened = open.get(folder).and_then(|directory| directory.readable());
            let result = wanted.apply(ground, None, &self.us, self.options, |metadata| match opened {
                Ok(directory) => set_metadata(directory, metadata),
                // Without leave to read it, it is still reached by its name.
                Err(_) => match &folder.parent {
                    Some(parent) => open.get(parent)?.set_metadata(&folder.name, metadata),
                    None => Ok(()),
                },
            });
            if let Err(error) = result {
                return self.failed(ItemError {
                    path: folder.path_of(b""),
                    action: "set the metadata of",
                    cause: error.into(),
                });
            }
        }
        if folder.selected {
            add(&self.progress.files_restored, 1);
            let action = if existed { Action::Updated } else { Action::Restored };
            self.item(|| folder.path_of(b""), action, 0);
        }
    }

    pub(super) fn open_folders(&self) -> OpenFolders<'_> {
        OpenFolders::new(self.target.as_ref())
    }

    /// True once the disk is full or somebody asked to stop.
    pub(super) fn is_stopped(&self) -> bool {
        self.is_full() || self.repo.cancel().is_cancelled()
    }

    /// True once the disk is full.
    pub(super) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// True if the file could not be restored.
    pub(super) fn has_failed(&self, folder: &Folder, name: &[u8]) -> bool {
        self.failed.lock().contains(&(folder.number, name.to_vec()))
    }

    /// Reports an item that failed. A full disk is no matter of one item: it stops the restore instead.
    pub(super) fn failed(&self, error: ItemError) {
        if let Cause::File(cause) = &error.cause
            && matches!(cause.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        {
            self.full_at.lock().get_or_insert(error.path);
            self.full.store(true, Ordering::Relaxed);
            return;
        }
        if matches!(error.cause, Cause::Repository(repo::Error::Cancelled)) {
            return;
        }
        add(&self.progress.errors, 1);
        self.observer.failed(&error);
    }

    /// Tells what was done, if anybody wants to know.
    pub(super) fn item(&self, path: impl FnOnce() -> Vec<u8>, action: Action, size: u64) {
        if self.observer.wants_items() {
            self.observer.item(&path(), action, size);
        }
    }

    /// How many threads make sense: each may hold a pack's part and a blob, so there are few, whatever the machine.
    pub(super) fn threads(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        self.options.threads.unwrap_or_else(|| cores.max(self.repo.backend().connections()).clamp(2, 6)).max(1)
    }

    /// Calls `work` on this many threads, each with a counter that hands out the numbers below `count` once.
    pub(super) fn spread(&self, count: usize, work: impl Fn(&dyn Fn() -> Option<usize>) + Sync) {
        let next = AtomicUsize::new(0);
        let hand_out = || {
            let number = next.fetch_add(1, Ordering::Relaxed);
            (number < count && !self.is_stopped()).then_some(number)
        };
        std::thread::scope(|scope| {
            for _ in 1..self.threads().min(count) {
                scope.spawn(|| work(&hand_out));
            }
            if count > 0 {
                work(&hand_out);
            }
        });
    }
}

fn open_target(path: &Path, options: &Options<'_>) -> io::Result<Option<Directory>> {
    match Directory::at_path(path) {
        Ok(target) => Ok(Some(target)),
        Err(error) if error.kind() == io::ErrorKind::NotFound && options.dry_run => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            std::fs::create_dir_all(path)?;
            Directory::at_path(path).map(Some)
        }
        Err(error) => Err(error),
    }
}
