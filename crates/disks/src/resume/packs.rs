//! The list of packs that a job has sent or is about to send and that no index file names for certain: noted before the first
//! byte is on its way, so that a run that is killed at any moment knows what to ask the storage for.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};

use backend::Id;
use parking_lot::Mutex;
use repo::writer::PackWatcher;

use super::{JobPlace, file};

/// The lists of all jobs of one session, which share their packs.
pub(crate) struct PackNotes {
    state: Mutex<State>,
}

struct State {
    places: Vec<JobPlace>,
    /// The lists, open for more; empty after one could not be written.
    files: Vec<File>,
    noted: Vec<Id>,
}

impl PackNotes {
    /// Begins with empty lists: what earlier runs noted is in the index by now.
    pub(crate) fn begin(places: Vec<JobPlace>) -> PackNotes {
        let mut state = State { places, files: Vec::new(), noted: Vec::new() };
        state.rewrite();
        PackNotes { state: Mutex::new(state) }
    }

    /// Forgets packs that an index file names.
    pub(crate) fn forget(&self, indexed: &[Id]) {
        let indexed: HashSet<&Id> = indexed.iter().collect();
        let mut state = self.state.lock();
        let before = state.noted.len();
        state.noted.retain(|id| !indexed.contains(id));
        if state.noted.len() < before {
            state.rewrite();
        }
    }
}

impl PackWatcher for PackNotes {
    fn about_to_store(&self, pack: &Id) {
        let mut state = self.state.lock();
        state.noted.push(*pack);
        // Lists help the next run, not this one.
        if state.files.iter_mut().any(|file| file.write_all(pack.as_bytes()).is_err()) {
            state.rewrite();
        }
    }
}

impl State {
    fn rewrite(&mut self) {
        let files = self.places.iter().map(|place| place.save_packs(&self.noted).and_then(|()| place.more_packs()));
        self.files = files.collect::<io::Result<_>>().unwrap_or_default();
    }
}

impl JobPlace {
    /// Writes which packs may be stored that no index file names.
    pub fn save_packs(&self, packs: &[Id]) -> io::Result<()> {
        let bytes: Vec<u8> = packs.iter().flat_map(|id| id.as_bytes().iter().copied()).collect();
        self.write(file::PACKS, &bytes)
    }

    fn more_packs(&self) -> io::Result<File> {
        fs::OpenOptions::new().append(true).open(self.directory.join(file::PACKS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resume::JobIdentity;

    #[test]
    fn packs_are_noted_before_they_are_sent_and_forgotten_once_the_index_has_them() {
        let room = tempfile::tempdir().unwrap();
        let identity = JobIdentity {
            repository: Id::of(b"repository"),
            disk: "sda".into(),
            device: "/dev/sda".into(),
            size: 1 << 20,
            identity: Default::default(),
            parent: None,
        };
        let place = JobPlace::new(room.path(), &identity);
        let noted = |place: &JobPlace| fs::read(place.directory.join(file::PACKS)).unwrap();
        let notes = PackNotes::begin(vec![place.clone()]);
        let ids = [Id::of(b"a"), Id::of(b"b"), Id::of(b"c")];
        ids.iter().for_each(|id| notes.about_to_store(id));
        assert_eq!(noted(&place), ids.map(|id| *id.as_bytes()).concat());
        notes.forget(&ids[..2]);
        notes.about_to_store(&ids[0]);
        assert_eq!(noted(&place), [ids[2].as_bytes(), ids[0].as_bytes()].map(|id| *id).concat());
    }
}
