//! The wiring, in one place: location → storage → repository → lock. Every command begins here.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use backend::{
    Backend, Brim, Cache, Class, Clock, Id, Limit, Limiter, Location, Retry, RetryEvent, RetryObserver, RetryOptions,
    Spool, SystemClock, Unreachable,
};
use repo::key::KeyOrigin;
use repo::lock::{Lock, LockKind, LockOptions, LockOwner};
use repo::repository::OpenOptions;
use repo::{Cancel, Repository};

use crate::commands::cache;
use crate::default_repository::DefaultRepository;
use crate::failure::{Doing, Failure, Outcome};
use crate::fresh_cache::FreshCache;
use crate::global::{GlobalArgs, Locking, Settings, named_location, named_password};
use crate::output::Output;
use crate::password::{Password, PasswordSource};
use crate::signal;

/// What a command has at hand.
#[derive(Clone)]
pub(crate) struct Context {
    /// What the user wants.
    pub(crate) settings: Settings,
    /// Set by Ctrl-C.
    pub(crate) cancel: Cancel,
    stopped: Arc<AtomicBool>,
    clock: Arc<dyn Clock>,
}

/// An open repository and its lock, which goes when this goes.
pub(crate) struct Opened {
    /// Held while the command works; `None` with `--no-lock`.
    lock: Option<Lock>,
    /// The repository.
    pub(crate) repo: Arc<Repository>,
    /// Its directory, if it is in one on this machine.
    pub(crate) directory: Option<PathBuf>,
    /// A cache that is thrown away at the end, last of all.
    _room: Option<FreshCache>,
}

/// A repository as a spool before it shows it. Nothing is locked: what is written stays in the spool, and is proved to fit when
/// it is sent.
pub(crate) struct Spooled {
    /// Writes stay in the spool.
    pub(crate) repo: Arc<Repository>,
    /// The spool.
    pub(crate) spool: Arc<Spool>,
    /// Why the repository cannot be reached.
    pub(crate) offline: Option<String>,
    /// Its directory, if it is in one on this machine.
    pub(crate) directory: Option<PathBuf>,
}

/// Which copies of metadata on this machine a command believes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Believes {
    /// Those that earlier commands left.
    Cache,
    /// None: everything is read from the storage once, and kept only while the command runs.
    Storage,
}

/// Whether others may work while a command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beside {
    /// Anybody: we only look, and need no lock if the user wants none.
    Readers,
    /// Readers and writers.
    Writers,
    /// Nobody.
    Nobody,
    /// Anybody, without a lock of ours.
    Unlocked,
}

/// What a backup writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writes {
    /// Nothing: it is only tried out.
    Nothing,
    /// A snapshot and what it needs.
    Snapshots,
}

/// What waits in a spool is no part of an image of its disk.
fn came_back(root: &Path) -> Failure {
    let root = root.display();
    Failure::new(format!("the spool in {root} came back with an image of its disk, without the content of its packs"))
        .hint(format!("remove {root}: nothing in it can be sent from here"))
}

/// A repository that is meant, before it is opened.
struct Target {
    location: String,
    password: PasswordSource,
    key_hint: Option<String>,
    own: Option<DefaultRepository>,
}

impl Context {
    /// Joins flags and variables, and listens for signals.
    pub(crate) fn new(global: &GlobalArgs) -> Outcome<Context> {
        let settings = global.settings()?;
        let (cancel, stopped) = signal::listen()?;
        Ok(Context { settings, cancel, stopped, clock: Arc::new(SystemClock) })
    }

    /// How we talk.
    pub(crate) fn output(&self) -> Output {
        self.settings.output
    }

    /// The time.
    pub(crate) fn now(&self) -> jiff::Timestamp {
        self.clock.now()
    }

    /// Opens for reading, beside readers and writers; unlocked with `--no-lock`.
    pub(crate) fn open_shared(&self) -> Outcome<Opened> {
        self.open(&self.target()?, Beside::Readers)
    }

    /// Opens for adding, beside readers and writers.
    pub(crate) fn open_to_add(&self) -> Outcome<Opened> {
        self.open(&self.target()?, Beside::Writers)
    }

    /// Opens for changing what is there, alone.
    pub(crate) fn open_exclusive(&self) -> Outcome<Opened> {
        self.open(&self.target()?, Beside::Nobody)
    }

    /// Opens for a look at what others do.
    pub(crate) fn open_unlocked(&self) -> Outcome<Opened> {
        self.open(&self.target()?, Beside::Unlocked)
    }

    /// Opens alone for showing what would be changed; unlocked with `--no-lock`.
    pub(crate) fn open_for_dry_run(&self) -> Outcome<Opened> {
        let beside = if self.settings.locking == Locking::None { Beside::Unlocked } else { Beside::Nobody };
        self.open(&self.target()?, beside)
    }

    /// Opens for a check: alone as restic does, so that nothing moves meanwhile; unlocked with `--no-lock`.
    pub(crate) fn open_for_check(&self, believes: Believes) -> Outcome<Opened> {
        let beside = if self.settings.locking == Locking::None { Beside::Unlocked } else { Beside::Nobody };
        self.open_with(&self.target()?, beside, self.cancel.clone(), believes)
    }

    /// Opens for a backup. The user's own repository is made where none was named and none exists. A request to stop is
    /// the backup's to hear, not the repository's: what was done so far is still written.
    pub(crate) fn open_for_backup(&self, writes: Writes) -> Outcome<Opened> {
        let beside = match writes {
            Writes::Nothing => Beside::Unlocked,
            Writes::Snapshots => Beside::Writers,
        };
        let target = match self.named_or_own()? {
            Some(target) => target,
            None => {
                self.make_own(DefaultRepository::place().ok_or_else(nothing_named)?)?;
                self.target()?
            }
        };
        self.open_with(&target, beside, Cancel::default(), Believes::Cache)
    }

    /// Opens through the spool in a directory, which may have spools of several repositories. Without the storage it works if
    /// the spool was used before.
    pub(crate) fn open_spooled(&self, directory: &Path, brim: Option<Brim>) -> Outcome<Spooled> {
        let target = self.target()?;
        let root = directory.join(Id::of(target.location.as_bytes()).short());
        let (far, offline) = match self.storage(&target.location) {
            Ok(far) => (far, None),
            Err(failure) => self.unreachable(&target.location, &root, failure)?,
        };
        let spool = Spool::new(&root, Arc::clone(&far));
        if offline.is_none() {
            Repository::require(&*far)?;
            spool.prepare().doing(|| format!("cannot use the spool in {}", directory.display()))?;
        }
        if !spool.is_itself() {
            return Err(came_back(&root));
        }
        let cache = Some(root.join("cache"));
        let key_hint = target.key_hint.clone();
        let options = OpenOptions { key_hint, cache, cancel: Cancel::default(), ..self.open_options() };
        let storage: Arc<dyn Backend> = Arc::new(spool);
        let repo = open_with_password(&target, &storage, &options)?;
        // The cache of metadata lies between the spool and the storage.
        let known = match self.settings.cache.as_deref() {
            Some(base) => self.cached_storage(&target.location, base, far, repo.id()),
            None => far,
        };
        let spool = Arc::new(Spool::new(&root, known).full_at(brim));
        let repo = Arc::new(repo.through(|_, _| Arc::clone(&spool) as _));
        let directory = local_directory(&target.location);
        Ok(Spooled { repo, spool, offline, directory })
    }

    /// What stands for a storage that cannot be reached, and why it cannot.
    fn unreachable(
        &self,
        location: &str,
        root: &Path,
        failure: Failure,
    ) -> Outcome<(Arc<dyn Backend>, Option<String>)> {
        let Some(error) = failure.storage_error().filter(|error| error.class == Class::Offline) else {
            return Err(failure);
        };
        if !root.join("config").exists() {
            return Err(failure.hint("a spool works without the network once it was used with it"));
        }
        let why = error.to_string();
        self.output()
            .warn(format_args!("the repository cannot be reached ({why}): what is captured waits in the spool"));
        Ok((Arc::new(Unreachable::new(shown(location), error)), Some(why)))
    }

    /// The repository that was named, or the user's own.
    fn target(&self) -> Outcome<Target> {
        self.named_or_own()?.ok_or_else(nothing_named)
    }

    /// The same; `None` where none was named and the user has none.
    fn named_or_own(&self) -> Outcome<Option<Target>> {
        let (password, key_hint) = (self.settings.password.clone(), self.settings.key_hint.clone());
        if let Some(location) = self.settings.location.clone() {
            return Ok(Some(Target { location, password, key_hint, own: None }));
        }
        let Some(own) = DefaultRepository::place() else { return Ok(None) };
        let location = own.directory.to_string_lossy().into_owned();
        Ok(own.exists()?.then_some(Target { location, password, key_hint, own: Some(own) }))
    }

    fn make_own(&self, place: DefaultRepository) -> Outcome {
        let password = match self.settings.password.is_unset() {
            true => place.make_password()?,
            false => self.settings.password.read_new("password for the new repository")?,
        };
        self.make(&place.directory.to_string_lossy(), &password)?;
        self.output().notice(place.welcome())
    }

    /// Makes a repository as we like them.
    fn make(&self, location: &str, password: &Password) -> Outcome {
        let options = repo::repository::InitOptions {
            chunker: repo::chunk::ChunkerKind::default(),
            chunker_polynomial: None,
            version: 2,
            kdf: password.kdf(),
            origin: self.key_origin(None, None),
        };
        Repository::init(self.storage(location)?, password.bytes(), &options, self.open_options())
            .doing(|| format!("cannot make a repository at {}", shown(location)))?;
        Ok(())
    }

    /// Opens for adding, beside readers and writers; a repository that is not there is made.
    pub(crate) fn open_or_make(&self) -> Outcome<Opened> {
        let target = self.target()?;
        match self.storage(&target.location)?.size(&backend::FileName::CONFIG) {
            Err(error) if error.class == Class::NotFound => {
                self.make(&target.location, &target.password.read("password for the new repository")?)?;
            }
            _ => {}
        }
        self.open(&target, Beside::Writers)
    }

    fn open(&self, target: &Target, beside: Beside) -> Outcome<Opened> {
        self.open_with(target, beside, self.cancel.clone(), Believes::Cache)
    }

    fn open_with(&self, target: &Target, beside: Beside, cancel: Cancel, believes: Believes) -> Outcome<Opened> {
        let doing = || format!("cannot open the repository at {}", shown(&target.location));
        let storage = self.storage(&target.location)?;
        let options = OpenOptions { key_hint: target.key_hint.clone(), cancel, ..self.open_options() };
        let repo = open_with_password(target, &storage, &options).map_err(|failure| failure.doing(doing()))?;
        let (repo, room) = match believes {
            Believes::Cache => (self.cached(&target.location, self.settings.cache.as_deref(), repo), None),
            Believes::Storage => self.cached_afresh(&target.location, repo),
        };
        let repo = Arc::new(repo);
        self.remark_on(&repo)?;
        let lock = self.lock(&repo, beside)?;
        let directory = local_directory(&target.location);
        Ok(Opened { lock, repo, directory, _room: room })
    }

    /// Things about a repository that its users should know.
    fn remark_on(&self, repo: &Repository) -> Outcome {
        for (id, reason) in &repo.opened_by().skipped {
            self.output().warn(format_args!("key {} is damaged and was passed over: {reason}", id.short()));
        }
        if self.settings.cleanup_cache
            && let Some(directory) = &self.settings.cache
        {
            cache::remove_old(directory)?;
        }
        self.output().detail(format_args!("repository {} opened (version {})", repo.id().short(), repo.version()))
    }

    fn lock(&self, repo: &Repository, beside: Beside) -> Outcome<Option<Lock>> {
        let kind = match beside {
            Beside::Unlocked => return Ok(None),
            Beside::Nobody => LockKind::Exclusive,
            Beside::Readers | Beside::Writers => LockKind::Shared,
        };
        let wait = match self.settings.locking {
            Locking::None if beside == Beside::Readers => return Ok(None),
            Locking::None => {
                self.output().warn("--no-lock is for reading only: this command locks the repository");
                Default::default()
            }
            Locking::Wait(wait) => wait,
        };
        let owner = self.owner();
        let lock = Lock::acquire(repo, &LockOptions { kind, owner, wait });
        Ok(Some(lock.map_err(Failure::from)?))
    }

    /// This process, for locks.
    pub(crate) fn owner(&self) -> LockOwner {
        LockOwner::this_process(platform::hostname(), platform::username())
    }

    /// Who makes a key, for key files.
    pub(crate) fn key_origin(&self, user: Option<String>, host: Option<String>) -> KeyOrigin {
        KeyOrigin {
            created: self.now().to_zoned(jiff::tz::TimeZone::system()),
            username: user.unwrap_or_else(platform::username),
            hostname: host.unwrap_or_else(platform::hostname),
        }
    }

    /// The storage at a location, bare: nothing is tried again, and whether it can be reached is not looked at.
    pub(crate) fn bare_storage(&self, location: &str) -> Outcome<Arc<dyn Backend>> {
        let settings = &self.settings.storage;
        let mut options = backend::Options {
            http: self.http_options(),
            stuck_after: settings.stuck_after,
            ..backend::Options::default()
        };
        for (key, value) in &settings.options {
            options.set(&format!("{key}={value}"))?;
        }
        let known = backend::CREDENTIALS.iter().filter_map(|name| Some((*name, std::env::var(name).ok()?)));
        options.credentials.extend(known.map(|(name, value)| (name.to_owned(), value)));
        let location: Location = location.parse()?;
        Ok(backend::open(&location, &options)?)
    }

    /// The storage at a location: bare storage, within a bandwidth limit, tried again when it fails.
    pub(crate) fn storage(&self, location: &str) -> Outcome<Arc<dyn Backend>> {
        let settings = &self.settings.storage;
        let bare = self.bare_storage(location)?;
        let is_local = local_directory(location).is_some();
        if !is_local {
            self.require_contact(&*bare)?;
        }
        let rate = |limit: Option<u64>| limit.and_then(NonZeroU64::new);
        let (up, down) = (rate(settings.upload_limit), rate(settings.download_limit));
        let limited: Arc<dyn Backend> = match (up, down) {
            (None, None) => bare,
            _ => Arc::new(Limit::new(bare, Arc::new(Limiter::new(Arc::clone(&self.clock), up, down)))),
        };
        Ok(Arc::new(Retry::new(
            limited,
            patience(is_local),
            Arc::clone(&self.clock),
            self.stopped.clone(),
            self.told(),
        )))
    }

    /// A storage that cannot be reached at the start is a mistake more often than a bad day: it is said at once. Later
    /// work waits for it.
    fn require_contact(&self, storage: &dyn Backend) -> Outcome {
        let mut attempt = 1;
        loop {
            match storage.size(&backend::FileName::CONFIG) {
                Err(error) if error.class == Class::Offline && attempt == CONTACT_ATTEMPTS => return Err(error.into()),
                Err(error) if error.class == Class::Offline => attempt += 1,
                _ => return Ok(()),
            }
            self.cancel.check()?;
            self.clock.sleep(Duration::from_secs(1));
        }
    }

    /// Tells when storage fails and is tried again.
    fn told(&self) -> RetryObserver {
        let output = self.output();
        Arc::new(move |event| match event {
            RetryEvent::Retrying { error, wait } if wait.as_secs() >= 1 || output.is_verbose() => {
                output.warn(format_args!("{error}; trying again in {:.1} s", wait.as_secs_f64()));
            }
            RetryEvent::Retrying { .. } => {}
            RetryEvent::Offline { error, .. } => {
                output.warn(format_args!("the storage cannot be reached ({error}); waiting for it, Ctrl-C stops"));
            }
            RetryEvent::Online { .. } => output.warn("the storage answers again"),
        })
    }

    /// Gives the repository caches that are empty and go with it; none where there shall be none.
    fn cached_afresh(&self, location: &str, repo: Repository) -> (Repository, Option<FreshCache>) {
        let Some(base) = self.settings.cache.as_deref() else { return (repo, None) };
        let room = FreshCache::new(base).inspect_err(|error| {
            self.output().warn(format_args!("working without a cache in {}: {error}", base.display()));
        });
        let Ok(room) = room else { return (repo.with_index_cache(None), None) };
        let repo = repo.with_index_cache(Some(room.path().to_path_buf()));
        (self.cached(location, Some(room.path()), repo), Some(room))
    }

    /// Puts the cache of metadata below `base` before storage that is not on this machine.
    fn cached(&self, location: &str, base: Option<&Path>, repo: Repository) -> Repository {
        let Some(base) = base else { return repo };
        repo.through(|storage, id| self.cached_storage(location, base, storage, id))
    }

    fn cached_storage(&self, location: &str, base: &Path, storage: Arc<dyn Backend>, id: &Id) -> Arc<dyn Backend> {
        if local_directory(location).is_some() {
            return storage;
        }
        match Cache::new(Arc::clone(&storage), base, &id.to_string()) {
            Ok(cache) => Arc::new(cache),
            Err(error) => {
                self.output().warn(format_args!("working without a cache in {}: {error}", base.display()));
                storage
            }
        }
    }

    fn http_options(&self) -> backend::HttpOptions {
        let settings = &self.settings.storage;
        let proxy =
            |names: [&str; 2]| names.iter().find_map(|name| std::env::var(name).ok().filter(|url| !url.is_empty()));
        backend::HttpOptions {
            authorities: settings.authorities.clone(),
            identity: settings.identity.clone(),
            insecure: settings.insecure_tls,
            user_agent: settings.user_agent.clone(),
            http_proxy: proxy(["http_proxy", "HTTP_PROXY"]),
            https_proxy: proxy(["https_proxy", "HTTPS_PROXY"]),
            no_proxy: proxy(["no_proxy", "NO_PROXY"]),
        }
    }

    /// How repositories are opened here.
    pub(crate) fn open_options(&self) -> OpenOptions {
        OpenOptions {
            key_hint: self.settings.key_hint.clone(),
            cache: self.settings.cache.clone(),
            compression: self.settings.compression,
            pack_size: self.settings.pack_size,
            clock: Arc::clone(&self.clock),
            cancel: self.cancel.clone(),
        }
    }
}

/// The directory that a location names, if it is one on this machine.
fn local_directory(location: &str) -> Option<PathBuf> {
    match location.parse() {
        Ok(Location::Local(path)) => Some(path),
        _ => None,
    }
}

/// How often a storage that cannot be reached is asked before anything begins.
const CONTACT_ATTEMPTS: u32 = 3;

/// How long failing storage is tried again: a disk of this machine does not come back like a network does.
fn patience(is_local: bool) -> RetryOptions {
    let local = RetryOptions {
        patience: Duration::from_secs(10),
        offline_patience: Some(Duration::ZERO),
        first_wait: Duration::from_millis(100),
        ..RetryOptions::default()
    };
    if is_local { local } else { RetryOptions::default() }
}

/// How often a person may mistype a password.
const ATTEMPTS: u32 = 3;

fn open_with_password(target: &Target, storage: &Arc<dyn Backend>, options: &OpenOptions) -> Outcome<Repository> {
    if target.password.is_unset() {
        Repository::require(&**storage)?;
    }
    let mut attempt = 1;
    loop {
        let password = password(target)?;
        match Repository::open(Arc::clone(storage), password.bytes(), options.clone()) {
            Err(repo::Error::WrongPassword) if target.password.is_typed() && attempt < ATTEMPTS => attempt += 1,
            result => return Ok(result?),
        }
    }
}

/// A location as people may see it: without the password that it may hold.
pub(crate) fn shown(location: &str) -> String {
    location.parse::<Location>().map_or_else(|_| location.to_owned(), |location| location.to_string())
}

fn password(target: &Target) -> Outcome<Password> {
    match &target.own {
        Some(own) if target.password.is_unset() => own.password(),
        _ => target.password.read(&format!("password for {}", shown(&target.location))),
    }
}

impl Opened {
    /// Removes the lock, and says if that did not work: the work itself is done.
    pub(crate) fn close(mut self, output: Output) {
        if let Some(Err(error)) = self.lock.take().map(Lock::release) {
            output.warn(format_args!("the lock could not be removed and will go stale: {error}"));
        }
    }
}

/// The repository that snapshots or cuts are taken from.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "The other repository")]
pub(crate) struct SourceArgs {
    /// Where the source repository is [env: RESTIC_FROM_REPOSITORY]
    #[arg(long, value_name = "LOCATION")]
    from_repo: Option<String>,
    /// Read its location from a file [env: RESTIC_FROM_REPOSITORY_FILE]
    #[arg(long, value_name = "FILE", conflicts_with = "from_repo")]
    from_repository_file: Option<PathBuf>,
    /// Read its password from a file [env: RESTIC_FROM_PASSWORD_FILE; or RESTIC_FROM_PASSWORD]
    #[arg(long, value_name = "FILE")]
    from_password_file: Option<PathBuf>,
    /// Run a command that prints its password [env: RESTIC_FROM_PASSWORD_COMMAND]
    #[arg(long, value_name = "COMMAND")]
    from_password_command: Option<String>,
    /// Its password is empty
    #[arg(long)]
    from_insecure_no_password: bool,
    /// Id of its key to try first [env: RESTIC_FROM_KEY_HINT]
    #[arg(long, value_name = "ID")]
    from_key_hint: Option<String>,
}

impl SourceArgs {
    /// True if a flag names it.
    pub(crate) fn is_given(&self) -> bool {
        self.from_repo.is_some() || self.from_repository_file.is_some()
    }

    /// Opens it for reading.
    pub(crate) fn open(&self, context: &Context) -> Outcome<Opened> {
        let location = named_location(self.from_repo.clone(), self.from_repository_file.clone(), "FROM_")?;
        let location = location
            .ok_or_else(|| Failure::new("no source repository was given").hint("name it with `--from-repo`"))?;
        let (file, command) = (self.from_password_file.clone(), self.from_password_command.clone());
        let given = file.is_some() || command.is_some();
        let target = Target {
            location,
            password: named_password(file, command, self.from_insecure_no_password, given, "FROM_"),
            key_hint: self.from_key_hint.clone().or_else(|| crate::environment::text("FROM_KEY_HINT")),
            own: None,
        };
        context.open(&target, Beside::Readers)
    }
}

fn nothing_named() -> Failure {
    Failure::new("no repository location was given")
        .hint("name one with `-r`; `stead backup PATH` makes one for you where you name none")
}
