//! The nodes and trees that images are made of. They carry no time and no owner, so that equal content is an equal tree.

use std::sync::OnceLock;

use backend::Id;
use repo::Repository;
use repo::node::{Node, NodeKind};
use repo::tree::{Tree, TreeBuilder};

use super::{Geometry, ImageError, Result};
use crate::CHUNK;

/// What a segment's only file is called.
pub(super) const DATA: &str = "data";

/// What a disk's directory ends in.
const IMAGE: &str = ".img";

/// Go's bit for a directory.
const MODE_DIR: u32 = 1 << 31;

/// A disk's name within a snapshot: `sda`, `vg0-root`, `office.raw`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DiskName(String);

impl DiskName {
    /// Longest name in bytes, so that it and its ending fit every file system.
    const LONGEST: usize = 200;

    /// Checks a name: one to 200 bytes, no slash, no control characters, and no dot at the beginning.
    pub fn new(name: &str) -> Result<DiskName> {
        let reason = match name {
            "" => "it is empty",
            _ if name.len() > DiskName::LONGEST => "it is too long",
            _ if name.contains('/') => "it has a slash in it",
            _ if name.starts_with('.') => "it begins with a dot",
            _ if name.chars().any(char::is_control) => "it has control characters in it",
            _ => return Ok(DiskName(name.to_owned())),
        };
        Err(ImageError::Name { name: name.to_owned(), reason })
    }

    /// The name that a device or file has without being given one: what follows `/dev/`, else the file's name.
    pub fn of_path(path: &std::path::Path) -> Result<DiskName> {
        let text = path.to_string_lossy();
        match text.strip_prefix("/dev/") {
            Some(device) => DiskName::new(&device.trim_matches('/').replace('/', "-")),
            None => DiskName::new(&path.file_name().unwrap_or_default().to_string_lossy()),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The directory that holds the disk's segments.
    pub fn directory(&self) -> String {
        format!("{}{IMAGE}", self.0)
    }

    /// The disk that a directory holds.
    pub(super) fn of_directory(directory: &str) -> Option<DiskName> {
        DiskName::new(directory.strip_suffix(IMAGE)?).ok()
    }
}

impl std::fmt::Display for DiskName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A directory's node.
pub(super) fn directory(name: String, subtree: Id) -> Node {
    Node { mode: MODE_DIR | 0o700, subtree: Some(subtree), ..Node::new(name, NodeKind::Dir) }
}

/// A file's node.
pub(super) fn file(name: &str, size: u64, content: Vec<Id>) -> Node {
    Node { mode: 0o600, links: 1, size, content: Some(content), ..Node::new(name, NodeKind::File) }
}

/// The JSON of a tree of these nodes, which are in the order of their names.
pub(super) fn json(nodes: &[Node]) -> Result<Vec<u8>> {
    let mut builder = TreeBuilder::default();
    nodes.iter().try_for_each(|node| builder.push(node)).map_err(ImageError::Internal)?;
    Ok(builder.finish())
}

/// The JSON of a segment's tree.
pub(super) fn segment(length: u64, content: Vec<Id>) -> Result<Vec<u8>> {
    json(&[file(DATA, length, content)])
}

/// Reads which blobs the chunks of a segment are, by its tree.
///
/// # Errors
/// Those of the repository, and [`ImageError::Internal`] in words if the tree is no segment of such a disk.
pub fn read_segment(repo: &Repository, id: &Id, geometry: &Geometry, segment: u64) -> Result<Vec<Id>> {
    chunks(repo.read_tree(id)?, geometry, segment).map_err(ImageError::Internal)
}

/// What a chunk of zeros of so many bytes is called.
pub fn zero_chunk(length: usize) -> Id {
    static FULL: OnceLock<Id> = OnceLock::new();
    let of = |length| Id::of(&vec![0; length]);
    if length == CHUNK as usize { *FULL.get_or_init(|| of(length)) } else { of(length) }
}

/// The chunks that a segment's tree names; errors in words if it is none of this disk's.
pub(super) fn chunks(mut tree: Tree, geometry: &Geometry, segment: u64) -> std::result::Result<Vec<Id>, String> {
    let which = Geometry::directory(segment);
    let node = match (tree.nodes.pop(), tree.nodes.is_empty()) {
        (Some(node), true) if node.name == DATA.as_bytes() && node.kind == NodeKind::File => node,
        _ => return Err(format!("segment {which} holds something else than one file {DATA:?}")),
    };
    let (expected, range) = (geometry.segment_length(segment), geometry.chunks_of(segment));
    let content = node.content.unwrap_or_default();
    if node.size != expected || content.len() as u64 != range.end - range.start {
        let (size, count) = (node.size, content.len());
        return Err(format!("segment {which} has {size} bytes in {count} chunks instead of {expected} bytes"));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn names_come_from_devices_and_files() {
        let name = |path: &str| DiskName::of_path(Path::new(path)).map(|name| name.0).ok();
        assert_eq!(name("/dev/sda").as_deref(), Some("sda"));
        assert_eq!(name("/dev/mapper/vg0-root").as_deref(), Some("mapper-vg0-root"));
        assert_eq!(name("/srv/office.raw").as_deref(), Some("office.raw"));
        assert_eq!((name("/dev/"), name("/"), name("/srv/.hidden")), (None, None, None));
    }

    #[test]
    fn a_segment_that_is_not_as_long_as_it_should_be_is_damage() {
        let geometry = Geometry::new(3 << 20).unwrap();
        let ids = vec![Id::of(b"a"), Id::of(b"b"), Id::of(b"c")];
        let read = |length, ids: &[Id]| {
            let tree = Tree::parse(&segment(length, ids.to_vec()).unwrap()).unwrap();
            chunks(tree, &geometry, 0)
        };
        assert_eq!(read(3 << 20, &ids), Ok(ids.clone()));
        assert!(read(3 << 20, &ids[..2]).is_err() && read(2 << 20, &ids).is_err());
        assert!(chunks(Tree::default(), &geometry, 0).is_err());
    }
}
