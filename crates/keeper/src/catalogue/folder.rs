//! A folder as a catalogue keeps it: names, what they are, how large, and what is below them.
//!
//! In bytes: for each name its kind (1), its size (8), its tree (32, of folders), the length of the name (4) and the name.

use api::wire::keeper::EntryKind;
use repo::Id;
use repo::node::Node;

use super::kind_of;

/// Names in a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Folder(pub(super) Vec<Name>);

/// A name in a folder, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) name: String,
    pub(super) kind: EntryKind,
    pub(super) size: u64,
    /// What is below a folder.
    pub(super) tree: Option<Id>,
}

const KINDS: [EntryKind; 4] = [EntryKind::File, EntryKind::Folder, EntryKind::Other, EntryKind::Image];

impl Folder {
    /// The folder of a tree. `holds_disks` says that it is the root of a snapshot of disks.
    pub(super) fn of(nodes: &[Node], holds_disks: bool) -> Folder {
        let name = |node: &Node| {
            let kind = kind_of(node, holds_disks);
            let tree = node.subtree.filter(|_| kind == EntryKind::Folder);
            Name { name: node.display_name().into_owned(), kind, size: node.size, tree }
        };
        Folder(nodes.iter().map(name).collect())
    }

    /// The trees of the folders in it.
    pub(super) fn below(&self) -> impl Iterator<Item = Id> + '_ {
        self.0.iter().filter_map(|name| name.tree)
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.0.iter().map(|name| name.name.len() + 48).sum());
        for name in &self.0 {
            let kind = KINDS.iter().position(|kind| *kind == name.kind).unwrap_or(2) as u8;
            bytes.push(kind | (u8::from(name.tree.is_some()) << 7));
            bytes.extend_from_slice(&name.size.to_le_bytes());
            bytes.extend(name.tree.iter().flat_map(|tree| *tree.as_bytes()));
            bytes.extend_from_slice(&(name.name.len() as u32).to_le_bytes());
            bytes.extend_from_slice(name.name.as_bytes());
        }
        bytes
    }

    /// `None` if it is no folder.
    pub(super) fn from_bytes(mut bytes: &[u8]) -> Option<Folder> {
        let mut names = Vec::new();
        while let Some((kind, rest)) = bytes.split_first() {
            bytes = rest;
            let size = u64::from_le_bytes(take(&mut bytes)?);
            let tree = if kind & 0x80 != 0 { Some(Id::from_bytes(take(&mut bytes)?)) } else { None };
            let length = u32::from_le_bytes(take(&mut bytes)?) as usize;
            let (name, rest) = bytes.split_at_checked(length)?;
            bytes = rest;
            let kind = *KINDS.get(usize::from(kind & 0x7f))?;
            names.push(Name { name: std::str::from_utf8(name).ok()?.to_owned(), kind, size, tree });
        }
        Some(Folder(names))
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_comes_back_as_it_was_and_rubbish_does_not() {
        let name = |name: &str, kind, tree| Name { name: name.into(), kind, size: 7, tree };
        let folder = Folder(vec![
            name("Grüße.txt", EntryKind::File, None),
            name("below", EntryKind::Folder, Some(Id::of(b"tree"))),
            name("sda.img", EntryKind::Image, None),
        ]);
        let bytes = folder.to_bytes();
        assert_eq!(Folder::from_bytes(&bytes), Some(folder));
        assert_eq!(Folder::from_bytes(&[]), Some(Folder::default()));
        for length in 1..bytes.len() {
            // Cut anywhere it is nothing, or the names before the cut.
            assert!(Folder::from_bytes(&bytes[..length]).is_none_or(|folder| folder.0.len() < 3));
        }
    }
}
