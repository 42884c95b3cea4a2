//! Rounds: every few seconds those who are connected are compared with what is to be. Several servers each do so for
//! theirs, so that a change made at one reaches a machine at another.

use std::collections::BTreeSet;
use std::time::Duration;

use api::wire::agent::ToAgent;
use fleet::{JobId, MachineId};
use jiff::{SignedDuration, Timestamp};
use store::Attended;

use super::agent::Agent;
use super::duties::{self, Shared};
use super::{keeper, orders};
use crate::app::App;
use crate::observer::Event;
use crate::problem::Problem;

/// How often.
const EVERY: Duration = Duration::from_secs(2);

/// How often what is worked at is held.
const HOLD: SignedDuration = SignedDuration::from_mins(1);

/// Goes round until the server stops.
pub(crate) async fn run(app: App) {
    let going = async {
        let mut held = app.now();
        loop {
            let now = app.now();
            let holds = now.duration_since(held) >= HOLD;
            if let Err(error) = round(&app, now, holds).await
                && let Some(words) = Problem::from(error).for_the_log()
            {
                app.observe(Event::Problem(words));
            }
            if holds {
                held = now;
            }
            _ = tokio::time::timeout(EVERY, app.calls.soon.notified()).await;
        }
    };
    tokio::select! {
        () = app.clone().stopped() => {}
        () = going => {}
    }
}

async fn round(app: &App, now: Timestamp, holds: bool) -> Result<(), store::Error> {
    let machines: Vec<MachineId> = app.calls.agents.all().iter().map(|agent| agent.machine).collect();
    let unsealed = attend(app, &machines).await?;
    call_back(app).await?;
    hand_out(app, &unsealed, now).await?;
    if holds {
        hold(app, now).await?;
    }
    keeper::round(app, now, holds).await
}

/// Compares machines with their rows, and tells them what changed. Those whose key no keeper has.
pub(super) async fn attend(app: &App, machines: &[MachineId]) -> Result<BTreeSet<MachineId>, store::Error> {
    let mut unsealed = BTreeSet::new();
    if machines.is_empty() {
        return Ok(unsealed);
    }
    let shared = Shared::read(&app.store).await?;
    for attended in app.store.system().attend(machines).await? {
        let Some(agent) = app.calls.agents.of(attended.machine) else { continue };
        if attended.sealed_to.is_none() {
            unsealed.insert(attended.machine);
        }
        compare(&agent, &attended, &shared);
    }
    Ok(unsealed)
}

fn compare(agent: &Agent, attended: &Attended, shared: &Shared) {
    // It has called again since, at another server.
    let is_older = attended.counter > agent.counter;
    if is_older || attended.retired || attended.quarantined.is_some() {
        return agent.line.hang_up();
    }
    let duties = duties::of(attended, shared);
    let mut state = agent.state.lock();
    if state.duties.as_ref() != Some(&duties) {
        agent.line.say(&ToAgent::Duties(Box::new(duties.clone())));
        state.duties = Some(duties);
    }
}

/// Tells agents which of their orders are not wanted any more.
async fn call_back(app: &App) -> Result<(), store::Error> {
    let agents = app.calls.agents.all();
    let held: Vec<JobId> =
        agents.iter().flat_map(|agent| agent.state.lock().held.keys().copied().collect::<Vec<_>>()).collect();
    if held.is_empty() {
        return Ok(());
    }
    let back = app.store.system().called_back(&held).await?;
    for agent in agents {
        let mut state = agent.state.lock();
        for job in back.iter().filter(|job| state.held.remove(job).is_some()).collect::<Vec<_>>() {
            agent.line.say(&ToAgent::Cancel { job: *job });
        }
    }
    Ok(())
}

/// Gives agents what is due. A machine whose key a keeper has is drilled by that.
async fn hand_out(app: &App, unsealed: &BTreeSet<MachineId>, now: Timestamp) -> Result<(), store::Error> {
    const ALL: [&str; 3] = ["backup", "restore", "drill"];
    let waiting = app.store.system().work_waiting(&ALL, now).await?;
    let is_ours = |(machine, word): &(MachineId, String)| word != "drill" || unsealed.contains(machine);
    let machines: BTreeSet<MachineId> = waiting.into_iter().filter(is_ours).map(|(machine, _)| machine).collect();
    for machine in machines {
        let Some(agent) = app.calls.agents.of(machine).filter(|agent| !agent.line.is_over()) else { continue };
        let words = if unsealed.contains(&machine) { &ALL[..] } else { &ALL[..2] };
        orders::take(app, &agent, words).await?;
    }
    Ok(())
}

async fn hold(app: &App, now: Timestamp) -> Result<(), store::Error> {
    for agent in app.calls.agents.all() {
        let held = agent.state.lock().held.clone();
        for (job, attempt) in held {
            if !orders::hold(app, job, attempt, orders::lease(now)).await? {
                agent.state.lock().held.remove(&job);
            }
        }
    }
    Ok(())
}
