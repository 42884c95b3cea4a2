//! Schedules against an oracle: every wall-clock quarter of an hour of a year in zones with every kind of change.

use std::collections::BTreeSet;

use jiff::civil::{Date, DateTime, date, time};
use jiff::{SignedDuration, Span, Timestamp};
use proptest::prelude::*;
use stead_fleet::{MachineId, Schedule, Times, Turn, Uuid, WeekDay, Window, Zone};

/// Changes at two, at midnight, at midnight on a Saturday, by half an hour, by two hours, a lost day, none.
const ZONES: [(&str, i16); 10] = [
    ("Europe/Vienna", 2026),
    ("America/New_York", 2026),
    ("America/Santiago", 2026),
    ("Asia/Beirut", 2026),
    ("Africa/Cairo", 2026),
    ("Australia/Lord_Howe", 2026),
    ("Antarctica/Troll", 2026),
    ("America/Sao_Paulo", 2018),
    ("Pacific/Apia", 2011),
    ("Asia/Kolkata", 2026),
];

fn machine(random: u64) -> MachineId {
    MachineId::new(Uuid::from_u128(random.into()))
}

fn schedule(zone: &str, times: Times, spread: u32) -> Schedule {
    Schedule { zone: Zone::named(zone).unwrap(), times, spread, windows: vec![] }
}

/// When the clock of a zone first shows each quarter of an hour of a year, skipped ones when it goes on: found by
/// looking at the clock at every quarter of an hour of time.
fn first_shown(zone: &Zone, year: i16) -> Vec<(DateTime, Timestamp)> {
    let begin = zone.moment(date(year, 1, 1).at(0, 0, 0, 0)).unwrap();
    let mut quarters: Vec<(DateTime, Timestamp)> = Vec::new();
    let mut expected = date(year, 1, 1).at(0, 0, 0, 0);
    for quarter in 0..366 * 24 * 4 {
        let at = begin + SignedDuration::from_mins(15 * quarter);
        let shown = zone.clock(at);
        while expected <= shown && expected.year() == year {
            quarters.push((expected, at));
            expected += Span::new().minutes(15);
        }
    }
    quarters
}

fn oracle(zone: &str, year: i16, matches: impl Fn(DateTime) -> bool) -> Vec<Timestamp> {
    let quarters = first_shown(&Zone::named(zone).unwrap(), year);
    let due: BTreeSet<_> = quarters.into_iter().filter(|(clock, _)| matches(*clock)).map(|(_, at)| at).collect();
    due.into_iter().collect()
}

fn all_due(schedule: &Schedule, machine: MachineId, year: i16) -> Vec<Timestamp> {
    let start = schedule.zone.moment(date(year, 1, 1).at(0, 0, 0, 0)).unwrap();
    let end = schedule.zone.moment(date(year + 1, 1, 1).at(0, 0, 0, 0)).unwrap();
    let before = start - SignedDuration::from_secs(1);
    std::iter::successors(schedule.next(machine, before), |due| schedule.next(machine, *due))
        .take_while(|due| *due < end)
        .collect()
}

#[test]
fn every_wall_clock_time_of_a_year_is_due_once_in_every_zone() {
    for (zone, year) in ZONES {
        let daily =
            Times::daily(vec![time(0, 0, 0, 0), time(0, 30, 0, 0), time(2, 30, 0, 0), time(23, 45, 0, 0)]).unwrap();
        let expected =
            oracle(zone, year, |clock| matches!((clock.hour(), clock.minute()), (0, 0 | 30) | (2, 30) | (23, 45)));
        assert_eq!(all_due(&schedule(zone, daily, 0), machine(0), year), expected, "{zone}");
    }
}

#[test]
fn cron_lines_are_due_at_the_same_times_as_the_oracles() {
    for (zone, year) in ZONES {
        let quarters = schedule(zone, Times::cron("*/15 0-3,23 * * *").unwrap(), 0);
        let expected = oracle(zone, year, |clock| clock.minute() % 15 == 0 && matches!(clock.hour(), 0..=3 | 23));
        assert_eq!(all_due(&quarters, machine(0), year), expected, "{zone}");
    }
}

#[test]
fn the_newest_due_time_is_the_last_of_those_that_came() {
    for (zone, year) in ZONES {
        let half_hours = schedule(zone, Times::cron("0,30 * * * *").unwrap(), 0);
        let all = all_due(&half_hours, machine(0), year);
        for pair in all.windows(2) {
            let just_before = pair[1] - SignedDuration::from_secs(1);
            assert_eq!(half_hours.newest(machine(0), pair[0]), Some(pair[0]), "{zone}");
            assert_eq!(half_hours.newest(machine(0), just_before), Some(pair[0]), "{zone}");
        }
    }
}

#[test]
fn machines_are_spread_each_always_alike() {
    let nightly = schedule("Europe/Vienna", Times::daily(vec![time(2, 30, 0, 0)]).unwrap(), 3_600);
    let after: Timestamp = "2026-11-22T00:00:00Z".parse().unwrap();
    let moments: BTreeSet<_> = (0..2_000).map(|n| nightly.next(machine(n * 7_919), after).unwrap()).collect();
    let first: Timestamp = "2026-11-22T01:30:00Z".parse().unwrap();
    assert!(moments.iter().all(|at| (0..3_600).contains(&(at.as_second() - first.as_second()))));
    assert!(moments.len() > 1_000, "{}", moments.len());
    assert_eq!(nightly.next(machine(5), after), nightly.next(machine(5), after));
}

#[test]
fn what_is_due_outside_the_window_waits_for_it() {
    let mut noon = schedule("UTC", Times::daily(vec![time(12, 0, 0, 0)]).unwrap(), 0);
    noon.windows = vec![Window { days: vec![], from: time(20, 0, 0, 0), to: time(6, 0, 0, 0) }];
    let at = |text: &str| -> Timestamp { text.parse().unwrap() };
    let (due, handled) = (at("2026-11-22T12:00:00Z"), at("2026-11-21T12:00:00Z"));
    let waits = Turn::Wait { due, opens: Some(at("2026-11-22T20:00:00Z")) };
    assert_eq!(noon.turn(machine(0), handled, at("2026-11-22T12:00:01Z")), waits);
    assert_eq!(noon.turn(machine(0), handled, at("2026-11-22T20:00:00Z")), Turn::Start(due));
    assert_eq!(noon.turn(machine(0), due, at("2026-11-22T20:00:00Z")), Turn::NotYet(Some(at("2026-11-23T12:00:00Z"))));
}

#[test]
fn what_was_missed_for_weeks_runs_once_when_back() {
    let hourly = schedule("Europe/Vienna", Times::cron("0 * * * *").unwrap(), 600);
    let at = |text: &str| -> Timestamp { text.parse().unwrap() };
    let (left, back) = (at("2026-03-01T10:00:00Z"), at("2026-11-22T10:30:00Z"));
    let Turn::Start(due) = hourly.turn(machine(7), left, back) else { panic!() };
    assert!(due <= back && back.duration_since(due) <= SignedDuration::from_hours(1));
    assert!(matches!(hourly.turn(machine(7), due, back), Turn::NotYet(Some(next)) if next > back));
}

fn some_times() -> impl Strategy<Value = Times> {
    let clock =
        || proptest::collection::vec((0i8..24, 0i8..60).prop_map(|(hour, minute)| time(hour, minute, 0, 0)), 1..4);
    let days = proptest::collection::vec(
        proptest::sample::select(vec![WeekDay::Monday, WeekDay::Saturday, WeekDay::Sunday]),
        0..3,
    );
    let lines = ["*/20 * * * *", "0 0 * * *", "30 2 * * 0", "0 */2 1-7 * *", "15 1 28-31 * *"];
    prop_oneof![
        (days, clock()).prop_map(|(days, at)| Times::weekly(days, at).unwrap()),
        proptest::sample::select(lines.to_vec()).prop_map(|line| Times::cron(line).unwrap()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Somebody looks at irregular moments all year. Whatever is due is acted on at the first look at which a window is
    /// open; no due time is acted on twice; what a start stands for came after the one before.
    #[test]
    fn whoever_looks_at_irregular_moments_starts_each_due_time_once_and_skips_none(
        (zone, year) in proptest::sample::select(ZONES.to_vec()),
        times in some_times(),
        spread in prop_oneof![Just(0u32), 1u32..7_200],
        random in any::<u64>(),
        night in any::<bool>(),
        steps in proptest::collection::vec(1i64..200_000, 200..400),
    ) {
        let mut schedule = schedule(zone, times, spread);
        if night {
            schedule.windows = vec![Window { days: vec![], from: time(22, 0, 0, 0), to: time(5, 0, 0, 0) }];
        }
        let machine = machine(random);
        let mut now = schedule.zone.moment(Date::constant(year, 1, 1).at(0, 0, 0, 0)).unwrap();
        let mut handled = now;
        for step in steps {
            now += SignedDuration::from_secs(step);
            let missed = schedule.next(machine, handled).filter(|due| *due <= now);
            match schedule.turn(machine, handled, now) {
                Turn::Start(due) => {
                    prop_assert!(missed.is_some_and(|first| first <= due), "{due} after {handled}");
                    prop_assert!(handled < due && due <= now);
                    prop_assert!(schedule.next(machine, due).is_none_or(|next| next > now), "a newer one had come");
                    handled = due;
                }
                Turn::Wait { due, opens } => {
                    prop_assert!(missed.is_some_and(|first| first <= due) && night);
                    prop_assert!(opens.is_some_and(|opens| opens > now));
                }
                Turn::NotYet(next) => {
                    prop_assert_eq!(missed, None);
                    prop_assert!(next.is_some_and(|next| next > now));
                }
            }
        }
    }
}
