//! Removal: a machine leaves its server, and nothing of the agent stays on it. The backups stay where they are.

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::connection::{self, Leaving};
use crate::membership::Membership;
use crate::memory::{Memory, MemoryError};
use crate::place::{Place, PlaceError};

/// Who leaves.
#[derive(Clone, Debug)]
pub struct Leaver {
    /// Names of this machine's hardware, as far as they can be read.
    pub hardware: Vec<String>,
    /// This program's version.
    pub version: String,
}

/// Whether the server knows that the machine has left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Farewell {
    /// There was no server.
    #[default]
    Nobody,
    /// It has written it down, and keeps the backups.
    Told,
    /// It could not be told, and waits for the machine until somebody retires it there; why, in words.
    Untold(String),
}

/// What is gone, and what stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// The server that the machine had joined.
    pub server: Option<String>,
    /// Whether it knows.
    pub farewell: Farewell,
    /// Events that the server has not heard.
    pub unheard: u64,
    /// What was removed.
    pub files: Vec<PathBuf>,
}

/// Tells the server, and removes what the agent has in its directory; what others put there stays, and then the directory
/// does, too.
pub fn remove(place: &Place, leaver: &Leaver) -> Result<Removed, RemovalError> {
    let mut removed = Removed::default();
    if place.memory().exists() {
        // Whoever has it open is an agent that runs: it must end first.
        let memory = Memory::open(place)?;
        removed.unheard = memory.unheard_count()?;
        if let Some(membership) = memory.membership()? {
            removed.farewell = say_farewell(place, &membership, &memory, leaver);
            removed.server = Some(membership.server);
        }
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

fn say_farewell(place: &Place, membership: &Membership, memory: &Memory, leaver: &Leaver) -> Farewell {
    let leaving = Leaving { memory, hardware: &leaver.hardware, version: &leaver.version };
    match connection::take_leave(place, membership, &leaving) {
        Ok(()) => Farewell::Told,
        Err(why) => Farewell::Untold(why),
    }
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
