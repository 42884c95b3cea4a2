//! What machines look like, well and otherwise.

use proptest::prelude::*;

use super::*;
use crate::{Actor, CopyId, DrillId, MachineClass, RunId, Uuid};

const HOUR: i64 = 3_600;
const NOW: i64 = 100 * 86_400;

fn ago(seconds: i64) -> Timestamp {
    Timestamp::from_second(NOW - seconds).unwrap()
}

fn run() -> Evidence {
    Evidence::Run(RunId::new(Uuid::from_u128(1)))
}

fn attempt(evidence: Evidence, seconds: i64, verdict: Verdict, what: &str) -> Attempt {
    Attempt { evidence, at: ago(seconds), verdict, what: what.into() }
}

/// A server on which all is well.
fn well() -> Facts {
    let good = attempt(run(), 5 * HOUR, Verdict::Good, "Backup");
    let copy = attempt(Evidence::Copy(CopyId::new(Uuid::from_u128(2))), 4 * HOUR, Verdict::Good, "Offsite copy");
    let drill = attempt(Evidence::Drill(DrillId::new(Uuid::from_u128(3))), 26 * HOUR, Verdict::Good, "Restore proven");
    let check = attempt(run(), 3 * 24 * HOUR, Verdict::Good, "Checked");
    Facts {
        limits: Limits::of(MachineClass::Server),
        heartbeat: Some(Some(ago(3))),
        blind: None,
        backup: BackupFacts { good: Some(good.clone()), last: Some(good), running: None, days_in_use: 0 },
        offsite: Some(Some(copy)),
        proven: Some(Some(drill)),
        storage: StorageFacts { check: Some(check), stored: 84_000_000_000, days_left: Some(270) },
        pause: None,
    }
}

fn judged(facts: &Facts) -> Freshness {
    Freshness::of(facts, ago(0))
}

fn sentences(facts: &Facts) -> Vec<String> {
    judged(facts).lights.into_iter().map(|light| light.sentence).collect()
}

#[test]
fn all_is_well_and_every_light_says_since_when() {
    assert_eq!(
        sentences(&well()),
        [
            "Seen now.",
            "Good 5 h ago.",
            "Offsite copy 4 h ago.",
            "Restore proven 26 h ago.",
            "84 GB stored. Checked 3 days ago. Room for 270 days.",
        ]
    );
    assert_eq!(judged(&well()).standing.state, State::Good);
}

#[test]
fn a_server_is_late_after_26_hours_and_a_laptop_after_7_days_of_use() {
    let mut facts = well();
    facts.backup.good.as_mut().unwrap().at = ago(26 * HOUR);
    assert_eq!(judged(&facts).standing.state, State::Good);
    facts.backup.good.as_mut().unwrap().at = ago(26 * HOUR + 1);
    assert_eq!(judged(&facts).lights[1].sentence, "Late: last good backup 26 h ago, the limit is 26 h.");
    facts.limits = Limits::of(MachineClass::Laptop);
    facts.backup.good.as_mut().unwrap().at = ago(60 * 24 * HOUR);
    facts.backup.days_in_use = 7;
    assert_eq!(judged(&facts).lights[1].state, Some(State::Good), "it lay in a drawer");
    facts.backup.days_in_use = 8;
    assert_eq!(judged(&facts).lights[1].sentence, "Late: last good backup 60 days ago, the limit is 7 days of use.");
}

#[test]
fn running_does_not_hide_that_the_last_one_failed() {
    let mut facts = well();
    facts.backup.last = Some(attempt(run(), HOUR, Verdict::Failed("the disk is gone".into()), "Backup"));
    facts.backup.running = Some((run(), 92));
    let freshness = judged(&facts);
    assert_eq!(freshness.standing.state, State::Failed);
    assert_eq!(freshness.worst().sentence, "Failed 60 min ago: the disk is gone; last good backup 5 h ago.");
    facts.backup.last = None;
    assert_eq!(judged(&facts).worst().sentence, "Running: 92 %; last good backup 5 h ago.");
}

#[test]
fn a_pause_is_shown_beside_the_state_not_instead_of_it() {
    let mut facts = well();
    facts.heartbeat = Some(Some(ago(HOUR)));
    let by = Actor { key: "jim".into(), name: "Jim".into() };
    facts.pause = Some(Pause { by, reason: "moving".into(), from: ago(HOUR), until: ago(-HOUR) });
    let standing = judged(&facts).standing;
    assert_eq!(standing.words(), "paused, late");
    assert!(standing.rank() < State::Late as u8);
    facts.pause.as_mut().unwrap().until = ago(0);
    assert_eq!(judged(&facts).standing.words(), "late", "it ended by itself");
}

#[test]
fn a_machine_of_a_dead_site_is_unknown_not_late() {
    let mut facts = well();
    facts.heartbeat = Some(Some(ago(HOUR)));
    facts.blind = Some("all of Graz is silent".into());
    let light = &judged(&facts).lights[0];
    assert_eq!(
        (light.state, light.sentence.as_str()),
        (None, "Seen 60 min ago; unknown since, because all of Graz is silent.")
    );
}

#[test]
fn nothing_is_good_without_evidence() {
    let bare = Facts {
        heartbeat: None,
        backup: BackupFacts::default(),
        offsite: None,
        proven: None,
        storage: StorageFacts::default(),
        ..well()
    };
    assert_eq!(judged(&bare).standing.state, State::Never);
    assert!(judged(&bare).lights.iter().all(|light| light.state != Some(State::Good)));
}

#[test]
fn evidence_of_tomorrow_is_no_evidence() {
    let mut facts = well();
    facts.backup.good.as_mut().unwrap().at = ago(-24 * HOUR);
    assert_eq!(judged(&facts).lights[1].state, Some(State::Late));
}

fn some_attempt() -> impl Strategy<Value = Attempt> {
    let verdict = prop_oneof![
        Just(Verdict::Good),
        Just(Verdict::Incomplete("3 files".into())),
        Just(Verdict::Failed("no room".into())),
    ];
    (0..90 * 24 * HOUR, verdict).prop_map(|(seconds, verdict)| attempt(run(), seconds, verdict, "It"))
}

fn some_facts() -> impl Strategy<Value = Facts> {
    let tried = || proptest::option::of(proptest::option::of(some_attempt()));
    let good = proptest::option::of((0..90 * 24 * HOUR).prop_map(|age| attempt(run(), age, Verdict::Good, "It")));
    let backup = (good, proptest::option::of(some_attempt()), proptest::option::of(0u8..100), 0u32..20);
    let storage = (proptest::option::of(some_attempt()), proptest::option::of(0u32..40));
    let class = prop_oneof![Just(MachineClass::Server), Just(MachineClass::Workstation), Just(MachineClass::Laptop)];
    let heard = proptest::option::of(proptest::option::of((0..20 * 24 * HOUR).prop_map(ago)));
    (class, heard, any::<bool>(), backup, tried(), tried(), storage).prop_map(
        |(class, heartbeat, blind, (good, last, percent, days_in_use), offsite, proven, (check, days_left))| Facts {
            limits: Limits::of(class),
            heartbeat,
            blind: blind.then(|| "the site is silent".into()),
            backup: BackupFacts { good, last, running: percent.map(|percent| (run(), percent)), days_in_use },
            offsite,
            proven,
            storage: StorageFacts { check, stored: 1, days_left },
            pause: None,
        },
    )
}

proptest! {
    #[test]
    fn a_machine_is_as_bad_as_its_worst_light_and_good_only_with_recent_evidence(facts in some_facts()) {
        let freshness = judged(&facts);
        let worst = freshness.lights.iter().filter_map(|light| light.state).max();
        prop_assert_eq!(Some(freshness.standing.state), worst);
        prop_assert_eq!(freshness.worst().state, worst);
        for light in &freshness.lights {
            prop_assert!(!light.sentence.is_empty());
            prop_assert_ne!(light.state, Some(State::Paused));
            if light.state == Some(State::Good) {
                prop_assert!(light.at.is_some(), "{:?}", light);
                prop_assert!(light.kind == LightKind::Heartbeat || light.evidence.is_some(), "{:?}", light);
            }
        }
    }

    #[test]
    fn getting_older_never_makes_a_machine_better(facts in some_facts(), more in 0..90 * 24 * HOUR) {
        let later = Freshness::of(&facts, ago(-more));
        prop_assert!(later.standing.state >= judged(&facts).standing.state || facts.blind.is_some());
    }

    #[test]
    fn a_failed_backup_is_never_hidden(facts in some_facts()) {
        if matches!(facts.backup.last, Some(Attempt { verdict: Verdict::Failed(_), .. })) {
            prop_assert_eq!(judged(&facts).standing.state, State::Failed);
        }
    }
}
