//! A keeper on its line: where repositories are, what is to be done, what somebody wants to know.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::wire;
use api::wire::keeper::{FromKeeper, ToKeeper};
use axum::extract::ws::WebSocket;
use fleet::{JobId, Uuid, version_7};
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use serde::Deserialize;
use store::{KeeperId, MetKeeper, Secret};

use super::line::{HangUp, Hears, Line, Said, carry};
use super::{orders, tasks};
use crate::app::App;
use crate::gateway;
use crate::keepers::Asks;
use crate::observer::Event;
use crate::problem::Problem;

/// How long a keeper's account at the gateway is good, and how often that is said again while it is connected.
const ACCOUNT: SignedDuration = SignedDuration::from_hours(24);
const AGAIN: SignedDuration = SignedDuration::from_hours(1);

/// How long other servers believe that a keeper is connected here, and how often that is said again.
const HERE: SignedDuration = SignedDuration::from_mins(3);
const HERE_AGAIN: SignedDuration = SignedDuration::from_mins(1);

/// A keeper that is connected.
pub(crate) struct Keeper {
    pub(crate) line: Line,
    pub(crate) id: KeeperId,
    /// What keys are sealed to for it.
    pub(crate) public: [u8; 32],
    pub(crate) asks: Asks,
    counter: u64,
    pub(super) state: Mutex<State>,
}

impl AsRef<Line> for Keeper {
    fn as_ref(&self) -> &Line {
        &self.line
    }
}

/// What we know of a keeper while it is connected.
#[derive(Default)]
pub(super) struct State {
    /// Where it was told that repositories are.
    gateway: Option<ToKeeper>,
    /// What it was given to do, and in which attempt.
    pub(super) held: BTreeMap<JobId, u32>,
    /// When other servers were told that it is here.
    said: Option<Timestamp>,
}

/// What keepers show to the gateway. They live as long as this process, and a day longer: a keeper that calls again gets
/// the same one.
#[derive(Default)]
pub(super) struct Accounts(Mutex<BTreeMap<KeeperId, Account>>);

#[derive(Clone)]
struct Account {
    name: Uuid,
    secret: Secret,
    said: Option<Timestamp>,
}

/// Talks with a keeper until its line ends.
pub(super) async fn talk(app: App, socket: WebSocket, met: MetKeeper) {
    let (line, waiting) = Line::new();
    let MetKeeper { keeper, counter } = met;
    let (id, public) = (keeper.id, keeper.public);
    let keeper = Arc::new(Keeper { line, id, public, asks: Asks::default(), counter, state: Mutex::default() });
    app.calls.keepers.put(id, Arc::clone(&keeper));
    let ears = Ears { app: app.clone(), keeper: Arc::clone(&keeper) };
    let begins = async {
        match begin(&app, &keeper).await {
            Ok(()) => std::future::pending().await,
            Err(error) => tell(&app, error),
        }
    };
    tokio::select! {
        () = carry(&app, socket, &keeper.line, waiting, &ears) => {}
        () = begins => {}
    }
    keeper.line.hang_up();
    keeper.asks.end();
    app.calls.keepers.remove(id, &keeper);
    if let Err(error) = leave(&app, id).await {
        tell(&app, error);
    }
}

/// Tells other servers that a keeper is not here any more, unless it has called again.
async fn leave(app: &App, id: KeeperId) -> Result<(), store::Error> {
    match app.calls.keepers.of(id) {
        Some(_) => Ok(()),
        None => app.store.system().keeper_left(id, app.calls.relays.server).await,
    }
}

async fn begin(app: &App, keeper: &Keeper) -> Result<(), store::Error> {
    attend(app, keeper).await?;
    tasks::resume(app, keeper).await
}

fn tell(app: &App, error: store::Error) {
    if let Some(words) = Problem::from(error).for_the_log() {
        app.observe(Event::Problem(words));
    }
}

/// What is done for keepers in each round.
pub(super) async fn round(app: &App, now: Timestamp, holds: bool) -> Result<(), store::Error> {
    for keeper in app.calls.keepers.all() {
        attend(app, &keeper).await?;
        call_back(app, &keeper).await?;
        tasks::take(app, &keeper, now).await?;
        if holds {
            hold(app, &keeper, now).await?;
        }
    }
    Ok(())
}

/// Compares a keeper with its row, and tells it where repositories are when that changed.
async fn attend(app: &App, keeper: &Keeper) -> Result<(), store::Error> {
    // It has called again since, at another server, or is not believed any more.
    if app.store.system().keeper_counter(keeper.id).await? != Some(keeper.counter) {
        keeper.line.hang_up();
        return Ok(());
    }
    appear(app, keeper).await?;
    let Some(gateway) = gateway::told(&app.store).await? else { return Ok(()) };
    let account = account(app, keeper.id).await?;
    let (name, secret) = (account.name.to_string(), account.secret.text().to_owned());
    let (address, authority) = (gateway.address, gateway.authority);
    let gateway = ToKeeper::Gateway { address, authority, account: name, credential: secret };
    let mut state = keeper.state.lock();
    if state.gateway.as_ref() != Some(&gateway) {
        keeper.line.say(&gateway);
        state.gateway = Some(gateway);
    }
    Ok(())
}

/// Tells other servers that a keeper is here, where it is time for that.
async fn appear(app: &App, keeper: &Keeper) -> Result<(), store::Error> {
    let (now, said) = (app.now(), keeper.state.lock().said);
    if said.is_some_and(|said| now.duration_since(said) < HERE_AGAIN) {
        return Ok(());
    }
    let until = now.checked_add(HERE).unwrap_or(now);
    app.store.system().keeper_is_at(keeper.id, app.calls.relays.server, until).await?;
    keeper.state.lock().said = Some(now);
    Ok(())
}

/// A keeper's account, which is made or said to be good for longer where it is time for that.
async fn account(app: &App, keeper: KeeperId) -> Result<Account, store::Error> {
    let now = app.now();
    let known = app.calls.accounts.0.lock().get(&keeper).cloned();
    let mut account = match known {
        Some(account) => account,
        None => Account { name: version_7(now, random()), secret: Secret::random(), said: None },
    };
    if account.said.is_none_or(|said| now.duration_since(said) >= AGAIN) {
        let ends = now.checked_add(ACCOUNT).unwrap_or(now);
        app.store.system().keep_account(account.name, keeper, account.secret.hash(), now, ends).await?;
        account.said = Some(now);
        app.calls.accounts.0.lock().insert(keeper, account.clone());
    }
    Ok(account)
}

/// Ten of the bytes of a secret that is not used for anything else.
fn random() -> [u8; 10] {
    let hash = Secret::random().hash().bytes();
    let mut bits = [0; 10];
    bits.copy_from_slice(&hash[..10]);
    bits
}

async fn call_back(app: &App, keeper: &Keeper) -> Result<(), store::Error> {
    let held: Vec<JobId> = keeper.state.lock().held.keys().copied().collect();
    if held.is_empty() {
        return Ok(());
    }
    for job in app.store.system().called_back(&held).await? {
        keeper.state.lock().held.remove(&job);
        keeper.line.say(&ToKeeper::Cancel { job });
    }
    Ok(())
}

async fn hold(app: &App, keeper: &Keeper, now: Timestamp) -> Result<(), store::Error> {
    let held = keeper.state.lock().held.clone();
    for (job, attempt) in held {
        if !orders::hold(app, job, attempt, orders::lease(now)).await? {
            keeper.state.lock().held.remove(&job);
        }
    }
    Ok(())
}

/// What hears a keeper.
struct Ears {
    app: App,
    keeper: Arc<Keeper>,
}

impl Hears for Ears {
    const LARGEST: usize = wire::LARGEST_OF_KEEPER;

    async fn hear(&self, said: Said) -> Result<(), HangUp> {
        let text = match said {
            Said::Text(text) => text,
            Said::Bytes(bytes) => {
                self.keeper.asks.piece(&self.keeper.line, bytes).await;
                return Ok(());
            }
        };
        match wire::read::<FromKeeper>(&text) {
            Ok(Some(FromKeeper::Beat { .. })) => {}
            Ok(Some(FromKeeper::Progress { machine, run, report })) => {
                self.app.calls.diary.report(machine, run, report);
            }
            Ok(Some(FromKeeper::Event { number, event })) => {
                tasks::apply(&self.app, &self.keeper, event).await.map_err(|error| {
                    tell(&self.app, error);
                    HangUp
                })?;
                self.keeper.line.say(&ToKeeper::Heard { number });
            }
            Ok(Some(FromKeeper::Answer { ask, answer })) => self.keeper.asks.answer(ask, answer).await,
            Ok(None) | Err(_) => {
                if let Some(ask) = ask_of(&text) {
                    let told = "The keeper's answer is not understood: update the older of server and keeper.";
                    self.keeper.asks.answer(ask, Err(told.into())).await;
                } else if let Some(number) = super::agent::number_of(&text) {
                    self.keeper.line.say(&ToKeeper::Heard { number });
                }
            }
        }
        Ok(())
    }
}

/// The number of a question whose answer this program does not understand.
fn ask_of(text: &str) -> Option<u64> {
    #[derive(Deserialize)]
    struct Numbered {
        answer: Number,
    }
    #[derive(Deserialize)]
    struct Number {
        ask: u64,
    }
    serde_json::from_str::<Numbered>(text).ok().map(|numbered| numbered.answer.ask)
}
