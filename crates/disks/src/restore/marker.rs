//! A note that a restore was begun, so that the same one goes on where it was cut off.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use backend::Id;
use serde::{Deserialize, Serialize};

/// What was being restored where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Marker {
    pub(super) snapshot: Id,
    pub(super) disk: String,
    pub(super) target: PathBuf,
    /// Bytes of the target.
    pub(super) size: u64,
    /// The target's serial number, if it has one.
    pub(super) serial: Option<String>,
}

impl Marker {
    fn file(&self, directory: &Path) -> PathBuf {
        let name = Id::of(self.target.as_os_str().as_encoded_bytes()).short().to_string();
        directory.join(format!("restore-{name}.json"))
    }

    /// True if exactly this restore was begun and not finished.
    pub(super) fn is_set(&self, directory: &Path) -> bool {
        let noted = fs::read(self.file(directory)).ok().and_then(|json| serde_json::from_slice::<Marker>(&json).ok());
        noted.as_ref() == Some(self)
    }

    /// Notes that this restore begins.
    pub(super) fn set(&self, directory: &Path) -> io::Result<()> {
        fs::create_dir_all(directory)?;
        fs::write(self.file(directory), serde_json::to_vec(self)?)
    }

    /// Notes that it is done. A note that stays does no harm: the next restore compares what is there.
    pub(super) fn clear(&self, directory: &Path) {
        let _ = fs::remove_file(self.file(directory));
    }
}
