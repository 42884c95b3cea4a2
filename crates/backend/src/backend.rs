//! The trait that every kind of storage implements.

use crate::{Error, FileKind, FileName, Id, Result, Upload};

/// A file as a listing shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileInfo {
    /// The file's name within its kind.
    pub id: Id,
    /// Stored bytes.
    pub size: u64,
}

/// Which bytes of a file to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// `length` bytes from `offset`; a file that ends earlier is an error of class `Corrupt`.
    Range {
        /// First byte.
        offset: u64,
        /// How many bytes.
        length: u64,
    },
    /// The last bytes, or the whole file where it is shorter.
    Tail(u64),
}

impl Part {
    /// Where this part lies in a file of `size` bytes, as offset and length; an error of class `Corrupt` where the
    /// file is too short for it.
    pub fn within(self, size: u64, file: &FileName) -> Result<(u64, usize)> {
        let (offset, length) = match self {
            Part::Whole => (0, size),
            Part::Range { offset, length } => (offset, length),
            Part::Tail(length) => (size.saturating_sub(length), length.min(size)),
        };
        let end = offset.checked_add(length).filter(|end| *end <= size);
        match (end, usize::try_from(length)) {
            (Some(_), Ok(length)) => Ok((offset, length)),
            _ => Err(Error::short(file, offset.saturating_add(length), size)),
        }
    }
}

/// Storage of repository files. All methods may be called from many threads at once.
///
/// # Invariants
/// - A file appears under its name whole or not at all, and is durable when `write` returns.
/// - `write` of bytes that are already stored under that name is success; other bytes under an existing name are an
///   error of class `Rejected`. A lost answer after a successful write is success.
/// - `remove` of a file that is not there is success.
pub trait Backend: Send + Sync {
    /// Where this is, for people: as they would name the repository, without passwords.
    fn location(&self) -> String;

    /// How many requests make sense at the same time.
    fn connections(&self) -> usize;

    /// Makes the layout of an empty repository; does nothing where it exists.
    fn create(&self) -> Result<()>;

    /// Lists the files of a kind in no order, without duplicates, temporary files left out; files with names that are
    /// no ids are passed over. A repository that does not exist is an error of class `NotFound`, never an empty list;
    /// a missing directory within one that exists is an empty list.
    fn list(&self, kind: FileKind) -> Result<Vec<FileInfo>>;

    /// Stored bytes of a file.
    fn size(&self, file: &FileName) -> Result<u64>;

    /// Replaces the content of `into` by the bytes asked for. A short answer is an error.
    fn read(&self, file: &FileName, part: Part, into: &mut Vec<u8>) -> Result<()>;

    /// Stores a file, durably.
    fn write(&self, file: &FileName, content: &[u8]) -> Result<()>;

    /// Begins a file whose bytes come in pieces, `length` of them if that is known. Default: `None`, this storage takes
    /// only whole files.
    fn upload(&self, _file: &FileName, _length: Option<u64>) -> Result<Option<Box<dyn Upload>>> {
        Ok(None)
    }

    /// Removes a file.
    fn remove(&self, file: &FileName) -> Result<()>;

    /// Replaces the config in one step, for a changed setting. Default: remove, then write.
    fn replace_config(&self, content: &[u8]) -> Result<()> {
        self.remove(&FileName::CONFIG)?;
        self.write(&FileName::CONFIG, content)
    }

    /// Takes note of what the repository knows and storage cannot see. Default: nothing; a cache listens.
    fn hint(&self, _hint: Hint<'_>) {}
}

/// What a repository tells its storage.
#[derive(Clone, Copy, Debug)]
pub enum Hint<'a> {
    /// These packs hold trees, which are read again and again. To be given before such a pack is written or read.
    TreePacks(&'a [Id]),
}

impl<B: Backend + ?Sized> Backend for std::sync::Arc<B> {
    fn location(&self) -> String {
        (**self).location()
    }
    fn connections(&self) -> usize {
        (**self).connections()
    }
    fn create(&self) -> Result<()> {
        (**self).create()
    }
    fn list(&self, kind: FileKind) -> Result<Vec<FileInfo>> {
        (**self).list(kind)
    }
    fn size(&self, file: &FileName) -> Result<u64> {
        (**self).size(file)
    }
    fn read(&self, file: &FileName, part: Part, into: &mut Vec<u8>) -> Result<()> {
        (**self).read(file, part, into)
    }
    fn write(&self, file: &FileName, content: &[u8]) -> Result<()> {
        (**self).write(file, content)
    }
    fn upload(&self, file: &FileName, length: Option<u64>) -> Result<Option<Box<dyn Upload>>> {
        (**self).upload(file, length)
    }
    fn remove(&self, file: &FileName) -> Result<()> {
        (**self).remove(file)
    }
    fn replace_config(&self, content: &[u8]) -> Result<()> {
        (**self).replace_config(content)
    }
    fn hint(&self, hint: Hint<'_>) {
        (**self).hint(hint);
    }
}
