//! An agent on its line: what it says is written down before it is told so, what it is to do goes out.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use api::wire::agent::{FromAgent, ToAgent};
use api::wire::duties::Duties;
use api::wire::{self, Introduction};
use axum::extract::ws::WebSocket;
use fleet::{JobId, MachineId, Zone};
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use serde::Deserialize;
use store::{Beat, Met};

use super::line::{HangUp, Hears, Line, Said, carry};
use super::{event, orders, rounds};
use crate::app::App;
use crate::observer::Event;
use crate::problem::Problem;

/// Clocks that differ by less are the same.
const SAME: SignedDuration = SignedDuration::from_mins(2);

/// An agent that is connected.
pub(crate) struct Agent {
    pub(super) line: Line,
    pub(crate) machine: MachineId,
    pub(super) counter: u64,
    version: String,
    from: IpAddr,
    pub(super) state: Mutex<State>,
}

impl AsRef<Line> for Agent {
    fn as_ref(&self) -> &Line {
        &self.line
    }
}

/// What we know of an agent while it is connected.
#[derive(Default)]
pub(super) struct State {
    /// What it was told last.
    pub(super) duties: Option<Duties>,
    /// Whether a keeper has its key, which then practises restores for it.
    pub(super) is_sealed: bool,
    /// What it was given to do, and in which attempt.
    pub(super) held: BTreeMap<JobId, u32>,
    /// How much its clock is behind.
    behind: SignedDuration,
}

/// Talks with an agent until its line ends.
pub(super) async fn talk(app: App, socket: WebSocket, met: Met, said: Introduction, from: IpAddr) {
    let (line, waiting) = Line::new();
    let Introduction { counter, version, .. } = said;
    let state = Mutex::default();
    let agent = Arc::new(Agent { line, machine: met.machine, counter, version, from, state });
    app.calls.agents.put(met.machine, Arc::clone(&agent));
    let ears = Ears { app: app.clone(), agent: Arc::clone(&agent) };
    let begins = async {
        match begin(&app, &agent).await {
            Ok(()) => std::future::pending().await,
            Err(error) => tell(&app, error),
        }
    };
    tokio::select! {
        () = carry(&app, socket, &agent.line, waiting, &ears) => {}
        () = begins => {}
    }
    agent.line.hang_up();
    app.calls.agents.remove(met.machine, &agent);
}

/// What it is told first: its duties, and what it had been given to do.
async fn begin(app: &App, agent: &Agent) -> Result<(), store::Error> {
    rounds::attend(app, &[agent.machine]).await?;
    beat(app, agent);
    orders::resume(app, agent).await
}

fn beat(app: &App, agent: &Agent) {
    let now = app.now();
    let zone = agent.state.lock().duties.as_ref().map_or_else(Zone::utc, |duties| duties.zone.clone());
    let (version, address) = (agent.version.clone(), agent.from.to_string());
    app.calls.diary.beat(Beat { machine: agent.machine, at: now, day: zone.date(now), version, address });
}

fn tell(app: &App, error: store::Error) {
    if let Some(words) = Problem::from(error).for_the_log() {
        app.observe(Event::Problem(words));
    }
}

impl Agent {
    /// When something happened that its clock calls `at`: not later than now.
    pub(super) fn when(&self, at: Timestamp, now: Timestamp) -> Timestamp {
        let behind = self.state.lock().behind;
        at.checked_add(behind).unwrap_or(now).min(now)
    }

    fn set_clock(&self, at: Timestamp, now: Timestamp) {
        let behind = now.duration_since(at);
        self.state.lock().behind = if behind.abs() > SAME { behind } else { SignedDuration::ZERO };
    }
}

/// What hears an agent.
struct Ears {
    app: App,
    agent: Arc<Agent>,
}

impl Hears for Ears {
    const LARGEST: usize = wire::LARGEST;

    async fn hear(&self, said: Said) -> Result<(), HangUp> {
        let Said::Text(text) = said else { return Err(HangUp) };
        match wire::read::<FromAgent>(&text) {
            Ok(Some(FromAgent::Beat { at })) => {
                self.agent.set_clock(at, self.app.now());
                beat(&self.app, &self.agent);
            }
            Ok(Some(FromAgent::Progress { run, mut report })) => {
                report.at = self.agent.when(report.at, self.app.now());
                self.app.calls.diary.report(self.agent.machine, run, report);
            }
            Ok(Some(FromAgent::Farewell)) => {
                retire(&self.app, &self.agent).await.map_err(|problem| {
                    problem.for_the_log().into_iter().for_each(|words| self.app.observe(Event::Problem(words)));
                    HangUp
                })?;
                self.agent.line.say(&ToAgent::Retired);
            }
            Ok(Some(FromAgent::Event { number, event })) => {
                // What cannot be written down is not heard: it is said again on the next line.
                event::apply(&self.app, &self.agent, event).await.map_err(|error| {
                    tell(&self.app, error);
                    HangUp
                })?;
                self.agent.line.say(&ToAgent::Heard { number });
            }
            Ok(None) | Err(_) => self.agent.line.say(&ToAgent::Heard { number: number_of(&text).ok_or(HangUp)? }),
        }
        Ok(())
    }
}

/// The machine goes for good: what it alarmed is over.
async fn retire(app: &App, agent: &Agent) -> Result<(), Problem> {
    app.store.system().farewell(agent.machine, app.now()).await?;
    crate::judge::at_once(app, agent.machine).await
}

/// The number of an event that this program does not understand: heard it must be, or it would come for ever. What has
/// none is of another age and left out, if it is JSON at all.
pub(super) fn number_of(text: &str) -> Option<u64> {
    #[derive(Deserialize)]
    struct Numbered {
        event: Number,
    }
    #[derive(Deserialize)]
    struct Number {
        number: u64,
    }
    serde_json::from_str::<Numbered>(text).ok().map(|numbered| numbered.event.number)
}
