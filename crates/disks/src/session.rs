//! One image from beginning to end: what an interrupted run left is taken up, chunks are captured while the state is kept,
//! and the snapshot is written last.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use repo::{Cancel, Repository};

use crate::Extents;
use crate::image::{
    Base, DiskName, Figures, Geometry, ImageError, ImageWriter, SnapshotDetails, SnapshotSaved, Store, StoredDisk,
};
use crate::manifest::{Disk, Manifest, State};
use crate::progress::{Phase, Progress};
use crate::resume::{JobIdentity, JobNote, JobPlace, Keeper};

/// What is to be imaged.
#[derive(Clone, Debug)]
pub struct Request {
    /// The disk as the manifest will describe it, without gaps.
    pub disk: Disk,
    /// The image that this one continues: chunks that are not put stay as they are there.
    pub parent: Option<StoredDisk>,
    /// Where the state is kept; `None` for nowhere, which starts over after a crash.
    pub state: Option<PathBuf>,
    /// Something that is different whenever the disk may have been written to: equal stamps prove that it was not. `None`
    /// where nothing proves it, and then an interrupted run's chunks are all read again.
    pub stamp: Option<String>,
    /// How many threads hash and pack.
    pub workers: usize,
}

/// An image in the making.
pub struct Session {
    store: Arc<Store>,
    writer: ImageWriter,
    place: Option<JobPlace>,
    note: JobNote,
    resumed: Resumed,
    progress: Arc<Progress>,
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
}

/// A finished image.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The snapshot.
    pub saved: SnapshotSaved,
    /// What was put in this run.
    pub figures: Figures,
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

impl Session {
    /// Begins, or takes up what an interrupted run of the same image left. `changed` is what was written to the disk since
    /// that run, if somebody knows; without it and without equal stamps everything is read again.
    pub fn begin(
        repo: &Arc<Repository>,
        request: Request,
        changed: Option<&Extents>,
        progress: &Arc<Progress>,
    ) -> Result<Session, ImageError> {
        progress.enter(Phase::Preparing, 0);
        let identity = JobIdentity {
            repository: *repo.id(),
            disk: request.disk.name.clone(),
            device: request.disk.device.clone(),
            size: request.disk.size,
            identity: request.disk.identity.clone(),
            parent: request.parent.as_ref().map(StoredDisk::snapshot),
        };
        let place = request.state.as_ref().map(|state| JobPlace::new(state, &identity));
        let now = repo.clock().now();
        let mut note = JobNote { identity, job: uuid::Uuid::new_v4(), started: now, stamp: request.stamp.clone() };
        repo.index()?;
        let mut base = request.parent.map_or(Base::Zeros, Base::Parent);
        let mut resumed = Resumed::default();
        if let Some(found) = place.as_ref().and_then(|place| place.interrupted(&note.identity)) {
            resumed = Resumed { started: Some(found.note.started), packs: found.adopt(repo)?, done: Extents::new() };
            (note.job, note.started) = (found.note.job, found.note.started);
            let is_same = note.stamp.is_some() && note.stamp == found.note.stamp;
            let nothing = Extents::new();
            if let Some(changed) = changed.or(is_same.then_some(&nothing)) {
                let usable = found.usable(repo, changed)?;
                resumed.done = usable.done;
                base = Base::Resumed(usable.table);
            }
        }
        let store = Store::new(repo, Arc::clone(progress))?;
        let name = DiskName::new(&request.disk.name)?;
        let writer = ImageWriter::new(&store, name, request.disk.size, base, request.workers)?;
        Ok(Session { store, writer, place, note, resumed, progress: Arc::clone(progress) })
    }

    /// What was taken up.
    pub fn resumed(&self) -> &Resumed {
        &self.resumed
    }

    /// How the disk is cut.
    pub fn geometry(&self) -> &Geometry {
        self.writer.geometry()
    }

    /// The number of the job, the same over all its runs.
    pub fn job(&self) -> uuid::Uuid {
        self.note.job
    }

    /// Lets `capture` put chunks, and keeps the state meanwhile. If it fails or is cancelled, what was put until then is made
    /// durable for the next run.
    pub fn capture<T, E>(
        &self,
        cancel: &Cancel,
        capture: impl FnOnce(&ImageWriter) -> Result<T, E>,
    ) -> Result<T, SessionError<E>> {
        let Some(place) = self.place.clone() else { return capture(&self.writer).map_err(SessionError::Capture) };
        let keeper = Keeper::new(place, self.note.clone(), &self.store, &self.writer);
        let captured = std::thread::scope(|scope| {
            let kept = scope.spawn(|| keeper.run());
            let captured = capture(&self.writer);
            keeper.stop();
            // The state helps the next run, not this one: without it that one reads everything again.
            let _ = kept.join();
            captured
        });
        if captured.is_err() || cancel.is_cancelled() {
            // The first failure counts.
            let _ = keeper.save_all();
        }
        captured.map_err(SessionError::Capture)
    }

    /// Waits for everything that was put and writes the snapshot.
    pub fn finish(self, mut manifest: Manifest, disk: Disk, details: &SnapshotDetails) -> Result<Finished, ImageError> {
        self.progress.enter(Phase::Sending, 0);
        self.writer.drain()?;
        self.progress.enter(Phase::WritingSnapshot, 0);
        if !disk.gaps.is_empty() && manifest.state == State::Complete {
            manifest.state = State::Incomplete;
        }
        manifest.disks.push(disk);
        let image = self.writer.finish()?;
        let figures = image.figures;
        let saved = self.store.finish(&[image], &manifest, details)?;
        if let Some(place) = self.place {
            place.clear();
        }
        self.progress.enter(Phase::Finished, 0);
        Ok(Finished { saved, figures })
    }
}
