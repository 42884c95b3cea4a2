//! Work at one machine's repository: check, prune, copy, drill. Each may be killed anywhere and done again.

use std::path::PathBuf;
use std::sync::Arc;

use api::wire::keeper::{Found, Work};
use backend::Clock;
use fleet::{ClientId, Drill, JobKind, MachineId, Outcome};
use jiff::Timestamp;
use repo::Repository;
use repo::audit::{Audited, audit};
use repo::key::KeyOrigin;
use repo::lock::Lock;
use zeroize::Zeroizing;

use crate::catalogue::Catalogues;
use crate::memory::{Changes, Memory};
use crate::recovery::Sheets;
use crate::reporter::Reporter;
use crate::storage::{Access, Believes, Place, Stop};
use crate::vault::Vault;
use crate::{Error, Result, recovery};

mod check;
mod copy;
mod drill;
mod image;
mod prune;
mod sample;

pub use prune::{LEAVES_AFTER, leaving};

/// What work at a machine's repository needs.
#[derive(Clone)]
pub struct Site {
    /// Whose repository.
    pub machine: MachineId,
    /// The machine's client, if it is known.
    pub client: Option<ClientId>,
    /// Where the repository is.
    pub place: Place,
    /// What opens it.
    pub password: Zeroizing<Vec<u8>>,
    /// How repositories are opened.
    pub access: Access,
    /// The request to stop.
    pub stop: Stop,
    /// What is shared by all work of a keeper.
    pub shop: Arc<Shop>,
}

/// What is shared by all work of a keeper.
pub struct Shop {
    /// What outlives a restart.
    pub memory: Memory,
    /// Opens what the keeper sealed for itself.
    pub vault: Vault,
    /// Recovery passwords.
    pub sheets: Sheets,
    /// Secrets of destinations.
    pub secrets: PathBuf,
    /// Room for practised restores.
    pub drills: PathBuf,
    /// Names of what is stored.
    pub catalogues: Catalogues,
    /// This host and user, for key files.
    pub origin: (String, String),
}

/// How work ended.
#[derive(Debug)]
pub struct Done {
    /// Good, incomplete or failed.
    pub outcome: Outcome,
    /// What came of it.
    pub found: Option<Found>,
}

impl Done {
    fn good() -> Done {
        Done { outcome: Outcome::Good, found: None }
    }

    fn failed(why: impl Into<String>) -> Done {
        Done { outcome: Outcome::Failed { why: why.into() }, found: None }
    }
}

/// Entries of index files that were audited, by machine and pack.
const AUDITED: &str = "audited";

/// When the gateway received snapshots, by machine and snapshot.
const RECEIVED: &str = "received";

/// Where work is at home in `JobKind`.
pub fn kind(work: &Work) -> JobKind {
    match work {
        Work::Check { .. } => JobKind::Check,
        Work::Prune { .. } => JobKind::Prune,
        Work::Copy(destination) => JobKind::Copy(destination.id),
        Work::Drill(drill) => JobKind::Drill(*drill),
    }
}

/// Does it. An error is what keeps it from being done now; what the work found is in the answer.
pub fn run(site: &Site, work: &Work, reporter: &Reporter) -> Result<Done> {
    match work {
        Work::Check { slice, of } => check::check(site, *slice, *of, reporter),
        Work::Prune { keep, received } => prune::prune(site, keep, received, reporter),
        Work::Copy(destination) => copy::copy(site, destination, reporter),
        Work::Drill(Drill::FileSample) => drill::file_sample(site, reporter),
        Work::Drill(Drill::ImageCheck) => image::image_check(site, reporter),
        Work::Drill(Drill::BootTest) => Err(Error::Refused(NO_BOOT_TESTS.into())),
    }
}

/// What follows every task: the client's recovery password opens the repository, and new names are noted, as far as there
/// is time.
pub fn follow_up(site: &Site, enough: &dyn Fn() -> bool) -> Result<()> {
    let (repo, shop) = (site.open(Believes::Cache)?, &site.shop);
    if let Some(client) = site.client {
        let password = shop.sheets.password(client)?;
        recovery::admit(&shop.memory, &repo, site.machine, client, &password, &site.key_origin())?;
    }
    shop.catalogues.of(site.machine, &shop.vault)?.update(&repo, &site.stop, enough).map(drop)
}

/// Why a machine is not started from its backup.
pub const NO_BOOT_TESTS: &str =
    "machines cannot be started from their backups yet: this version of stead has no boot test";

impl Site {
    /// The time.
    pub fn clock(&self) -> &dyn Clock {
        &*self.access.clock
    }

    /// Opens the repository, without a lock: for reading what prune's delay keeps in place meanwhile.
    pub fn open(&self, believes: Believes) -> Result<Arc<Repository>> {
        Ok(Arc::new(self.access.open(&self.place, &self.password, believes, &self.stop)?))
    }

    /// Opens the repository beside readers and writers.
    fn open_locked(&self, believes: Believes) -> Result<(Arc<Repository>, Lock)> {
        let repo = self.open(believes)?;
        let lock = self.access.lock(&repo)?;
        Ok((repo, lock))
    }

    /// Who makes a key, for key files.
    pub fn key_origin(&self) -> KeyOrigin {
        let (hostname, username) = self.shop.origin.clone();
        KeyOrigin { created: self.clock().now().to_zoned(jiff::tz::TimeZone::UTC), username, hostname }
    }

    /// A key in the memory: the machine, then an id.
    fn noted(&self, id: &repo::Id) -> Vec<u8> {
        [&self.machine.uuid().as_bytes()[..], id.as_bytes()].concat()
    }

    /// All that is noted of a kind for the machine, by id.
    fn all_noted(&self, kind: &str) -> Result<Vec<(repo::Id, Vec<u8>)>> {
        let all = self.shop.memory.all(kind, self.machine.uuid().as_bytes())?;
        let id = |key: Vec<u8>| Some(repo::Id::from_bytes(key.get(16..)?.try_into().ok()?));
        Ok(all.into_iter().filter_map(|(key, value)| Some((id(key)?, value))).collect())
    }

    /// Compares what index files say with the packs, and notes what was true. Sentences about what was not.
    fn audit(&self, repo: &Repository, reporter: &Reporter) -> Result<Vec<String>> {
        let known: std::collections::HashMap<_, _> = self.all_noted(AUDITED)?.into_iter().collect();
        let is_known = |entry: &Audited| known.get(&entry.pack).is_some_and(|noted| noted == entry.entry.as_bytes());
        let found = audit(repo, &is_known, reporter)?;
        let note = |entry: &Audited| (AUDITED, self.noted(&entry.pack), entry.entry.as_bytes().to_vec());
        self.shop.memory.apply(Changes { put: found.good.iter().map(note).collect(), ..Changes::default() })?;
        Ok(found.untrue.iter().map(ToString::to_string).collect())
    }

    /// When the gateway received snapshots, as it was told last.
    fn received(&self) -> Result<std::collections::HashMap<repo::Id, Timestamp>> {
        let all = self.all_noted(RECEIVED)?;
        Ok(all.into_iter().filter_map(|(id, value)| Some((id, time_of(&value)?))).collect())
    }
}

/// A time as it is noted: milliseconds.
fn noted_time(time: Timestamp) -> Vec<u8> {
    time.as_millisecond().to_be_bytes().to_vec()
}

fn time_of(noted: &[u8]) -> Option<Timestamp> {
    Timestamp::from_millisecond(i64::from_be_bytes(noted.try_into().ok()?)).ok()
}

/// "1 file", "3 files".
fn count_of(count: u64, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// Bytes for people: "12.3 MiB".
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let step = (bytes.max(1).ilog2() / 10).min(4) as usize;
    match step {
        0 => format!("{bytes} B"),
        _ => format!("{:.1} {}", bytes as f64 / 1024_f64.powi(step as i32), UNITS[step]),
    }
}
