//! Judging: whatever changed, or whose limit passed, is judged again; what is wrong opens alerts, what is over closes them.
//!
//! A task without input: it compares what should be known with what is, and may be run by several servers at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fleet::{AlertId, MachineId, Observation, TenantId};
use jiff::Timestamp;

use crate::app::App;
use crate::problem::Problem;
use crate::{notify, own_backup};

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(5);

/// Machines in one transaction.
const MOST: u64 = 100;

/// Judges until the server stops.
pub(crate) async fn run(app: App) {
    app.every(EVERY, due).await;
}

/// All that is due now: machines, and what goes on though no machine changes.
async fn due(app: &App) -> Result<(), Problem> {
    loop {
        let now = app.now();
        let machines = app.store.system().to_judge(now, MOST).await?;
        judge(app, &machines, now).await?;
        if (machines.len() as u64) < MOST {
            break;
        }
    }
    let alarmed = app.store.system().alarmed().await?.into_iter().chain(own_backup::troubled(app).await?);
    for tenant in alarmed.collect::<BTreeSet<_>>() {
        alarms(app, tenant).await?;
    }
    app.rounds.done();
    Ok(())
}

/// One machine, because somebody just changed it and wants to see it.
pub(crate) async fn at_once(app: &App, machine: MachineId) -> Result<(), Problem> {
    judge(app, &[machine], app.now()).await
}

/// Something that judging does not find: it opens an alert, or closes one.
pub(crate) async fn observed(app: &App, tenant: TenantId, seen: Observation) -> Result<(), Problem> {
    observe(app, tenant, vec![seen], app.now()).await
}

/// A tenant's escalations, silences that end, whether its messages arrive, and how the server itself is backed up.
pub(crate) async fn alarms(app: &App, tenant: TenantId) -> Result<(), Problem> {
    let now = app.now();
    let mut seen = vec![notify::observation(app, tenant, now).await?];
    seen.extend(own_backup::observation(app, tenant).await?);
    observe(app, tenant, seen, now).await
}

async fn judge(app: &App, machines: &[MachineId], now: Timestamp) -> Result<(), Problem> {
    if machines.is_empty() {
        return Ok(());
    }
    let mut seen: BTreeMap<TenantId, Vec<Observation>> = BTreeMap::new();
    for (machine, freshness) in app.store.system().judge(machines, None, now).await? {
        seen.entry(machine.tenant).or_default().extend(Observation::of_machine(&machine, &freshness, now));
    }
    for (tenant, seen) in seen {
        observe(app, tenant, seen, now).await?;
    }
    Ok(())
}

/// Opens and closes alerts, and puts into the outbox what is to be said now.
async fn observe(app: &App, tenant: TenantId, seen: Vec<Observation>, now: Timestamp) -> Result<(), Problem> {
    let (bits, escalation) = (app.random()?, notify::escalation(app, tenant).await?);
    let change = move |tenant: &mut store::TenantBoard| {
        tenant.board.observe(seen, now, identities(bits, now));
        tenant.board.notices(&escalation, &mut tenant.silences, now)
    };
    app.store.system().on_board(tenant, now, change).await?;
    Ok(())
}

/// As many identities as are wanted, all of one draw.
fn identities(bits: [u8; 10], now: Timestamp) -> impl FnMut() -> AlertId {
    let mut number = u32::from_be_bytes([bits[6], bits[7], bits[8], bits[9]]);
    move || {
        number = number.wrapping_add(1);
        let mut bits = bits;
        bits[6..].copy_from_slice(&number.to_be_bytes());
        AlertId::made(now, bits)
    }
}
