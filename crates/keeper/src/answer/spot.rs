//! A path in a snapshot, found: in its folders, or in the file systems of a disk image.
//!
//! In a snapshot of disks `/sda.img` is the disk, `/sda.img/1` its first partition (0 of a disk that has none), and what
//! follows is a path on the file system there. Names that are no text are found by what is shown of them.

use disks::files::{self, Bytes, ChunkReader, Entry, Filesystem, Volume};
use disks::image::StoredImages;
use disks::manifest::Disk;
use repo::node::{Node, NodeKind};
use repo::snapshot::Snapshot;
use repo::{Id, Repository};

use crate::work::Site;
use crate::{Error, Result};

/// What a directory of an image of a disk ends with.
pub(super) const IMAGE: &str = ".img";

/// What stands at a path.
pub(super) enum Spot {
    /// A folder of the snapshot.
    Folder(Id),
    /// Something else in the snapshot.
    Node(Box<Node>),
    /// Something in a disk.
    InDisk(InDisk),
}

/// A place in a disk's image.
pub(super) struct InDisk {
    /// The disk's name.
    pub(super) disk: String,
    /// The partition; none for the disk itself.
    pub(super) partition: Option<u32>,
    /// The path on it.
    pub(super) path: String,
}

/// Finds what stands at `path`.
pub(super) fn find(repo: &Repository, snapshot: &Snapshot, path: &str) -> Result<Spot> {
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    let is_image = StoredImages::is_image(repo, &snapshot.tree)?;
    let (mut tree, mut way) = (snapshot.tree, String::new());
    while let Some(part) = parts.next() {
        way = format!("{way}/{part}");
        let node =
            named(repo, &tree, part)?.ok_or_else(|| Error::Refused(format!("there is no {way} in the snapshot")))?;
        if is_image
            && node.kind == NodeKind::Dir
            && let Some(disk) = part.strip_suffix(IMAGE)
        {
            return in_disk(disk, parts);
        }
        match node.subtree.filter(|_| node.kind == NodeKind::Dir) {
            Some(below) => tree = below,
            None if parts.next().is_none() => return Ok(Spot::Node(Box::new(node))),
            None => return Err(Error::Refused(format!("{way} is no folder"))),
        }
    }
    Ok(Spot::Folder(tree))
}

fn in_disk<'p>(disk: &str, mut parts: impl Iterator<Item = &'p str>) -> Result<Spot> {
    let disk = disk.to_owned();
    let partition = match parts.next() {
        None => None,
        Some(number) => {
            Some(number.parse().map_err(|_| Error::Refused(format!("{number:?} is no partition's number")))?)
        }
    };
    let path = parts.collect::<Vec<_>>().join("/");
    Ok(Spot::InDisk(InDisk { disk, partition, path }))
}

/// The node of that name, or the first one that is shown like it.
fn named(repo: &Repository, tree: &Id, name: &str) -> Result<Option<Node>> {
    let mut nodes = repo.read_tree(tree)?.nodes;
    let at = nodes.iter().position(|node| node.name == name.as_bytes());
    let at = at.or_else(|| nodes.iter().position(|node| node.display_name() == name));
    Ok(at.map(|at| nodes.swap_remove(at)))
}

impl InDisk {
    /// Runs `work` with the bytes of the disk.
    pub(super) fn with_disk<T>(
        &self,
        site: &Site,
        repo: &Repository,
        snapshot: (&Id, &Snapshot),
        work: impl FnOnce(&Bytes, &Disk) -> Result<T>,
    ) -> Result<T> {
        let images = StoredImages::open(repo, *snapshot.0, &snapshot.1.tree)?;
        let missing = || Error::Refused(format!("there is no disk {} in the snapshot", self.disk));
        let (stored, described) = images.disk(&self.disk).ok_or_else(missing)?;
        ChunkReader::with(repo, stored, &site.stop.cancel, |reader| {
            let bytes: Bytes = std::sync::Arc::clone(reader) as Bytes;
            work(&bytes, described)
        })?
    }

    /// Runs `work` with the file system and what stands there at the path.
    pub(super) fn with_entry<T>(
        &self,
        site: &Site,
        repo: &Repository,
        snapshot: (&Id, &Snapshot),
        work: impl FnOnce(&dyn Filesystem, &Entry) -> Result<T>,
    ) -> Result<T> {
        let whole = || Error::Refused("a whole disk is restored by `stead disk restore`, not downloaded".into());
        let partition = self.partition.ok_or_else(whole)?;
        self.with_disk(site, repo, snapshot, |bytes, disk| {
            let filesystem = files::open(bytes, disk, partition)?;
            let entry = files::find(&*filesystem, self.path.as_bytes())?;
            work(&*filesystem, &entry)
        })
    }

    /// The disk's volumes.
    pub(super) fn volumes(&self, site: &Site, repo: &Repository, snapshot: (&Id, &Snapshot)) -> Result<Vec<Volume>> {
        self.with_disk(site, repo, snapshot, |bytes, disk| Ok(files::volumes(bytes, disk)?))
    }
}
