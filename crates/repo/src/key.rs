//! Key files: passwords' ways to the master key.

use backend::{Backend, Id};

use crate::Result;
use crate::crypto::MasterKey;

/// Parameters of scrypt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KdfParams {
    /// Cost, a power of two.
    pub n: u64,
    /// Block size.
    pub r: u32,
    /// Parallelism.
    pub p: u32,
}

impl KdfParams {
    /// For passwords with 256 random bits: stretching adds nothing.
    pub const RANDOM_PASSWORD: KdfParams = KdfParams { n: 1 << 10, r: 8, p: 1 };

    /// For passwords that people type: as much as this machine does in about half a second and 60 MiB, as restic does.
    pub fn calibrate() -> KdfParams {
        todo!()
    }
}

/// Who makes a key, for the key file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyOrigin {
    /// When.
    pub created: jiff::Zoned,
    /// Which user.
    pub username: String,
    /// On which host.
    pub hostname: String,
}

/// What a key file tells without its password.
#[derive(Clone, Debug)]
pub struct KeyInfo {
    /// The key file.
    pub id: Id,
    /// Creation, user, host.
    pub created: String,
    /// Which user made it.
    pub username: String,
    /// On which host.
    pub hostname: String,
}

/// A password that opened a repository.
pub struct OpenKey {
    /// Which key file it was.
    pub id: Id,
    /// What it opened.
    pub master: MasterKey,
    /// Key files that were skipped because they are damaged, with the reason.
    pub skipped: Vec<(Id, String)>,
}

/// Finds the key that `password` opens: the hinted one first, then up to 20 of the listed ones.
pub fn open(_backend: &dyn Backend, _password: &[u8], _hint: Option<&str>) -> Result<OpenKey> {
    todo!()
}

/// Adds a key file that opens `master` with `password`, and returns its id.
pub fn add(
    _backend: &dyn Backend,
    _master: &MasterKey,
    _password: &[u8],
    _params: KdfParams,
    _origin: &KeyOrigin,
) -> Result<Id> {
    todo!()
}

/// Lists key files; damaged ones carry empty fields.
pub fn list(_backend: &dyn Backend) -> Result<Vec<KeyInfo>> {
    todo!()
}
