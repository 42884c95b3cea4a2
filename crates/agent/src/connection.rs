//! Connection: a WebSocket to the server, kept as long as it can be and made again when it is lost.
//!
//! A dead link is noticed within a minute: the server is asked for a sign of life every 15 s and given up after 45 s without
//! one. Nothing of the agent's work waits for the server.

mod channel;
mod dial;
mod farewell;
mod talk;

use std::sync::Arc;
use std::time::Duration;

use api::wire::Refusal;

use crate::agent::{Core, Notice};
use crate::identity::Identity;
use crate::jitter::Jitter;
use crate::membership::Membership;
use crate::memory::{Memory, MemoryError};
use crate::pin::PinError;
use crate::place::Place;
use crate::refusal;
use crate::status::Contact;

/// Why a connection ended or was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Lost {
    /// The server cannot be reached.
    #[error("cannot reach the server: {0}")]
    Unreachable(String),
    /// It does not want us.
    #[error("the server refuses this machine: {sentence}")]
    Refused {
        /// Why, as a word.
        cause: Refusal,
        /// In its words.
        sentence: String,
    },
    /// It said something that makes no sense.
    #[error("the server is not understood: {0}")]
    Unclear(String),
    /// It said nothing for too long.
    #[error("the server has been silent for {} s", .0.as_secs())]
    Silent(Duration),
    /// It ended the connection.
    #[error("the server ended the connection")]
    Closed,
    /// What it said could not be remembered.
    #[error("what the server said could not be remembered")]
    Memory(#[from] MemoryError),
    /// The same, for another reason.
    #[error(transparent)]
    Agent(#[from] crate::agent::AgentError),
    /// It cannot be spoken to safely.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// The agent ends.
    #[error("the agent ends")]
    Stopped,
}

/// How long a connection must have held for the next attempt to come soon.
const HELD: Duration = Duration::from_secs(10);

/// Keeps the connection until the agent ends.
pub(crate) fn keep(core: Arc<Core>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(call_again_and_again(&core)),
        Err(error) => core.trouble(format!("there will be no connection: {error}")),
    }
}

async fn call_again_and_again(core: &Arc<Core>) {
    let mut jitter = Jitter::default();
    while !core.stop.is_cancelled() {
        let begin = tokio::time::Instant::now();
        let Err(lost) = call(core).await else { continue };
        if matches!(lost, Lost::Stopped) {
            break;
        }
        if begin.elapsed() >= HELD && !matches!(lost, Lost::Refused { .. } | Lost::Unreachable(_)) {
            jitter.reset();
        }
        if let Lost::Refused { cause, .. } = &lost
            && *cause != Refusal::Later
        {
            jitter.be_patient();
        }
        apart(core, &lost);
        tokio::select! {
            () = tokio::time::sleep(jitter.next(rand::random())) => {}
            () = core.moved.notified() => jitter.reset(),
            () = core.stopping.notified() => break,
        }
    }
}

/// Says once that the server is not there, and why.
fn apart(core: &Core, lost: &Lost) {
    let (why, now) = (refusal::words(lost), core.setup.clock.now());
    let mut contact = core.contact.lock();
    let (since, is_news) = match &*contact {
        Contact::Apart { since, why: known } => (*since, *known != why),
        _ => (now, true),
    };
    *contact = Contact::Apart { since, why: why.clone() };
    drop(contact);
    if is_news {
        (core.setup.tell)(Notice::Apart { why });
    }
    core.ring();
}

async fn call(core: &Arc<Core>) -> Result<(), Lost> {
    let (socket, fingerprint) = tokio::select! {
        dialled = dial::dial(&core.membership) => dialled?,
        () = core.stopping.notified() => return Err(Lost::Stopped),
    };
    talk::talk(core, socket, &fingerprint).await
}

/// Tells a server that the machine leaves it for good; why it could not be told, in words.
pub(crate) fn take_leave(place: &Place, membership: &Membership, leaving: &Leaving<'_>) -> Result<(), String> {
    let identity = Identity::read(place).map_err(|error| refusal::words(&error))?;
    let this = channel::This {
        identity: &identity,
        memory: leaving.memory,
        hardware: leaving.hardware,
        version: leaving.version,
    };
    let once = || match farewell::farewell(membership, &this) {
        // It has heard it before.
        Err(Lost::Refused { cause: Refusal::Retired, .. }) => Ok(()),
        told => told,
    };
    // An answer that is lost is asked for once more.
    let told = once().or_else(|lost| if matches!(lost, Lost::Closed) { once() } else { Err(lost) });
    told.map_err(|lost| refusal::words(&lost))
}

/// What a machine that leaves needs to say so.
pub(crate) struct Leaving<'l> {
    pub(crate) memory: &'l Memory,
    pub(crate) hardware: &'l [String],
    pub(crate) version: &'l str,
}
