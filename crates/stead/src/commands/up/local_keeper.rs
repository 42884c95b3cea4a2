//! The keeper of `stead up`: its keys are made at the first start and opened by a file beside them.

use std::sync::Arc;
use std::thread::JoinHandle;

use agent::Fingerprint;
use backend::SystemClock;
use jiff::Timestamp;
use keeper::home::Home;
use keeper::keys::{Keys, Opener};
use keeper::{Dial, Notice, Setup};
use repo::Cancel;
use repo::lock::LockOwner;
use store::{KeeperId, NewKeeper, Store};

use super::place::Place;
use crate::commands::front::Near;
use crate::failure::{Doing, Failure, Outcome};
use crate::open::Context;

/// Tasks at the same time.
const WORKERS: usize = 2;

/// What a new keeper is called.
const NAME: &str = "keeper of this server";

/// A keeper that works.
pub(super) struct LocalKeeper {
    stop: Cancel,
    works: JoinHandle<()>,
}

impl LocalKeeper {
    /// Makes it known to the server, if it is not, and begins.
    pub(super) async fn begin(place: &Place, context: &Context, store: &Store, near: &Near) -> Outcome<LocalKeeper> {
        let home = Home::at(place.keeper()?)?;
        let keys = keys(&home)?;
        introduce(store, &keys).await?;
        let output = context.output();
        let setup = Setup {
            home,
            keys,
            dial: dial(near)?,
            version: env!("CARGO_PKG_VERSION").into(),
            clock: Arc::new(SystemClock),
            owner: LockOwner::this_process(platform::hostname(), platform::username()),
            workers: WORKERS,
            notice: Arc::new(move |notice| match notice {
                Notice::Welcome(_) => {}
                Notice::Away { error, .. } => output.warn(format_args!("keeper: {error}")),
                Notice::Trouble(error) => output.warn(format_args!("keeper: {}", error.words())),
            }),
        };
        let stop = Cancel::default();
        let stopped = stop.clone();
        let work = move || {
            if let Err(error) = keeper::run(setup, &stopped) {
                output.failure(&Failure::from(error).doing("the keeper does not work"));
            }
        };
        let works = std::thread::Builder::new().name("keeper".into()).spawn(work);
        Ok(LocalKeeper { stop, works: works.doing(|| "cannot start the keeper".into())? })
    }

    /// Ends it; what is in hand is taken up at the next start.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        _ = tokio::task::spawn_blocking(move || self.works.join()).await;
    }
}

fn keys(home: &Home) -> Outcome<Keys> {
    let opener = Opener::File(home.key_file());
    let keys = match home.keys().exists() {
        true => Keys::open(&home.keys(), &opener),
        false => Keys::init(&home.keys(), &opener),
    };
    keys.doing(|| "cannot use the keeper's keys".into())
}

async fn introduce(store: &Store, keys: &Keys) -> Outcome {
    let own = keys.public();
    let public = digits(&own.public)?;
    let known = store.system().keepers().await?;
    // One that is not believed any more stays so until somebody adds it again.
    if known.iter().any(|keeper| keeper.public == public) {
        return Ok(());
    }
    let now = Timestamp::now();
    let (id, identity) = (KeeperId::made(now, rand::random()), digits(&own.identity)?);
    let name = match known.is_empty() {
        true => NAME.to_owned(),
        false => format!("{NAME}, {}", platform::hostname()),
    };
    store.system().add_keeper(&NewKeeper { id, name, identity, public }, now).await?;
    Ok(())
}

fn dial(near: &Near) -> Outcome<Dial> {
    let fingerprint: Option<Fingerprint> = match near.fingerprint.as_str() {
        "" => None,
        known => Some(known.parse().doing(|| "cannot read the server's fingerprint".into())?),
    };
    Dial::to(&near.address, fingerprint).doing(|| format!("cannot call {}", near.address))
}

/// 32 bytes from 64 hexadecimal digits.
pub(crate) fn digits(text: &str) -> Outcome<[u8; 32]> {
    let wrong = || Failure::new(format!("{text:?} is not 64 hexadecimal digits"));
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    for (byte, place) in bytes.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&text[place..place + 2], 16).map_err(|_| wrong())?;
    }
    Ok(bytes)
}
