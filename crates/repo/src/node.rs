//! A node: one file, directory, link or device with its metadata.

mod decode;
mod encode;
mod time;

use std::sync::Arc;

use backend::Id;

pub(crate) use decode::Owners;
pub use time::NodeTime;

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

impl NodeKind {
    /// restic's word for it.
    pub const fn name(self) -> &'static str {
        match self {
            NodeKind::File => "file",
            NodeKind::Dir => "dir",
            NodeKind::Symlink => "symlink",
            NodeKind::Device => "dev",
            NodeKind::CharDevice => "chardev",
            NodeKind::Fifo => "fifo",
            NodeKind::Socket => "socket",
            NodeKind::Irregular => "irregular",
        }
    }

    /// What restic's word means; an error in words for any other.
    pub fn parse(name: &str) -> Result<NodeKind, String> {
        let kind = match name {
            "file" => NodeKind::File,
            "dir" => NodeKind::Dir,
            "symlink" => NodeKind::Symlink,
            "dev" => NodeKind::Device,
            "chardev" => NodeKind::CharDevice,
            "fifo" => NodeKind::Fifo,
            "socket" => NodeKind::Socket,
            "irregular" => NodeKind::Irregular,
            _ => return Err(format!("{name:?} is no type of node")),
        };
        Ok(kind)
    }
}

impl Node {
    /// A node of this name and kind; everything else is zero or missing.
    pub fn new(name: impl Into<Vec<u8>>, kind: NodeKind) -> Node {
        Node { name: name.into(), kind, ..Node::empty() }
    }

    /// The name for people: bytes that are no text are replaced.
    pub fn display_name(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.name)
    }

    fn empty() -> Node {
        Node {
            name: Vec::new(),
            kind: NodeKind::Irregular,
            mode: 0,
            mtime: NodeTime::default(),
            atime: NodeTime::default(),
            ctime: NodeTime::default(),
            uid: 0,
            gid: 0,
            user: Arc::default(),
            group: Arc::default(),
            inode: 0,
            device_id: 0,
            size: 0,
            links: 0,
            link_target: Vec::new(),
            extended_attributes: Vec::new(),
            generic_attributes: std::collections::BTreeMap::new(),
            device: 0,
            content: None,
            subtree: None,
            error: String::new(),
        }
    }
}

/// Refuses names that no directory entry can have and that would lead a restore out of its target; errors in words.
pub(crate) fn check_name(name: &[u8]) -> Result<(), String> {
    match name {
        b"" | b"." | b".." => Err(format!("{:?} cannot be a name", String::from_utf8_lossy(name))),
        _ if name.iter().any(|byte| matches!(byte, b'/' | 0)) => {
            Err(format!("the name {:?} has a slash or a zero byte in it", String::from_utf8_lossy(name)))
        }
        _ => Ok(()),
    }
}
