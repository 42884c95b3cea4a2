//! A directory of this machine before a storage: what is written stays in the directory until somebody sends it; what is read
//! comes from there or from the storage.
//!
//! The directory is laid out like a repository. Config and keys are copies of the storage's. When the directory is full, packs
//! go straight to the storage. Without the storage, listings of what it has are those of the last time it was reached.
//!
//! What is below `data` may be left out of an image of the disk that the directory is on: a restored disk has the names and not
//! the content. So a file there tells whether this is the directory that packs were written to.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{Backend, Class, Error, FileInfo, FileKind, FileName, Hint, Id, Local, Part, Result};

/// So much room is held back for index files and snapshots, which name what is there.
const RESERVE: usize = 8 << 20;

/// Files are written to the directory by so many threads.
const CONNECTIONS: usize = 4;

/// A file below `data`, and what it says; long enough that no filesystem keeps it beside its inode.
const PROOF: &str = "data/proof";
const PROOF_LINE: &str = "What is in this folder is what was written into it.\n";
const PROOF_LINES: usize = 1024;

/// For people.
const README: &str = "This is a spool of stead: parts of images that wait until they are sent to a repository.

`stead disk send --spool` with the directory above this one sends them. If you find this on a disk that was restored from
an image: what is in `data` was left out of the image, its content is undefined, and stead will not use it. Remove this
directory then.
";

/// Says whether a pack of so many bytes shall not lie in the directory, because too little room would be left.
pub type Brim = Arc<dyn Fn(u64) -> bool + Send + Sync>;

/// A directory before a storage.
pub struct Spool {
    near: Local,
    far: Arc<dyn Backend>,
    root: PathBuf,
    brim: Option<Brim>,
}

impl Spool {
    /// The spool in a directory, before the storage that its files are for.
    pub fn new(root: &Path, far: Arc<dyn Backend>) -> Spool {
        Spool { near: Local::new(root, CONNECTIONS), far, root: root.to_owned(), brim: None }
    }

    /// Counts the directory as full when `brim` says so, not only when nothing can be written any more.
    pub fn full_at(mut self, brim: Option<Brim>) -> Spool {
        self.brim = brim;
        self
    }

    /// Where packs lie; nothing else is big.
    pub fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// False if the directory came back with a disk's image, or was damaged: what is in its files is not what was written. Of
    /// one that was never prepared nothing can be wrong.
    pub fn is_itself(&self) -> bool {
        match std::fs::read(self.root.join(PROOF)) {
            Ok(content) => content == PROOF_LINE.repeat(PROOF_LINES).as_bytes(),
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        }
    }

    /// Written once, and on the disk when this returns.
    fn write_proof(&self) -> std::io::Result<()> {
        use std::io::Write;
        let path = self.root.join(PROOF);
        if path.exists() {
            return Ok(());
        }
        let mut file = std::fs::File::create(path)?;
        file.write_all(PROOF_LINE.repeat(PROOF_LINES).as_bytes())?;
        file.sync_all()
    }

    /// What is in the directory alone.
    pub fn near(&self) -> &Local {
        &self.near
    }

    /// Makes the directory, and copies config and keys from the storage, so that the repository can be opened without it.
    pub fn prepare(&self) -> Result<()> {
        self.near.create()?;
        let keys = self.far.list(FileKind::Key)?;
        let mut content = Vec::new();
        for key in &keys {
            let file = FileName::new(FileKind::Key, key.id);
            self.far.read(&file, Part::Whole, &mut content)?;
            self.near.write(&file, &content)?;
        }
        for old in self.near.list(FileKind::Key)? {
            if !keys.iter().any(|key| key.id == old.id) {
                self.near.remove(&FileName::new(FileKind::Key, old.id))?;
            }
        }
        self.far.read(&FileName::CONFIG, Part::Whole, &mut content)?;
        let mut known = Vec::new();
        if self.near.read(&FileName::CONFIG, Part::Whole, &mut known).is_err() || known != content {
            self.near.replace_config(&content)?;
        }
        let written = std::fs::write(self.root.join("README"), README).and_then(|()| self.write_proof());
        if written.is_err() {
            let _ = std::fs::remove_file(self.root.join(PROOF));
        }
        // Written, not only promised. In a directory that is full already there is nothing to hold back.
        if !self.reserve().exists() && std::fs::write(self.reserve(), vec![0; RESERVE]).is_err() {
            let _ = std::fs::remove_file(self.reserve());
        }
        Ok(())
    }

    fn reserve(&self) -> PathBuf {
        self.root.join("reserve")
    }

    /// A pack that the directory has no room for goes to the storage; if that cannot be reached, the directory is full.
    fn write_past(&self, full: Error, file: &FileName, content: &[u8]) -> Result<()> {
        match self.far.write(file, content) {
            Err(error) if error.class == Class::Offline => Err(full),
            written => written,
        }
    }

    /// The storage's files of a kind; of the last time, if it cannot be reached now.
    fn list_far(&self, kind: FileKind) -> Result<Vec<FileInfo>> {
        match (self.far.list(kind), kind) {
            (Ok(files), FileKind::Index | FileKind::Snapshot) => {
                self.remember(kind, &files);
                Ok(files)
            }
            (Err(error), FileKind::Index | FileKind::Snapshot) if error.class == Class::Offline => {
                self.remembered(kind).ok_or(error)
            }
            // Its packs are named by its index files.
            (Err(error), FileKind::Pack) if error.class == Class::Offline => Ok(Vec::new()),
            (files, _) => files,
        }
    }

    fn list_file(&self, kind: FileKind) -> PathBuf {
        self.root.join(format!("storage-has-{}", kind.directory()))
    }

    /// An old list would be worse than none.
    fn remember(&self, kind: FileKind, files: &[FileInfo]) {
        let path = self.list_file(kind);
        let lines: String = files.iter().map(|file| format!("{} {}\n", file.id, file.size)).collect();
        let new = path.with_extension("new");
        let written = std::fs::write(&new, lines).and_then(|()| std::fs::rename(&new, &path));
        if written.is_err() {
            let _ = std::fs::remove_file(&path);
        }
    }

    fn remembered(&self, kind: FileKind) -> Option<Vec<FileInfo>> {
        let text = std::fs::read_to_string(self.list_file(kind)).ok()?;
        let line = |line: &str| {
            let (id, size) = line.split_once(' ')?;
            Some(FileInfo { id: id.parse::<Id>().ok()?, size: size.parse().ok()? })
        };
        text.lines().map(line).collect()
    }
}

impl Backend for Spool {
    fn location(&self) -> String {
        self.far.location()
    }

    fn connections(&self) -> usize {
        CONNECTIONS
    }

    fn create(&self) -> Result<()> {
        self.near.create()
    }

    fn list(&self, kind: FileKind) -> Result<Vec<FileInfo>> {
        if matches!(kind, FileKind::Key | FileKind::Config) {
            return self.near.list(kind);
        }
        let mut files = self.near.list(kind)?;
        let here: HashSet<Id> = files.iter().map(|file| file.id).collect();
        files.extend(self.list_far(kind)?.into_iter().filter(|file| !here.contains(&file.id)));
        Ok(files)
    }

    fn size(&self, file: &FileName) -> Result<u64> {
        match self.near.size(file) {
            Err(error) if error.is_not_found() => self.far.size(file),
            size => size,
        }
    }

    fn read(&self, file: &FileName, part: Part, into: &mut Vec<u8>) -> Result<()> {
        match self.near.read(file, part, into) {
            Err(error) if error.is_not_found() => self.far.read(file, part, into),
            read => read,
        }
    }

    fn write(&self, file: &FileName, content: &[u8]) -> Result<()> {
        if file.kind == FileKind::Pack && self.brim.as_ref().is_some_and(|brim| brim(content.len() as u64)) {
            let place = self.root.join(file.path());
            let full = Error::new(
                Class::Full,
                "write",
                place.display(),
                "there is room left that is meant for others, and no more is taken",
            );
            return self.write_past(full, file, content);
        }
        match self.near.write(file, content) {
            Err(full) if full.class == Class::Full && file.kind == FileKind::Pack => {
                self.write_past(full, file, content)
            }
            Err(full) if full.class == Class::Full && std::fs::remove_file(self.reserve()).is_ok() => {
                self.near.write(file, content)
            }
            written => written,
        }
    }

    fn remove(&self, file: &FileName) -> Result<()> {
        self.near.remove(file)
    }

    fn replace_config(&self, _: &[u8]) -> Result<()> {
        Err(Error::new(Class::Rejected, "write", FileName::CONFIG.path(), "settings are not changed through a spool"))
    }

    fn hint(&self, hint: Hint<'_>) {
        self.far.hint(hint);
    }
}

/// A storage that could not be reached when it was needed: everything is an error of class `Offline`.
pub struct Unreachable {
    location: String,
    message: String,
}

impl Unreachable {
    /// The storage there, and why it cannot be reached.
    pub fn new(location: String, why: &Error) -> Unreachable {
        Unreachable { location, message: why.message.clone() }
    }

    fn error(&self, action: &'static str) -> Error {
        Error::new(Class::Offline, action, &self.location, &self.message)
    }
}

impl Backend for Unreachable {
    fn location(&self) -> String {
        self.location.clone()
    }

    fn connections(&self) -> usize {
        1
    }

    fn create(&self) -> Result<()> {
        Err(self.error("make"))
    }

    fn list(&self, _: FileKind) -> Result<Vec<FileInfo>> {
        Err(self.error("list"))
    }

    fn size(&self, _: &FileName) -> Result<u64> {
        Err(self.error("look at"))
    }

    fn read(&self, _: &FileName, _: Part, _: &mut Vec<u8>) -> Result<()> {
        Err(self.error("read"))
    }

    fn write(&self, _: &FileName, _: &[u8]) -> Result<()> {
        Err(self.error("write"))
    }

    fn remove(&self, _: &FileName) -> Result<()> {
        Err(self.error("remove"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Memory;

    const PACK: FileKind = FileKind::Pack;

    fn file(kind: FileKind, content: &[u8]) -> FileName {
        FileName::new(kind, Id::of(content))
    }

    fn far() -> Arc<Memory> {
        let far = Arc::new(Memory::new());
        far.create().unwrap();
        far.write(&FileName::CONFIG, b"config").unwrap();
        far.write(&file(FileKind::Key, b"key"), b"key").unwrap();
        far.write(&file(FileKind::Index, b"index"), b"index").unwrap();
        far
    }

    #[test]
    fn what_is_written_stays_here_and_both_are_read() {
        let (room, far) = (tempfile::tempdir().unwrap(), far());
        far.write(&file(PACK, b"there"), b"there").unwrap();
        let spool = Spool::new(room.path(), far.clone());
        spool.prepare().unwrap();
        spool.write(&file(PACK, b"here"), b"here").unwrap();
        assert!(far.size(&file(PACK, b"here")).unwrap_err().is_not_found());
        let mut names: Vec<u64> = spool.list(PACK).unwrap().iter().map(|file| file.size).collect();
        names.sort_unstable();
        assert_eq!(names, [4, 5]);
        let mut content = Vec::new();
        for known in [b"here".as_slice(), b"there"] {
            spool.read(&file(PACK, known), Part::Whole, &mut content).unwrap();
            assert_eq!(content, known);
        }
        assert_eq!(spool.near().list(PACK).unwrap().len(), 1);
    }

    #[test]
    fn a_directory_whose_content_is_gone_is_known() {
        let (room, far) = (tempfile::tempdir().unwrap(), far());
        let spool = Spool::new(room.path(), far);
        assert!(spool.is_itself(), "it is new");
        spool.prepare().unwrap();
        assert!(spool.is_itself() && room.path().join("README").exists());
        assert!(spool.near().list(PACK).unwrap().is_empty());
        let proof = room.path().join(PROOF);
        std::fs::write(&proof, vec![0; std::fs::metadata(&proof).unwrap().len() as usize]).unwrap();
        spool.prepare().unwrap();
        assert!(!spool.is_itself());
    }

    #[test]
    fn a_pack_that_is_too_much_goes_to_the_storage() {
        let (room, far) = (tempfile::tempdir().unwrap(), far());
        let spool = Spool::new(room.path(), far.clone()).full_at(Some(Arc::new(|bytes| bytes > 4)));
        spool.prepare().unwrap();
        for content in [b"here".as_slice(), b"there"] {
            spool.write(&file(PACK, content), content).unwrap();
        }
        assert_eq!(far.size(&file(PACK, b"there")).unwrap(), 5);
        assert_eq!(spool.near().list(PACK).unwrap().len(), 1);
        let why = Error::new(Class::Offline, "read", "x", "no route to host");
        let alone = Spool::new(room.path(), Arc::new(Unreachable::new("far".into(), &why)));
        let error = alone.full_at(Some(Arc::new(|_| true))).write(&file(PACK, b"more"), b"more").unwrap_err();
        assert_eq!(error.class, Class::Full);
    }

    #[test]
    fn without_the_storage_it_knows_what_was_there_the_last_time() {
        let (room, far) = (tempfile::tempdir().unwrap(), far());
        let spool = Spool::new(room.path(), far);
        spool.prepare().unwrap();
        let index = spool.list(FileKind::Index).unwrap();
        let why = Error::new(Class::Offline, "read", "x", "no route to host");
        let alone = Spool::new(room.path(), Arc::new(Unreachable::new("far".into(), &why)));
        assert_eq!(alone.list(FileKind::Index).unwrap(), index);
        let mut content = Vec::new();
        alone.read(&FileName::CONFIG, Part::Whole, &mut content).unwrap();
        assert_eq!(content, b"config");
        assert_eq!(alone.list(FileKind::Key).unwrap().len(), 1);
        assert_eq!(alone.list(FileKind::Snapshot).unwrap_err().class, Class::Offline, "nobody listed them before");
        assert_eq!(alone.size(&file(PACK, b"gone")).unwrap_err().class, Class::Offline);
    }
}
