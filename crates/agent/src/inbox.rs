//! Inbox: what the server says, taken in so that it is not lost and not done twice.

use std::sync::Arc;

use api::wire::agent::{Order, Taken, ToAgent};
use api::wire::duties::Duties;
use fleet::{JobId, Outcome};
use serde::Deserialize;

use crate::agent::{AgentError, Core};
use crate::memory::{Ending, Reply};
use crate::settings::Settings;
use crate::work;

/// Takes a message in.
pub(crate) fn hear(core: &Arc<Core>, message: ToAgent) -> Result<(), AgentError> {
    match message {
        ToAgent::Duties(duties) => learn(core, &duties)?,
        ToAgent::Order { job, order } => take(core, job, order)?,
        ToAgent::Cancel { job } => call_back(core, job)?,
        ToAgent::Heard { number } => core.memory.heard(number)?,
        // Only who takes leave hears it.
        ToAgent::Retired => {}
    }
    Ok(())
}

/// Answers an order that this program is too old for: whoever gave it must not wait for it. Other messages that are not
/// known are left out.
pub(crate) fn not_understood(core: &Arc<Core>, text: &str) -> Result<(), AgentError> {
    let Some(job) = order_of(text) else { return Ok(()) };
    let version = &core.setup.version;
    let why = format!("the agent's version {version} does not understand this order: update the agent");
    let now = core.setup.clock.now();
    core.memory.decline(job, Order::Backup { what: None }, &why, now)?;
    core.outgoing.notify_one();
    Ok(())
}

/// Which order a message gives, whatever that is.
fn order_of(text: &str) -> Option<Taken> {
    #[derive(Deserialize)]
    struct Said {
        order: Given,
    }
    #[derive(Deserialize)]
    struct Given {
        job: Taken,
    }
    serde_json::from_str::<Said>(text).ok().map(|said| said.order.job)
}

fn learn(core: &Core, duties: &Duties) -> Result<(), AgentError> {
    if core.memory.duties()?.as_ref() != Some(duties) {
        core.memory.learn(duties)?;
    }
    if core.memory.handled()?.is_none() && duties.policy.is_some() {
        // What was due before it joined is not missed.
        core.memory.handle(core.membership.joined)?;
    }
    core.seal_key()?;
    core.ring();
    Ok(())
}

fn take(core: &Core, job: Taken, order: Order) -> Result<(), AgentError> {
    let now = core.setup.clock.now();
    if let Some(why) = senseless(core, &order) {
        core.memory.decline(job, order, &why, now)?;
    } else if core.memory.take(job, order, now)? == Reply::TooMany {
        let again = now.checked_add(jiff::SignedDuration::from_mins(10)).unwrap_or(now);
        core.memory.postpone(job, again, "too many orders wait at this machine")?;
    }
    core.outgoing.notify_one();
    core.ring();
    Ok(())
}

/// Why an order is not carried out, whenever it comes.
fn senseless(core: &Core, order: &Order) -> Option<String> {
    match order {
        Order::Backup { .. } => None,
        Order::Drill(drill) => work::impossible(*drill).map(str::to_owned),
        Order::Restore { snapshot, .. } if !is_id(snapshot) => Some(format!("{snapshot:?} is no snapshot's name")),
        Order::Restore { to, .. } => match Settings::read(&core.setup.place) {
            Ok(settings) => work::forbidden(&settings, *to),
            Err(error) => Some(error.to_string()),
        },
    }
}

fn is_id(text: &str) -> bool {
    (8..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn call_back(core: &Core, job: JobId) -> Result<(), AgentError> {
    let Some(run) = core.memory.call_back(job)? else { return Ok(()) };
    let why = "it was called back".to_owned();
    let runs = core.runs.lock();
    if let Some(running) = runs.iter().find(|running| running.run() == run) {
        running.stop.ask(Some(why));
        // Nobody wants it any more: it does not wait for storage to write down how far it is.
        running.stop.insist();
        return Ok(());
    }
    // It was interrupted and nobody has taken it up yet.
    let (at, outcome) = (core.setup.clock.now(), Outcome::Failed { why });
    core.memory.end(run, &Ending { at, outcome, snapshots: Vec::new(), evidence: None })?;
    core.outgoing.notify_one();
    Ok(())
}
