//! Judging: whatever changed, or whose limit passed, is judged again; what is wrong opens alerts, what is over closes them.
//!
//! A task without input: it compares what should be known with what is, and may be run by several servers at once.

use std::collections::BTreeMap;
use std::time::Duration;

use fleet::{AlertId, Escalation, MachineId, Observation, TenantId};
use jiff::Timestamp;

use crate::app::App;
use crate::observer::Event;
use crate::problem::Problem;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(5);

/// Machines in one transaction.
const MOST: u64 = 100;

/// Judges until the server stops.
pub(crate) async fn run(app: App) {
    let stopped = app.clone().stopped();
    let judging = async {
        loop {
            if let Some(words) = due(&app).await.err().and_then(|problem| problem.for_the_log()) {
                app.observe(Event::Problem(words));
            }
            tokio::time::sleep(EVERY).await;
        }
    };
    tokio::select! {
        () = stopped => {}
        () = judging => {}
    }
}

/// All that is due now.
async fn due(app: &App) -> Result<(), Problem> {
    loop {
        let now = app.now();
        let machines = app.store.system().to_judge(now, MOST).await?;
        judge(app, &machines, now).await?;
        if (machines.len() as u64) < MOST {
            return Ok(());
        }
    }
}

/// One machine, because somebody just changed it and wants to see it.
pub(crate) async fn at_once(app: &App, machine: MachineId) -> Result<(), Problem> {
    judge(app, &[machine], app.now()).await
}

/// Something that judging does not find: it opens an alert, or closes one.
pub(crate) async fn observed(app: &App, tenant: TenantId, seen: Observation) -> Result<(), Problem> {
    let (bits, now) = (app.random()?, app.now());
    app.store.system().on_board(tenant, now, move |board| observe(board, vec![seen], bits, now)).await?;
    Ok(())
}

async fn judge(app: &App, machines: &[MachineId], now: Timestamp) -> Result<(), Problem> {
    if machines.is_empty() {
        return Ok(());
    }
    let system = app.store.system();
    let mut seen: BTreeMap<TenantId, Vec<Observation>> = BTreeMap::new();
    for (machine, freshness) in system.judge(machines, None, now).await? {
        seen.entry(machine.tenant).or_default().extend(Observation::of_machine(&machine, &freshness, now));
    }
    for (tenant, seen) in seen {
        let bits = app.random()?;
        system.on_board(tenant, now, move |board| observe(board, seen, bits, now)).await?;
    }
    Ok(())
}

/// Nobody is notified yet: there are no steps of an escalation to go through. Silences count what they hold all the same.
fn observe(
    tenant: &mut store::TenantBoard,
    seen: Vec<Observation>,
    bits: [u8; 10],
    now: Timestamp,
) -> Vec<fleet::Notice> {
    let mut number = u32::from_be_bytes([bits[6], bits[7], bits[8], bits[9]]);
    let new_id = || {
        number = number.wrapping_add(1);
        let mut bits = bits;
        bits[6..].copy_from_slice(&number.to_be_bytes());
        AlertId::made(now, bits)
    };
    tenant.board.observe(seen, now, new_id);
    tenant.board.notices(&Escalation::default(), &mut tenant.silences, now)
}
