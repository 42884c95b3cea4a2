//! A directory that is being restored, and the way to it.
//!
//! A folder keeps its parent alive; whoever releases it last sets its metadata, because nobody touches its inside any
//! more. That bounds memory by what is under way, not by the snapshot.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use hashbrown::HashMap;
use platform::create::Directory;

use super::metadata::Wanted;

/// What is known about a folder in the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum State {
    /// Nobody looked.
    Unknown,
    /// It is not there.
    Missing,
    /// It was there before us.
    Existing,
    /// We made it; it holds only what we put in it.
    Fresh,
    /// It cannot be made; that has been reported.
    Failed,
}

/// A directory of the snapshot.
pub(super) struct Folder {
    /// Distinguishes folders.
    pub(super) number: u64,
    /// `None` for the target itself.
    pub(super) parent: Option<Arc<Folder>>,
    /// Its name; empty for the target itself.
    pub(super) name: Vec<u8>,
    /// What to set in the end; `None` for the target itself.
    pub(super) wanted: Option<Wanted>,
    /// It is restored for itself, not only for something in it.
    pub(super) selected: bool,
    state: AtomicU8,
    bequeaths: AtomicBool,
    touched: AtomicBool,
}

impl Folder {
    pub(super) fn new(number: u64, parent: Option<Arc<Folder>>, name: Vec<u8>, wanted: Option<Wanted>) -> Folder {
        let (state, bequeaths, touched) = Default::default();
        Folder { number, parent, name, wanted, selected: false, state, bequeaths, touched }
    }

    pub(super) fn state(&self) -> State {
        match self.state.load(Ordering::Relaxed) {
            1 => State::Missing,
            2 => State::Existing,
            3 => State::Fresh,
            4 => State::Failed,
            _ => State::Unknown,
        }
    }

    pub(super) fn set_state(&self, state: State) {
        self.state.store(state as u8, Ordering::Relaxed);
    }

    /// True if files made here get a group or ACL that they did not ask for.
    pub(super) fn bequeaths(&self) -> bool {
        self.bequeaths.load(Ordering::Relaxed)
    }

    pub(super) fn set_bequeaths(&self, bequeaths: bool) {
        self.bequeaths.store(bequeaths, Ordering::Relaxed);
    }

    /// True if something in it was restored or removed, or it is restored itself: its metadata must be set in the end.
    pub(super) fn is_touched(&self) -> bool {
        self.touched.load(Ordering::Relaxed)
    }

    /// Notes that, for all above it, too.
    pub(super) fn touch(&self) {
        let mut here = Some(self);
        while let Some(folder) = here.filter(|folder| !folder.is_touched()) {
            folder.touched.store(true, Ordering::Relaxed);
            here = folder.parent.as_deref();
        }
    }

    /// Absolute path within the snapshot of something in this folder.
    pub(super) fn path_of(&self, name: &[u8]) -> Vec<u8> {
        let mut names = vec![name];
        let mut folder = Some(self);
        while let Some(here) = folder.filter(|here| here.parent.is_some()) {
            names.push(&here.name);
            folder = here.parent.as_deref();
        }
        let mut path = Vec::new();
        for name in names.iter().rev().filter(|name| !name.is_empty()) {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        path
    }
}

impl Drop for Folder {
    /// A chain of folders can be deeper than the stack, so it is taken down link by link.
    fn drop(&mut self) {
        let mut parent = self.parent.take();
        while let Some(mut folder) = parent.and_then(Arc::into_inner) {
            parent = folder.parent.take();
        }
    }
}

/// Open directories of one thread. The oldest are closed when there are too many.
pub(super) struct OpenFolders<'t> {
    target: Option<&'t Directory>,
    open: HashMap<u64, Directory>,
    order: VecDeque<u64>,
}

/// How many directories a thread keeps open.
const MOST: usize = 48;

impl<'t> OpenFolders<'t> {
    pub(super) fn new(target: Option<&'t Directory>) -> OpenFolders<'t> {
        OpenFolders { target, open: HashMap::new(), order: VecDeque::new() }
    }

    /// The open directory of `folder`, reached name by name from the target.
    pub(super) fn get(&mut self, folder: &Folder) -> io::Result<&Directory> {
        if folder.parent.is_some() && !self.open.contains_key(&folder.number) {
            self.enter(folder)?;
        }
        self.open.get(&folder.number).or(self.target).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn enter(&mut self, folder: &Folder) -> io::Result<()> {
        let mut way = vec![folder];
        let mut above = folder.parent.as_deref();
        while let Some(here) = above.filter(|here| here.parent.is_some() && !self.open.contains_key(&here.number)) {
            way.push(here);
            above = here.parent.as_deref();
        }
        let mut number = above.map(|folder| folder.number);
        for here in way.iter().rev() {
            let from = number.and_then(|number| self.open.get(&number)).or(self.target);
            let opened = from.ok_or(io::ErrorKind::NotFound)?.open(&here.name)?;
            self.keep(here.number, opened);
            number = Some(here.number);
        }
        Ok(())
    }

    /// The one that was opened last always stays, so that a way of any length can be walked.
    fn keep(&mut self, number: u64, directory: Directory) {
        if self.order.len() >= MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.open.remove(&oldest);
        }
        self.open.insert(number, directory);
        self.order.push_back(number);
    }

    /// Forgets a folder that will not be used any more.
    pub(super) fn leave(&mut self, folder: &Folder) {
        if self.open.remove(&folder.number).is_some() {
            self.order.retain(|number| *number != folder.number);
        }
    }
}
