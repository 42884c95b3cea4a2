//! While it is looked at, the demonstration goes on: machines are heard, and what runs comes to its end.

use std::time::Duration;

use fleet::{Amount, LightKind, Outcome, Phase, Report, Run, RunCondition, State, Zone};
use jiff::Timestamp;
use store::{Beat, FleetFilter, Result, Store};

use super::OWNER;

/// How often something happens.
const EVERY: Duration = Duration::from_secs(5);

/// Goes on until it is dropped. Trouble ends it: then everything is late, which is true.
pub(in super::super) async fn go_on(store: Store) {
    while step(&store, Timestamp::now()).await.is_ok() {
        tokio::time::sleep(EVERY).await;
    }
}

async fn step(store: &Store, now: Timestamp) -> Result<()> {
    let Some(owner) = store.system().sign_in(OWNER).await? else { return Ok(()) };
    let Some(scope) = store.system().scope(owner.person.id, now).await? else { return Ok(()) };
    let view = store.within(&scope);
    let cards = view.fleet(&FleetFilter::default(), None, 1_000).await?.cards;
    let heard = cards.iter().filter(|card| {
        card.lights.iter().any(|light| light.kind == LightKind::Heartbeat && light.state == Some(State::Good))
    });
    let (day, version) = (Zone::utc().date(now), env!("CARGO_PKG_VERSION"));
    let beat = |machine| Beat { machine, at: now, day, version: version.into(), address: "192.0.2.7".into() };
    store.system().hear(&heard.map(|card| beat(card.machine)).collect::<Vec<_>>()).await?;
    for row in view.runs_going_on(100).await? {
        advance(store, &row.run, now).await?;
    }
    Ok(())
}

/// Half a per cent further, or to its end.
async fn advance(store: &Store, run: &Run, now: Timestamp) -> Result<()> {
    let Amount { done, total, new } = run.progress.amount;
    let amount = Amount { done: (done + total / 200).min(total), total, new: new + total / 4_000 };
    if amount.done == total {
        store.system().end_run(run.machine, run.id, now, Outcome::Good).await?;
        return Ok(());
    }
    let (number, condition) = (run.progress.number + 1, RunCondition::Moving);
    let report = Report { number, at: now, phase: Phase::Reading, condition, amount, setback: None };
    store.system().report(run.machine, run.id, report).await.map(drop)
}
