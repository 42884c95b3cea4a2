//! Where images go: the repository's writer, and the snapshot at the end.

use std::sync::Arc;

use backend::Id;
use jiff::{Timestamp, Zoned};
use repo::node::NodeTime;
use repo::snapshot::{Snapshot, Summary};
use repo::writer::{BlobWriter, PackWatcher, Saved, Scratch};
use repo::{BlobKind, Repository};

use super::{DiskName, MANIFEST, Result, tree};
use crate::manifest::Manifest;
use crate::progress::Progress;
use crate::{CHUNK, SEGMENT};

/// Takes the blobs of one snapshot's images. Shared by all of its disks.
pub struct Store {
    repo: Arc<Repository>,
    blobs: BlobWriter,
    progress: Arc<Progress>,
    start: Timestamp,
}

/// A disk whose segments are all stored.
#[derive(Clone, Debug)]
pub struct FinishedImage {
    /// Its name.
    pub name: DiskName,
    /// Its bytes.
    pub size: u64,
    /// The tree of its segments.
    pub tree: Id,
    /// What was put.
    pub figures: Figures,
}

/// What was put into an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Chunks that were put, each time counted.
    pub chunks: u64,
    /// Of these, chunks of zeros.
    pub zero_chunks: u64,
    /// Bytes of the chunks that were put.
    pub bytes: u64,
    /// Of these, bytes that the repository did not have.
    pub new_bytes: u64,
    /// Bytes that these take in the repository.
    pub new_stored: u64,
}

/// What a snapshot says besides its images.
#[derive(Clone, Debug)]
pub struct SnapshotDetails {
    /// Whose machine.
    pub host: String,
    /// Tags.
    pub tags: Vec<String>,
    /// What was imaged: devices or files, absolute.
    pub paths: Vec<String>,
    /// The instant of the images; its zone is the one in which times are written.
    pub time: Zoned,
    /// The program's name and version.
    pub program_version: String,
    /// The snapshot that this one continues.
    pub parent: Option<Id>,
}

/// A snapshot that was written.
#[derive(Clone, Debug)]
pub struct SnapshotSaved {
    /// Its name.
    pub id: Id,
    /// Its root.
    pub tree: Id,
    /// Figures as restic writes them; trees and manifest are counted in `data_added`.
    pub summary: Summary,
}

impl Store {
    /// A store for one snapshot, which counts new data in `progress`; loads the index.
    pub fn new(repo: &Arc<Repository>, progress: Arc<Progress>) -> Result<Arc<Store>> {
        Store::watched(repo, progress, None)
    }

    /// The same, with somebody who is told about packs before they are sent.
    pub fn watched(
        repo: &Arc<Repository>,
        progress: Arc<Progress>,
        watcher: Option<Arc<dyn PackWatcher>>,
    ) -> Result<Arc<Store>> {
        repo.index()?;
        let (repo, start) = (Arc::clone(repo), repo.clock().now());
        Ok(Arc::new(Store { blobs: BlobWriter::watched(&repo, watcher), repo, progress, start }))
    }

    /// The repository.
    pub fn repo(&self) -> &Arc<Repository> {
        &self.repo
    }

    /// Bytes that were new so far, plain and as stored; trees are counted.
    pub fn added(&self) -> (u64, u64) {
        let figures = self.blobs.figures();
        (figures.data_added, figures.data_added_packed)
    }

    /// Names what is stored so far in the index, so that a later run finds it. Packs that are still being filled stay open.
    pub fn save_index(&self) -> Result<()> {
        Ok(self.blobs.save_index()?)
    }

    /// Packs that were stored so far, in the order of their storing.
    pub fn stored_packs(&self) -> Vec<Id> {
        self.blobs.stored_packs().into_iter().map(|pack| pack.id).collect()
    }

    /// Makes everything that was put so far durable.
    pub fn flush(&self) -> Result<()> {
        Ok(self.blobs.flush()?)
    }

    pub(super) fn scratch(&self) -> Scratch {
        self.blobs.scratch()
    }

    pub(super) fn save_chunk(&self, content: &[u8], scratch: &mut Scratch) -> Result<Saved> {
        let saved = self.blobs.save(BlobKind::Data, content, scratch)?;
        if saved.new {
            self.progress.stored(content.len() as u64);
        }
        Ok(saved)
    }

    pub(super) fn save_tree(&self, json: &[u8], scratch: &mut Scratch) -> Result<Id> {
        Ok(self.blobs.save(BlobKind::Tree, json, scratch)?.id)
    }

    /// Writes the manifest, the root and, when everything is durable and was asked for again, the snapshot.
    pub fn finish(
        &self,
        images: &[FinishedImage],
        manifest: &Manifest,
        details: &SnapshotDetails,
    ) -> Result<SnapshotSaved> {
        let mut scratch = self.scratch();
        let mut nodes: Vec<_> =
            images.iter().map(|image| tree::directory(image.name.directory(), image.tree)).collect();
        let manifest = self.save_manifest(manifest, &mut scratch)?;
        let size = manifest.size;
        nodes.push(manifest);
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        let root = self.save_tree(&tree::json(&nodes)?, &mut scratch)?;
        self.blobs.flush()?;
        self.blobs.audit()?;
        let summary = self.summary(images, size, details);
        let snapshot = snapshot(root, details, summary.clone());
        let id = self.repo.write_snapshot(&snapshot)?;
        Ok(SnapshotSaved { id, tree: root, summary })
    }

    fn save_manifest(&self, manifest: &Manifest, scratch: &mut Scratch) -> Result<repo::node::Node> {
        let json = manifest.to_json();
        let save = |piece: &[u8]| self.save_chunk(piece, &mut *scratch).map(|saved| saved.id);
        let content: Result<Vec<Id>> = json.chunks(CHUNK as usize).map(save).collect();
        Ok(tree::file(MANIFEST, json.len() as u64, content?))
    }

    /// Files and bytes are counted as restic counts them: every segment and the manifest, so that its `rewrite` finds
    /// nothing to mend.
    fn summary(&self, images: &[FinishedImage], manifest: u64, details: &SnapshotDetails) -> Summary {
        let (figures, zone) = (self.blobs.figures(), details.time.time_zone());
        let (new, changed) = match details.parent {
            None => (images.len() as u64, 0),
            Some(_) => (0, images.len() as u64),
        };
        Summary {
            backup_start: go_time(&self.start.to_zoned(zone.clone())),
            backup_end: go_time(&self.repo.clock().now().to_zoned(zone.clone())),
            files_new: new,
            files_changed: changed,
            data_blobs: figures.data_blobs,
            tree_blobs: figures.tree_blobs,
            data_added: figures.data_added,
            data_added_packed: figures.data_added_packed,
            total_files_processed: 1 + images.iter().map(|image| image.size.div_ceil(SEGMENT)).sum::<u64>(),
            total_bytes_processed: manifest + images.iter().map(|image| image.size).sum::<u64>(),
            ..Summary::default()
        }
    }
}

fn snapshot(root: Id, details: &SnapshotDetails, summary: Summary) -> Snapshot {
    Snapshot {
        time: go_time(&details.time),
        parent: details.parent,
        tree: root,
        paths: details.paths.clone(),
        hostname: details.host.clone(),
        username: platform::username(),
        uid: platform::current_uid(),
        gid: platform::current_gid(),
        excludes: Vec::new(),
        tags: details.tags.clone(),
        original: None,
        program_version: details.program_version.clone(),
        summary: Some(summary),
        other: Default::default(),
    }
}

/// A time as restic writes it.
fn go_time(time: &Zoned) -> String {
    let mut text = Vec::new();
    NodeTime::from(time).write(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}
