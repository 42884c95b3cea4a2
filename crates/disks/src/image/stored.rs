//! Images that a snapshot holds. What is stored is checked before it is believed: names, sizes and numbers must agree.

use backend::Id;
use repo::node::{Node, NodeKind};
use repo::tree::Tree;
use repo::{BlobHandle, BlobKind, Repository};

use super::{DiskName, Geometry, ImageError, MANIFEST, Result, tree};
use crate::manifest::{MAX_MANIFEST, Manifest};

/// The images of one snapshot.
#[derive(Clone, Debug)]
pub struct StoredImages {
    /// Which snapshot.
    pub snapshot: Id,
    /// Its manifest.
    pub manifest: Manifest,
    /// Its disks, in the order of the manifest.
    pub disks: Vec<StoredDisk>,
}

/// One disk of a snapshot. Its chunks are read segment by segment.
#[derive(Clone, Debug)]
pub struct StoredDisk {
    /// Its name.
    pub name: DiskName,
    /// How it is cut.
    pub geometry: Geometry,
    /// The trees of its segments.
    pub segments: Vec<Id>,
    pub(super) snapshot: Id,
}

impl StoredImages {
    /// Reads the manifest and the trees of the disks, not of their segments.
    ///
    /// # Errors
    /// [`ImageError::NoImage`] if the snapshot is none of disks, [`ImageError::Damaged`] if manifest and trees contradict
    /// each other.
    pub fn open(repo: &Repository, snapshot: Id, root: &Id) -> Result<StoredImages> {
        let damaged = |reason| ImageError::Damaged { snapshot, reason };
        let root = repo.read_tree(root)?;
        let node = root.find(MANIFEST.as_bytes()).ok_or(ImageError::NoImage(snapshot))?;
        let manifest = Manifest::parse(&read_manifest(repo, node, snapshot)?).map_err(damaged)?;
        check_directories(&root, &manifest).map_err(damaged)?;
        let open = |disk: &crate::manifest::Disk| {
            let name = DiskName::new(&disk.name)?;
            let node = root.find(name.directory().as_bytes());
            let subtree = node.and_then(|node| node.subtree);
            let subtree = subtree.ok_or_else(|| damaged(format!("there is no directory {}", name.directory())))?;
            StoredDisk::new(name, disk.size, &repo.read_tree(&subtree)?, snapshot)
        };
        let disks: Result<Vec<StoredDisk>> = manifest.disks.iter().map(open).collect();
        let disks = disks?;
        Ok(StoredImages { snapshot, manifest, disks })
    }

    /// True if the snapshot's root says that it holds images.
    pub fn is_image(repo: &Repository, root: &Id) -> Result<bool> {
        Ok(repo.read_tree(root)?.find(MANIFEST.as_bytes()).is_some_and(|node| node.kind == NodeKind::File))
    }

    /// The disk of that name, with what the manifest says about it.
    pub fn disk(&self, name: &str) -> Option<(&StoredDisk, &crate::manifest::Disk)> {
        self.disks.iter().zip(&self.manifest.disks).find(|(disk, _)| disk.name.as_str() == name)
    }
}

fn read_manifest(repo: &Repository, node: &Node, snapshot: Id) -> Result<Vec<u8>> {
    let damaged = |reason: &str| ImageError::Damaged { snapshot, reason: format!("the manifest {reason}") };
    let Some(content) = node.content.as_ref().filter(|_| node.kind == NodeKind::File) else {
        return Err(damaged("is no file"));
    };
    if node.size > MAX_MANIFEST {
        return Err(damaged("is too long"));
    }
    let mut json = Vec::with_capacity(node.size as usize);
    for id in content {
        let blob = BlobHandle { kind: BlobKind::Data, id: *id };
        let location = repo.index()?.find(&blob).ok_or(repo::Error::MissingBlob(blob))?;
        if json.len() as u64 + u64::from(location.plain_length()) > node.size {
            return Err(damaged("is longer than its node says"));
        }
        json.extend_from_slice(&repo.read_blob(&blob)?);
    }
    if json.len() as u64 != node.size {
        return Err(damaged("is shorter than its node says"));
    }
    Ok(json)
}

/// No disk is in the tree that the manifest does not know.
fn check_directories(root: &Tree, manifest: &Manifest) -> std::result::Result<(), String> {
    let names = root.nodes.iter().filter_map(|node| DiskName::of_directory(std::str::from_utf8(&node.name).ok()?));
    for name in names {
        if !manifest.disks.iter().any(|disk| disk.name == name.as_str()) {
            return Err(format!("the manifest does not know the disk {name}"));
        }
    }
    Ok(())
}

impl StoredDisk {
    fn new(name: DiskName, size: u64, tree: &Tree, snapshot: Id) -> Result<StoredDisk> {
        let geometry = Geometry::new(size).ok_or(ImageError::TooLarge { size })?;
        let damaged = |reason| ImageError::Damaged { snapshot, reason };
        if tree.nodes.len() as u64 != geometry.segments() {
            let (stored, said) = (tree.nodes.len(), geometry.segments());
            return Err(damaged(format!("{name} has {stored} segments, its size of {size} bytes says {said}")));
        }
        let segment = |(number, node): (usize, &Node)| {
            let is_it = node.name == Geometry::directory(number as u64).as_bytes() && node.kind == NodeKind::Dir;
            let subtree = node.subtree.filter(|_| is_it);
            subtree.ok_or_else(|| damaged(format!("{name} has {:?} as segment {number}", node.display_name())))
        };
        let segments: Result<Vec<Id>> = tree.nodes.iter().enumerate().map(segment).collect();
        let segments = segments?;
        Ok(StoredDisk { name, geometry, segments, snapshot })
    }

    /// Which snapshot it is in.
    pub fn snapshot(&self) -> Id {
        self.snapshot
    }

    /// Reads which blobs the chunks of a segment are.
    pub fn chunks(&self, repo: &Repository, segment: u64) -> Result<Vec<Id>> {
        let tree = self.segments.get(segment as usize);
        let tree = tree.ok_or_else(|| ImageError::Internal(format!("no segment {segment}")))?;
        let damaged = |reason| ImageError::Damaged { snapshot: self.snapshot, reason };
        tree::chunks(repo.read_tree(tree)?, &self.geometry, segment).map_err(damaged)
    }
}
