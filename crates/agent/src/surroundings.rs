//! Surroundings: what the machine says about power, network and sleep, who is asked, and what follows for uploads.

use std::time::Duration;

use api::wire::duties::Duties;
use fleet::{Around, Cause, Ledger, RunCondition};
use jiff::Timestamp;

use crate::agent::{AgentError, Core};
use crate::memory::Spent;

/// What is known of the machine's surroundings; what is not known holds nothing up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Power and link.
    pub around: Around,
    /// A name for the network that it is on; another one means that it moved.
    pub network: String,
    /// Whether it sleeps, or is about to.
    pub asleep: bool,
    /// Who was asked, in sentences.
    pub known_by: Vec<String>,
}

/// Knows the surroundings.
pub trait Watched: Send + Sync {
    /// As they are now.
    fn now(&self) -> Surroundings;

    /// Waits until they may have changed, at most so long.
    fn wait(&self, most: Duration);
}

/// Bytes that are counted before they are written down.
const COUNTED: u64 = 16 << 20;

/// Holds uploads while something says so, and sets their speed.
pub(crate) fn apply(core: &Core, duties: &Duties) -> Result<(), AgentError> {
    let now = core.setup.clock.now();
    let (spent, is_asleep) = (count(core, duties, now)?, core.surroundings.lock().asleep);
    core.runs.lock().iter().for_each(|running| running.watch.sleep(is_asleep));
    core.latch.set(held(core, duties, now, spent)?);
    let roaming = duties.policy.as_ref().map(|policy| &policy.roaming);
    let speed = roaming.and_then(|roaming| roaming.speed(&duties.zone, now));
    let mut set = core.speed.lock();
    if *set != speed {
        core.limiter.set_upload(speed.and_then(std::num::NonZeroU64::new));
        *set = speed;
    }
    Ok(())
}

fn held(core: &Core, duties: &Duties, now: Timestamp, sent_today: u64) -> Result<Option<RunCondition>, AgentError> {
    let surroundings = core.surroundings.lock().clone();
    if surroundings.asleep {
        return Ok(Some(RunCondition::Asleep { since: now }));
    }
    if let Some(pause) = duties.pause.as_ref().filter(|pause| pause.holds(now)) {
        return Ok(Some(RunCondition::Paused { by: pause.by.clone(), since: pause.from }));
    }
    let Some(policy) = &duties.policy else { return Ok(None) };
    let last_good = core.memory.last_backup()?.unwrap_or(core.membership.joined);
    let ledger = Ledger { sent_today, last_good, now };
    let cause: Option<Cause> = policy.roaming.waits_for(&surroundings.around, &ledger);
    Ok(cause.map(|cause| RunCondition::Waiting { cause, since: now }))
}

/// What was sent today, that since the last look counted.
fn count(core: &Core, duties: &Duties, now: Timestamp) -> Result<u64, AgentError> {
    let day = Some(duties.zone.date(now));
    let mut known = core.memory.spent()?;
    let sent = core.latch.sent();
    if known.day != day {
        known = Spent { day, bytes: 0 };
    }
    if sent >= COUNTED || (sent > 0 && core.runs.lock().is_empty()) {
        known.bytes += core.latch.take_sent();
        core.memory.spend(known)?;
        return Ok(known.bytes);
    }
    Ok(known.bytes + sent)
}
