//! Copying files out of an image into a directory of this machine, and nowhere else.
//!
//! Everything is reached by open directories below the target and single names, never through links, so that no name in an
//! image leads out of it. What is there stays as it is, unless the caller says otherwise. Zeros become holes.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};

use hashbrown::HashSet;
use platform::FileType;
use platform::create::{self, Directory, Metadata};

use super::{Entry, FilesError, Filesystem, Handle, Result, list};

/// What becomes of files that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// They stay, and a failure says so.
    Keep,
    /// They are replaced. A directory never is.
    Replace,
}

/// What a copy tells while it goes on. Paths are below what is copied.
#[derive(Debug)]
pub enum Told<'t> {
    /// Something is there now.
    Copied(&'t [u8]),
    /// Something is not.
    Failed {
        /// What.
        path: &'t [u8],
        /// Why.
        reason: String,
    },
    /// So many bytes more. False from the caller ends the work.
    Bytes(u64),
}

/// Hears what a copy tells; false ends it.
pub type Hears<'h> = &'h mut dyn FnMut(Told<'_>) -> bool;

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Files, links and directories.
    pub entries: u64,
    /// Bytes of files.
    pub bytes: u64,
    /// What could not be copied.
    pub failed: u64,
}

/// A copy at work.
pub struct Copying<'c> {
    filesystem: &'c dyn Filesystem,
    target: Directory,
    existing: Existing,
    hears: Hears<'c>,
    copied: Copied,
    seen: Seen,
    stack: Vec<Level>,
}

/// A directory on its way.
struct Level {
    /// None for the deepest ones' distant parents: there may be more levels than open files.
    directory: Option<Directory>,
    entry: Entry,
    left: std::vec::IntoIter<Entry>,
    /// Times and modes are set in the end; those of a directory that was there stay.
    is_new: bool,
}

/// Directories that are open at a time.
const OPEN: usize = 64;

/// What has the granularity of a hole.
const BLOCK: usize = 4096;

impl<'c> Copying<'c> {
    /// A copy below an open directory.
    pub fn new(filesystem: &'c dyn Filesystem, target: Directory, existing: Existing, hears: Hears<'c>) -> Copying<'c> {
        let (copied, stack, seen) = (Copied::default(), Vec::new(), Seen::new(filesystem));
        Copying { filesystem, target, existing, hears, copied, seen, stack }
    }

    /// Copies a file, a link or a directory with all that is in it under `name`; of a directory without a name, what is in it.
    ///
    /// # Errors
    /// [`FilesError::Stopped`] if the caller ended it. What cannot be copied is told, and the rest goes on.
    pub fn copy(mut self, entry: Entry, name: &[u8]) -> Result<Copied> {
        match (entry.is_directory(), name.is_empty()) {
            (true, true) => self.enter_into(entry, None)?,
            _ => self.one(Entry { name: name.to_vec(), ..entry })?,
        }
        while let Some(level) = self.stack.last_mut() {
            match level.left.next() {
                Some(next) => self.one(next)?,
                None => self.leave()?,
            }
        }
        Ok(self.copied)
    }

    fn one(&mut self, entry: Entry) -> Result<()> {
        let name = entry.name.clone();
        let done = match (&entry.trouble, entry.file_type) {
            (Some(trouble), _) => Err(FilesError::Unsupported(trouble.clone())),
            (None, FileType::Directory) => self.enter(entry),
            (None, FileType::Regular) => self.file(&entry),
            (None, FileType::Symlink) => self.link(&entry),
            (None, other) => Err(FilesError::Unsupported(format!("it is {}, which is not copied", told(other)))),
        };
        match done {
            Err(FilesError::Stopped) => Err(FilesError::Stopped),
            Err(error) => self.failed(&name, &error),
            Ok(()) => Ok(()),
        }
    }

    fn failed(&mut self, name: &[u8], error: &FilesError) -> Result<()> {
        self.copied.failed += 1;
        let path = self.path(name);
        self.tell(Told::Failed { path: &path, reason: error.to_string() })
    }

    fn done(&mut self, name: &[u8]) -> Result<()> {
        self.copied.entries += 1;
        let path = self.path(name);
        self.tell(Told::Copied(&path))
    }

    fn tell(&mut self, told: Told<'_>) -> Result<()> {
        if (self.hears)(told) { Ok(()) } else { Err(FilesError::Stopped) }
    }

    fn path(&self, name: &[u8]) -> Vec<u8> {
        let names = self.stack.iter().map(|level| &level.entry.name[..]).chain([name]);
        names.filter(|name| !name.is_empty()).collect::<Vec<_>>().join(&b'/')
    }

    fn enter(&mut self, entry: Entry) -> Result<()> {
        let here = self.here()?;
        let there = here.look(&entry.name).map_err(|error| cannot("look at", error))?;
        let is_new = match there {
            None => {
                here.make(&entry.name).map_err(|error| cannot("make", error))?;
                true
            }
            Some(stat) if stat.file_type == FileType::Directory => false,
            Some(_) => return Err(FilesError::Unsupported("something else stands in the directory's place".into())),
        };
        let directory = here.open(&entry.name).map_err(|error| cannot("open", error))?;
        let name = entry.name.clone();
        self.enter_into(entry, Some((directory, is_new)))?;
        self.copied.entries += 1;
        let path = self.path(b"");
        debug_assert!(path.ends_with(&name));
        self.tell(Told::Copied(&path))
    }

    /// Puts a directory's entries on the stack. One that cannot be listed is there, and empty.
    fn enter_into(&mut self, entry: Entry, made: Option<(Directory, bool)>) -> Result<()> {
        let listed = self.seen.enter(&entry).and_then(|()| list(self.filesystem, &entry));
        let (directory, is_new) = made.map_or((None, false), |(directory, is_new)| (Some(directory), is_new));
        let (left, trouble) = match listed {
            Ok(entries) => (entries, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        self.stack.push(Level { directory, entry, left: left.into_iter(), is_new });
        if let Some(far) = self.stack.len().checked_sub(OPEN + 1) {
            self.stack[far].directory = None;
        }
        match trouble {
            Some(error) => self.failed(b"", &error),
            None => Ok(()),
        }
    }

    /// The directory that is being filled.
    fn here(&mut self) -> Result<&Directory> {
        let Some(last) = self.stack.len().checked_sub(1).filter(|last| !self.is_target(*last)) else {
            return Ok(&self.target);
        };
        if self.stack[last].directory.is_none() {
            let found = self.walk(last)?;
            self.stack[last].directory = Some(found);
        }
        Ok(self.stack[last].directory.as_ref().unwrap_or(&self.target))
    }

    /// The lowest level is the target itself if it has no name.
    fn is_target(&self, level: usize) -> bool {
        level == 0 && self.stack[0].entry.name.is_empty()
    }

    /// Goes down from the nearest directory that is open, name by name.
    fn walk(&self, level: usize) -> Result<Directory> {
        let nearest = (0..level).rev().find(|near| self.stack[*near].directory.is_some());
        let mut found: Option<Directory> = None;
        for next in nearest.map_or(0, |near| near + 1)..=level {
            if self.is_target(next) {
                continue;
            }
            let known = nearest.and_then(|near| self.stack[near].directory.as_ref()).unwrap_or(&self.target);
            let from = found.as_ref().unwrap_or(known);
            found = Some(from.open(&self.stack[next].entry.name).map_err(|error| cannot("open", error))?);
        }
        found.ok_or(FilesError::Stopped)
    }

    /// Nobody touches its inside any more: its times can be set.
    fn leave(&mut self) -> Result<()> {
        let is_target = self.is_target(self.stack.len() - 1);
        let set = match self.stack.last().is_some_and(|level| level.is_new) && !is_target {
            true => {
                let entry = self.stack.last().map(|level| level.entry.clone());
                let readable = self.here()?.readable().map_err(|error| cannot("open", error));
                readable.and_then(|open| match &entry {
                    Some(entry) => {
                        create::set_metadata(&open, &metadata(entry)).map_err(|error| cannot("set the times of", error))
                    }
                    None => Ok(()),
                })
            }
            false => Ok(()),
        };
        let told = set.err().map(|error| self.failed(b"", &error));
        self.stack.pop();
        told.unwrap_or(Ok(()))
    }

    /// Makes room for a file or link.
    fn clear(&mut self, name: &[u8]) -> Result<()> {
        let existing = self.existing;
        let here = self.here()?;
        match here.look(name).map_err(|error| cannot("look at", error))? {
            None => Ok(()),
            Some(stat) if stat.file_type == FileType::Directory => {
                Err(FilesError::Unsupported("a directory stands in its place".into()))
            }
            Some(_) if existing == Existing::Keep => Err(FilesError::Unsupported("it is there already".into())),
            Some(_) => here.remove(name).map_err(|error| cannot("replace", error)),
        }
    }

    fn link(&mut self, entry: &Entry) -> Result<()> {
        let points = self.filesystem.link(entry)?;
        self.clear(&entry.name)?;
        let here = self.here()?;
        here.symlink(&entry.name, &points).map_err(|error| cannot("make", error))?;
        let wanted = Metadata { mode: None, ..metadata(entry) };
        here.set_metadata(&entry.name, &wanted).map_err(|error| cannot("set the times of", error))?;
        self.done(&entry.name)
    }

    fn file(&mut self, entry: &Entry) -> Result<()> {
        self.clear(&entry.name)?;
        let file = self.here()?.create(&entry.name, 0o600).map_err(|error| cannot("make", error))?;
        let written = self.content(entry, file);
        if written.is_err() {
            // Half a file would pass for a whole one.
            _ = self.here()?.remove(&entry.name);
        }
        written?;
        self.done(&entry.name)
    }

    fn content(&mut self, entry: &Entry, file: File) -> Result<()> {
        let mut sparse = Sparse { file, position: 0 };
        let (filesystem, hears, copied) = (self.filesystem, &mut self.hears, &mut self.copied);
        filesystem.read(entry, &mut |piece| {
            sparse.write(piece).map_err(|error| cannot("write", error))?;
            copied.bytes += piece.len() as u64;
            if hears(Told::Bytes(piece.len() as u64)) { Ok(()) } else { Err(FilesError::Stopped) }
        })?;
        let Sparse { file, position } = sparse;
        file.set_len(position).map_err(|error| cannot("write", error))?;
        create::set_metadata(&file, &metadata(entry)).map_err(|error| cannot("set the times of", error))?;
        create::close(file).map_err(|error| cannot("write", error))
    }
}

/// A file that is written from its beginning, without what is zero.
struct Sparse {
    file: File,
    position: u64,
}

impl Sparse {
    fn write(&mut self, mut piece: &[u8]) -> std::io::Result<()> {
        while !piece.is_empty() {
            let is_zero = |block: &[u8]| block.iter().all(|byte| *byte == 0);
            let kind = is_zero(&piece[..piece.len().min(BLOCK)]);
            let blocks = piece.chunks(BLOCK).take_while(|block| is_zero(block) == kind);
            let length = blocks.map(<[u8]>::len).sum();
            if !kind {
                self.file.seek(SeekFrom::Start(self.position))?;
                self.file.write_all(&piece[..length])?;
            }
            self.position += length as u64;
            piece = &piece[length..];
        }
        Ok(())
    }
}

/// Directories that were entered: each once, so that one that contains itself has an end.
pub(super) struct Seen {
    known: HashSet<u64>,
    count: u64,
    most: u64,
}

impl Seen {
    pub(super) fn new(filesystem: &dyn Filesystem) -> Seen {
        Seen { known: HashSet::new(), count: 0, most: filesystem.most_directories() }
    }

    pub(super) fn enter(&mut self, directory: &Entry) -> Result<()> {
        self.count += 1;
        let is_new = match &directory.handle {
            Handle::Path(_) => self.count <= self.most,
            Handle::Record(number) => self.known.insert(*number),
            Handle::Clusters(clusters) => self.known.insert(clusters.first.into()),
        };
        match is_new {
            true => Ok(()),
            false => Err(FilesError::Damaged("it is in more than one place".into())),
        }
    }
}

fn metadata(entry: &Entry) -> Metadata<'static> {
    let times = Some((entry.accessed, entry.modified));
    Metadata { owner: entry.owner, attributes: None, mode: Some(entry.mode), times }
}

fn cannot(what: &str, error: std::io::Error) -> FilesError {
    FilesError::Target(format!("cannot {what} it in the target: {error}"))
}

fn told(file_type: FileType) -> &'static str {
    match file_type {
        FileType::BlockDevice | FileType::CharDevice => "a device",
        FileType::Fifo => "a named pipe",
        FileType::Socket => "a socket",
        _ => "of an unknown kind",
    }
}
