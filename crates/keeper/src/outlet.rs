//! What a keeper has to say: events that stay until they are heard, and progress of which only the newest counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::wire;
use api::wire::keeper::{Event, FromKeeper};
use fleet::{MachineId, Report, RunId};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::memory::{Changes, Memory};
use crate::work::Shop;
use crate::{Error, Result};

/// Events said at a time.
const AT_ONCE: usize = 64;

/// Where work puts what it has to say, and the connection takes it from.
pub(crate) struct Outlet {
    shop: Arc<Shop>,
    progress: Mutex<BTreeMap<RunId, (MachineId, Report)>>,
    news: Notify,
}

impl Outlet {
    pub(crate) fn new(shop: Arc<Shop>) -> Outlet {
        Outlet { shop, progress: Mutex::default(), news: Notify::new() }
    }

    fn memory(&self) -> &Memory {
        &self.shop.memory
    }

    /// Notes an event together with other changes; it is said on every connection until it is heard.
    pub(crate) fn happened(&self, event: &Event, changes: Changes<'_>) -> Result<()> {
        let text =
            serde_json::to_vec(event).map_err(|error| Error::Refused(format!("cannot write an event: {error}")))?;
        self.memory().apply(Changes { event: Some(text), ..changes })?;
        self.news.notify_one();
        Ok(())
    }

    /// How far a run is.
    pub(crate) fn report(&self, machine: MachineId, run: RunId, report: Report) {
        self.progress.lock().insert(run, (machine, report));
        self.news.notify_one();
    }

    /// A run is over: how far it was is no news any more.
    pub(crate) fn over(&self, run: RunId) {
        self.progress.lock().remove(&run);
    }

    /// Waits until there may be something to say.
    pub(crate) async fn news(&self) {
        self.news.notified().await;
    }

    /// What is to be said now, after the event `last`, which moves on. More may follow at once.
    pub(crate) fn take(&self, last: &mut u64) -> Result<Vec<String>> {
        let mut said = Vec::new();
        let events = self.memory().events(*last, AT_ONCE)?;
        if events.len() == AT_ONCE {
            self.news.notify_one();
        }
        for (number, text) in events {
            *last = number;
            // An event that cannot be read any more would be said for ever, and heard by nobody.
            let Ok(event) = serde_json::from_slice::<Event>(&text) else { continue };
            said.extend(wire::written(&FromKeeper::Event { number, event }).ok());
        }
        for (run, (machine, report)) in std::mem::take(&mut *self.progress.lock()) {
            said.extend(wire::written(&FromKeeper::Progress { machine, run, report }).ok());
        }
        Ok(said)
    }

    /// The server has heard events up to this one.
    pub(crate) fn heard(&self, number: u64) -> Result<()> {
        self.memory().heard(number)
    }
}
