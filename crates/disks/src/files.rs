//! Single files out of an image, without restoring it: filesystems are read where they lie, chunk by chunk as they are needed.
//!
//! Whatever a volume says is foreign. Readers check every number, give errors instead of panics, and end: directories, names
//! and requests have limits. Nothing is written, not even what a journal holds.

mod chunks;
mod copy;
mod exfat;
mod ext;
mod fat;
mod guard;
mod lznt1;
mod ntfs;
mod volumes;

use std::sync::Arc;

use platform::{FileType, Time};

use copy::Seen;

pub use chunks::ChunkReader;
pub use copy::{Copied, Copying, Existing, Hears, Told};
pub use volumes::{Volume, open, open_volume, volumes};

use crate::ReadAt;
use crate::image::ImageError;
use crate::used::{Damage, Kind};

/// A volume's bytes, shared by everything that reads it.
pub type Bytes = Arc<dyn ReadAt>;

/// Why a file of an image cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// No such file.
    #[error("there is no {0}")]
    NotThere(String),
    /// Something else stands there.
    #[error("{0} is no directory")]
    NotADirectory(String),
    /// Something else stands there.
    #[error("{0} is no file")]
    NotAFile(String),
    /// The disk has no such partition.
    #[error("disk {disk} has no partition {wanted}; it has {has}")]
    NoPartition {
        /// The disk.
        disk: String,
        /// What was asked for.
        wanted: String,
        /// What there is.
        has: String,
    },
    /// A volume whose files are not read here.
    #[error("it holds {kind}, whose files are not read out of images")]
    Foreign {
        /// What it holds.
        kind: Kind,
        /// Where it begins on the disk, in bytes.
        start: u64,
        /// Its bytes.
        size: u64,
    },
    /// The volume's records contradict each other, or cannot be read.
    #[error("{0}")]
    Damaged(String),
    /// The reader has no means for it.
    #[error("{0}")]
    Unsupported(String),
    /// The image itself cannot be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The place that files are copied to does not take them.
    #[error("{0}")]
    Target(String),
    /// Whoever takes the bytes wants no more.
    #[error("stopped")]
    Stopped,
}

impl From<Damage> for FilesError {
    fn from(damage: Damage) -> FilesError {
        FilesError::Damaged(damage.to_string())
    }
}

/// What readers return.
pub type Result<T> = std::result::Result<T, FilesError>;

/// Takes what is in a directory, one after the other.
pub type Each<'e> = &'e mut dyn FnMut(Entry) -> Result<()>;

/// Takes a file's bytes, piece by piece.
pub type Take<'t> = &'t mut dyn FnMut(&[u8]) -> Result<()>;

/// One name in a directory, and what stands under it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name: the bytes that the filesystem has, UTF-8 where it keeps characters (a half of a surrogate pair as WTF-8).
    pub name: Vec<u8>,
    /// What it is. Only files, directories and links have content here.
    pub file_type: FileType,
    /// Bytes; 0 for what is no file.
    pub size: u64,
    /// Permission bits with set-uid, set-gid and sticky. Where the filesystem has none: 0644 and 0755.
    pub mode: u32,
    /// User and group, if the filesystem has them.
    pub owner: Option<(u32, u32)>,
    /// When the content changed. FAT and exFAT may keep local time without a zone, which is taken for UTC.
    pub modified: Time,
    /// When it was read.
    pub accessed: Time,
    /// When its metadata changed.
    pub changed: Time,
    /// Its number in the filesystem; 0 if that is not told.
    pub inode: u64,
    /// Why its content cannot be had, if that is known already.
    pub trouble: Option<String>,
    /// How the reader finds it again.
    handle: Handle,
}

#[derive(Clone, Debug)]
enum Handle {
    /// By its path.
    Path(Vec<u8>),
    /// By the number of its record.
    Record(u64),
    /// By its clusters.
    Clusters(Clusters),
}

/// Where a file of a FAT or exFAT lies.
#[derive(Clone, Copy, Debug)]
struct Clusters {
    first: u32,
    /// Bytes that have clusters.
    length: u64,
    /// Bytes that were written; what follows up to the size reads as zeros.
    valid: u64,
    /// The clusters follow one another, and the table says nothing about them.
    is_contiguous: bool,
}

impl Entry {
    fn new(name: Vec<u8>, file_type: FileType, handle: Handle) -> Entry {
        let mode = if file_type == FileType::Directory { 0o755 } else { 0o644 };
        let (size, owner, inode, trouble) = Default::default();
        let (modified, accessed, changed) = Default::default();
        Entry { name, file_type, size, mode, owner, modified, accessed, changed, inode, trouble, handle }
    }

    fn troubled(mut self, trouble: impl Into<String>) -> Entry {
        self.trouble = Some(trouble.into());
        self
    }

    /// True for a directory.
    pub fn is_directory(&self) -> bool {
        self.file_type == FileType::Directory
    }
}

/// A filesystem that is read.
pub trait Filesystem {
    /// The directory that everything is in; its name is empty.
    fn root(&self) -> Result<Entry>;

    /// Calls `each` for every name in a directory, in any order, without `.` and `..`. What is found but cannot be read is an
    /// entry with a trouble.
    fn list(&self, directory: &Entry, each: Each<'_>) -> Result<()>;

    /// Calls `each` with a file's bytes from its beginning, up to 1 MiB at a time; exactly as many as its size, or an error.
    fn read(&self, file: &Entry, each: Take<'_>) -> Result<()>;

    /// Where a symbolic link points; in filesystems that have none, nothing is one.
    fn link(&self, link: &Entry) -> Result<Vec<u8>> {
        Err(FilesError::NotAFile(shown(&link.name)))
    }

    /// How many directories it can have at most, where they cannot be told apart.
    fn most_directories(&self) -> u64 {
        u64::MAX
    }

    /// True if the filesystem takes an entry's name for `name`.
    fn is_named(&self, entry: &Entry, name: &[u8]) -> bool {
        entry.name == name
    }
}

/// Entries of one directory that are kept in memory; a directory with more is not listed.
const MOST_ENTRIES: usize = 500_000;

/// Bytes handed over at a time.
const PIECE: u64 = 1 << 20;

/// Longest target of a link.
const LONGEST_LINK: u64 = 64 << 10;

/// What is in a directory, in order of the names' bytes.
///
/// # Errors
/// Those of the reader, and [`FilesError::Unsupported`] for a directory of more than 500,000 entries. Of names that are there
/// twice, which no sound filesystem has, one is kept, with a trouble.
pub fn list(filesystem: &dyn Filesystem, directory: &Entry) -> Result<Vec<Entry>> {
    let mut entries: Vec<Entry> = Vec::new();
    filesystem.list(directory, &mut |entry| {
        if entries.len() >= MOST_ENTRIES {
            return Err(FilesError::Unsupported(format!("the directory has more than {MOST_ENTRIES} entries")));
        }
        entries.push(entry);
        Ok(())
    })?;
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    entries.dedup_by(|next, kept| {
        let is_same = next.name == kept.name;
        if is_same {
            kept.trouble = Some("its directory has the name twice".into());
        }
        is_same
    });
    Ok(entries)
}

/// Takes a path and what stands there, or why that cannot be listed.
pub type Found<'f> = &'f mut dyn FnMut(&[u8], Result<&Entry>) -> Result<()>;

/// Calls `each` for everything below a directory, with its path from there: a directory before what is in it, in order of the
/// names' bytes. What cannot be listed is told as an error beside its path, and the rest goes on.
pub fn walk(filesystem: &dyn Filesystem, directory: &Entry, each: Found<'_>) -> Result<()> {
    let mut seen = Seen::new(filesystem);
    seen.enter(directory)?;
    let mut levels = vec![(Vec::new(), list(filesystem, directory)?.into_iter())];
    while let Some((path, left)) = levels.last_mut() {
        let Some(entry) = left.next() else {
            levels.pop();
            continue;
        };
        let path = if path.is_empty() { entry.name.clone() } else { [&path[..], b"/", &entry.name].concat() };
        each(&path, Ok(&entry))?;
        if entry.is_directory() {
            match seen.enter(&entry).and_then(|()| list(filesystem, &entry)) {
                Ok(below) => levels.push((path, below.into_iter())),
                Err(error) => each(&path, Err(error))?,
            }
        }
    }
    Ok(())
}

/// What stands at an absolute path: the names between its slashes, one after the other; links on the way are not followed.
pub fn find(filesystem: &dyn Filesystem, path: &[u8]) -> Result<Entry> {
    let mut here = filesystem.root()?;
    let mut way = Vec::new();
    for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
        if !here.is_directory() {
            return Err(FilesError::NotADirectory(shown(&way)));
        }
        let mut found = None;
        filesystem.list(&here, &mut |entry| {
            // A name in other letters gives way to the exact one.
            let is_better = entry.name == name || found.is_none() && filesystem.is_named(&entry, name);
            if is_better {
                found = Some(entry);
            }
            Ok(())
        })?;
        way.push(b'/');
        way.extend_from_slice(name);
        here = found.ok_or_else(|| FilesError::NotThere(shown(&way)))?;
    }
    Ok(here)
}

/// A path for people; `/` for the root.
fn shown(path: &[u8]) -> String {
    if path.is_empty() { "/".into() } else { String::from_utf8_lossy(path).into_owned() }
}

/// True if two names of text differ in their letters' case at most.
fn is_same_but_case(a: &[u8], b: &[u8]) -> bool {
    let (Ok(a), Ok(b)) = (std::str::from_utf8(a), std::str::from_utf8(b)) else { return false };
    a.chars().flat_map(char::to_uppercase).eq(b.chars().flat_map(char::to_uppercase))
}
