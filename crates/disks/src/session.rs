//! The images of one snapshot from beginning to end: what an interrupted run left is taken up, chunks are captured while the
//! state is kept, and the snapshot is written last.

use std::path::PathBuf;
use std::sync::Arc;

use backend::Id;
use jiff::Timestamp;
use repo::{Cancel, Repository};

use crate::Extents;
use crate::capture::Start;
use crate::image::{
    Base, DiskName, Figures, FinishedImage, ImageError, ImageWriter, SnapshotDetails, SnapshotSaved, Store, StoredDisk,
};
use crate::manifest::{Disk, Manifest, State};
use crate::progress::{Phase, Progress};
use crate::resume::{Interrupted, JobIdentity, JobNote, JobPlace, Keeper, PackNotes};

/// One disk that is to be imaged.
#[derive(Clone)]
pub struct Request<'r> {
    /// The disk as the manifest will describe it, without gaps.
    pub disk: Disk,
    /// The image that this one continues: chunks that are not put stay as they are there.
    pub parent: Option<Parent>,
    /// Where the state is kept; `None` for nowhere, which starts over after a crash.
    pub state: Option<PathBuf>,
    /// Something that is different whenever the disk may have been written to but for what is `changed`. Without equal stamps
    /// all chunks of an interrupted run are read again; `None` where nothing proves anything.
    pub stamp: Option<String>,
    /// What was written to the disk since the stamp came to be, if somebody knows: a tracker, whose name the stamp is then.
    pub changes: Option<Changes<'r>>,
    /// How many threads hash and pack.
    pub workers: usize,
}

/// The image that another one continues.
#[derive(Clone, Debug)]
pub struct Parent {
    /// Its chunks.
    pub disk: StoredDisk,
    /// What was in use, and is in it.
    pub used: Extents,
}

/// What a tracker knows of the writes to a disk.
#[derive(Clone, Copy)]
pub struct Changes<'r> {
    /// The epoch that ends when the capture takes marks for the first time: see [`crate::Tracker::epoch`].
    pub epoch: u8,
    /// What was written after an epoch had ended, in bytes of the disk: see [`crate::Tracker::changed_after`].
    pub after: &'r dyn Fn(u8) -> Extents,
}

/// The images of one snapshot in the making.
pub struct Session {
    store: Arc<Store>,
    disks: Vec<InMaking>,
    packs: Arc<PackNotes>,
    progress: Arc<Progress>,
}

/// One disk of a session.
pub struct InMaking {
    /// Takes the chunks.
    pub writer: ImageWriter,
    /// What was taken up.
    pub resumed: Resumed,
    parent_used: Option<Extents>,
    place: Option<JobPlace>,
    note: JobNote,
}

/// What was taken up from an interrupted run.
#[derive(Clone, Debug, Default)]
pub struct Resumed {
    /// When the job was begun, if it was before this run.
    pub started: Option<Timestamp>,
    /// Packs that were stored and in no index file.
    pub packs: u64,
    /// What need not be read again.
    pub done: Extents,
    /// What had been put and must be put again, whether it is in use or not.
    pub again: Extents,
}

/// A finished snapshot.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The snapshot.
    pub saved: SnapshotSaved,
    /// What was put in this run, disk by disk.
    pub figures: Vec<Figures>,
}

/// Why the capture did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum SessionError<E> {
    /// Chunks could not be had.
    #[error(transparent)]
    Capture(E),
    /// Chunks could not be stored.
    #[error(transparent)]
    Image(#[from] ImageError),
}

/// What is known of a disk before its writer begins.
struct Prepared<'r> {
    request: Request<'r>,
    base: Base,
    parent_used: Option<Extents>,
    place: Option<JobPlace>,
    note: JobNote,
    resumed: Resumed,
}

impl Session {
    /// Begins, or takes up what interrupted runs of the same images left.
    pub fn begin(
        repo: &Arc<Repository>,
        requests: Vec<Request<'_>>,
        progress: &Arc<Progress>,
    ) -> Result<Session, ImageError> {
        progress.enter(Phase::Preparing, 0);
        repo.index()?;
        let prepared: Result<Vec<Prepared<'_>>, ImageError> =
            requests.into_iter().map(|request| Prepared::new(repo, request)).collect();
        let prepared = prepared?;
        let places = prepared.iter().filter_map(|one| one.place.clone()).collect();
        let packs = Arc::new(PackNotes::begin(places));
        let store = Store::watched(repo, Arc::clone(progress), Some(Arc::clone(&packs) as _))?;
        let disks: Result<Vec<InMaking>, ImageError> = prepared.into_iter().map(|one| one.begin(&store)).collect();
        Ok(Session { disks: disks?, store, packs, progress: Arc::clone(progress) })
    }

    /// The disks, in the order of the requests.
    pub fn disks(&self) -> &[InMaking] {
        &self.disks
    }

    /// Lets `capture` put chunks, and keeps the state meanwhile. If it fails or is cancelled, what was put until then is made
    /// durable for the next run.
    pub fn capture<T, E>(
        &self,
        cancel: &Cancel,
        capture: impl FnOnce(&[InMaking]) -> Result<T, E>,
    ) -> Result<T, SessionError<E>> {
        let keeper =
            |disk: &InMaking| Some(Keeper::new(disk.place.clone()?, disk.note.clone(), Arc::clone(&self.packs)));
        let keepers: Vec<_> = self.disks.iter().filter_map(|disk| Some((keeper(disk)?, disk))).collect();
        let captured = std::thread::scope(|scope| {
            let _stops = Stops(&keepers);
            for (keeper, disk) in &keepers {
                // The state helps the next run, not this one: without it that one reads everything again.
                scope.spawn(|| drop(keeper.run(&self.store, &disk.writer)));
            }
            capture(&self.disks)
        });
        if captured.is_err() || cancel.is_cancelled() {
            for (keeper, disk) in &keepers {
                // The first failure counts.
                let _ = keeper.save_all(&self.store, &disk.writer);
            }
        }
        captured.map_err(SessionError::Capture)
    }

    /// Waits for everything that was put and writes the snapshot. `described` are the disks as the manifest shows them, in the
    /// order of the requests.
    pub fn finish(
        self,
        mut manifest: Manifest,
        described: Vec<Disk>,
        details: &SnapshotDetails,
    ) -> Result<Finished, ImageError> {
        self.progress.enter(Phase::Sending, 0);
        self.disks.iter().try_for_each(|disk| disk.writer.drain())?;
        self.progress.enter(Phase::WritingSnapshot, 0);
        if manifest.state == State::Complete && described.iter().any(|disk| !disk.gaps.is_empty()) {
            manifest.state = State::Incomplete;
        }
        manifest.disks.extend(described);
        let (writers, places): (Vec<_>, Vec<_>) = self.disks.into_iter().map(|disk| (disk.writer, disk.place)).unzip();
        let images: Result<Vec<FinishedImage>, ImageError> = writers.into_iter().map(ImageWriter::finish).collect();
        let images = images?;
        let saved = self.store.finish(&images, &manifest, details)?;
        places.into_iter().flatten().for_each(|place| place.clear());
        self.progress.enter(Phase::Finished, 0);
        Ok(Finished { saved, figures: images.iter().map(|image| image.figures).collect() })
    }
}

impl InMaking {
    /// The snapshot that the image continues.
    pub fn parent(&self) -> Option<Id> {
        self.note.identity.parent
    }

    /// Where a capture begins: `changed` is what was written since the parent (what it could not read counts as written); it
    /// means nothing without one.
    pub fn start(&self, changed: &Extents) -> Start {
        let Resumed { done, again, .. } = &self.resumed;
        let Some(parent) = &self.parent_used else {
            return match done.is_empty() {
                true => Start::Everything,
                false => Start::Since { changed: Extents::new(), used: done.clone() },
            };
        };
        // What was put since is known by whole chunks.
        let (mut used, mut changed) = (parent.clone(), changed.clone());
        done.iter().for_each(|range| changed.remove(range));
        changed.extend(again.iter());
        used.extend(done.iter());
        used.extend(again.iter());
        Start::Since { changed, used }
    }
}

/// Stops keepers however the capture ends.
struct Stops<'s>(&'s [(Keeper, &'s InMaking)]);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(|(keeper, _)| keeper.stop());
    }
}

impl<'r> Prepared<'r> {
    fn new(repo: &Repository, mut request: Request<'r>) -> Result<Prepared<'r>, ImageError> {
        let identity = identity(repo, &request);
        let place = request.state.as_ref().map(|state| JobPlace::new(state, &identity));
        let (job, started) = (uuid::Uuid::new_v4(), repo.clock().now());
        let epoch = request.changes.map_or(0, |changes| changes.epoch);
        let note = JobNote { identity, job, started, stamp: request.stamp.clone(), epoch };
        let (base, parent_used) = match request.parent.take() {
            None => (Base::Zeros, None),
            Some(Parent { disk, used }) => (Base::Parent(disk), Some(used)),
        };
        let mut prepared = Prepared { request, base, parent_used, place, note, resumed: Resumed::default() };
        let found = prepared.place.as_ref().and_then(|place| place.interrupted(&prepared.note.identity));
        if let Some(found) = found {
            prepared.take_up(repo, found)?;
        }
        Ok(prepared)
    }

    fn take_up(&mut self, repo: &Repository, found: Interrupted) -> Result<(), ImageError> {
        self.resumed = Resumed { started: Some(found.note.started), packs: found.adopt(repo)?, ..Resumed::default() };
        (self.note.job, self.note.started) = (found.note.job, found.note.started);
        let is_same = self.note.stamp.is_some()
            && self.note.stamp == found.note.stamp
            && self.note.identity.parent == found.note.identity.parent;
        if is_same {
            let epoch = found.note.epoch;
            let changed = self.request.changes.map(|changes| (changes.after)(epoch)).unwrap_or_default();
            if let Some(usable) = found.usable(repo, &changed)? {
                // What was put before is right as of then, not as of now.
                self.note.epoch = epoch;
                (self.resumed.done, self.resumed.again) = (usable.done, usable.again);
                self.base = Base::Resumed(usable.table);
            }
        }
        Ok(())
    }

    fn begin(self, store: &Arc<Store>) -> Result<InMaking, ImageError> {
        let Request { disk, workers, .. } = self.request;
        let writer = ImageWriter::new(store, DiskName::new(&disk.name)?, disk.size, self.base, workers)?;
        Ok(InMaking {
            writer,
            resumed: self.resumed,
            parent_used: self.parent_used,
            place: self.place,
            note: self.note,
        })
    }
}

fn identity(repo: &Repository, request: &Request<'_>) -> JobIdentity {
    let Disk { name, device, size, identity, .. } = request.disk.clone();
    let parent = request.parent.as_ref().map(|parent| parent.disk.snapshot());
    JobIdentity { repository: *repo.id(), disk: name, device, size, identity, parent }
}
