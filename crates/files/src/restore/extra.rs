//! Removing what the snapshot does not have, as `--delete` asks; what is not selected is spared, at every depth.

use std::io;

use hashbrown::HashSet;
use platform::create::Directory;

use super::folder::Folder;
use super::walk::Walk;
use super::{Action, ItemError, add};

/// Removes everything from an existing folder that has none of the names `wanted`.
pub(super) fn remove(walk: &mut Walk<'_, '_>, folder: &Folder, wanted: &HashSet<Vec<u8>>) {
    let names = match walk.folders.get(folder).and_then(Directory::names) {
        Ok(names) => names,
        Err(error) => return walk.fail("list the directory", error.into()),
    };
    for name in names.iter().filter(|name| !wanted.contains(*name)) {
        let outcome = match walk.folders.get(folder) {
            Ok(directory) => Removal::new(walk.run).entry(directory, folder.path_of(name), name),
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
    match Removal::new(walk.run).entry(directory, folder.path_of(name), name) {
        Outcome::Gone => Ok(()),
        Outcome::Stays => Err(io::Error::new(io::ErrorKind::DirectoryNotEmpty, "a directory is in its place")),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Gone,
    Stays,
}

struct Removal<'r, 'a> {
    run: &'r super::run::Run<'a>,
}

/// A directory whose content is being removed.
struct Level {
    directory: Directory,
    names: Vec<Vec<u8>>,
    path: Vec<u8>,
    name: Vec<u8>,
    emptied: Outcome,
}

impl<'r, 'a> Removal<'r, 'a> {
    fn new(run: &'r super::run::Run<'a>) -> Removal<'r, 'a> {
        Removal { run }
    }

    /// Removes one entry and all that is in it. Keeps its own stack: directories can be deeper than the program's.
    fn entry(&self, from: &Directory, path: Vec<u8>, name: &[u8]) -> Outcome {
        let mut levels: Vec<Level> = Vec::new();
        let mut outcome = match self.begin(from, path, name.to_vec()) {
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
                outcome = self.end(above, &done);
                if let Some(above) = levels.last_mut().filter(|_| outcome == Outcome::Stays) {
                    above.emptied = Outcome::Stays;
                }
                continue;
            };
            let path = [&level.path[..], b"/", &name].concat();
            match self.begin(&level.directory, path, name) {
                Ok(below) => levels.push(below),
                Err(Outcome::Stays) => level.emptied = Outcome::Stays,
                Err(Outcome::Gone) => {}
            }
        }
        outcome
    }

    /// Removes an entry, or opens it if it is a directory.
    fn begin(&self, from: &Directory, path: Vec<u8>, name: Vec<u8>) -> Result<Level, Outcome> {
        let removed = (|| {
            let Some(there) = from.look(&name)? else { return Ok(Err(Outcome::Gone)) };
            let selection = (self.run.options.select)(&path, there.is_dir());
            if there.is_dir() {
                let directory = from.open(&name)?;
                let names = directory.names()?;
                let emptied = if selection.itself { Outcome::Gone } else { Outcome::Stays };
                return Ok(Ok(Level { directory, names, path: path.clone(), name: name.clone(), emptied }));
            }
            if !selection.itself {
                return Ok(Err(Outcome::Stays));
            }
            if !self.run.options.dry_run {
                from.remove(&name)?;
            }
            self.gone(&path);
            Ok(Err(Outcome::Gone))
        })();
        removed.unwrap_or_else(|error| Err(self.failed(path, error)))
    }

    fn end(&self, from: &Directory, level: &Level) -> Outcome {
        if level.emptied == Outcome::Stays {
            return Outcome::Stays;
        }
        if !self.run.options.dry_run
            && let Err(error) = from.remove_directory(&level.name)
        {
            return self.failed(level.path.clone(), error);
        }
        self.gone(&level.path);
        Outcome::Gone
    }

    fn gone(&self, path: &[u8]) {
        add(&self.run.progress.files_deleted, 1);
        self.run.item(|| path.to_vec(), Action::Deleted, 0);
    }

    fn failed(&self, path: Vec<u8>, cause: io::Error) -> Outcome {
        self.run.failed(ItemError { path, action: "delete", cause: cause.into() });
        Outcome::Stays
    }
}
