//! Keeps the state of a running job: which packs are stored, what was put, and now and then the index.

use std::io;
use std::time::Duration;

use backend::Id;
use parking_lot::{Condvar, Mutex};

use super::{JobNote, JobPlace};
use crate::image::{ImageError, ImageWriter, Store};

/// How often stored packs are noted: what is stored after the last note is sent again after a crash.
const NOTE_EVERY: Duration = Duration::from_millis(200);

/// How often the state is written, in notes.
const STATE_EVERY: u32 = 15;

/// Packs after which an index file is written.
const INDEX_PACKS: usize = 64;

/// Segments whose chunks are in memory and in the state: 128 of them are 4 MiB.
const OPEN_SEGMENTS: usize = 128;

/// A keeper, for one run of one job.
pub struct Keeper<'k> {
    place: JobPlace,
    note: JobNote,
    store: &'k Store,
    writer: &'k ImageWriter,
    stop: Mutex<bool>,
    stopped: Condvar,
}

/// Packs that were seen.
#[derive(Default)]
struct Seen {
    noted: usize,
    indexed: usize,
}

impl<'k> Keeper<'k> {
    /// A keeper that writes to a place.
    pub fn new(place: JobPlace, note: JobNote, store: &'k Store, writer: &'k ImageWriter) -> Keeper<'k> {
        Keeper { place, note, store, writer, stop: Mutex::new(false), stopped: Condvar::new() }
    }

    /// Works until [`Keeper::stop`]. A state that cannot be written does not end the backup: the last error is returned.
    pub fn run(&self) -> Result<(), ImageError> {
        let (mut seen, mut notes, mut outcome) = (Seen::default(), 0, Ok(()));
        let mut stop = self.stop.lock();
        while !*stop {
            let timed_out = self.stopped.wait_for(&mut stop, NOTE_EVERY).timed_out();
            if timed_out {
                notes += 1;
                let due = notes % STATE_EVERY == 0;
                outcome = parking_lot::MutexGuard::unlocked(&mut stop, || self.keep(&mut seen, due)).or(outcome);
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
    pub fn save_all(&self) -> Result<(), ImageError> {
        self.writer.drain()?;
        self.store.flush()?;
        self.save_state()
    }

    fn keep(&self, seen: &mut Seen, state_is_due: bool) -> Result<(), ImageError> {
        let packs = self.store.stored_packs();
        if packs.len() > seen.noted {
            self.note_packs(&packs[seen.indexed.min(packs.len())..])?;
            seen.noted = packs.len();
        }
        if packs.len() >= seen.indexed + INDEX_PACKS {
            self.store.save_index()?;
            seen.indexed = packs.len();
        }
        if !state_is_due {
            return Ok(());
        }
        if self.writer.open_segments() > OPEN_SEGMENTS {
            self.writer.settle()?;
            self.store.flush()?;
        }
        self.save_state()
    }

    fn note_packs(&self, packs: &[Id]) -> Result<(), ImageError> {
        self.place.save_packs(packs).map_err(cannot_write)
    }

    fn save_state(&self) -> Result<(), ImageError> {
        self.place.save(&self.note, &self.writer.state()).map_err(cannot_write)
    }
}

fn cannot_write(cause: io::Error) -> ImageError {
    ImageError::State(cause)
}
