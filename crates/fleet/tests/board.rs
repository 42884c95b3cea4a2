//! Whatever is observed, one key has at most one alert that is not closed, and what is said is said once.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use proptest::prelude::*;
use stead_fleet::{
    Actor, AlertId, AlertKey, Board, ClientId, Condition, Escalation, Finding, MachineId, NoticeKind, Observation,
    Recipient, Silence, SilenceId, SilenceScope, Step, Subject, Uuid,
};

#[derive(Clone, Debug)]
enum Event {
    Observe(Vec<(u128, usize, Finding)>),
    Silence(u128, i64),
    Reload,
}

fn machine(n: u128) -> MachineId {
    MachineId::new(Uuid::from_u128(n))
}

fn key(n: u128, condition: usize) -> AlertKey {
    let subject = Subject::Machine(ClientId::new(Uuid::from_u128(n % 2)), machine(n));
    AlertKey { subject, condition: Condition::ALL[condition] }
}

fn some_event() -> impl Strategy<Value = Event> {
    let finding = prop_oneof![Just(Finding::Fine), Just(Finding::Wrong("bad".into())), Just(Finding::Unknown)];
    prop_oneof![
        6 => proptest::collection::vec((0u128..4, 0usize..3, finding), 0..6).prop_map(Event::Observe),
        1 => (0u128..4, 1i64..50).prop_map(|(machine, long)| Event::Silence(machine, long)),
        1 => Just(Event::Reload),
    ]
}

fn escalation() -> Escalation {
    let step = |after, to: &str| Step { after, to: vec![Recipient(to.into())] };
    Escalation { steps: vec![step(0, "first"), step(20, "second")], quiet: None }
}

proptest! {
    #[test]
    fn one_key_has_one_open_alert_and_every_message_is_said_once(events in proptest::collection::vec(some_event(), 1..60)) {
        let mut board = Board::default();
        let mut silences: Vec<Silence> = Vec::new();
        let (mut ids, mut said) = (0u128, BTreeSet::new());
        let mut told: BTreeMap<AlertId, NoticeKind> = BTreeMap::new();
        for (minute, event) in events.into_iter().enumerate() {
            let now = Timestamp::from_second(minute as i64 * 300).unwrap();
            match event {
                Event::Observe(seen) => {
                    let seen = seen.into_iter().map(|(n, c, finding)| Observation { key: key(n, c), finding }).collect();
                    board.observe(seen, now, || { ids += 1; AlertId::new(Uuid::from_u128(ids)) });
                }
                Event::Silence(n, long) => silences.push(Silence {
                    id: SilenceId::new(Uuid::from_u128(n)),
                    scope: SilenceScope::Machine(machine(n)),
                    by: Actor { key: "jim".into(), name: "Jim".into() },
                    reason: "work".into(),
                    from: now,
                    until: now + jiff::SignedDuration::from_mins(long),
                    suppressed: 0,
                }),
                Event::Reload => board = Board::new(board.alerts().to_vec()),
            }
            let held: Vec<bool> = board.alerts().iter().map(|a| silences.iter().any(|s| s.holds(&a.key, now))).collect();
            for notice in board.notices(&escalation(), &mut silences, now) {
                let place = board.alerts().iter().position(|alert| alert.id == notice.alert).unwrap();
                prop_assert!(!held[place], "said in a silence");
                prop_assert_eq!(notice.kind == NoticeKind::Over, board.alerts()[place].is_closed());
                prop_assert!(notice.kind == NoticeKind::StillThere || said.insert((notice.alert, notice.step, notice.kind as u8)));
                prop_assert!(notice.kind != NoticeKind::Over || told.contains_key(&notice.alert), "its end is no news");
                told.insert(notice.alert, notice.kind);
            }
            let open: Vec<_> = board.alerts().iter().filter(|alert| !alert.is_closed()).map(|alert| alert.key).collect();
            prop_assert_eq!(open.iter().collect::<BTreeSet<_>>().len(), open.len());
            prop_assert!(board.alerts().iter().all(|alert| alert.is_closed() || board.open(&alert.key) == Some(alert)));
        }
    }
}
