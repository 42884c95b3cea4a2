//! Removal: a machine leaves its server, and nothing of the agent stays on it. The backups stay where they are.

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::memory::{Memory, MemoryError};
use crate::place::{Place, PlaceError};

/// What is gone, and what stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// The server that the machine had joined.
    pub server: Option<String>,
    /// Events that the server has not heard.
    pub unheard: u64,
    /// What was removed.
    pub files: Vec<PathBuf>,
}

/// Removes what the agent has in its directory; what others put there stays, and then the directory does, too.
pub fn remove(place: &Place) -> Result<Removed, RemovalError> {
    let mut removed = Removed::default();
    if place.memory().exists() {
        // Whoever has it open is an agent that runs: it must end first.
        let memory = Memory::open(place)?;
        removed.server = memory.membership()?.map(|membership| membership.server);
        removed.unheard = memory.unheard_count()?;
    }
    let lost = place.identity().with_extension("key.lost");
    let files = [place.status(), place.gateway_authority(), place.password(), place.identity(), lost, place.memory()];
    for file in files {
        let gone = fs::remove_file(&file);
        note(&mut removed, file, gone)?;
    }
    for folder in [place.cache(), place.images(), place.drills()] {
        let gone = fs::remove_dir_all(&folder);
        note(&mut removed, folder, gone)?;
    }
    // It stays if somebody else's things are in it.
    if fs::remove_dir(place.root()).is_ok() {
        removed.files.push(place.root().to_path_buf());
    }
    Ok(removed)
}

fn note(removed: &mut Removed, path: PathBuf, gone: io::Result<()>) -> Result<(), RemovalError> {
    match gone {
        Ok(()) => removed.files.push(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(RemovalError::Place(PlaceError { doing: "remove", path, source })),
    }
    Ok(())
}

/// Why something stays that should go.
#[derive(Debug, thiserror::Error)]
pub enum RemovalError {
    /// The memory is in use or damaged.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// A file stays.
    #[error(transparent)]
    Place(#[from] PlaceError),
}
