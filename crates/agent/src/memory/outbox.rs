//! Outbox: events with numbers, said again until they were heard. Numbers only grow, also over restarts.

use api::wire::agent::Event;
use redb::{ReadableDatabase, TableDefinition};

use super::{Change, Memory, Result, failed, json, parsed};

const OUTBOX: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("outbox");
const LAST_NUMBER: &str = "last_event";

pub(super) fn prepare(change: &Change) -> Result<()> {
    change.transaction.open_table(OUTBOX).map(drop).map_err(failed(change.doing))
}

/// Puts an event in, as a part of a change; its number.
pub(super) fn say(change: &Change, event: &Event) -> Result<u64> {
    let number = change.fact::<u64>(LAST_NUMBER)?.unwrap_or(0) + 1;
    let mut table = change.transaction.open_table(OUTBOX).map_err(failed(change.doing))?;
    table.insert(number, json("an event", event)?.as_slice()).map_err(failed(change.doing))?;
    drop(table);
    change.set(LAST_NUMBER, &number)?;
    Ok(number)
}

impl Memory {
    /// Something happened that must be told.
    #[cfg(test)]
    pub(crate) fn say(&self, event: &Event) -> Result<u64> {
        self.change("remember an event", |change| say(change, event))
    }

    /// Events after a number, the oldest first; at most so many.
    pub(crate) fn unheard(&self, after: u64, most: usize) -> Result<Vec<(u64, Event)>> {
        let doing = "look for events";
        let transaction = self.database.begin_read().map_err(failed(doing))?;
        let table = transaction.open_table(OUTBOX).map_err(failed(doing))?;
        let mut events = Vec::new();
        for found in table.range(after.saturating_add(1)..).map_err(failed(doing))?.take(most) {
            let (number, event) = found.map_err(failed(doing))?;
            events.push((number.value(), parsed("an event", event.value())?));
        }
        Ok(events)
    }

    /// How many events were not heard yet.
    pub(crate) fn unheard_count(&self) -> Result<u64> {
        use redb::ReadableTableMetadata;
        let doing = "count events";
        let transaction = self.database.begin_read().map_err(failed(doing))?;
        transaction.open_table(OUTBOX).map_err(failed(doing))?.len().map_err(failed(doing))
    }

    /// Events up to this number were heard. A number that was never given means what was given so far.
    pub(crate) fn heard(&self, number: u64) -> Result<()> {
        self.change("forget what was heard", |change| {
            let mut table = change.transaction.open_table(OUTBOX).map_err(failed(change.doing))?;
            table.retain_in(..=number, |_, _| false).map_err(failed(change.doing))
        })
    }
}
