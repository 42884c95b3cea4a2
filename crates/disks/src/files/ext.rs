//! Files of ext2, ext3 and ext4, read by the library `ext4-view`. A journal that waits is taken into account.
//!
//! The library knows files by their paths, no inode numbers, no extended attributes and no devices. What it would believe
//! without asking (how many groups there are, how long a link is) is checked here before it sees it.

use std::error::Error;

use ext4_view::{Ext4, Ext4Error, Ext4Read, Metadata, Path};
use platform::{FileType, Time};

use super::guard::{Allowance, Metered, guarded};
use super::{Bytes, Each, Entry, FilesError, Filesystem, Handle, LONGEST_LINK, PIECE, Result, Take};
use crate::used::fields::{le16, le32};

/// Groups of blocks, of which the library keeps a descriptor each: 128 TiB of 4 KiB blocks.
const MOST_GROUPS: u64 = 1 << 20;

/// Bytes of a directory: a longer one has more entries than are listed.
const LONGEST_DIRECTORY: u64 = 1 << 30;

pub(super) struct Ext {
    library: Ext4,
    inodes: u64,
    allowance: Allowance,
}

impl Ext4Read for Metered {
    fn read(&mut self, start: u64, into: &mut [u8]) -> std::result::Result<(), Box<dyn Error + Send + Sync>> {
        Ok(Metered::read(self, start, into)?)
    }
}

impl Ext {
    pub(super) fn open(volume: Bytes) -> Result<Ext> {
        let inodes = check(&volume)?;
        let allowance = Allowance::default();
        let reader = Metered::new(volume, allowance.clone());
        let library = guarded(|| Ext4::load(Box::new(reader)).map_err(told))?;
        Ok(Ext { library, inodes, allowance })
    }

    fn run<T>(&self, run: impl FnOnce() -> Result<T>) -> Result<T> {
        self.allowance.renew();
        guarded(run)
    }
}

impl Filesystem for Ext {
    fn root(&self) -> Result<Entry> {
        let metadata = self.run(|| self.library.symlink_metadata("/").map_err(told))?;
        if !metadata.is_dir() {
            return Err(FilesError::Damaged("its root is no directory".into()));
        }
        Ok(entry(Vec::new(), b"/".to_vec(), &metadata))
    }

    fn list(&self, directory: &Entry, each: Each<'_>) -> Result<()> {
        let path = path(directory)?;
        let mut entries = self.run(|| {
            let metadata = self.library.symlink_metadata(parsed(path)?).map_err(told)?;
            if metadata.len() > LONGEST_DIRECTORY {
                return Err(FilesError::Damaged("a directory is longer than any can be".into()));
            }
            self.library.read_dir(parsed(path)?).map_err(told)
        })?;
        while let Some((name, metadata)) = self.run(|| match entries.next() {
            None => Ok(None),
            Some(found) => {
                let found = found.map_err(told)?;
                Ok(Some((found.file_name().as_ref().to_vec(), found.metadata())))
            }
        })? {
            if name == b"." || name == b".." {
                continue;
            }
            if metadata.as_ref().is_ok_and(|metadata| metadata.is_symlink() && metadata.len() > LONGEST_LINK) {
                // The library would make room for it wherever a path leads over it.
                return Err(FilesError::Damaged("a link in the directory is longer than any can be".into()));
            }
            let path = joined(path, &name);
            each(match metadata {
                Ok(metadata) => entry(name, path, &metadata),
                Err(error) => Entry::new(name, FileType::Unknown, Handle::Path(path)).troubled(told(error).to_string()),
            })?;
        }
        Ok(())
    }

    fn read(&self, file: &Entry, each: Take<'_>) -> Result<()> {
        let path = path(file)?;
        let mut open = self.run(|| {
            let metadata = self.library.symlink_metadata(parsed(path)?).map_err(told)?;
            match metadata.file_type().is_regular_file() {
                true => self.library.open(parsed(path)?).map_err(told),
                false => Err(FilesError::NotAFile(super::shown(path))),
            }
        })?;
        if open.metadata().len() != file.size {
            return Err(FilesError::Damaged("its path leads to another file".into()));
        }
        let (mut left, mut piece) = (file.size, vec![0; PIECE.min(file.size) as usize]);
        while left > 0 {
            let length = left.min(PIECE) as usize;
            self.run(|| fill(&mut open, &mut piece[..length]))?;
            each(&piece[..length])?;
            left -= length as u64;
        }
        Ok(())
    }

    fn most_directories(&self) -> u64 {
        self.inodes
    }

    fn link(&self, link: &Entry) -> Result<Vec<u8>> {
        let path = path(link)?;
        self.run(|| {
            let metadata = self.library.symlink_metadata(parsed(path)?).map_err(told)?;
            if metadata.len() > LONGEST_LINK {
                return Err(FilesError::Damaged("a link is longer than any can be".into()));
            }
            Ok(self.library.read_link(parsed(path)?).map_err(told)?.as_ref().to_vec())
        })
    }
}

fn fill(file: &mut ext4_view::File, mut into: &mut [u8]) -> Result<()> {
    while !into.is_empty() {
        match file.read_bytes(into).map_err(told)? {
            0 => return Err(FilesError::Damaged("a file ends before its size".into())),
            length => into = &mut into[length..],
        }
    }
    Ok(())
}

/// The library makes room for as many descriptors as the superblock says. Returns how many inodes there are.
fn check(volume: &Bytes) -> Result<u64> {
    let mut record = [0; 1024];
    volume.read_at(1024, &mut record).map_err(|error| FilesError::Damaged(error.to_string()))?;
    let block = 1024_u64.checked_shl(le32(&record, 24)).filter(|block| (1024..=65536).contains(block));
    let high = if le32(&record, 96) & 0x80 != 0 { le32(&record, 0x150) } else { 0 };
    let blocks = u64::from(le32(&record, 4)) | u64::from(high) << 32;
    let bytes = block.and_then(|block| blocks.checked_mul(block));
    if le16(&record, 56) != 0xef53 || bytes.is_none_or(|bytes| bytes > volume.size()) {
        return Err(FilesError::Damaged("its superblock makes no sense".into()));
    }
    match blocks.checked_div(u64::from(le32(&record, 32))) {
        None => Err(FilesError::Damaged("its superblock makes no sense".into())),
        Some(groups) if groups > MOST_GROUPS => {
            Err(FilesError::Unsupported(format!("it has {groups} groups of blocks, more than are read out of images")))
        }
        Some(_) => Ok(le32(&record, 0).into()),
    }
}

fn path(entry: &Entry) -> Result<&[u8]> {
    match &entry.handle {
        Handle::Path(path) => Ok(path),
        _ => Err(FilesError::NotThere(super::shown(&entry.name))),
    }
}

fn parsed(path: &[u8]) -> Result<Path<'_>> {
    Path::try_from(path).map_err(|error| FilesError::Damaged(error.to_string()))
}

fn joined(path: &[u8], name: &[u8]) -> Vec<u8> {
    let parent = path.strip_suffix(b"/").unwrap_or(path);
    [parent, b"/", name].concat()
}

fn entry(name: Vec<u8>, path: Vec<u8>, metadata: &Metadata) -> Entry {
    use ext4_view::FileType as Theirs;
    let file_type = match metadata.file_type() {
        Theirs::Regular => FileType::Regular,
        Theirs::Directory => FileType::Directory,
        Theirs::Symlink => FileType::Symlink,
        Theirs::BlockDevice => FileType::BlockDevice,
        Theirs::CharacterDevice => FileType::CharDevice,
        Theirs::Fifo => FileType::Fifo,
        Theirs::Socket => FileType::Socket,
    };
    let time = |time: ext4_view::Timestamp| Time { seconds: time.seconds(), nanoseconds: time.nanoseconds() };
    let size = if file_type == FileType::Regular { metadata.len() } else { 0 };
    let (modified, accessed) = (time(metadata.modified()), time(metadata.accessed()));
    let (mode, owner) = (u32::from(metadata.mode()), Some((metadata.uid(), metadata.gid())));
    // When metadata changed, the library does not tell.
    let changed = modified;
    Entry { size, mode, owner, modified, accessed, changed, ..Entry::new(name, file_type, Handle::Path(path)) }
}

fn told(error: Ext4Error) -> FilesError {
    match error {
        Ext4Error::Incompatible(why) => FilesError::Unsupported(format!("it is of a kind that is not read: {why}")),
        Ext4Error::Encrypted => FilesError::Unsupported("it is encrypted".into()),
        Ext4Error::PathTooLong => FilesError::Unsupported("its path is longer than 4096 bytes".into()),
        Ext4Error::NotFound => FilesError::Damaged("its directory names it, but does not find it".into()),
        error => FilesError::Damaged(error.to_string()),
    }
}
