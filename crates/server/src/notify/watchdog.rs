//! Watchdog: an address elsewhere that is called every minute while judging works, and only then; it tells when calls end.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fleet::TenantId;
use jiff::Timestamp;

use super::firm::Firm;
use super::reach;
use crate::app::App;
use crate::observer::Event;
use crate::problem::Problem;

/// How often it is looked, and seconds between two calls.
const EVERY: Duration = Duration::from_secs(1);
const PAUSE: i64 = 60;

/// How often everything that was due was judged.
#[derive(Default)]
pub(crate) struct Rounds(AtomicU64);

impl Rounds {
    /// One more, without a problem.
    pub(crate) fn done(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }

    fn count(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// Calls until the server stops.
pub(crate) async fn run(app: App) {
    let stopped = app.clone().stopped();
    let calling = async {
        let mut called = (Timestamp::MIN, 0);
        let mut told = BTreeMap::new();
        loop {
            tokio::time::sleep(EVERY).await;
            let (now, rounds) = (app.now(), app.rounds.count());
            // What was judged before the last call proves nothing now.
            if now.as_second() >= called.0.as_second().saturating_add(PAUSE) && rounds > called.1 {
                called = (now, rounds);
                if let Some(words) = all(&app, &mut told).await.err().and_then(|problem| problem.for_the_log()) {
                    app.observe(Event::Problem(words));
                }
            }
        }
    };
    tokio::select! {
        () = stopped => {}
        () = calling => {}
    }
}

/// Calls each tenant's. A failure is told when it begins, not every minute.
async fn all(app: &App, told: &mut BTreeMap<TenantId, String>) -> Result<(), Problem> {
    for tenant in app.store.system().tenants().await? {
        let firm = Firm::load(app, tenant.id).await?;
        let Some(address) = &firm.watchdog else { continue };
        match reach::call(address, firm.inside, |client, url| client.get(url)).await {
            Ok(_) => _ = told.remove(&tenant.id),
            Err(error) => {
                let words = format!("cannot call the watchdog of {}: {error}", tenant.name);
                if told.insert(tenant.id, words.clone()).as_ref() != Some(&words) {
                    app.observe(Event::Problem(words));
                }
            }
        }
    }
    Ok(())
}
