//! An open repository: storage, key, configuration, and the index once it is loaded.
//!
//! Readers list snapshots before they load the index; writers store packs, then index files, then snapshots, each durable
//! before the next. Nothing but packs is stored once our lock was lost.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use backend::{Backend, Clock, FileKind, FileName, Id};
use parking_lot::Mutex;

use crate::compress::Compression;
use crate::config::Config;
use crate::crypto::MasterKey;
use crate::index::{Index, IndexCache, IndexFile};
use crate::lock::Guard;
use crate::unpacked::Unpacked;
use crate::{Cancel, Error, Result, key};

mod blobs;
mod init;
mod snapshots;

pub use init::InitOptions;
pub use snapshots::{FoundSnapshot, Snapshots};

/// How to open a repository.
#[derive(Clone)]
pub struct OpenOptions {
    /// Key file to try first, as a prefix of its id.
    pub key_hint: Option<String>,
    /// Where the index cache lives (a directory per repository is made in it); `None` keeps the index in memory.
    pub cache: Option<PathBuf>,
    /// For what is written.
    pub compression: Compression,
    /// Target size of packs in bytes, 4 to 128 MiB.
    pub pack_size: u64,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Request to stop.
    pub cancel: Cancel,
}

/// Smallest and largest target size of packs in bytes, as restic allows them.
pub const PACK_SIZES: std::ops::RangeInclusive<u64> = (4 << 20)..=(128 << 20);

/// An open repository: storage, key, config, and the index once it is loaded.
pub struct Repository {
    files: Arc<Unpacked>,
    opened_by: key::OpenKey,
    config: Config,
    options: OpenOptions,
    index: OnceLock<Index>,
    loading: Mutex<()>,
    guard: Arc<Guard>,
    /// Where index caches live: as the options say, unless somebody wants it otherwise.
    index_caches: Option<PathBuf>,
}

impl Repository {
    /// An error unless there is a repository, for those who must ask somebody for the password.
    pub fn require(backend: &dyn Backend) -> Result<()> {
        init::require_config(backend)
    }

    /// Opens with a password.
    pub fn open(backend: Arc<dyn Backend>, password: &[u8], options: OpenOptions) -> Result<Repository> {
        init::require_config(&*backend)?;
        let opened_by = key::open(&*backend, password, options.key_hint.as_deref())?;
        Repository::assemble(backend, opened_by, options)
    }

    /// Reads the config with a key that is known.
    fn assemble(backend: Arc<dyn Backend>, opened_by: key::OpenKey, options: OpenOptions) -> Result<Repository> {
        check_options(&options)?;
        let master = opened_by.master.clone();
        let reader = Unpacked::new(Arc::clone(&backend), master.clone(), 1, options.compression);
        let config = Config::parse(&reader.read(FileKind::Config, &FileName::CONFIG.id)?)?;
        let files = Arc::new(Unpacked::new(backend, master, config.version, options.compression));
        Ok(Repository {
            files,
            opened_by,
            config,
            index_caches: options.cache.clone(),
            options,
            index: OnceLock::new(),
            loading: Mutex::new(()),
            guard: Arc::default(),
        })
    }

    /// The same repository through a wrapper of its storage, such as a cache, which must know the repository's id. For a
    /// repository that was just opened: nothing may be loaded from it yet.
    pub fn through(self, wrap: impl FnOnce(Arc<dyn Backend>, &Id) -> Arc<dyn Backend>) -> Repository {
        let backend = wrap(Arc::clone(&self.files.backend), &self.config.id);
        let key = self.files.key.clone();
        let files = Arc::new(Unpacked::new(backend, key, self.config.version, self.options.compression));
        Repository { files, ..self }
    }

    /// The same repository with its index cache below `base`, or with its index in memory. For a repository that was just
    /// opened and shall not believe what this machine remembers of it.
    pub fn with_index_cache(self, base: Option<PathBuf>) -> Repository {
        Repository { index_caches: base, index: OnceLock::new(), ..self }
    }

    /// The storage.
    pub fn backend(&self) -> &dyn Backend {
        &*self.files.backend
    }

    /// Storage and key, for work on files that goes on without the repository (lock refresh, other threads).
    pub fn files(&self) -> &Arc<Unpacked> {
        &self.files
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The repository's random id.
    pub fn id(&self) -> &Id {
        &self.config.id
    }

    /// Format version, 1 or 2.
    pub fn version(&self) -> u32 {
        self.config.version
    }

    /// The key that encrypts everything.
    pub fn key(&self) -> &MasterKey {
        &self.files.key
    }

    /// Which key file opened the repository, and which ones were skipped because they are damaged.
    pub fn opened_by(&self) -> &key::OpenKey {
        &self.opened_by
    }

    /// How it was opened.
    pub fn options(&self) -> &OpenOptions {
        &self.options
    }

    /// Time.
    pub fn clock(&self) -> &dyn Clock {
        &*self.options.clock
    }

    /// The request to stop.
    pub fn cancel(&self) -> &Cancel {
        &self.options.cancel
    }

    /// Watches the lock under which we work, if there is one.
    pub(crate) fn guard(&self) -> &Arc<Guard> {
        &self.guard
    }

    /// An error once our lock was lost; proves (and renews) one that has not been refreshed in time, as after a sleep.
    /// Without a lock it is fine. Snapshots and index files are only written after this.
    pub fn check_lock(&self) -> Result<()> {
        self.guard.check()
    }

    /// The file of the lock under which we work, if there is one. A refresh gives it a new name.
    pub fn own_lock(&self) -> Option<Id> {
        self.guard.lock_file()
    }

    /// Loads all index files (from the cache where it has them) and keeps the result. Snapshots must be listed before.
    pub fn load_index(&self) -> Result<&Index> {
        if let Some(index) = self.index.get() {
            return Ok(index);
        }
        let _loading = self.loading.lock();
        if let Some(index) = self.index.get() {
            return Ok(index);
        }
        let index = Index::load(&self.files, self.index_cache().as_ref(), &self.options.cancel)?;
        Ok(self.index.get_or_init(|| index))
    }

    /// The loaded index; loads it on first use.
    pub fn index(&self) -> Result<&Index> {
        self.load_index()
    }

    /// Forgets the loaded index, so that the next use reads what is stored now.
    pub fn unload_index(&mut self) {
        self.index = OnceLock::new();
    }

    /// Where this repository's index cache lies.
    fn index_cache(&self) -> Option<IndexCache> {
        let cache = self.index_caches.as_ref()?;
        let directory = cache.join(self.config.id.to_string()).join("stead-index");
        Some(IndexCache { directory, repository: self.config.id })
    }

    /// Removes this machine's index cache, durably. Whoever removes index files or packs calls this first, so that no
    /// later run believes in blobs that are gone, however this one ends. The index that is loaded stays usable.
    pub fn invalidate_cache(&self) -> Result<()> {
        match self.index_cache() {
            Some(cache) => crate::index::remove_cache(&cache),
            None => Ok(()),
        }
    }

    /// Reads, checks the name's hash, decrypts and decompresses a file that is not a pack; the config without hash.
    pub fn read_unpacked(&self, kind: FileKind, id: &Id) -> Result<Vec<u8>> {
        self.files.read(kind, id)
    }

    /// Compresses (not the config), encrypts, self-checks and stores; returns the name.
    pub fn write_unpacked(&self, kind: FileKind, plain: &[u8]) -> Result<Id> {
        self.files.write(kind, plain)
    }

    /// Reads one index file as it is stored, past the cache: for check, and for prune's rewriting.
    pub fn read_index_file(&self, id: &Id) -> Result<IndexFile> {
        let json = self.files.read(FileKind::Index, id)?;
        IndexFile::parse(&json).map_err(|reason| Error::damaged(FileName::new(FileKind::Index, *id), reason))
    }

    /// Stores an index file; the caller keeps it at or below [`crate::index::MAX_BLOBS`] where packs allow. The loaded index
    /// does not learn it.
    pub fn write_index_file(&self, content: &IndexFile) -> Result<Id> {
        self.check_lock()?;
        let id = self.files.write(FileKind::Index, &content.to_json())?;
        crate::known::note_written(self, FileKind::Index, &id);
        Ok(id)
    }

    /// Changes the configuration in storage and here. Keys that we do not know are kept.
    pub fn change_config(&mut self, change: impl FnOnce(&mut Config)) -> Result<()> {
        let mut config = self.config.clone();
        change(&mut config);
        let json = init::config_json(&config)?;
        Config::parse(&json)?;
        let sealed = self.files.seal(FileKind::Config, &json)?;
        self.check_lock()?;
        self.backend().replace_config(&sealed)?;
        self.config = config;
        Ok(())
    }
}

fn check_options(options: &OpenOptions) -> Result<()> {
    if PACK_SIZES.contains(&options.pack_size) {
        return Ok(());
    }
    Err(Error::Invalid(format!("a pack size of {} bytes is not between 4 and 128 MiB", options.pack_size)))
}
