//! Status: what an agent says of itself to whoever asks on its machine. A running agent writes it down; of one that does not
//! run, its memory is asked.

use std::io;

use fleet::{Network, Zone};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::agent::{AgentError, Core};
use crate::memory::{Memory, MemoryError, kind_of};
use crate::place::{self, Place, PlaceError};
use crate::surroundings::Surroundings;

/// How an agent stands to its server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Contact {
    /// No attempt has ended yet.
    #[default]
    Calling,
    /// The server is there.
    Connected {
        /// Since when.
        since: Timestamp,
    },
    /// It is not.
    Apart {
        /// Since when.
        since: Timestamp,
        /// Why, as a clause.
        why: String,
    },
}

/// A run that goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunStatus {
    /// Which.
    pub run: String,
    /// backup, restore or drill.
    pub kind: String,
    /// Since when.
    pub begun: Timestamp,
    /// How far, in whole per cent.
    pub percent: u8,
    /// What it does or waits for, in words.
    pub words: String,
}

/// What an agent says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The server's address.
    pub server: String,
    /// Which machine this is there.
    pub machine: String,
    /// Whether an agent runs.
    pub running: bool,
    /// How it stands to the server; none if no agent runs.
    pub contact: Option<Contact>,
    /// When the server was heard last.
    pub last_contact: Option<Timestamp>,
    /// Runs that go on, or that go on when the agent does.
    pub runs: Vec<RunStatus>,
    /// When the policy's next backup begins.
    pub next: Option<Timestamp>,
    /// When the last good backup began.
    pub last_backup: Option<Timestamp>,
    /// Events that the server has not heard yet.
    pub unheard: u64,
    /// Who paused the machine, why and until when, in a sentence.
    pub paused: Option<String>,
    /// What is known of the surroundings, in sentences.
    pub surroundings: Vec<String>,
}

/// Why there is no status.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// The machine has not joined a server.
    #[error("this machine has not joined a server: `stead agent enrol` does that")]
    NotEnrolled,
    /// The memory failed.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// A file failed.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// A running agent's words are not understood.
    #[error("the running agent has not said anything that is understood; it may be of another version")]
    Unclear,
}

/// What the agent in a directory says of itself.
pub fn status(place: &Place, now: Timestamp) -> Result<Status, StatusError> {
    if !place.memory().exists() {
        return Err(StatusError::NotEnrolled);
    }
    match Memory::open(place) {
        Ok(memory) => of_memory(&memory, now)?.ok_or(StatusError::NotEnrolled),
        Err(MemoryError::InUse(_)) => {
            let text = place::read(&place.status())?.ok_or(StatusError::Unclear)?;
            serde_json::from_str(&text).map_err(|_| StatusError::Unclear)
        }
        Err(error) => Err(error.into()),
    }
}

/// What the memory says, of an agent that does not run.
fn of_memory(memory: &Memory, now: Timestamp) -> Result<Option<Status>, MemoryError> {
    let Some(membership) = memory.membership()? else { return Ok(None) };
    let duties = memory.duties()?;
    let zone = duties.as_ref().map_or_else(Zone::utc, |duties| duties.zone.clone());
    let handled = memory.handled()?.unwrap_or(membership.joined);
    let next = duties.as_ref().and_then(|duties| {
        let schedule = &duties.policy.as_ref().filter(|policy| !policy.what.is_empty())?.schedule;
        schedule.next(membership.machine, handled.max(now))
    });
    let paused = duties.and_then(|duties| duties.pause).filter(|pause| pause.holds(now));
    let paused = paused.map(|pause| {
        let until = zone.clock(pause.until).strftime("%d %b %H:%M").to_string();
        format!("{} paused this machine until {until}: {}", pause.by.name, pause.reason)
    });
    let runs = memory.ongoing()?.into_iter().map(|ongoing| RunStatus {
        run: ongoing.run.to_string(),
        kind: kind_of(&ongoing.order).word().into(),
        begun: ongoing.begun,
        percent: 0,
        words: "was interrupted; goes on when the agent runs".into(),
    });
    Ok(Some(Status {
        machine: membership.machine.to_string(),
        server: membership.server,
        running: false,
        contact: None,
        last_contact: memory.contact()?,
        runs: runs.collect(),
        next,
        last_backup: memory.last_backup()?,
        unheard: memory.unheard_count()?,
        paused,
        surroundings: Vec::new(),
    }))
}

/// Writes the status of a running agent, when it has changed.
#[derive(Default)]
pub(crate) struct Writer {
    last: Option<Status>,
}

impl Writer {
    /// Writes it, if it has changed.
    pub(crate) fn write(&mut self, core: &Core) {
        match of_core(core) {
            Ok(Some(status)) if self.last.as_ref() != Some(&status) => {
                if let Err(error) = put(core, &status) {
                    core.trouble(format!("the status was not written: {error}"));
                }
                self.last = Some(status);
            }
            Ok(_) => {}
            Err(error) => core.trouble(crate::refusal::words(&error)),
        }
    }
}

/// Nobody would miss it after a crash: it need not be durable.
fn put(core: &Core, status: &Status) -> io::Result<()> {
    let (path, text) = (core.setup.place.status(), serde_json::to_vec_pretty(status)?);
    let part = path.with_extension("part");
    std::fs::write(&part, text)?;
    std::fs::rename(part, path)
}

/// What is known of the surroundings, in sentences.
fn told(surroundings: &Surroundings) -> Vec<String> {
    let Surroundings { around, known_by, .. } = surroundings;
    let battery = around.battery.map(|percent| format!(" with {percent} % left")).unwrap_or_default();
    let power = match around.mains {
        Some(true) => "on mains".to_owned(),
        Some(false) => format!("on battery{battery}"),
        None => "power is not known".to_owned(),
    };
    let link = match (around.network, around.metered) {
        (Network::Down, _) => "no network",
        (Network::Captive, _) => "a network that somebody must sign in to",
        (_, Some(true)) => "a link that is paid by volume",
        (Network::Up, _) => "a network",
        (Network::Unknown, _) => "nobody knows about the network",
    };
    let mut told = vec![format!("{power}; {link}")];
    told.extend(known_by.iter().cloned());
    told
}

fn of_core(core: &Core) -> Result<Option<Status>, AgentError> {
    let now = core.setup.clock.now();
    let Some(known) = of_memory(&core.memory, now)? else { return Ok(None) };
    let zone = core.duties()?.map_or_else(Zone::utc, |duties| duties.zone);
    let runs = core.runs.lock();
    let runs = runs.iter().map(|running| {
        // Nobody else asks while there is no server.
        _ = running.watch.report();
        let progress = running.watch.progress();
        RunStatus {
            run: running.run().to_string(),
            kind: running.kind.word().into(),
            begun: running.ongoing.begun,
            percent: progress.percent(),
            words: progress.words(&zone),
        }
    });
    let contact = Some(core.contact.lock().clone());
    let surroundings = told(&core.surroundings.lock());
    Ok(Some(Status { running: true, contact, runs: runs.collect(), surroundings, ..known }))
}
