//! Keeps the state of a running job: which packs are stored, what was put, and now and then the index.

use std::io;
use std::time::Duration;

use backend::Id;
use parking_lot::{Condvar, Mutex};

use super::{JobNote, JobPlace};
use crate::image::{ImageError, ImageWriter, Store};

/// How often stored packs are noted: what is stored after the last note is sent again after a crash.
const NOTE_EVERY: Duration = Duration::from_millis(50);

/// How often the state is written, in notes.
const STATE_EVERY: u32 = 40;

/// Packs after which an index file is written.
const INDEX_PACKS: usize = 64;

/// Segments whose chunks are in memory and in the state: 128 of them are 4 MiB.
const OPEN_SEGMENTS: usize = 128;

/// A keeper, for one run of one job.
pub struct Keeper {
    place: JobPlace,
    note: JobNote,
    stop: Mutex<bool>,
    stopped: Condvar,
}

/// Packs that were seen.
#[derive(Default)]
struct Seen {
    noted: usize,
    indexed: usize,
}

impl Keeper {
    /// A keeper that writes to a place.
    pub fn new(place: JobPlace, note: JobNote) -> Keeper {
        Keeper { place, note, stop: Mutex::new(false), stopped: Condvar::new() }
    }

    /// Works until [`Keeper::stop`]. A state that cannot be written does not end the backup: the last error is returned.
    pub fn run(&self, store: &Store, writer: &ImageWriter) -> Result<(), ImageError> {
        // From the beginning on there is something to take up, if only packs.
        let (mut seen, mut notes, mut outcome) = (Seen::default(), 0, self.save_state(writer));
        let mut stop = self.stop.lock();
        while !*stop {
            let timed_out = self.stopped.wait_for(&mut stop, NOTE_EVERY).timed_out();
            if timed_out {
                notes += 1;
                let due = notes % STATE_EVERY == 0;
                outcome = parking_lot::MutexGuard::unlocked(&mut stop, || self.keep(store, writer, &mut seen, due))
                    .or(outcome);
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

    fn keep(&self, store: &Store, writer: &ImageWriter, seen: &mut Seen, state_is_due: bool) -> Result<(), ImageError> {
        let packs = store.stored_packs();
        if packs.len() > seen.noted {
            self.note_packs(&packs[seen.indexed.min(packs.len())..])?;
            seen.noted = packs.len();
        }
        if packs.len() >= seen.indexed + INDEX_PACKS {
            store.save_index()?;
            seen.indexed = packs.len();
        }
        if !state_is_due {
            return Ok(());
        }
        if writer.open_segments() > OPEN_SEGMENTS {
            writer.settle()?;
        }
        self.save_state(writer)
    }

    fn note_packs(&self, packs: &[Id]) -> Result<(), ImageError> {
        self.place.save_packs(packs).map_err(cannot_write)
    }

    fn save_state(&self, writer: &ImageWriter) -> Result<(), ImageError> {
        self.place.save(&self.note, &writer.state()).map_err(cannot_write)
    }
}

fn cannot_write(cause: io::Error) -> ImageError {
    ImageError::State(cause)
}
