//! Removing what the snapshot does not have, as `--delete` asks, and only what the plan lists; what is not selected is
//! spared, at every depth.

use std::io;

use hashbrown::HashSet;
use platform::Stat;
use platform::create::Directory;

use super::folder::Folder;
use super::plan::Leave;
use super::run::Run;
use super::walk::Walk;
use super::{Action, Cause, ItemError, Selection, add};

/// Removes everything from an existing folder that has none of the names `wanted`.
pub(super) fn remove(walk: &mut Walk<'_, '_>, folder: &Folder, wanted: &HashSet<Vec<u8>>) {
    let names = match walk.folders.get(folder).and_then(Directory::names) {
        Ok(names) => names,
        Err(error) => return walk.fail("list the directory", error.into()),
    };
    for name in names.iter().filter(|name| !wanted.contains(*name)) {
        let outcome = match walk.folders.get(folder) {
            Ok(directory) => entry(&mut Removal { run: walk.run }, directory, folder.path_of(name), name),
            Err(error) => return walk.fail("list the directory", error.into()),
        };
        if outcome == Outcome::Gone {
            folder.touch();
        }
    }
}

/// Removes a directory that stands in an item's place, with all that is in it.
pub(super) fn remove_directory(walk: &mut Walk<'_, '_>, folder: &Folder, name: &[u8]) -> io::Result<()> {
    let directory = walk.folders.get(folder)?;
    match entry(&mut Removal { run: walk.run }, directory, folder.path_of(name), name) {
        Outcome::Gone => Ok(()),
        Outcome::Stays => Err(io::Error::new(io::ErrorKind::DirectoryNotEmpty, "a directory is in its place")),
    }
}

/// What became of something.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Gone,
    Stays,
}

/// What happens to things that the snapshot does not have.
pub(super) trait Fate {
    /// Whether something is meant at all.
    fn select(&self, path: &[u8], is_directory: bool) -> Selection;

    /// Deals with something that is meant; a directory after all that was in it is gone.
    fn meet(&mut self, from: &Directory, name: &[u8], path: &[u8], there: &Stat) -> io::Result<Outcome>;

    /// Hears what could not be dealt with, which stays.
    fn failed(&mut self, path: Vec<u8>, cause: io::Error);
}

/// A directory whose content is being dealt with.
struct Level {
    directory: Directory,
    there: Stat,
    names: Vec<Vec<u8>>,
    path: Vec<u8>,
    name: Vec<u8>,
    emptied: Outcome,
}

/// Deals with one entry and all that is in it. Keeps its own stack: directories can be deeper than the program's.
pub(super) fn entry(fate: &mut dyn Fate, from: &Directory, path: Vec<u8>, name: &[u8]) -> Outcome {
    let mut levels: Vec<Level> = Vec::new();
    let mut outcome = match begin(fate, from, path, name.to_vec()) {
        Ok(level) => {
            levels.push(level);
            Outcome::Stays
        }
        Err(outcome) => return outcome,
    };
    while let Some(level) = levels.last_mut() {
        let Some(name) = level.names.pop() else {
            let Some(done) = levels.pop() else { break };
            let above = levels.last().map_or(from, |level| &level.directory);
            outcome = end(fate, above, done);
            if let Some(above) = levels.last_mut().filter(|_| outcome == Outcome::Stays) {
                above.emptied = Outcome::Stays;
            }
            continue;
        };
        let path = [&level.path[..], b"/", &name].concat();
        match begin(fate, &level.directory, path, name) {
            Ok(below) => levels.push(below),
            Err(Outcome::Stays) => level.emptied = Outcome::Stays,
            Err(Outcome::Gone) => {}
        }
    }
    outcome
}

/// Deals with an entry, or opens it if it is a directory.
fn begin(fate: &mut dyn Fate, from: &Directory, path: Vec<u8>, name: Vec<u8>) -> Result<Level, Outcome> {
    let opened = (|| {
        let Some(there) = from.look(&name)? else { return Ok(Err(Outcome::Gone)) };
        let selection = fate.select(&path, there.is_dir());
        if there.is_dir() {
            let directory = from.open(&name)?;
            let names = directory.names()?;
            let emptied = if selection.itself { Outcome::Gone } else { Outcome::Stays };
            return Ok(Ok(Level { directory, there, names, path: path.clone(), name, emptied }));
        }
        match selection.itself {
            true => fate.meet(from, &name, &path, &there).map(Err),
            false => Ok(Err(Outcome::Stays)),
        }
    })();
    opened.unwrap_or_else(|error| {
        fate.failed(path, error);
        Err(Outcome::Stays)
    })
}

fn end(fate: &mut dyn Fate, from: &Directory, level: Level) -> Outcome {
    if level.emptied == Outcome::Stays {
        return Outcome::Stays;
    }
    fate.meet(from, &level.name, &level.path, &level.there).unwrap_or_else(|error| {
        fate.failed(level.path, error);
        Outcome::Stays
    })
}

/// Removes what the plan lists.
struct Removal<'r, 'a> {
    run: &'r Run<'a>,
}

impl Fate for Removal<'_, '_> {
    fn select(&self, path: &[u8], is_directory: bool) -> Selection {
        (self.run.options.select)(path, is_directory)
    }

    fn meet(&mut self, from: &Directory, name: &[u8], path: &[u8], there: &Stat) -> io::Result<Outcome> {
        match self.run.plan.leave(path, there) {
            Leave::Granted => {}
            Leave::Unknown => return Ok(self.stays(path, "it is new since the plan was made, and stays")),
            Leave::Changed => return Ok(self.stays(path, "it was changed since the plan was made, and stays")),
        }
        match (self.run.options.dry_run, there.is_dir()) {
            (true, _) => {}
            (false, true) => from.remove_directory(name)?,
            (false, false) => from.remove(name)?,
        }
        add(&self.run.progress.files_deleted, 1);
        self.run.item(|| path.to_vec(), Action::Deleted, 0);
        Ok(Outcome::Gone)
    }

    fn failed(&mut self, path: Vec<u8>, cause: io::Error) {
        self.run.failed(ItemError { path, action: "delete", cause: cause.into() });
    }
}

impl Removal<'_, '_> {
    fn stays(&self, path: &[u8], why: &str) -> Outcome {
        let cause = Cause::Other(why.to_owned());
        self.run.failed(ItemError { path: path.to_vec(), action: "delete", cause });
        Outcome::Stays
    }
}
