//! Files of one repository's cache: `<base>/<repository id>/{index,snapshots,data}/ab/ab…`, as restic lays them out.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// Tells backup programs to leave the directory out.
const TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
    # This file is a cache directory tag, see http://www.brynosaurus.com/cachedir/\n";

/// restic's number of this layout.
const VERSION: &str = "1";

#[derive(Debug)]
pub(super) struct Directory {
    root: PathBuf,
    /// A write failed (full or read-only): not tried again.
    closed: AtomicBool,
}

impl Directory {
    pub(super) fn open(base: &Path, id: &str) -> io::Result<Directory> {
        let is_name = !id.is_empty() && id.bytes().all(|letter| letter.is_ascii_alphanumeric());
        if !is_name {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{id:?} is no repository id")));
        }
        make_private(base)?;
        let root = base.join(id);
        let closed = Self::prepare(base, &root).is_err();
        if closed && !root.is_dir() {
            make_private(&root)?;
        }
        Ok(Directory { root, closed: AtomicBool::new(closed) })
    }

    fn prepare(base: &Path, root: &Path) -> io::Result<()> {
        write_if_missing(&base.join("CACHEDIR.TAG"), TAG)?;
        make_private(root)?;
        write_if_missing(&root.join("version"), VERSION)?;
        // When the cache was last used is how old ones are found.
        let _ = File::open(root).and_then(|root| root.set_modified(std::time::SystemTime::now()));
        Ok(())
    }

    fn path(&self, file: &FileName) -> PathBuf {
        let id = file.id.to_string();
        self.root.join(file.kind.directory()).join(&id[..2]).join(id)
    }

    pub(super) fn read(&self, file: &FileName, part: Part, into: &mut Vec<u8>) -> io::Result<()> {
        let mut stored = File::open(self.path(file))?;
        let size = stored.metadata()?.len();
        let (offset, length) = part.within(size, file).map_err(io::Error::other)?;
        into.clear();
        into.try_reserve(length).map_err(|_| io::ErrorKind::OutOfMemory)?;
        stored.seek(SeekFrom::Start(offset))?;
        stored.take(length as u64).read_to_end(into)?;
        if into.len() == length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Stores a copy; false if that failed.
    pub(super) fn write(&self, file: &FileName, content: &[u8]) -> bool {
        if self.closed.load(Ordering::Relaxed) {
            return false;
        }
        let result = self.place(file, content);
        if result.is_err() {
            self.closed.store(true, Ordering::Relaxed);
        }
        result.is_ok()
    }

    fn place(&self, file: &FileName, content: &[u8]) -> io::Result<()> {
        let path = self.path(file);
        if let Some(parent) = path.parent() {
            make_private(parent)?;
        }
        let mut temporary = path.clone().into_os_string();
        temporary.push(format!("-tmp-{:016x}", rand::random::<u64>()));
        // Not flushed: a file that a crash left damaged is found by its hash.
        let written = File::create_new(&temporary).and_then(|mut file| file.write_all(content));
        let placed = written.and_then(|()| fs::rename(&temporary, &path));
        if placed.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        placed
    }

    pub(super) fn remove(&self, file: &FileName) {
        let _ = fs::remove_file(self.path(file));
    }

    pub(super) fn list(&self, kind: FileKind) -> Vec<Id> {
        let shards = fs::read_dir(self.root.join(kind.directory())).into_iter().flatten().flatten();
        let files = shards.flat_map(|shard| fs::read_dir(shard.path()).into_iter().flatten().flatten());
        files.filter_map(|file| file.file_name().to_str()?.parse().ok()).collect()
    }
}

/// Makes a directory, and those above it, that only its owner may use.
fn make_private(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn write_if_missing(path: &Path, content: &str) -> io::Result<()> {
    match File::create_new(path) {
        Ok(mut file) => file.write_all(content.as_bytes()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}
