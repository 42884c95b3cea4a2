//! Runs that have begun and not ended. A run that is here when the agent starts was interrupted, and is begun again as the
//! same run; one that is not here any more has been told and is never told again.

use api::wire::agent::{Event, Order, Taken};
use fleet::{JobKind, Outcome, RunId};
use jiff::Timestamp;
use redb::{ReadableDatabase, ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};

use super::{Change, HANDLED, LAST_BACKUP, Memory, Result, failed, json, orders, outbox, parsed};

const RUNS: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("runs");

/// A run that has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ongoing {
    /// Which.
    pub(crate) run: RunId,
    /// What it does.
    pub(crate) order: Order,
    /// The order that it carries out, in its newest attempt; none: the machine's own policy's.
    pub(crate) job: Option<Taken>,
    /// When it began.
    pub(crate) begun: Timestamp,
    /// How often it was begun, this time counted.
    pub(crate) attempt: u32,
}

/// What kind of run an order makes.
pub(crate) fn kind_of(order: &Order) -> JobKind {
    match order {
        Order::Backup { .. } => JobKind::Backup,
        Order::Restore { .. } => JobKind::Restore,
        Order::Drill(drill) => JobKind::Drill(*drill),
    }
}

pub(super) fn prepare(change: &Change) -> Result<()> {
    change.transaction.open_table(RUNS).map(drop).map_err(failed(change.doing))
}

fn put(change: &Change, ongoing: &Ongoing) -> Result<()> {
    let mut table = change.transaction.open_table(RUNS).map_err(failed(change.doing))?;
    let bytes = json("a run", ongoing)?;
    table.insert(ongoing.run.uuid().as_u128(), bytes.as_slice()).map_err(failed(change.doing))?;
    Ok(())
}

/// Takes a run out; none if it has ended already.
fn take(change: &Change, run: RunId) -> Result<Option<Ongoing>> {
    let mut table = change.transaction.open_table(RUNS).map_err(failed(change.doing))?;
    let found = table.remove(run.uuid().as_u128()).map_err(failed(change.doing))?;
    found.map(|bytes| parsed("a run", bytes.value())).transpose()
}

/// What a run came to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ending {
    /// When.
    pub(crate) at: Timestamp,
    /// How.
    pub(crate) outcome: Outcome,
    /// The snapshots that it made.
    pub(crate) snapshots: Vec<String>,
    /// What a drill found, in a sentence.
    pub(crate) evidence: Option<String>,
}

impl Memory {
    /// A run begins: that is told, and what it stands for is handled.
    pub(crate) fn begin(&self, ongoing: &Ongoing, handled: Option<Timestamp>) -> Result<()> {
        self.change("remember that a run begins", |change| {
            put(change, ongoing)?;
            if let Some(due) = handled {
                change.set(HANDLED, &due)?;
            }
            if let Some(job) = ongoing.job {
                orders::began(change, job, ongoing.run)?;
            }
            outbox::say(change, &begun(ongoing)).map(drop)
        })
    }

    /// A run that was interrupted is begun again, and is not told again.
    pub(crate) fn begin_again(&self, ongoing: &Ongoing) -> Result<()> {
        self.change("remember that a run goes on", |change| put(change, ongoing))
    }

    /// A run ended: that is told, once.
    pub(crate) fn end(&self, run: RunId, ending: &Ending) -> Result<()> {
        self.change("remember how a run ended", |change| {
            let Some(ongoing) = take(change, run)? else { return Ok(()) };
            if let (Order::Drill(drill), Some(evidence)) = (&ongoing.order, &ending.evidence) {
                let (drill, outcome, evidence) = (*drill, ending.outcome.clone(), evidence.clone());
                outbox::say(change, &Event::Drilled { run, drill, at: ending.at, outcome, evidence })?;
            }
            let is_good = matches!(ending.outcome, Outcome::Good);
            if is_good && matches!(ongoing.order, Order::Backup { .. }) {
                change.set(LAST_BACKUP, &ongoing.begun)?;
            }
            if let Some(job) = ongoing.job {
                orders::ended(change, job, run, ending)?;
            }
            outbox::say(change, &ended(run, ongoing.job, ending)).map(drop)
        })
    }

    /// The runs that have begun and not ended, the oldest first.
    pub(crate) fn ongoing(&self) -> Result<Vec<Ongoing>> {
        let doing = "look for runs";
        let transaction = self.database.begin_read().map_err(failed(doing))?;
        let table = transaction.open_table(RUNS).map_err(failed(doing))?;
        let mut runs: Vec<Ongoing> = Vec::new();
        for found in table.iter().map_err(failed(doing))? {
            runs.push(parsed("a run", found.map_err(failed(doing))?.1.value())?);
        }
        runs.sort_by_key(|ongoing| ongoing.begun);
        Ok(runs)
    }
}

/// The event that a run began.
pub(super) fn begun(ongoing: &Ongoing) -> Event {
    Event::Begun { run: ongoing.run, job: ongoing.job, kind: kind_of(&ongoing.order), at: ongoing.begun }
}

/// The event that a run ended.
pub(super) fn ended(run: RunId, job: Option<Taken>, ending: &Ending) -> Event {
    let Ending { at, outcome, snapshots, .. } = ending.clone();
    Event::Ended { run, job, at, outcome, snapshots }
}

/// The same run with the order's newest attempt.
pub(super) fn taken_again(change: &Change, run: RunId, job: Taken) -> Result<Option<Ongoing>> {
    let Some(mut ongoing) = take(change, run)? else { return Ok(None) };
    ongoing.job = Some(job);
    put(change, &ongoing)?;
    Ok(Some(ongoing))
}
