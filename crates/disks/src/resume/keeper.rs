//! Keeps the state of a running job: what was put, and now and then the index.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::{JobNote, JobPlace, PackNotes};
use crate::image::{ImageError, ImageWriter, Store};

/// How often the state is written: what is read after the last time is read again after a crash.
const STATE_EVERY: Duration = Duration::from_secs(2);

/// Packs after which an index file is written.
const INDEX_PACKS: usize = 64;

/// Segments whose chunks are in memory and in the state: 128 of them are 4 MiB.
const OPEN_SEGMENTS: usize = 128;

/// A keeper, for one run of one job.
pub struct Keeper {
    place: JobPlace,
    note: JobNote,
    packs: Arc<PackNotes>,
    stop: Mutex<bool>,
    stopped: Condvar,
}

impl Keeper {
    /// A keeper that writes to a place.
    pub(crate) fn new(place: JobPlace, note: JobNote, packs: Arc<PackNotes>) -> Keeper {
        Keeper { place, note, packs, stop: Mutex::new(false), stopped: Condvar::new() }
    }

    /// Works until [`Keeper::stop`]. A state that cannot be written does not end the backup: the last error is returned.
    pub fn run(&self, store: &Store, writer: &ImageWriter) -> Result<(), ImageError> {
        // From the beginning on there is something to take up, if only packs.
        let (mut indexed, mut outcome) = (0, self.save_state(writer));
        let mut stop = self.stop.lock();
        while !*stop {
            let timed_out = self.stopped.wait_for(&mut stop, STATE_EVERY).timed_out();
            if timed_out {
                let kept = parking_lot::MutexGuard::unlocked(&mut stop, || self.keep(store, writer, &mut indexed));
                outcome = kept.or(outcome);
            }
        }
        outcome
    }

    /// Lets [`Keeper::run`] end.
    pub fn stop(&self) {
        *self.stop.lock() = true;
        self.stopped.notify_all();
    }

    /// Makes everything that was put durable and notes it: for an end on request.
    pub fn save_all(&self, store: &Store, writer: &ImageWriter) -> Result<(), ImageError> {
        writer.drain()?;
        store.flush()?;
        self.save_state(writer)
    }

    fn keep(&self, store: &Store, writer: &ImageWriter, indexed: &mut usize) -> Result<(), ImageError> {
        let packs = store.stored_packs();
        if packs.len() >= *indexed + INDEX_PACKS {
            store.save_index()?;
            self.packs.forget(&packs[*indexed..]);
            *indexed = packs.len();
        }
        if writer.open_segments() > OPEN_SEGMENTS {
            writer.settle()?;
        }
        self.save_state(writer)
    }

    fn save_state(&self, writer: &ImageWriter) -> Result<(), ImageError> {
        self.place.save(&self.note, &writer.state()).map_err(cannot_write)
    }
}

fn cannot_write(cause: io::Error) -> ImageError {
    ImageError::State(cause)
}
