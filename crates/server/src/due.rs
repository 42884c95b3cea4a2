//! Due: what keepers are to do. A task without input, like judging: it compares what should be there with what is, and may
//! be run by several servers at once, because what is due twice is there once.

use std::time::Duration;

use fleet::{Destination, Drill, JobId, JobKey, JobKind, MachineId, Place};
use jiff::{SignedDuration, Timestamp};
use store::{DueFacts, NewJob};

use crate::app::App;
use crate::calls::Slice;
use crate::observer::Event;
use crate::problem::Problem;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(20);

/// Machines that are looked at each time. Of larger fleets each has its turn: of ten thousand every seven minutes.
const MOST: u64 = 500;

const DAY: i64 = 86_400;
const WEEK: i64 = 7 * DAY;

/// A repository is read whole in so many weeks.
const SLICES: i64 = 8;

/// Makes work due until the server stops.
pub(crate) async fn run(app: App) {
    let going = async {
        let mut after = None;
        loop {
            match some(&app, after).await {
                Ok(last) => after = last,
                Err(problem) => problem.for_the_log().into_iter().for_each(|words| app.observe(Event::Problem(words))),
            }
            tokio::time::sleep(EVERY).await;
        }
    };
    tokio::select! {
        () = app.clone().stopped() => {}
        () = going => {}
    }
}

/// Those whose turn it is; returns the last of them, unless that is the last of all.
async fn some(app: &App, after: Option<MachineId>) -> Result<Option<MachineId>, Problem> {
    let system = app.store.system();
    let destinations = system.destinations().await?;
    let now = app.now();
    let since = now.checked_sub(SignedDuration::from_secs(2 * WEEK)).unwrap_or(now);
    let facts = system.due_facts(after, since, MOST).await?;
    for facts in &facts {
        for (kind, due, orders) in due(facts, &destinations, now) {
            make(app, facts, kind, due, orders).await?;
        }
    }
    Ok(facts.last().map(|facts| facts.machine).filter(|_| facts.len() as u64 == MOST))
}

async fn make(app: &App, facts: &DueFacts, kind: JobKind, due: Timestamp, orders: String) -> Result<(), Problem> {
    let key = JobKey::scheduled(facts.machine, kind, due);
    // One that waits is enough: a keeper that was away does not find a heap.
    let waits = serde_json::to_string(&kind).is_ok_and(|kind| facts.unfinished.contains(&kind));
    if waits || facts.keys.contains(key.as_str()) {
        return Ok(());
    }
    let id = JobId::made(app.now(), app.random()?);
    app.store.system().make_due(&NewJob { id, machine: facts.machine, kind, key, due, orders }).await?;
    app.calls.soon.notify_one();
    Ok(())
}

/// What should be there for a machine now: what, since when, with which details.
fn due(facts: &DueFacts, destinations: &[Destination], now: Timestamp) -> Vec<(JobKind, Timestamp, String)> {
    let mut due = Vec::new();
    if !facts.has_snapshots {
        return due;
    }
    let policy = facts.policy.as_deref();
    for drill in policy.map(|policy| policy.drills.as_slice()).unwrap_or_default() {
        let period = if *drill == Drill::FileSample { DAY } else { WEEK };
        due.push((JobKind::Drill(*drill), last(facts.machine, period, now), String::new()));
    }
    if !facts.is_sealed {
        return due;
    }
    let checked = last(facts.machine, WEEK, now);
    due.push((JobKind::Check, checked, slice(checked)));
    let Some(policy) = policy else { return due };
    // What an interrupted backup has stored is not used by any snapshot yet, and shall not be sent again.
    if !policy.keep.is_everything() && !facts.is_backing_up {
        due.push((JobKind::Prune, last(facts.machine, DAY, now), String::new()));
    }
    let daily = last(facts.machine, DAY, now);
    let copied = facts.last_good.map_or(daily, |good| good.max(daily));
    for to in destinations.iter().filter(|to| policy.copies.contains(&to.id) && to.tenant == facts.tenant) {
        if matches!(to.place, Place::Copies(_)) {
            due.push((JobKind::Copy(to.id), copied, String::new()));
        }
    }
    due
}

/// When a machine's turn was last, of those that come each period. Machines have theirs at different moments.
fn last(machine: MachineId, period: i64, now: Timestamp) -> Timestamp {
    let offset = (machine.uuid().as_u128() % period.unsigned_abs() as u128) as i64;
    let now_second = now.as_second();
    let turn = (now_second - offset).div_euclid(period) * period + offset;
    Timestamp::from_second(turn).unwrap_or(now)
}

/// Which part of the packs is read in the week that begins then.
fn slice(at: Timestamp) -> String {
    let slice = at.as_second().div_euclid(WEEK).rem_euclid(SLICES) + 1;
    let slice = Slice { slice: u32::try_from(slice).unwrap_or(1), of: SLICES as u32 };
    serde_json::to_string(&slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use fleet::{TenantId, Uuid};

    use super::*;

    fn facts(machine: u128) -> DueFacts {
        DueFacts {
            machine: MachineId::new(Uuid::from_u128(machine)),
            tenant: TenantId::new(Uuid::from_u128(1)),
            policy: None,
            is_sealed: true,
            has_snapshots: true,
            is_backing_up: false,
            last_good: None,
            unfinished: BTreeSet::new(),
            keys: BTreeSet::new(),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_turn_is_the_same_all_the_week_and_another_in_the_next() {
        let machine = facts(12_345).machine;
        let turn = last(machine, WEEK, at(1_800_000_000));
        assert!(turn <= at(1_800_000_000) && turn > at(1_800_000_000 - WEEK));
        assert_eq!(last(machine, WEEK, turn + SignedDuration::from_secs(WEEK - 1)), turn);
        assert_eq!(last(machine, WEEK, turn + SignedDuration::from_secs(WEEK)).as_second(), turn.as_second() + WEEK);
    }

    #[test]
    fn in_eight_weeks_every_slice_has_its_turn() {
        let slices: BTreeSet<String> = (0..8).map(|week| slice(at(1_800_000_000 + week * WEEK))).collect();
        assert_eq!(slices.len(), 8);
    }

    #[test]
    fn where_nothing_was_backed_up_nothing_is_tended() {
        let bare = DueFacts { has_snapshots: false, ..facts(1) };
        assert!(due(&bare, &[], at(1_800_000_000)).is_empty());
        let kinds: Vec<_> = due(&facts(1), &[], at(1_800_000_000)).into_iter().map(|(kind, ..)| kind).collect();
        assert_eq!(kinds, [JobKind::Check], "without a policy nothing is forgotten");
        let blind = DueFacts { is_sealed: false, ..facts(1) };
        assert!(due(&blind, &[], at(1_800_000_000)).is_empty(), "nobody but the machine can check");
    }
}
