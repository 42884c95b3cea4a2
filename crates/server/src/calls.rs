//! Calls: agents and keepers on their WebSockets. Whoever has not proved who it is costs little: few bytes, few seconds,
//! few at once. One identity has one line; a newer call ends an older one, on whichever server that is.

mod agent;
pub(crate) mod diary;
mod duties;
mod event;
mod found;
mod greeting;
mod keeper;
pub(crate) mod line;
mod orders;
pub(crate) mod rounds;
mod tasks;

use std::net::IpAddr;
use std::sync::Arc;

use api::wire;
use axum::Extension;
use axum::extract::State;
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::response::Response;
use fleet::MachineId;
use store::KeeperId;
use tokio::sync::{Notify, Semaphore};

use crate::allowance::Allowance;
use crate::app::App;
use crate::attempts;
use crate::keepers::relay::Relays;
use crate::listen::Peer;
use crate::problem::Problem;

use agent::Agent;
use diary::Diary;
use greeting::Greeted;
pub(crate) use keeper::Keeper;
use line::Lines;
pub(crate) use tasks::Slice;

/// Seconds between two heartbeats.
const BEAT: u32 = 30;

/// Lines at once; who calls beyond that comes again later.
const MOST: usize = 16_384;

/// Strangers at once, and bytes that each may send.
const STRANGERS: usize = 256;
const OF_STRANGERS: u64 = 16 << 10;

/// Who is connected, and what they said that is not yet written down.
pub(crate) struct Calls {
    pub(crate) agents: Lines<MachineId, Agent>,
    pub(crate) keepers: Lines<KeeperId, Keeper>,
    pub(crate) diary: Diary,
    /// Somebody waits for the next round.
    pub(crate) soon: Notify,
    places: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
    accounts: keeper::Accounts,
    /// What is asked by way of other servers.
    pub(crate) relays: Relays,
}

impl Default for Calls {
    fn default() -> Calls {
        Calls {
            agents: Lines::default(),
            keepers: Lines::default(),
            diary: Diary::default(),
            soon: Notify::new(),
            places: Arc::new(Semaphore::new(MOST)),
            strangers: Arc::new(Semaphore::new(STRANGERS)),
            accounts: keeper::Accounts::default(),
            relays: Relays::default(),
        }
    }
}

/// `GET /api/v1/agent`
pub(crate) async fn take(
    State(app): State<App>,
    Extension(Peer(peer)): Extension<Peer>,
    Extension(allowance): Extension<Allowance>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Problem> {
    if let Err(attempts::Wait(seconds)) = app.attempts.count_call(peer.ip()) {
        return Err(Problem::TooMany(seconds));
    }
    // Whether it is an agent or a keeper is known later; agents' messages are measured again then.
    let upgrade = upgrade.max_message_size(wire::LARGEST_OF_KEEPER).max_frame_size(wire::LARGEST_OF_KEEPER);
    Ok(upgrade.on_upgrade(move |socket| Call { app, from: peer.ip(), allowance }.answer(socket)))
}

/// Somebody calls.
struct Call {
    app: App,
    from: IpAddr,
    allowance: Allowance,
}

impl Call {
    async fn answer(self, mut socket: WebSocket) {
        self.allowance.limit(OF_STRANGERS);
        let Ok(_place) = Arc::clone(&self.app.calls.places).try_acquire_owned() else { return };
        let Ok(stranger) = Arc::clone(&self.app.calls.strangers).try_acquire_owned() else { return };
        let Some(greeted) = greeting::greet(&self.app, &mut socket).await else { return };
        drop(stranger);
        self.allowance.lift();
        match greeted {
            Greeted::Agent(met, introduction) => {
                agent::talk(self.app, socket, met, introduction, self.from).await;
            }
            Greeted::Keeper(met) => keeper::talk(self.app, socket, met).await,
        }
    }
}
