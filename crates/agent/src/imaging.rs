//! Imaging: disks become snapshots by the program that the agent is a part of, which knows how disks are opened.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use disks::progress::Progress;
use fleet::Missed;
use repo::{Cancel, Repository};

/// Disks that become one snapshot.
pub struct ImageRequest<'r> {
    /// Where to.
    pub repo: &'r Arc<Repository>,
    /// The disks; never none.
    pub devices: &'r [PathBuf],
    /// Whose machine.
    pub host: &'r str,
    /// Where the state of an image in the making is kept, so that an interrupted one is taken up.
    pub state: &'r Path,
    /// Request to stop.
    pub cancel: &'r Cancel,
    /// Counts along.
    pub progress: &'r Arc<Progress>,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Imaged {
    /// The snapshot, in hexadecimal digits.
    pub snapshot: String,
    /// What could not be read.
    pub missed: Vec<Missed>,
}

/// Makes images of disks.
pub trait Imaging: Send + Sync {
    /// Makes a snapshot, or says in words why there is none.
    fn image(&self, request: &ImageRequest<'_>) -> Result<Imaged, String>;
}
