//! What the image of a disk continues: the snapshot that its tracker's marks begin at, or nothing, and why.

use disks::Extents;
use disks::image::{DiskName, StoredImages};
use disks::manifest;
use disks::session::Parent;
use repo::retention::Stored;
use repo::{BlobHandle, BlobKind, Id, Repository};

use super::source::{Content, Source};
use super::view::{OF_A_RUN, Seen};
use crate::failure::Outcome;

/// What an image continues.
pub(super) enum Base {
    /// Another one: only what was written since is read.
    Snapshot {
        /// Which.
        parent: Box<Parent>,
        /// What was written since, and what it could not read.
        changed: Extents,
    },
    /// None; why, where somebody may have expected otherwise.
    Nothing(Option<String>),
}

/// How long a quiet moment is waited for in which both counts of written sectors can be compared.
const PATIENCE: std::time::Duration = std::time::Duration::from_millis(500);

impl Base {
    /// Finds it among the snapshots of the repository.
    pub(super) fn find(repo: &Repository, snapshots: &[Stored], source: &Source, name: &DiskName) -> Outcome<Base> {
        let Content::Device(device) = &source.content else { return Ok(Base::Nothing(None)) };
        if device.seen.is_mapped() {
            return Ok(Base::Nothing(None));
        }
        let Some(label) = device.seen.tracker().and_then(|tracker| tracker.base()) else {
            let is_watched = device.seen.tracker().is_some_and(|tracker| tracker.watched_since().is_some());
            return Ok(Base::Nothing(is_watched.then(|| "it has not been imaged since it is watched".into())));
        };
        if label.starts_with(OF_A_RUN) {
            return Ok(Base::Nothing(None));
        }
        match Base::of_label(repo, snapshots, source, (&device.seen, &label), name) {
            Ok(base) => Ok(base),
            Err(why) => Ok(Base::Nothing(Some(why))),
        }
    }

    fn of_label(
        repo: &Repository,
        snapshots: &[Stored],
        source: &Source,
        (seen, label): (&Seen, &str),
        name: &DiskName,
    ) -> Result<Base, String> {
        trusted(seen)?;
        let id: Id = label.parse().map_err(|_| format!("its tracker continues {label:?}, which is no snapshot"))?;
        let snapshot = snapshots.iter().find(|(known, _)| *known == id);
        let (_, snapshot) = snapshot
            .ok_or_else(|| format!("its tracker continues snapshot {}, which is not in this repository", id.short()))?;
        let images = StoredImages::open(repo, id, &snapshot.tree);
        let images = images.map_err(|error| format!("snapshot {} cannot be read: {error}", id.short()))?;
        let fits = |disk: &manifest::Disk| {
            disk.size == source.size
                && disk.start == source.start()
                && source.path == std::path::Path::new(&disk.device)
        };
        let (disk, described) = images
            .disk(name.as_str())
            .filter(|(_, described)| fits(described))
            .ok_or_else(|| format!("its tracker continues snapshot {}, which has another disk", id.short()))?;
        if !is_stored(repo, &disk.segments) {
            return Err(format!("snapshot {} is damaged: segments are missing", id.short()));
        }
        let span = seen.span().map_err(|failure| failure.to_string())?;
        let mut changed = seen.changed_after(0, &span);
        changed.extend(described.gaps.iter().map(|(start, length)| *start..start.saturating_add(*length)));
        let parent = Parent { disk: disk.clone(), used: described.used.extents(described.size) };
        Ok(Base::Snapshot { parent: Box::new(parent), changed })
    }
}

/// An error in words if the tracker lost something; it counts anew then.
fn trusted(seen: &Seen) -> Result<(), String> {
    let Some(tracker) = seen.tracker() else { return Ok(()) };
    let check = tracker.check(PATIENCE);
    let is_lost = check.overflowed || check.outside || check.kernel.is_some_and(|kernel| kernel != check.ours);
    if !is_lost {
        return Ok(());
    }
    tracker.begin_anew(PATIENCE);
    Err(match check.kernel {
        Some(kernel) if kernel != check.ours => {
            format!("the kernel counts {kernel} sectors written, the tracker {}", check.ours)
        }
        _ => "the tracker saw writes that it cannot mark".to_owned(),
    })
}

/// The index has all of these trees.
fn is_stored(repo: &Repository, trees: &[Id]) -> bool {
    let Ok(index) = repo.index() else { return false };
    trees.iter().all(|id| index.contains(&BlobHandle { kind: BlobKind::Tree, id: *id }))
}
