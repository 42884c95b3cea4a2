//! The rules as a table that reads like restic's manual.

use super::*;

/// Late on a Sunday: all snapshots of the tables are older unless they say otherwise.
const NOW: &str = "2026-11-22T23:00:00Z";

fn snapshot(line: &str) -> Stored {
    let mut words = line.split_whitespace();
    let time = words.next().expect("a time");
    let tags: Vec<&str> = words.collect();
    let json = serde_json::json!({
        "time": time, "tree": Id::of(b"tree"), "paths": ["/home"], "hostname": "office", "tags": tags,
    });
    (Id::of(line.as_bytes()), serde_json::from_value(json).expect("a snapshot"))
}

fn decided(policy: &Policy, lines: &str) -> Result<Decision> {
    let lines = lines.lines().map(str::trim).filter(|line| !line.is_empty());
    apply(policy, &GroupKey::default(), lines.map(snapshot).collect(), NOW.parse().unwrap())
}

/// What is kept, one line each: day and hour, then the reasons.
fn kept(policy: Policy, lines: &str) -> Vec<String> {
    let line = |kept: &Kept| format!("{}: {}", &kept.snapshot.time[..13], kept.reasons.join(", "));
    decided(&policy, lines).unwrap().keep.iter().map(line).collect()
}

const A_WEEK: &str = "
    2026-11-15T10:00:00Z
    2026-11-16T10:00:00Z
    2026-11-17T10:00:00Z
    2026-11-18T09:00:00Z
    2026-11-18T10:00:00Z
    2026-11-18T10:30:00Z
";

#[test]
fn keep_last_keeps_the_newest() {
    let policy = Policy { last: Quota::Count(2), ..Policy::default() };
    assert_eq!(kept(policy, A_WEEK), ["2026-11-18T10: last snapshot", "2026-11-18T10: last snapshot"]);
}

#[test]
fn keep_hourly_keeps_the_newest_of_an_hour() {
    let policy = Policy { hourly: Quota::Count(2), ..Policy::default() };
    assert_eq!(kept(policy, A_WEEK), ["2026-11-18T10: hourly snapshot", "2026-11-18T09: hourly snapshot"]);
}

#[test]
fn keep_daily_skips_days_without_snapshots() {
    let policy = Policy { daily: Quota::Count(3), ..Policy::default() };
    let kept = kept(policy, A_WEEK);
    assert_eq!(kept.len(), 3);
    assert_eq!(kept[2], "2026-11-16T10: daily snapshot");
}

#[test]
fn weeks_begin_on_monday() {
    let policy = Policy { weekly: Quota::Count(2), ..Policy::default() };
    assert_eq!(kept(policy, A_WEEK), ["2026-11-18T10: weekly snapshot", "2026-11-15T10: weekly snapshot"]);
}

#[test]
fn a_rule_with_room_left_keeps_the_oldest_too() {
    let policy = Policy { monthly: Quota::Count(5), ..Policy::default() };
    let expected = ["2026-11-18T10: monthly snapshot", "2026-11-15T10: oldest monthly snapshot"];
    assert_eq!(kept(policy, A_WEEK), expected);
}

#[test]
fn unlimited_keeps_one_of_every_day() {
    let policy = Policy { daily: "unlimited".parse().unwrap(), ..Policy::default() };
    assert_eq!(kept(policy, A_WEEK).len(), 4);
}

#[test]
fn within_counts_from_the_newest_snapshot_and_not_from_now() {
    let policy = Policy { within: "2d".parse().unwrap(), ..Policy::default() };
    let kept = kept(policy, A_WEEK);
    assert_eq!(kept.len(), 4);
    assert_eq!(kept[3], "2026-11-17T10: within 2d");
}

#[test]
fn within_daily_keeps_one_a_day_near_the_newest() {
    let policy = Policy { within_daily: "3d".parse().unwrap(), ..Policy::default() };
    let expected =
        ["2026-11-18T10: daily within 3d", "2026-11-17T10: daily within 3d", "2026-11-16T10: daily within 3d"];
    assert_eq!(kept(policy, A_WEEK), expected);
}

#[test]
fn keep_tag_wants_all_tags_of_a_list() {
    let lines = "2026-11-15T10:00:00Z a b\n 2026-11-16T10:00:00Z a\n 2026-11-17T10:00:00Z c\n 2026-11-18T10:00:00Z";
    let tags = |lists: &[&[&str]]| Policy {
        tags: lists.iter().map(|list| list.iter().map(|tag| tag.to_string()).collect()).collect(),
        ..Policy::default()
    };
    assert_eq!(kept(tags(&[&["a", "b"]]), lines), ["2026-11-15T10: has tags [a, b]"]);
    assert_eq!(kept(tags(&[&["c"], &[""]]), lines), ["2026-11-18T10: has tags []", "2026-11-17T10: has tags [c]"]);
}

#[test]
fn quarters_and_half_years_are_steps_too() {
    let lines = "2026-02-01T10:00:00Z\n 2026-05-01T10:00:00Z\n 2026-08-01T10:00:00Z\n 2026-09-01T10:00:00Z";
    let quarters = Policy { quarter_yearly: Quota::Count(2), ..Policy::default() };
    assert_eq!(
        kept(quarters, lines),
        ["2026-09-01T10: quarter-yearly snapshot", "2026-05-01T10: quarter-yearly snapshot"]
    );
    let halves = Policy { half_yearly: Quota::Count(2), ..Policy::default() };
    assert_eq!(kept(halves, lines), ["2026-09-01T10: half-yearly snapshot", "2026-05-01T10: half-yearly snapshot"]);
}

#[test]
fn a_snapshot_lists_every_rule_that_wants_it() {
    let policy =
        Policy { last: Quota::Count(1), yearly: Quota::Count(1), within: "1h".parse().unwrap(), ..Policy::default() };
    assert_eq!(kept(policy, A_WEEK)[0], "2026-11-18T10: within 1h, last snapshot, yearly snapshot");
}

#[test]
fn the_day_is_that_of_the_snapshots_own_zone() {
    let lines = "2026-11-18T00:30:00+02:00\n 2026-11-17T23:30:00+02:00";
    let policy = Policy { daily: Quota::Count(9), ..Policy::default() };
    assert_eq!(kept(policy, lines).len(), 2, "both are on 17 November in UTC");
}

/// F12: a rule that keeps nothing of a group is a mistake, until somebody says that it is none.
#[test]
fn f12_a_policy_that_keeps_nothing_of_a_group_is_refused() {
    let policy = Policy { tags: vec![vec!["typo".into()]], ..Policy::default() };
    let error = decided(&policy, A_WEEK).unwrap_err().to_string();
    assert!(error.contains("refusing to delete last snapshot"), "{error}");
}

#[test]
fn a_snapshot_from_the_future_does_not_move_what_within_means() {
    let lines = "2026-11-18T10:00:00Z\n 2026-11-19T10:00:00Z\n 2036-01-01T10:00:00Z";
    let policy = Policy { within: "2d".parse().unwrap(), ..Policy::default() };
    let decision = decided(&policy, lines).unwrap();
    assert_eq!((decision.keep.len(), decision.in_future), (3, 1));
}

#[test]
fn when_all_snapshots_lie_in_the_future_within_keeps_them() {
    let policy = Policy { within: "2d".parse().unwrap(), ..Policy::default() };
    assert_eq!(kept(policy, "2036-01-01T10:00:00Z\n 2037-01-01T10:00:00Z").len(), 2);
}

#[test]
fn a_checkpoint_goes_when_a_newer_complete_snapshot_exists() {
    let lines = "2026-11-18T10:00:00Z stead:partial\n 2026-11-18T11:00:00Z\n 2026-11-18T12:00:00Z stead:partial";
    let decision = decided(&Policy { last: Quota::Count(9), ..Policy::default() }, lines).unwrap();
    let reasons: Vec<_> = decision.keep.iter().map(|kept| kept.reasons.join(", ")).collect();
    assert_eq!(reasons, ["last snapshot", "checkpoint of an unfinished backup"]);
    assert_eq!(decision.remove.len(), 1);
}

#[test]
fn a_checkpoint_does_not_use_up_a_place() {
    let lines = "2026-11-18T10:00:00Z\n 2026-11-18T12:00:00Z stead:partial";
    let decision = decided(&Policy { last: Quota::Count(1), ..Policy::default() }, lines).unwrap();
    assert!(decision.remove.is_empty());
}

#[test]
fn a_policy_says_itself_in_restics_words() {
    let policy = Policy {
        last: Quota::Count(3),
        daily: Quota::Unlimited,
        within_weekly: "1m".parse().unwrap(),
        within: "2d".parse().unwrap(),
        tags: vec![vec!["a".into(), "b".into()]],
        ..Policy::default()
    };
    assert_eq!(
        policy.to_string(),
        "keep 3 latest, all daily snapshots, weekly snapshots within 1m and all snapshots with tags [[a, b]] and all \
         snapshots within 2d of the newest"
    );
    assert_eq!(Policy::default().to_string(), "remove");
}

#[test]
fn groups_are_made_by_host_and_sorted_paths() {
    let mut other = snapshot("2026-11-18T10:00:00Z x");
    other.1.paths = vec!["/b".into(), "/a".into()];
    let mut same = snapshot("2026-11-19T10:00:00Z stead:partial");
    same.1.paths = vec!["/a".into(), "/b".into()];
    let groups = group_snapshots(vec![other.clone(), same.clone()], GroupBy::default());
    assert_eq!(groups.len(), 1);
    let by_tags = group_snapshots(vec![other, same], "tags".parse().unwrap());
    assert_eq!(by_tags.keys().map(|key| key.tags.len()).collect::<Vec<_>>(), [0, 1]);
    assert!("hosts,sizes".parse::<GroupBy>().is_err());
}

#[test]
fn by_the_time_of_receipt_a_clock_that_lies_moves_nothing_and_what_was_not_received_stays() {
    let stored: Vec<Stored> =
        ["2026-11-15T10:00:00Z", "2031-01-01T00:00:00Z", "1999-01-01T00:00:00Z", "2026-11-16T10:00:00Z"]
            .into_iter()
            .map(snapshot)
            .collect();
    let receipts = ["2026-11-15T10:00:00Z", "2026-11-16T10:00:00Z", "2026-11-17T10:00:00Z"];
    let received = stored.iter().zip(receipts).map(|((id, _), time)| (*id, time.parse().unwrap())).collect();
    let policy = Policy { last: Quota::Count(1), ..Policy::default() };
    let times = Times::Received(received);
    let decision = apply_by(&policy, &GroupKey::default(), stored, &times, NOW.parse().unwrap()).unwrap();
    let times = |kept: &Kept| kept.snapshot.time.clone();
    assert_eq!(decision.keep.iter().map(times).collect::<Vec<_>>(), ["1999-01-01T00:00:00Z", "2026-11-16T10:00:00Z"]);
    let removed: Vec<&str> = decision.remove.iter().map(|(_, snapshot)| snapshot.time.as_str()).collect();
    assert_eq!(removed, ["2031-01-01T00:00:00Z", "2026-11-15T10:00:00Z"]);
}
