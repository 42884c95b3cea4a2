//! Making a repository: layout, key, then config. One without config but with anything else is never written over.
//!
//! The key is stored before the config, so an interrupted `init` leaves a key that opens nothing. Running it again with the
//! same password takes that key and finishes the work, provided that nothing else is stored.

use std::sync::Arc;

use backend::{Backend, FileKind, FileName, Part};

use super::{OpenOptions, Repository};
use crate::chunk::ChunkerKind;
use crate::config::Config;
use crate::crypto::MasterKey;
use crate::key::{self, KdfParams, KeyOrigin, OpenKey};
use crate::unpacked::Unpacked;
use crate::{Error, Result};

/// How to make a repository.
#[derive(Clone, Debug)]
pub struct InitOptions {
    /// How files are cut.
    pub chunker: ChunkerKind,
    /// Take the cut points of another repository: its polynomial (hexadecimal), so that copies between them share blobs.
    pub chunker_polynomial: Option<String>,
    /// Format version, 1 or 2.
    pub version: u32,
    /// Stretching of the first password.
    pub kdf: KdfParams,
    /// Who makes the first key.
    pub origin: KeyOrigin,
}

impl Repository {
    /// Makes a repository at an empty place and opens it.
    pub fn init(
        backend: Arc<dyn Backend>,
        password: &[u8],
        init: &InitOptions,
        options: OpenOptions,
    ) -> Result<Repository> {
        super::check_options(&options)?;
        let config = new_config(init)?;
        refuse_what_exists(&*backend)?;
        backend.create()?;
        let opened_by = first_key(&*backend, password, init)?;
        let files = Unpacked::new(Arc::clone(&backend), opened_by.master.clone(), config.version, options.compression);
        files.write(FileKind::Config, &config_json(&config)?)?;
        Repository::assemble(backend, opened_by, options)
    }
}

fn new_config(init: &InitOptions) -> Result<Config> {
    if !(1..=2).contains(&init.version) {
        return Err(Error::Invalid(format!("repositories of format version {} cannot be made", init.version)));
    }
    let mut config = Config::new(init.chunker);
    config.version = init.version;
    if let Some(polynomial) = &init.chunker_polynomial {
        config.chunker_polynomial.clone_from(polynomial);
    }
    Config::parse(&config_json(&config)?)
}

/// The config as it is stored.
pub(super) fn config_json(config: &Config) -> Result<Vec<u8>> {
    serde_json::to_vec(config).map_err(|error| Error::Invalid(format!("cannot write the config: {error}")))
}

/// A config, any snapshot, or a key beside other files means that somebody's data is here.
fn refuse_what_exists(backend: &dyn Backend) -> Result<()> {
    let refuse = |found| Err(Error::AlreadyInitialised { location: backend.location(), found });
    if config_exists(backend)? {
        return refuse("a config");
    }
    if !is_empty(backend, FileKind::Snapshot)? {
        return refuse("a snapshot");
    }
    let holds_data = !is_empty(backend, FileKind::Index)? || !is_empty(backend, FileKind::Pack)?;
    match holds_data {
        true => refuse("a pack or an index"),
        false => Ok(()),
    }
}

/// The key that an interrupted `init` with this password left, or a new one. Any other key is somebody's.
fn first_key(backend: &dyn Backend, password: &[u8], init: &InitOptions) -> Result<OpenKey> {
    if !is_empty(backend, FileKind::Key)? {
        let found = key::open(backend, password, None);
        return found.map_err(|_| Error::AlreadyInitialised { location: backend.location(), found: "a key" });
    }
    let master = MasterKey::random();
    let id = key::add(backend, &master, password, init.kdf, &init.origin)?;
    Ok(OpenKey { id, master, skipped: Vec::new() })
}

/// No repository, half a one, or one whose config has content.
pub(super) fn require_config(backend: &dyn Backend) -> Result<()> {
    let mut config = Vec::new();
    match backend.read(&FileName::CONFIG, Part::Whole, &mut config) {
        Ok(()) if config.is_empty() => Err(Error::damaged(FileName::CONFIG, "it is empty")),
        Ok(()) => Ok(()),
        Err(error) if error.is_not_found() => Err(without_config(backend)?),
        Err(error) => Err(error.into()),
    }
}

/// What to say where there is no config.
fn without_config(backend: &dyn Backend) -> Result<Error> {
    let rest = !is_empty(backend, FileKind::Key)? || !is_empty(backend, FileKind::Snapshot)?;
    let location = backend.location();
    Ok(match rest {
        true => Error::HalfRepository { location },
        false => Error::NoRepository { location },
    })
}

fn config_exists(backend: &dyn Backend) -> Result<bool> {
    match backend.size(&FileName::CONFIG) {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn is_empty(backend: &dyn Backend, kind: FileKind) -> Result<bool> {
    match backend.list(kind) {
        Ok(files) => Ok(files.is_empty()),
        Err(error) if error.is_not_found() => Ok(true),
        Err(error) => Err(error.into()),
    }
}
