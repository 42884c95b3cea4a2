//! Rounds: every few seconds those who are connected are compared with what is to be. Several servers each do so for
//! theirs, so that a change made at one reaches a machine at another.

use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Unbounded};
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

/// Machines that are compared with their rows in one round. Of more each has its turn: of ten thousand every 40 seconds.
const AT_ONCE: usize = 500;

/// How often what is worked at is held.
const HOLD: SignedDuration = SignedDuration::from_mins(1);

/// Where we are.
struct Course {
    /// When what is worked at was held last.
    held: Timestamp,
    /// The machine that was compared last.
    after: Option<MachineId>,
}

/// Goes round until the server stops.
pub(crate) async fn run(app: App) {
    let going = async {
        let mut course = Course { held: app.now(), after: None };
        loop {
            if let Err(error) = round(&app, &mut course).await
                && let Some(words) = Problem::from(error).for_the_log()
            {
                app.observe(Event::Problem(words));
            }
            _ = tokio::time::timeout(EVERY, app.calls.soon.notified()).await;
        }
    };
    tokio::select! {
        () = app.clone().stopped() => {}
        () = going => {}
    }
}

async fn round(app: &App, course: &mut Course) -> Result<(), store::Error> {
    let now = app.now();
    let holds = now.duration_since(course.held) >= HOLD;
    if holds {
        course.held = now;
    }
    let connected = app.calls.agents.all().iter().map(|agent| agent.machine).collect();
    let some = turn(&connected, course.after);
    attend(app, &some).await?;
    course.after = some.last().copied();
    call_back(app).await?;
    hand_out(app, now).await?;
    if holds {
        hold(app, now).await?;
    }
    keeper::round(app, now, holds).await
}

/// Whose turn it is after that machine; after the last one comes the first.
fn turn(connected: &BTreeSet<MachineId>, after: Option<MachineId>) -> Vec<MachineId> {
    let next = after.and_then(|after| connected.range((Excluded(after), Unbounded)).next());
    let (before, from) = connected.iter().partition::<Vec<_>, _>(|machine| next.is_some_and(|next| *machine < next));
    from.into_iter().chain(before).copied().take(AT_ONCE).collect()
}

/// Compares machines with their rows, and tells them what changed.
pub(super) async fn attend(app: &App, machines: &[MachineId]) -> Result<(), store::Error> {
    if machines.is_empty() {
        return Ok(());
    }
    let shared = Shared::read(&app.store).await?;
    for attended in app.store.system().attend(machines).await? {
        if let Some(agent) = app.calls.agents.of(attended.machine) {
            compare(&agent, &attended, &shared);
        }
    }
    Ok(())
}

fn compare(agent: &Agent, attended: &Attended, shared: &Shared) {
    // It has called again since, at another server.
    let is_older = attended.counter > agent.counter;
    if is_older || attended.retired || attended.quarantined.is_some() {
        return agent.line.hang_up();
    }
    let duties = duties::of(attended, shared);
    let mut state = agent.state.lock();
    state.is_sealed = attended.sealed_to.is_some();
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
async fn hand_out(app: &App, now: Timestamp) -> Result<(), store::Error> {
    const ALL: [&str; 3] = ["backup", "restore", "drill"];
    let waiting = app.store.system().work_waiting(&ALL, now).await?;
    let is_sealed = |machine| app.calls.agents.of(machine).is_some_and(|agent| agent.state.lock().is_sealed);
    let is_ours = |(machine, word): &(MachineId, String)| word != "drill" || !is_sealed(*machine);
    let machines: BTreeSet<MachineId> = waiting.into_iter().filter(is_ours).map(|(machine, _)| machine).collect();
    for machine in machines {
        let Some(agent) = app.calls.agents.of(machine).filter(|agent| !agent.line.is_over()) else { continue };
        let words = if agent.state.lock().is_sealed { &ALL[..2] } else { &ALL[..] };
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

#[cfg(test)]
mod tests {
    use fleet::Uuid;

    use super::*;

    #[test]
    fn of_a_small_fleet_all_have_their_turn_and_of_a_large_one_everybody_in_the_end() {
        let fleet =
            |size: u128| (0..size).map(|number| MachineId::new(Uuid::from_u128(number))).collect::<BTreeSet<_>>();
        let (small, large) = (fleet(7), fleet(1_200));
        let middle = small.iter().nth(3).copied();
        assert_eq!(turn(&small, middle).into_iter().collect::<BTreeSet<_>>(), small);
        assert!(turn(&BTreeSet::new(), middle).is_empty());
        let (mut seen, mut after) = (BTreeSet::new(), None);
        for _ in 0..3 {
            let some = turn(&large, after);
            assert_eq!(some.len(), AT_ONCE);
            after = some.last().copied();
            seen.extend(some);
        }
        assert_eq!(seen, large);
    }
}
