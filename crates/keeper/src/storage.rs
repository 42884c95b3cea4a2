//! Repositories as a keeper opens them: through the gateway, or at a destination.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use backend::{Backend, Cache, Clock, Location, Options, Retry, RetryOptions};
use fleet::MachineId;
use repo::lock::{Lock, LockKind, LockOptions, LockOwner};
use repo::repository::{InitOptions, OpenOptions};
use repo::{Cancel, Repository};

use crate::{Error, Result};

/// How long passing faults are borne; then the task comes again.
const PATIENCE: Duration = Duration::from_secs(120);

/// A gateway, and the account that the keeper has there.
#[derive(Clone)]
pub struct Gateway {
    /// Its address without credentials.
    pub address: String,
    /// A PEM file with the authority that its certificate must come from.
    pub authority: Option<PathBuf>,
    /// The name that the keeper comes in with.
    pub account: String,
    /// Its password there.
    pub credential: String,
}

impl Gateway {
    /// Where a machine's repository is.
    pub fn place(&self, machine: MachineId) -> Place {
        let mut options = Options::default();
        options.credentials.insert("RESTIC_REST_USERNAME".into(), self.account.clone());
        options.credentials.insert("RESTIC_REST_PASSWORD".into(), self.credential.clone());
        options.http.authorities.extend(self.authority.clone());
        let location = Location::Rest(format!("{}/{machine}/", self.address.trim_end_matches('/')));
        Place { location, options }
    }
}

/// Where a repository is, and what is needed to get there.
#[derive(Clone)]
pub struct Place {
    /// Where.
    pub location: Location,
    /// Credentials and settings.
    pub options: Options,
}

/// A request to stop that storage hears as well, while it waits for the network.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// For repositories.
    pub cancel: Cancel,
    waiting: Arc<AtomicBool>,
}

impl Stop {
    /// Asks for it.
    pub fn ask(&self) {
        self.cancel.cancel();
        self.waiting.store(true, Ordering::SeqCst);
    }

    /// An error once somebody asked.
    pub fn check(&self) -> Result<()> {
        if self.cancel.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }
}

/// Which copies of metadata are believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Believes {
    /// Those that earlier work left on this machine.
    Cache,
    /// None: everything is read from storage.
    Storage,
}

/// How this keeper opens repositories.
#[derive(Clone)]
pub struct Access {
    /// Where metadata is kept.
    pub cache: PathBuf,
    /// Who we are, for locks.
    pub owner: LockOwner,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl Access {
    /// Storage that is tried again when it fails.
    pub fn storage(&self, place: &Place, stop: &Stop) -> Result<Arc<dyn Backend>> {
        let options = RetryOptions { patience: PATIENCE, offline_patience: Some(PATIENCE), ..RetryOptions::default() };
        let bare = backend::open(&place.location, &place.options)?;
        Ok(Arc::new(Retry::new(bare, options, Arc::clone(&self.clock), Arc::clone(&stop.waiting), Arc::new(|_| {}))))
    }

    /// Opens a repository.
    pub fn open(&self, place: &Place, password: &[u8], believes: Believes, stop: &Stop) -> Result<Repository> {
        let repo = Repository::open(self.storage(place, stop)?, password, self.options(stop))?;
        Ok(self.believing(repo, place, believes))
    }

    /// Makes a repository.
    pub fn init(&self, place: &Place, password: &[u8], init: &InitOptions, stop: &Stop) -> Result<Repository> {
        Ok(Repository::init(self.storage(place, stop)?, password, init, self.options(stop))?)
    }

    fn options(&self, stop: &Stop) -> OpenOptions {
        OpenOptions {
            key_hint: None,
            cache: Some(self.cache.clone()),
            compression: repo::compress::Compression::Auto,
            pack_size: 16 << 20,
            clock: Arc::clone(&self.clock),
            cancel: stop.cancel.clone(),
        }
    }

    fn believing(&self, repo: Repository, place: &Place, believes: Believes) -> Repository {
        match (believes, &place.location) {
            (Believes::Storage, _) => repo.with_index_cache(None),
            (Believes::Cache, Location::Local(_)) => repo,
            (Believes::Cache, _) => repo.through(|storage, id| cached(storage, &self.cache, &id.to_string())),
        }
    }

    /// A lock beside readers and writers.
    ///
    /// # Errors
    /// At once if somebody holds an exclusive lock: the task comes again.
    pub fn lock(&self, repo: &Repository) -> Result<Lock> {
        let options = LockOptions { kind: LockKind::Shared, owner: self.owner.clone(), wait: Duration::ZERO };
        Ok(Lock::acquire(repo, &options)?)
    }
}

/// Without room for a cache it goes without.
fn cached(storage: Arc<dyn Backend>, base: &Path, id: &str) -> Arc<dyn Backend> {
    match Cache::new(Arc::clone(&storage), base, id) {
        Ok(cache) => Arc::new(cache),
        Err(_) => storage,
    }
}
