//! What a file is, when it changed and whose it is.

/// What a directory entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileType {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A block device.
    BlockDevice,
    /// A character device.
    CharDevice,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// Something else.
    Unknown,
}

impl FileType {
    fn of(mode: u32) -> FileType {
        use rustix::fs::FileType as Raw;
        match Raw::from_raw_mode(mode) {
            Raw::RegularFile => FileType::Regular,
            Raw::Directory => FileType::Directory,
            Raw::Symlink => FileType::Symlink,
            Raw::BlockDevice => FileType::BlockDevice,
            Raw::CharacterDevice => FileType::CharDevice,
            Raw::Fifo => FileType::Fifo,
            Raw::Socket => FileType::Socket,
            _ => FileType::Unknown,
        }
    }
}

/// An instant as file systems keep it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Seconds since 1970.
    pub seconds: i64,
    /// Nanoseconds within the second.
    pub nanoseconds: u32,
}

/// What `lstat` or `fstat` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub file_type: FileType,
    /// Permission, setuid, setgid and sticky bits (`0o7777`).
    pub permissions: u32,
    /// Device it is on.
    pub device: u64,
    /// Number on that device.
    pub inode: u64,
    /// Hard links.
    pub links: u64,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device that it stands for, if it is one.
    pub represents: u64,
    /// Bytes.
    pub size: u64,
    /// Units of 512 bytes that are allocated.
    pub blocks: u64,
    /// Last access.
    pub accessed: Time,
    /// Last change of content.
    pub modified: Time,
    /// Last change of metadata.
    pub changed: Time,
}

impl Stat {
    /// True for a directory.
    pub fn is_dir(&self) -> bool {
        self.file_type == FileType::Directory
    }

    /// True for a regular file.
    pub fn is_file(&self) -> bool {
        self.file_type == FileType::Regular
    }
}

#[allow(clippy::unnecessary_cast, reason = "the fields' types differ between architectures")]
impl From<rustix::fs::Stat> for Stat {
    fn from(raw: rustix::fs::Stat) -> Stat {
        Stat {
            file_type: FileType::of(raw.st_mode as u32),
            permissions: raw.st_mode as u32 & 0o7777,
            device: raw.st_dev as u64,
            inode: raw.st_ino as u64,
            links: raw.st_nlink as u64,
            uid: raw.st_uid,
            gid: raw.st_gid,
            represents: raw.st_rdev as u64,
            size: raw.st_size.max(0) as u64,
            blocks: raw.st_blocks.max(0) as u64,
            accessed: Time { seconds: raw.st_atime as i64, nanoseconds: raw.st_atime_nsec as u32 },
            modified: Time { seconds: raw.st_mtime as i64, nanoseconds: raw.st_mtime_nsec as u32 },
            changed: Time { seconds: raw.st_ctime as i64, nanoseconds: raw.st_ctime_nsec as u32 },
        }
    }
}
