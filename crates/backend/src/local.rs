//! A repository in a directory, laid out as restic does.
//!
//! A file is written under a temporary name, flushed, renamed, and its directory flushed: it is whole and durable
//! before it has its name, and a name never changes its content. Snapshots and index files are removed durably. A flush that failed is never repeated on the same
//! file, because the kernel may have dropped what it could not write: the file is written again from the source.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::{Backend, Class, Error, FileInfo, FileKind, FileName, Id, Part, Result, Upload};

mod draft;
mod place;

/// How often a file is written afresh when storing it fails.
const ATTEMPTS: u32 = 3;

/// From here on, reading in growing steps beats clearing memory first.
const LARGE_READ: usize = 16 << 10;

/// A directory of this machine.
#[derive(Clone, Debug)]
pub struct Local {
    /// As it was named, for people.
    named: PathBuf,
    /// Absolute, so that it stays the same place when somebody changes the working directory.
    root: PathBuf,
    connections: usize,
}

impl Local {
    /// The repository in directory `root`, which need not exist yet; `connections` files are read or written at once.
    /// A relative path begins where the process works now, wherever it works later.
    pub fn new(root: impl Into<PathBuf>, connections: usize) -> Local {
        let named = root.into();
        // There may be no working directory any more: then every operation says so.
        let root = std::path::absolute(&named).unwrap_or_else(|_| named.clone());
        Local { named, root, connections: connections.max(1) }
    }

    fn path(&self, file: &FileName) -> PathBuf {
        self.root.join(file.path())
    }

    /// False only where a look says so: a look that fails does not mean that nothing is there.
    fn exists(&self) -> bool {
        let there = |name| self.root.join(name).try_exists().unwrap_or(true);
        there("config") || there("keys")
    }

    fn no_repository(&self, action: &'static str) -> Error {
        Error::new(Class::NotFound, action, self.location(), "there is no repository")
    }

    /// An error about `file`; where the repository itself is missing (a disk that is not mounted), one about that.
    fn error(&self, action: &'static str, file: &FileName, error: &io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::NotFound if !self.exists() => self.no_repository(action),
            io::ErrorKind::NotFound => Error::not_found(action, file),
            _ => Error::io(action, self.path(file).display(), error),
        }
    }

    fn write_once(&self, path: &Path, content: &[u8], how: place::Existing) -> io::Result<()> {
        let directory = path.parent().unwrap_or(&self.root);
        match place::file(path, directory, content, how) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.exists() => {
                make_directory(directory)?;
                place::file(path, directory, content, how)
            }
            result => result,
        }
    }

    fn store(&self, file: &FileName, content: &[u8], how: place::Existing) -> Result<()> {
        let path = self.path(file);
        let mut attempt = 1;
        loop {
            match self.write_once(&path, content, how) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return self.same(file, &path, content),
                Err(error) => {
                    let error = self.error("write", file, &error);
                    if attempt == ATTEMPTS || !error.is_retryable() {
                        return Err(error);
                    }
                    attempt += 1;
                }
            }
        }
    }

    /// Success if `path` holds `content`, which is flushed: whoever wrote it may have died before that.
    fn same(&self, file: &FileName, path: &Path, content: &[u8]) -> Result<()> {
        let compare = || -> io::Result<bool> {
            let stored = File::open(path)?;
            if stored.metadata()?.len() != content.len() as u64 || !equals(&stored, content)? {
                return Ok(false);
            }
            stored.sync_all()?;
            place::flush_directory(path.parent().unwrap_or(&self.root))?;
            Ok(true)
        };
        match compare() {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::exists(file)),
            Err(error) => Err(self.error("write", file, &error)),
        }
    }

    fn list_directory(&self, directory: &Path, prefix: &str, into: &mut Vec<FileInfo>) -> io::Result<()> {
        let entries = match fs::read_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let id = name.to_str().filter(|name| name.starts_with(prefix)).and_then(|name| name.parse::<Id>().ok());
            let Some(id) = id else { continue };
            match regular_size(&entry) {
                Ok(Some(size)) => into.push(FileInfo { id, size }),
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Backend for Local {
    fn location(&self) -> String {
        self.named.display().to_string()
    }

    fn connections(&self) -> usize {
        self.connections
    }

    fn create(&self) -> Result<()> {
        let make = || -> io::Result<()> {
            make_directory(&self.root)?;
            for kind in FileKind::NAMED {
                make_directory(&self.root.join(kind.directory()))?;
            }
            let data = self.root.join(FileKind::Pack.directory());
            for shard in 0..=255u8 {
                place::new_directory(&data.join(format!("{shard:02x}")))?;
            }
            place::flush_directory(&data)
        };
        make().map_err(|error| Error::io("create", self.location(), &error))
    }

    fn list(&self, kind: FileKind) -> Result<Vec<FileInfo>> {
        let mut files = Vec::new();
        let directory = self.root.join(kind.directory());
        let list = |files: &mut Vec<FileInfo>| match kind {
            FileKind::Config => list_config(&directory, files),
            FileKind::Pack => (0..=255u8).try_for_each(|shard| {
                let shard = format!("{shard:02x}");
                self.list_directory(&directory.join(&shard), &shard, files)
            }),
            _ => self.list_directory(&directory, "", files),
        };
        list(&mut files).map_err(|error| Error::io("list", directory.display(), &error))?;
        if files.is_empty() && !self.exists() {
            return Err(self.no_repository("list"));
        }
        Ok(files)
    }

    fn size(&self, file: &FileName) -> Result<u64> {
        let metadata = fs::metadata(self.path(file)).map_err(|error| self.error("read", file, &error))?;
        Ok(metadata.len())
    }

    fn read(&self, file: &FileName, part: Part, into: &mut Vec<u8>) -> Result<()> {
        let fail = |error: io::Error| self.error("read", file, &error);
        let mut stored = File::open(self.path(file)).map_err(fail)?;
        let size = stored.metadata().map_err(fail)?.len();
        let (offset, length) = part.within(size, file)?;
        read_part(&mut stored, offset, length, into).map_err(fail)?;
        match into.len() == length {
            true => Ok(()),
            false => Err(Error::short(file, offset + length as u64, offset + into.len() as u64)),
        }
    }

    fn write(&self, file: &FileName, content: &[u8]) -> Result<()> {
        self.store(file, content, place::Existing::Keep)
    }

    fn upload(&self, file: &FileName, length: Option<u64>) -> Result<Option<Box<dyn Upload>>> {
        Ok(Some(Box::new(draft::Draft::begin(self, file, length)?)))
    }

    fn remove(&self, file: &FileName) -> Result<()> {
        let path = self.path(file);
        match remove_durably(&path, file.kind) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.error("remove", file, &error)),
            _ => Ok(()),
        }
    }

    fn replace_config(&self, content: &[u8]) -> Result<()> {
        self.store(&FileName::CONFIG, content, place::Existing::Replace)
    }
}

/// Removes a file; one that names packs must stay removed when the power fails, for its packs are removed next.
fn remove_durably(path: &Path, kind: FileKind) -> io::Result<()> {
    fs::remove_file(path)?;
    match (kind, path.parent()) {
        (FileKind::Snapshot | FileKind::Index, Some(directory)) => place::flush_directory(directory),
        _ => Ok(()),
    }
}

/// Fills `into` without clearing its memory first. It stays shorter than `length` where the file ends early.
fn read_part(file: &mut File, offset: u64, length: usize, into: &mut Vec<u8>) -> io::Result<()> {
    if offset > 0 {
        file.seek(SeekFrom::Start(offset))?;
    }
    if length < LARGE_READ {
        into.resize(length, 0);
        let got = read_full(file, into)?;
        into.truncate(got);
        return Ok(());
    }
    into.clear();
    into.try_reserve(length).map_err(|_| io::ErrorKind::OutOfMemory)?;
    file.take(length as u64).read_to_end(into).map(drop)
}

fn read_full(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match file.read(&mut buffer[got..]) {
            Ok(0) => break,
            Ok(count) => got += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}

fn equals(mut file: &File, mut content: &[u8]) -> io::Result<bool> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(content.is_empty());
        }
        match content.split_at_checked(count) {
            Some((expected, rest)) if expected == &buffer[..count] => content = rest,
            _ => return Ok(false),
        }
    }
}

/// Size of a regular file, links followed; nothing for anything else.
fn regular_size(entry: &fs::DirEntry) -> io::Result<Option<u64>> {
    let mut metadata = entry.metadata()?;
    if metadata.is_symlink() {
        metadata = fs::metadata(entry.path())?;
    }
    Ok(metadata.is_file().then_some(metadata.len()))
}

fn list_config(path: &Path, into: &mut Vec<FileInfo>) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(metadata) => into.push(FileInfo { id: FileName::CONFIG.id, size: metadata.len() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Makes a directory and those above it, durably.
fn make_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_directory(parent)?;
    place::new_directory(path)?;
    place::flush_directory(parent)
}

#[cfg(test)]
mod tests;
