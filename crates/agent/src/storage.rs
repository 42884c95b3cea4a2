//! Storage: the machine's repository at the gateway, made when it is needed first, its password kept on the machine alone.

use std::sync::Arc;
use std::time::Duration;

use api::wire::duties::{Duties, Gateway};
use backend::{Backend, Cache, HttpOptions, Location, Options, Retry, RetryEvent, RetryObserver, RetryOptions};
use fleet::{Cause, RunCondition};
use repo::chunk::ChunkerKind;
use repo::compress::Compression;
use repo::key::{KdfParams, KeyOrigin};
use repo::lock::{Lock, LockKind, LockOptions, LockOwner};
use repo::repository::{InitOptions, OpenOptions};
use repo::{Error, Repository};
use url::{Host, Url};
use zeroize::Zeroizing;

use crate::gate::Gate;
use crate::identity::{self, IdentityError};
use crate::lanes::Lanes;
use crate::membership::Membership;
use crate::place::{self, Place};
use crate::watch::{Waiter, Watch};
use crate::work::{Halt, Task};

/// How long another's lock is waited for.
const LOCK_PATIENCE: Duration = Duration::from_secs(6 * 3600);

/// How long storage is borne that answers with faults or breaks off.
const PATIENCE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Target size of packs, and how many are sent at once if the road is wide ([`Lanes`]): what a cut link costs is what was
/// under way.
const PACK_SIZE: u64 = 8 << 20;

/// See [`PACK_SIZE`].
const CONNECTIONS: usize = 3;

/// An open repository and our lock on it.
pub(crate) struct Opened {
    pub(crate) repo: Arc<Repository>,
    _lock: Lock,
}

/// The password of the machine's repository: 256 random bits, made once.
pub(crate) fn password(place: &Place) -> Result<Zeroizing<String>, IdentityError> {
    let fresh = Zeroizing::new(hex::encode(identity::random::<32>()?.as_slice()));
    let kept = Zeroizing::new(place::keep_first(&place.password(), &format!("{}\n", *fresh))?);
    let file = || place.password().display().to_string();
    let text = kept.trim();
    if text.len() != 64 {
        return Err(IdentityError::Damaged(file()));
    }
    Ok(Zeroizing::new(text.to_owned()))
}

/// Opens the repository and locks it beside other readers and writers. It is made if there is none.
pub(crate) fn open(task: &Task) -> Result<Opened, Halt> {
    let setup = &task.core.setup;
    let storage = storage(task)?;
    let password = password(&setup.place).map_err(Halt::failed)?;
    let repo = opened_or_made(task, &storage, password.as_bytes())?;
    let cache = setup.place.cache();
    let repo = repo.through(|storage, id| match Cache::new(Arc::clone(&storage), &cache, &id.to_string()) {
        Ok(cached) => Arc::new(cached),
        // Without a cache it is slower, and as right.
        Err(_) => storage,
    });
    let repo = Arc::new(repo);
    let lock = locked(task, &repo)?;
    Ok(Opened { repo, _lock: lock })
}

fn opened_or_made(task: &Task, storage: &Arc<dyn Backend>, password: &[u8]) -> Result<Repository, Halt> {
    match Repository::open(Arc::clone(storage), password, options(task)) {
        Err(Error::NoRepository { .. } | Error::HalfRepository { .. }) => {}
        opened => return Ok(opened?),
    }
    let setup = &task.core.setup;
    let created = setup.clock.now().to_zoned(setup.zone.clone());
    let origin = KeyOrigin { created, username: setup.user.clone(), hostname: setup.host.clone() };
    let init = InitOptions {
        chunker: ChunkerKind::default(),
        chunker_polynomial: None,
        version: 2,
        kdf: KdfParams::RANDOM_PASSWORD,
        origin,
    };
    Ok(Repository::init(Arc::clone(storage), password, &init, options(task))?)
}

fn options(task: &Task) -> OpenOptions {
    let setup = &task.core.setup;
    OpenOptions {
        key_hint: None,
        cache: Some(setup.place.cache()),
        compression: Compression::default(),
        pack_size: PACK_SIZE,
        clock: Arc::clone(&setup.clock),
        cancel: task.stop.firmly.clone(),
    }
}

fn locked(task: &Task, repo: &Repository) -> Result<Lock, Halt> {
    let setup = &task.core.setup;
    let owner = LockOwner::this_process(setup.host.clone(), setup.user.clone());
    let options = |wait| LockOptions { kind: LockKind::Shared, owner: owner.clone(), wait };
    match Lock::acquire(repo, &options(Duration::ZERO)) {
        Err(Error::Locked { .. }) => {}
        locked => return Ok(locked?),
    }
    task.watch.wait_for(Waiter::Lock, Cause::Lock);
    let locked = Lock::acquire(repo, &options(LOCK_PATIENCE));
    task.watch.go_on(Waiter::Lock);
    Ok(locked?)
}

/// Storage at the gateway: tried again without end while there is no network, behind the gate.
fn storage(task: &Task) -> Result<Arc<dyn Backend>, Halt> {
    let Duties { gateway, .. } = &task.duties;
    let gateway = gateway.as_ref().ok_or_else(|| {
        Halt::Failed("the server has no gateway yet, so there is nowhere to put backups: it must name one".into())
    })?;
    let core = &task.core;
    let location: Location = location(gateway, &core.membership)?.parse().map_err(Halt::failed)?;
    let bare = backend::open(&location, &http(task, gateway)?).map_err(|error| Halt::from(Error::from(error)))?;
    let clock = Arc::clone(&core.setup.clock);
    let retry = RetryOptions { patience: PATIENCE, ..RetryOptions::default() };
    let told = told(Arc::clone(&task.watch), Arc::clone(core));
    let inner = Retry::new(bare, retry, clock, Arc::clone(&task.stop.waiting), told);
    let (latch, watch) = (Arc::clone(&core.latch), Arc::clone(&task.watch));
    Ok(Arc::new(Gate { inner, latch, watch, stop: task.stop.clone(), lanes: Lanes::default() }))
}

fn http(task: &Task, gateway: &Gateway) -> Result<Options, Halt> {
    let (place, membership) = (&task.core.setup.place, &task.core.membership);
    let limiter = Some(Arc::clone(&task.core.limiter));
    let road = Some(task.core.road.clone());
    let mut options = Options { limiter, road, connections: Some(CONNECTIONS), ..Options::default() };
    if let Some(authority) = &gateway.authority {
        place::write(&place.gateway_authority(), authority.as_bytes()).map_err(Halt::failed)?;
        options.http = HttpOptions { authorities: vec![place.gateway_authority()], ..HttpOptions::default() };
    }
    let credentials = [
        ("RESTIC_REST_USERNAME", membership.machine.to_string()),
        ("RESTIC_REST_PASSWORD", membership.credential.clone()),
    ];
    options.credentials.extend(credentials.map(|(name, value)| (name.to_owned(), value)));
    // A link that is dead is noticed within a minute or two.
    options.stuck_after = Some(Duration::from_secs(90));
    Ok(options)
}

/// The machine's repository; a credential is not sent over a network in the clear.
fn location(gateway: &Gateway, membership: &Membership) -> Result<String, Halt> {
    let wrong = |why: &str| Halt::Failed(format!("the gateway's address {:?} cannot be used: {why}", gateway.address));
    let url = Url::parse(&gateway.address).map_err(|error| wrong(&error.to_string()))?;
    let is_loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => {}
        "http" if is_loopback => {}
        _ => return Err(wrong("it must begin with https://")),
    }
    Ok(format!("rest:{}/{}/", gateway.address.trim_end_matches('/'), membership.machine))
}

/// Says what storage is waited for.
fn told(watch: Arc<Watch>, core: Arc<crate::agent::Core>) -> RetryObserver {
    Arc::new(move |event| match event {
        RetryEvent::Offline { since, .. } => {
            let cause = if core.is_captive() { Cause::CaptivePortal } else { Cause::Network };
            watch.wait(Waiter::Storage, RunCondition::Waiting { cause, since: *since });
        }
        RetryEvent::Online { .. } => watch.go_on(Waiter::Storage),
        RetryEvent::Retrying { .. } => watch.suffer(),
    })
}

#[cfg(test)]
mod tests {
    use fleet::{MachineId, Uuid};
    use jiff::Timestamp;

    use super::*;
    use crate::membership::Trust;

    #[test]
    fn a_credential_is_never_sent_in_the_clear_over_a_network() {
        let membership = Membership {
            server: "https://backup.example/".into(),
            trust: Trust::System,
            machine: MachineId::new(Uuid::from_u128(7)),
            client: String::new(),
            credential: "secret".into(),
            joined: Timestamp::UNIX_EPOCH,
        };
        let at = |address: &str| location(&Gateway { address: address.into(), authority: None }, &membership);
        let machine = membership.machine;
        assert_eq!(at("https://gate:8444/").ok(), Some(format!("rest:https://gate:8444/{machine}/")));
        assert!(at("http://127.0.0.1:8000").is_ok());
        for address in ["http://gate:8444", "sftp://gate", "/srv", ""] {
            assert!(at(address).is_err(), "{address}");
        }
    }

    #[test]
    fn the_password_is_made_once() {
        let room = tempfile::tempdir().unwrap();
        let place = Place::made(room.path()).unwrap();
        assert_eq!(password(&place).unwrap(), password(&place).unwrap());
        std::fs::write(place.password(), "short").unwrap();
        assert!(password(&place).is_err(), "what is damaged is not used for a new repository");
    }
}
