//! Orders that were taken: each is carried out once. One that comes again is answered from here.

use api::wire::agent::{Event, Order, Taken};
use fleet::{JobId, Outcome, RunId};
use jiff::Timestamp;
use redb::{ReadableDatabase, ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};

use super::runs::{self, Ending};
use super::{Change, Memory, Result, failed, json, outbox, parsed};

const ORDERS: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("orders");

/// How many orders are remembered; of more, the oldest that are over are forgotten.
const MOST: usize = 500;

/// How many orders may wait; a further one is declined.
const MOST_WAITING: usize = 100;

/// An order that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Remembered {
    /// Which, in its newest attempt.
    pub(crate) job: Taken,
    /// What.
    pub(crate) order: Order,
    /// When it came first.
    pub(crate) since: Timestamp,
    /// How it stands.
    pub(crate) state: OrderState,
}

/// How an order stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OrderState {
    /// It waits for its turn.
    Waiting,
    /// This run carries it out.
    Begun(RunId),
    /// It was carried out.
    Ended {
        /// By this run.
        run: RunId,
        /// When.
        at: Timestamp,
        /// How.
        outcome: Outcome,
        /// With these snapshots.
        snapshots: Vec<String>,
    },
    /// It will not be carried out.
    Declined {
        /// Why.
        why: String,
    },
    /// It was called back.
    Cancelled,
}

impl OrderState {
    fn is_over(&self) -> bool {
        !matches!(self, OrderState::Waiting | OrderState::Begun(_))
    }
}

/// What became of an order that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// It is new and waits.
    New,
    /// It was known: what there is to say about it is in the outbox.
    Known,
    /// There are too many.
    TooMany,
}

pub(super) fn prepare(change: &Change) -> Result<()> {
    change.transaction.open_table(ORDERS).map(drop).map_err(failed(change.doing))
}

fn get(change: &Change, job: JobId) -> Result<Option<Remembered>> {
    let table = change.transaction.open_table(ORDERS).map_err(failed(change.doing))?;
    let found = table.get(job.uuid().as_u128()).map_err(failed(change.doing))?;
    found.map(|bytes| parsed("an order", bytes.value())).transpose()
}

fn put(change: &Change, order: &Remembered) -> Result<()> {
    let mut table = change.transaction.open_table(ORDERS).map_err(failed(change.doing))?;
    let bytes = json("an order", order)?;
    table.insert(order.job.job.uuid().as_u128(), bytes.as_slice()).map_err(failed(change.doing))?;
    Ok(())
}

fn all(change: &Change) -> Result<Vec<Remembered>> {
    let table = change.transaction.open_table(ORDERS).map_err(failed(change.doing))?;
    let mut orders = Vec::new();
    for found in table.iter().map_err(failed(change.doing))? {
        orders.push(parsed("an order", found.map_err(failed(change.doing))?.1.value())?);
    }
    Ok(orders)
}

/// A run carries it out.
pub(super) fn began(change: &Change, job: Taken, run: RunId) -> Result<()> {
    let Some(mut order) = get(change, job.job)? else { return Ok(()) };
    order.state = OrderState::Begun(run);
    put(change, &order)
}

/// A run has carried it out.
pub(super) fn ended(change: &Change, job: Taken, run: RunId, ending: &Ending) -> Result<()> {
    let Some(mut order) = get(change, job.job)? else { return Ok(()) };
    let Ending { at, outcome, snapshots, .. } = ending.clone();
    order.state = OrderState::Ended { run, at, outcome, snapshots };
    put(change, &order)
}

/// Forgets what is over, the oldest first, if there is too much.
fn forget_old(change: &Change) -> Result<()> {
    let mut orders = all(change)?;
    let Some(spare) = orders.len().checked_sub(MOST) else { return Ok(()) };
    orders.retain(|order| order.state.is_over());
    orders.sort_by_key(|order| order.since);
    let mut table = change.transaction.open_table(ORDERS).map_err(failed(change.doing))?;
    for order in orders.iter().take(spare) {
        table.remove(order.job.job.uuid().as_u128()).map_err(failed(change.doing))?;
    }
    Ok(())
}

/// Answers an order that is known, in the name of its newest attempt.
fn answer(change: &Change, mut order: Remembered, job: Taken) -> Result<()> {
    order.job = job;
    put(change, &order)?;
    let event = match order.state {
        OrderState::Waiting | OrderState::Cancelled => return Ok(()),
        OrderState::Begun(run) => match runs::taken_again(change, run, job)? {
            Some(ongoing) => runs::begun(&ongoing),
            None => return Ok(()),
        },
        OrderState::Ended { run, at, outcome, snapshots } => {
            Event::Ended { run, job: Some(job), at, outcome, snapshots }
        }
        OrderState::Declined { why } => Event::Declined { job, why },
    };
    outbox::say(change, &event).map(drop)
}

impl Memory {
    /// Takes an order, once.
    pub(crate) fn take(&self, job: Taken, order: Order, now: Timestamp) -> Result<Reply> {
        self.change("remember an order", |change| {
            if let Some(known) = get(change, job.job)? {
                answer(change, known, job)?;
                return Ok(Reply::Known);
            }
            let waiting = all(change)?.iter().filter(|order| order.state == OrderState::Waiting).count();
            if waiting >= MOST_WAITING {
                return Ok(Reply::TooMany);
            }
            put(change, &Remembered { job, order, since: now, state: OrderState::Waiting })?;
            forget_old(change)?;
            Ok(Reply::New)
        })
    }

    /// An order is not carried out: that is told, now and whenever it comes again.
    pub(crate) fn decline(&self, job: Taken, order: Order, why: &str, now: Timestamp) -> Result<()> {
        self.change("remember a declined order", |change| {
            let state = OrderState::Declined { why: why.to_owned() };
            put(change, &Remembered { job, order, since: now, state })?;
            outbox::say(change, &Event::Declined { job, why: why.to_owned() }).map(drop)
        })
    }

    /// An order cannot be carried out now: that is told, and it is forgotten until it comes again.
    pub(crate) fn postpone(&self, job: Taken, again: Timestamp, why: &str) -> Result<()> {
        self.change("postpone an order", |change| {
            let mut table = change.transaction.open_table(ORDERS).map_err(failed(change.doing))?;
            table.remove(job.job.uuid().as_u128()).map_err(failed(change.doing))?;
            drop(table);
            outbox::say(change, &Event::Postponed { job, again, why: why.to_owned() }).map(drop)
        })
    }

    /// An order was called back; the run that carries it out, if one does.
    pub(crate) fn call_back(&self, job: JobId) -> Result<Option<RunId>> {
        self.change("call an order back", |change| match get(change, job)? {
            Some(order) if order.state == OrderState::Waiting => {
                put(change, &Remembered { state: OrderState::Cancelled, ..order })?;
                Ok(None)
            }
            Some(Remembered { state: OrderState::Begun(run), .. }) => Ok(Some(run)),
            _ => Ok(None),
        })
    }

    /// Orders that wait for their turn, the oldest first.
    pub(crate) fn waiting(&self) -> Result<Vec<Remembered>> {
        let doing = "look for orders";
        let transaction = self.database.begin_read().map_err(failed(doing))?;
        let table = transaction.open_table(ORDERS).map_err(failed(doing))?;
        let mut waiting: Vec<Remembered> = Vec::new();
        for found in table.iter().map_err(failed(doing))? {
            waiting.push(parsed("an order", found.map_err(failed(doing))?.1.value())?);
        }
        waiting.retain(|order| order.state == OrderState::Waiting);
        waiting.sort_by_key(|order| order.since);
        Ok(waiting)
    }
}
