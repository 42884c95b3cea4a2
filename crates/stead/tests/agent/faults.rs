//! Faults: cuts, kills, servers that are away, and servers that talk nonsense.

use api::wire::agent::Event;
use fleet::{Cause, Outcome, RunCondition, RunId, Schedule};
use testkit::Picture;

use crate::machine::Machine;
use crate::peer::until;

/// Waits until a run waits for the network.
fn waits_for_network(machine: &Machine, run: RunId) {
    until("waiting for the network", || {
        let last = machine.server.reports(run).pop()?;
        // A wire that is cut breaks off what is sent: whether that is the network or the storage cannot be told.
        matches!(last.condition, RunCondition::Waiting { cause: Cause::Network | Cause::Storage, .. }).then_some(())
    });
}

/// The repository has all of it.
fn all_is_there(machine: &Machine, snapshot: &str) {
    let target = machine.room.path().join("compared");
    let restored = machine.repository(&["restore", snapshot, "--target", target.to_str().expect("text")]);
    assert!(restored.status.success(), "{}", crate::machine::told(&restored));
    let inner = target.join(machine.source().strip_prefix("/").expect("absolute"));
    Picture::of(&machine.source()).assert_same(&Picture::of(&inner));
}

fn begins_and_ends(machine: &Machine, run: RunId) -> (usize, usize) {
    let events = machine.server.events();
    let begins =
        events.iter().filter(|event| matches!(event, Event::Begun { run: which, .. } if *which == run)).count();
    let ends = events.iter().filter(|event| matches!(event, Event::Ended { run: which, .. } if *which == run)).count();
    (begins, ends)
}

#[test]
fn a_network_that_is_cut_in_mid_run_is_waited_for_and_nothing_is_sent_twice() {
    let machine = Machine::at_work();
    machine.works_hard(96);
    let order = machine.orders_backup(1);
    let run = machine.began(order);
    until("a part of it", || (machine.road.sent() > 20 << 20).then_some(()));
    machine.road.cut();
    waits_for_network(&machine, run);
    until("the same in the status", || {
        let status = machine.run(&["status"]);
        String::from_utf8_lossy(&status.stdout).contains("waiting for ").then_some(())
    });
    machine.road.mend();
    let (_, outcome, snapshots) = machine.ended(order);
    assert_eq!(outcome, Outcome::Good);
    all_is_there(&machine, &snapshots[0]);
    // Three packs of 8 MiB that were under way are sent again, and nothing else.
    assert!(machine.road.sent() < (96 << 20) * 103 / 100 + (3 << 23) + (1 << 20), "{}", machine.road.sent());
}

#[test]
fn an_agent_that_is_killed_in_mid_run_goes_on_with_the_same_run_and_tells_why() {
    let mut machine = Machine::at_work();
    machine.works_hard(96);
    let order = machine.orders_backup(1);
    let run = machine.began(order);
    until("a part of it", || (machine.road.sent() > 30 << 20).then_some(()));
    machine.kill();
    let before = machine.server.reports(run).iter().map(|report| report.number).max().unwrap_or(0);
    machine.start();
    let (ended, outcome, snapshots) = machine.ended(order);
    assert_eq!((ended, outcome), (run, Outcome::Good));
    assert_eq!(begins_and_ends(&machine, run), (1, 1), "it is told once");
    let after: Vec<_> = machine.server.reports(run).into_iter().filter(|report| report.number > before).collect();
    let setback = after.iter().find_map(|report| report.setback.clone());
    assert!(setback.is_some_and(|why| why.contains("interrupted")), "{after:?}");
    all_is_there(&machine, &snapshots[0]);
}

#[test]
fn an_agent_that_is_stopped_and_started_goes_on_with_the_same_run() {
    let mut machine = Machine::at_work();
    machine.works_hard(64);
    let order = machine.orders_backup(1);
    let run = machine.began(order);
    until("a part of it", || (machine.road.sent() > 10 << 20).then_some(()));
    machine.road.cut();
    waits_for_network(&machine, run);
    machine.stop();
    assert_eq!(begins_and_ends(&machine, run), (1, 0), "it has not ended");
    machine.road.mend();
    machine.start();
    let (ended, outcome, _) = machine.ended(order);
    assert_eq!((ended, outcome), (run, Outcome::Good));
    assert_eq!(begins_and_ends(&machine, run), (1, 1));
}

#[test]
fn a_server_that_is_away_for_the_whole_run_hears_of_it_afterwards_once() {
    let machine = Machine::at_work();
    machine.works_hard(32);
    machine.road.cut();
    let order = machine.orders_backup(1);
    let run = machine.began(order);
    machine.line.cut();
    machine.road.mend();
    until("the end in the status", || {
        let status = machine.run(&["status"]);
        let words = String::from_utf8_lossy(&status.stdout).into_owned();
        (words.contains("nothing goes on") && words.contains("untold") && words.contains("without the server"))
            .then_some(())
    });
    machine.line.mend();
    assert_eq!(machine.ended(order).1, Outcome::Good);
    assert_eq!(begins_and_ends(&machine, run), (1, 1));
}

/// Spreads a schedule of every minute so that this machine is due in some seconds; when that is.
fn soon(machine: &Machine, schedule: &mut Schedule) -> jiff::Timestamp {
    let now = crate::machine::now();
    let (from, to) = (now + jiff::SignedDuration::from_secs(5), now + jiff::SignedDuration::from_secs(12));
    let due = (1..4_000).find_map(|spread| {
        schedule.spread = spread;
        schedule.next(machine.id, now).filter(|due| (from..to).contains(due))
    });
    due.expect("one of so many places is soon")
}

#[test]
fn the_policy_is_kept_without_a_server() {
    let mut machine = Machine::at_work();
    machine.works();
    let mut duties = machine.duties(Some("* * * * *"));
    let due = soon(&machine, &mut duties.policy.as_mut().expect("a policy").schedule);
    machine.server.gives(duties);
    until("the duties", || {
        let status = machine.run(&["status", "--json"]);
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).ok()?;
        let next: jiff::Timestamp = status["next"].as_str()?.parse().ok()?;
        (next <= due || crate::machine::now() > due).then_some(())
    });
    machine.line.cut();
    machine.kill();
    machine.start();
    until("a good backup", || {
        let status = machine.run(&["status"]);
        String::from_utf8_lossy(&status.stdout).contains("last good backup began").then_some(())
    });
    machine.line.mend();
    let outcome = machine.server.event("its end", |event| match event {
        Event::Ended { job: None, outcome, .. } => Some(outcome.clone()),
        _ => None,
    });
    assert_eq!(outcome, Outcome::Good);
}

#[test]
fn events_are_said_again_until_they_are_heard_with_the_same_numbers() {
    let machine = Machine::at_work();
    machine.works();
    machine.server.is_deaf(true);
    let order = machine.orders_backup(1);
    machine.ended(order);
    machine.server.hangs_up();
    until("the events again", || {
        let all = machine.server.all_events();
        let first = all.first()?.0;
        (all.iter().filter(|(number, _)| *number == first).count() >= 2).then_some(())
    });
    machine.server.is_deaf(false);
    machine.server.hangs_up();
    until("an empty outbox", || {
        let status = machine.run(&["status", "--json"]);
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).ok()?;
        (status["unheard"].as_u64() == Some(0)).then_some(())
    });
}

#[test]
fn a_server_that_talks_nonsense_is_borne_and_called_again() {
    let machine = Machine::at_work();
    machine.works();
    machine.server.says_raw(r#"{"dance":{"how":"wildly"}}"#);
    machine.server.says_raw(
        r#"{"order":{"job":{"job":"0198a1b2-0000-7000-8000-000000000001","attempt":1},"order":{"run":"rm -rf /"}}}"#,
    );
    machine.server.says_raw(
        r#"{"order":{"job":{"job":"0198a1b2-0000-7000-8000-000000000002","attempt":1},
            "order":{"restore":{"snapshot":"../../etc","paths":[],"to":"overwrite"}}}}"#,
    );
    for (number, words) in [(1, "does not understand this order: update the agent"), (2, "no snapshot's name")] {
        machine.server.event(words, |event| match event {
            Event::Declined { job, why } if job.job.uuid().as_u128() & 0xff == number => {
                why.contains(words).then_some(())
            }
            _ => None,
        });
    }
    let calls = machine.server.introductions().len();
    machine.server.says_raw("{\"heard\":{\"number\":\"many\"}}");
    until("another call", || (machine.server.introductions().len() > calls).then_some(()));
    let calls = machine.server.introductions().len();
    machine.server.says_raw(&format!("\"{}\"", "x".repeat(2 << 20)));
    until("another call", || (machine.server.introductions().len() > calls).then_some(()));
    machine.backs_up(1);
    let counters: Vec<u64> = machine.server.introductions().iter().map(|said| said.counter).collect();
    assert!(counters.windows(2).all(|pair| pair[0] < pair[1]), "{counters:?}");
}
