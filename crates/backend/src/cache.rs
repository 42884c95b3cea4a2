//! A local copy of what is read again and again: snapshots, index files and packs of trees, laid out as in restic's
//! cache.
//!
//! A file's name is the hash of its content, which is checked when it is first read by this process; what is damaged
//! is dropped and fetched again. A cache that cannot be written or read is no error: the storage has everything. What
//! is removed from the storage leaves the cache first.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use parking_lot::{Mutex, RwLock};

use crate::{Backend, FileInfo, FileKind, FileName, Hint, Id, Part, Result};

mod directory;
mod old;

use directory::Directory;
pub use old::{CacheInfo, list_caches, remove_cache};

/// A backend with a cache before it.
pub struct Cache<B> {
    inner: B,
    directory: Directory,
    tree_packs: RwLock<HashSet<Id>>,
    /// Files whose content was seen to have the hash they are named by.
    verified: Mutex<HashSet<FileName>>,
}

impl<B: Backend> Cache<B> {
    /// Puts the cache of repository `id` (as its config says it) below `base` before `inner`. An error means that no
    /// cache can be made there; later failures only cost speed.
    pub fn new(inner: B, base: &Path, id: &str) -> io::Result<Cache<B>> {
        let directory = Directory::open(base, id)?;
        Ok(Cache { inner, directory, tree_packs: RwLock::default(), verified: Mutex::default() })
    }

    fn keeps(&self, file: &FileName) -> bool {
        match file.kind {
            FileKind::Snapshot | FileKind::Index => true,
            FileKind::Pack => self.tree_packs.read().contains(&file.id),
            FileKind::Config | FileKind::Key | FileKind::Lock => false,
        }
    }

    /// Reads from the cache; false where it has no such file or a damaged one.
    fn read_cached(&self, file: &FileName, part: Part, into: &mut Vec<u8>) -> bool {
        if self.verified.lock().contains(file) {
            return self.directory.read(file, part, into).is_ok() || self.drop_cached(file);
        }
        if self.directory.read(file, Part::Whole, into).is_err() {
            return false;
        }
        if Id::of(into) != file.id {
            return self.drop_cached(file);
        }
        self.verified.lock().insert(*file);
        cut(file, part, into).is_ok()
    }

    fn drop_cached(&self, file: &FileName) -> bool {
        self.verified.lock().remove(file);
        self.directory.remove(file);
        false
    }

    /// Keeps a copy, if it is what its name says.
    fn keep(&self, file: &FileName, content: &[u8]) {
        let is_right = self.verified.lock().contains(file) || Id::of(content) == file.id;
        if is_right && self.directory.write(file, content) {
            self.verified.lock().insert(*file);
        }
    }

    /// Drops copies of files that the storage no longer has.
    fn forget_unlisted(&self, kind: FileKind, files: &[FileInfo]) {
        let cached = self.directory.list(kind);
        if cached.is_empty() {
            return;
        }
        let listed: HashSet<Id> = files.iter().map(|file| file.id).collect();
        for id in cached.into_iter().filter(|id| !listed.contains(id)) {
            self.drop_cached(&FileName::new(kind, id));
        }
    }
}

/// Leaves only a part of a whole file.
fn cut(file: &FileName, part: Part, content: &mut Vec<u8>) -> Result<()> {
    let (offset, length) = part.within(content.len() as u64, file)?;
    content.truncate(offset as usize + length);
    content.drain(..offset as usize);
    Ok(())
}

impl<B: Backend> Backend for Cache<B> {
    fn location(&self) -> String {
        self.inner.location()
    }
    fn connections(&self) -> usize {
        self.inner.connections()
    }
    fn create(&self) -> Result<()> {
        self.inner.create()
    }

    fn list(&self, kind: FileKind) -> Result<Vec<FileInfo>> {
        let files = self.inner.list(kind)?;
        if matches!(kind, FileKind::Snapshot | FileKind::Index | FileKind::Pack) {
            self.forget_unlisted(kind, &files);
        }
        Ok(files)
    }

    fn size(&self, file: &FileName) -> Result<u64> {
        self.inner.size(file)
    }

    fn read(&self, file: &FileName, part: Part, into: &mut Vec<u8>) -> Result<()> {
        if !self.keeps(file) {
            return self.inner.read(file, part, into);
        }
        if self.read_cached(file, part, into) {
            return Ok(());
        }
        self.inner.read(file, Part::Whole, into)?;
        self.keep(file, into);
        cut(file, part, into)
    }

    fn write(&self, file: &FileName, content: &[u8]) -> Result<()> {
        self.inner.write(file, content)?;
        if self.keeps(file) {
            self.keep(file, content);
        }
        Ok(())
    }

    fn remove(&self, file: &FileName) -> Result<()> {
        if matches!(file.kind, FileKind::Snapshot | FileKind::Index | FileKind::Pack) {
            self.drop_cached(file);
        }
        self.inner.remove(file)
    }

    fn replace_config(&self, content: &[u8]) -> Result<()> {
        self.inner.replace_config(content)
    }

    fn hint(&self, hint: Hint<'_>) {
        let Hint::TreePacks(packs) = hint;
        self.tree_packs.write().extend(packs);
        self.inner.hint(hint);
    }
}

#[cfg(test)]
mod tests;
