//! What must outlive a restart: numbers, events that nobody confirmed, tasks in hand, and what is known of repositories.
//!
//! Everything is durable when a call returns. Values are the callers'; what is secret among them is sealed by them.

use std::path::Path;

use parking_lot::Mutex;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

use crate::{Error, Result};

const NUMBERS: TableDefinition<&str, u64> = TableDefinition::new("numbers");
const EVENTS: TableDefinition<u64, &[u8]> = TableDefinition::new("events");
const NOTES: TableDefinition<(&str, &[u8]), &[u8]> = TableDefinition::new("notes");

/// How often the keeper introduced itself.
const INTRODUCTIONS: &str = "introductions";
/// The number of the last event.
const LAST_EVENT: &str = "events";

/// A keeper's memory. One process has it at a time.
pub struct Memory {
    database: Database,
    /// Numbers are drawn one after the other.
    drawing: Mutex<()>,
}

/// What is noted under a name, of all that begins with it.
pub type Noted = Vec<(Vec<u8>, Vec<u8>)>;

/// Changes that happen together or not at all.
#[derive(Default)]
pub struct Changes<'c> {
    /// Notes to make: kind, key, value.
    pub put: Vec<(&'c str, Vec<u8>, Vec<u8>)>,
    /// Notes to forget: kind, key.
    pub remove: Vec<(&'c str, Vec<u8>)>,
    /// An event to say until it is confirmed.
    pub event: Option<Vec<u8>>,
}

impl Memory {
    /// Opens the memory in a file, made if it is missing.
    pub fn open(path: &Path) -> Result<Memory> {
        let database = Database::create(path).map_err(Error::memory("open"))?;
        let memory = Memory { database, drawing: Mutex::default() };
        // Readers find their tables.
        memory.change(|write| {
            write.open_table(NUMBERS).map_err(Error::memory("prepare"))?;
            write.open_table(EVENTS).map_err(Error::memory("prepare"))?;
            write.open_table(NOTES).map_err(Error::memory("prepare")).map(drop)
        })?;
        Ok(memory)
    }

    fn change<T>(&self, work: impl FnOnce(&WriteTransaction) -> Result<T>) -> Result<T> {
        let write = self.database.begin_write().map_err(Error::memory("change"))?;
        let done = work(&write)?;
        write.commit().map_err(Error::memory("change"))?;
        Ok(done)
    }

    /// The next number of an introduction: greater than every one before.
    pub fn next_introduction(&self) -> Result<u64> {
        let _drawing = self.drawing.lock();
        self.change(|write| draw(write, INTRODUCTIONS))
    }

    /// Makes changes; the number of the event, if there was one.
    pub fn apply(&self, changes: Changes<'_>) -> Result<Option<u64>> {
        let _drawing = self.drawing.lock();
        self.change(|write| {
            let mut notes = write.open_table(NOTES).map_err(Error::memory("change"))?;
            for (kind, key) in &changes.remove {
                notes.remove((*kind, key.as_slice())).map_err(Error::memory("change"))?;
            }
            for (kind, key, value) in &changes.put {
                notes.insert((*kind, key.as_slice()), value.as_slice()).map_err(Error::memory("change"))?;
            }
            let Some(event) = &changes.event else { return Ok(None) };
            let number = draw(write, LAST_EVENT)?;
            let mut events = write.open_table(EVENTS).map_err(Error::memory("change"))?;
            events.insert(number, event.as_slice()).map_err(Error::memory("change"))?;
            Ok(Some(number))
        })
    }

    /// Notes something.
    pub fn put(&self, kind: &str, key: &[u8], value: &[u8]) -> Result<()> {
        self.apply(Changes { put: vec![(kind, key.to_vec(), value.to_vec())], ..Changes::default() }).map(drop)
    }

    /// What is noted.
    pub fn get(&self, kind: &str, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let read = self.database.begin_read().map_err(Error::memory("read"))?;
        let notes = read.open_table(NOTES).map_err(Error::memory("read"))?;
        let found = notes.get((kind, key)).map_err(Error::memory("read"))?;
        Ok(found.map(|value| value.value().to_vec()))
    }

    /// All of a kind whose keys begin with `prefix`, in order.
    pub fn all(&self, kind: &str, prefix: &[u8]) -> Result<Noted> {
        let read = self.database.begin_read().map_err(Error::memory("read"))?;
        let notes = read.open_table(NOTES).map_err(Error::memory("read"))?;
        let mut found = Vec::new();
        for entry in notes.range((kind, prefix)..).map_err(Error::memory("read"))? {
            let (key, value) = entry.map_err(Error::memory("read"))?;
            let (of, key) = key.value();
            if of != kind || !key.starts_with(prefix) {
                break;
            }
            found.push((key.to_vec(), value.value().to_vec()));
        }
        Ok(found)
    }

    /// Events with numbers above `after`, in order, at most `most`.
    pub fn events(&self, after: u64, most: usize) -> Result<Vec<(u64, Vec<u8>)>> {
        let read = self.database.begin_read().map_err(Error::memory("read"))?;
        let events = read.open_table(EVENTS).map_err(Error::memory("read"))?;
        let range = events.range(after.saturating_add(1)..).map_err(Error::memory("read"))?;
        range
            .take(most)
            .map(|entry| {
                let (number, event) = entry.map_err(Error::memory("read"))?;
                Ok((number.value(), event.value().to_vec()))
            })
            .collect()
    }

    /// Events up to this one were heard.
    pub fn heard(&self, number: u64) -> Result<()> {
        self.change(|write| {
            let mut events = write.open_table(EVENTS).map_err(Error::memory("change"))?;
            events.retain_in(..=number, |_, _| false).map_err(Error::memory("change"))
        })
    }
}

fn draw(write: &WriteTransaction, name: &str) -> Result<u64> {
    let mut numbers = write.open_table(NUMBERS).map_err(Error::memory("change"))?;
    let last = numbers.get(name).map_err(Error::memory("change"))?.map_or(0, |number| number.value());
    numbers.insert(name, last + 1).map_err(Error::memory("change"))?;
    Ok(last + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_said_until_they_are_heard_and_numbers_never_come_twice() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("memory.redb");
        let event = |text: &[u8]| Changes { event: Some(text.to_vec()), ..Changes::default() };
        {
            let memory = Memory::open(&path).unwrap();
            assert_eq!(memory.apply(event(b"one")).unwrap(), Some(1));
            assert_eq!(memory.apply(event(b"two")).unwrap(), Some(2));
            memory.heard(1).unwrap();
            assert_eq!(memory.next_introduction().unwrap(), 1);
        }
        let memory = Memory::open(&path).unwrap();
        assert_eq!(memory.events(0, 10).unwrap(), [(2, b"two".to_vec())]);
        memory.heard(2).unwrap();
        assert_eq!(memory.apply(event(b"three")).unwrap(), Some(3));
        assert_eq!(memory.next_introduction().unwrap(), 2);
    }

    #[test]
    fn notes_are_found_by_kind_and_beginning() {
        let room = tempfile::tempdir().unwrap();
        let memory = Memory::open(&room.path().join("memory.redb")).unwrap();
        for key in ["ab", "ac", "b"] {
            memory.put("kind", key.as_bytes(), b"1").unwrap();
            memory.put("other", key.as_bytes(), b"2").unwrap();
        }
        let keys = |noted: Noted| noted.into_iter().map(|(key, _)| String::from_utf8(key).unwrap()).collect::<Vec<_>>();
        assert_eq!(keys(memory.all("kind", b"a").unwrap()), ["ab", "ac"]);
        assert_eq!(memory.get("other", b"b").unwrap().unwrap(), b"2");
        assert_eq!(memory.get("third", b"b").unwrap(), None);
    }
}
