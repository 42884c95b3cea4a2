//! A node: one file, directory, link or device with its metadata.

use std::sync::Arc;

use backend::Id;

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NodeKind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink,
    /// A block device.
    Device,
    /// A character device.
    CharDevice,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// Something that restic could not name; never written.
    Irregular,
}

/// An instant with the offset from UTC under which it is written. Years 0 to 9999.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeTime {
    /// Seconds since 1970.
    pub seconds: i64,
    /// Nanoseconds within the second.
    pub nanoseconds: u32,
    /// Seconds east of UTC; 0 is written as `Z`.
    pub offset: i32,
}

/// One extended attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtendedAttribute {
    /// Its name, as restic writes it.
    pub name: String,
    /// Its value; `None` is Go's nil slice.
    pub value: Option<Vec<u8>>,
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Raw bytes of the name, unquoted.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: NodeKind,
    /// Go's `fs.FileMode` bits.
    pub mode: u32,
    /// Last change of content.
    pub mtime: NodeTime,
    /// Last access (restic stores `mtime` here unless told otherwise).
    pub atime: NodeTime,
    /// Last change of metadata.
    pub ctime: NodeTime,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Owner's name, may be empty. Shared, as millions of nodes carry the same few.
    pub user: Arc<str>,
    /// Group's name, may be empty.
    pub group: Arc<str>,
    /// Inode number.
    pub inode: u64,
    /// Device that the inode is on.
    pub device_id: u64,
    /// Bytes, for files.
    pub size: u64,
    /// Hard links.
    pub links: u64,
    /// Raw bytes of a link's target.
    pub link_target: Vec<u8>,
    /// Extended attributes, in the order in which they are written.
    pub extended_attributes: Vec<ExtendedAttribute>,
    /// Windows' attributes and whatever else restic keeps, raw JSON values by name.
    pub generic_attributes: std::collections::BTreeMap<String, String>,
    /// Device number, for devices.
    pub device: u64,
    /// A file's data blobs; `None` for anything else.
    pub content: Option<Vec<Id>>,
    /// A directory's tree.
    pub subtree: Option<Id>,
    /// Why it could not be read completely.
    pub error: String,
}
