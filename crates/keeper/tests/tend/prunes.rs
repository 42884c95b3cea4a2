//! Forgetting by the gateway's times, and pruning with a delay.

use std::collections::BTreeMap;

use api::wire::keeper::Work;
use backend::Clock;
use fleet::{Keep, Outcome};
use jiff::{SignedDuration, Timestamp};
use stead_keeper::storage::Stop;
use stead_keeper::work::leaving;
use testkit::sample;

use crate::house::{House, packs};

fn prune(keep: Keep, received: &[(repo::Id, Timestamp)]) -> Work {
    let received: BTreeMap<String, Timestamp> = received.iter().map(|(id, time)| (id.to_string(), *time)).collect();
    Work::Prune { keep, received }
}

fn last(count: u32) -> Keep {
    Keep { last: count, ..Keep::default() }
}

/// Backups with contents of their own, received an hour after each other; what they claim is in `claims`.
fn backups(house: &House, claims: &[&str]) -> Vec<(repo::Id, Timestamp)> {
    let begin = house.clock.now() - SignedDuration::from_hours(1_000);
    let backup = |(number, claim): (usize, &&str)| {
        let content = sample::random_bytes(number as u64, 200_000);
        std::fs::write(house.files().join("changing.bin"), content).unwrap();
        (house.backup(&["--time", claim]), begin + SignedDuration::from_hours(number as i64))
    };
    claims.iter().enumerate().map(backup).collect()
}

#[test]
fn a_clock_that_lies_neither_keeps_a_snapshot_nor_drives_a_good_one_out() {
    let Some(house) = House::open() else { return };
    let claims = ["2026-03-01 10:00:00", "2031-01-01 00:00:00", "1999-01-01 00:00:00", "2026-03-02 10:00:00"];
    let received = backups(&house, &claims);
    let ids: Vec<repo::Id> = received.iter().map(|(id, _)| *id).collect();
    let work = prune(last(2), &received);

    house.works(&work);
    assert_eq!(house.snapshots().len(), 4, "who leaves is there for two days");
    let leaving = leaving(&house.site(Stop::default())).unwrap();
    assert!(leaving.contains_key(&ids[0]) && leaving.contains_key(&ids[1]) && leaving.len() == 2);
    let before = packs(&house.repository()).len();

    house.clock.jump(49);
    house.works(&work);
    let mut left = ids[2..].to_vec();
    left.sort_unstable();
    assert_eq!(house.snapshots(), left, "those that were received last stay, whatever they say of themselves");
    assert!(packs(&house.repository()).len() >= before, "no pack went yet");

    house.clock.jump(49);
    house.works(&prune(last(2), &received[2..]));
    assert!(packs(&house.repository()).len() < before, "two days later packs are swept");
    house.restic.succeeds(&house.repository(), ["check", "--read-data"]);
}

#[test]
fn a_snapshot_that_the_gateway_does_not_know_stays_and_a_change_of_mind_brings_others_back() {
    let Some(house) = House::open() else { return };
    let received = backups(&house, &["2026-03-01 10:00:00", "2026-03-02 10:00:00", "2026-03-03 10:00:00"]);
    house.works(&prune(last(1), &received[1..]));
    let site = house.site(Stop::default());
    assert_eq!(leaving(&site).unwrap().into_keys().collect::<Vec<_>>(), [received[1].0]);
    house.works(&prune(last(5), &received));
    assert!(leaving(&site).unwrap().is_empty());
    house.clock.jump(100);
    house.works(&prune(last(5), &received));
    assert_eq!(house.snapshots().len(), 3);
}

#[test]
fn a_flood_of_forged_snapshots_drives_out_at_most_half_in_two_days_and_never_the_proven_one() {
    let Some(house) = House::open() else { return };
    sample::office(&house.files(), 3, 5);
    let good = house.backup(&[]);
    house.works(&Work::Drill(fleet::Drill::FileSample));
    let direct = house.direct();
    let (_, pattern) = direct.snapshots().unwrap().all.remove(0);
    let mut received = vec![(good, house.clock.now() - SignedDuration::from_hours(100))];
    for number in 0..40 {
        let forged = repo::snapshot::Snapshot { username: format!("thief {number}"), ..pattern.clone() };
        let time = house.clock.now() - SignedDuration::from_mins(40 - number);
        received.push((direct.write_snapshot(&forged).unwrap(), time));
    }
    let done = house.work(&prune(last(1), &received));
    let Outcome::Incomplete { count, missed } = &done.outcome else { panic!("{:?}", done.outcome) };
    assert_eq!(*count, 39 - 20, "of 41 snapshots 20 may leave: {missed:?}");
    house.clock.jump(49);
    house.work(&prune(last(1), &received));
    assert_eq!(house.snapshots().len(), 21);
    for _ in 0..4 {
        house.work(&prune(last(1), &received));
        house.clock.jump(49);
    }
    let left = house.snapshots();
    assert!(left.contains(&good), "what a drill has proven stays");
    assert!(left.contains(&received[40].0), "and the newest");
}
