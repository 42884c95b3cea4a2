//! The board, told minute by minute.

use super::*;
use crate::{Actor, ClientId, Condition, MachineId, QuietHours, SilenceId, SilenceScope, Step, Subject, Uuid, Zone};

fn at(minute: i64) -> Timestamp {
    Timestamp::from_second(minute * 60).unwrap()
}

fn key() -> AlertKey {
    let (client, machine) = (ClientId::new(Uuid::from_u128(1)), MachineId::new(Uuid::from_u128(2)));
    AlertKey { subject: Subject::Machine(client, machine), condition: Condition::Backup }
}

fn wrong() -> Vec<Observation> {
    vec![Observation { key: key(), finding: Finding::Wrong("pc: Failed now: disk full.".into()) }]
}

fn fine() -> Vec<Observation> {
    vec![Observation { key: key(), finding: Finding::Fine }]
}

fn jim_then_anna() -> Escalation {
    let to = |name: &str| vec![Recipient(name.into())];
    Escalation { steps: vec![Step { after: 0, to: to("jim") }, Step { after: 30, to: to("anna") }], quiet: None }
}

fn silence(from: i64, until: i64) -> Silence {
    Silence {
        id: SilenceId::new(Uuid::nil()),
        scope: SilenceScope::Machine(MachineId::new(Uuid::from_u128(2))),
        by: Actor { key: "jim".into(), name: "Jim".into() },
        reason: "new disk".into(),
        from: at(from),
        until: at(until),
        suppressed: 0,
    }
}

/// A board, and what was said on it, as "minute: kind to whom".
#[derive(Default)]
struct Story {
    board: Board,
    silences: Vec<Silence>,
    ids: u128,
}

impl Story {
    fn at(&mut self, minute: i64, seen: Vec<Observation>) -> Vec<String> {
        let ids = &mut self.ids;
        self.board.observe(seen, at(minute), || {
            *ids += 1;
            AlertId::new(Uuid::from_u128(*ids))
        });
        let notices = self.board.notices(&jim_then_anna(), &mut self.silences, at(minute));
        let names = |notice: &Notice| notice.to.iter().map(|to| to.0.clone()).collect::<Vec<_>>().join("+");
        notices.iter().map(|notice| format!("{:?} {}", notice.kind, names(notice))).collect()
    }
}

#[test]
fn an_alert_is_told_once_escalates_and_its_end_is_told_to_all_who_heard() {
    let mut story = Story::default();
    assert_eq!(story.at(0, wrong()), ["There jim"]);
    assert!(story.at(29, wrong()).is_empty());
    assert_eq!(story.at(30, wrong()), ["There anna"]);
    assert!(story.at(600, wrong()).is_empty());
    assert_eq!(story.at(601, fine()), ["Over anna+jim"]);
    assert!(story.at(602, fine()).is_empty());
}

#[test]
fn what_somebody_acknowledged_escalates_no_more() {
    let mut story = Story::default();
    story.at(0, wrong());
    story.board.alerts[0].acknowledge(Actor { key: "jim".into(), name: "Jim".into() }, at(5)).unwrap();
    assert!(story.at(60, wrong()).is_empty());
    assert_eq!(story.at(61, fine()), ["Over jim"]);
}

#[test]
fn after_a_silence_the_state_is_told_once_and_what_was_held_is_counted() {
    let mut story = Story { silences: vec![silence(0, 100)], ..Story::default() };
    assert!(story.at(0, wrong()).is_empty());
    assert!(story.at(30, wrong()).is_empty());
    assert_eq!(story.silences[0].suppressed, 2);
    assert_eq!(story.at(100, wrong()), ["StillThere anna+jim"]);
    assert!(story.at(101, wrong()).is_empty());
}

#[test]
fn what_comes_and_goes_in_a_silence_is_never_told() {
    let mut story = Story { silences: vec![silence(0, 100)], ..Story::default() };
    story.at(0, wrong());
    story.at(50, fine());
    assert!(story.at(100, fine()).is_empty());
    assert_eq!(story.silences[0].suppressed, 1);
}

#[test]
fn what_was_told_before_a_silence_and_ends_in_it_is_told_to_be_over_after_it() {
    let mut story = Story { silences: vec![silence(10, 100)], ..Story::default() };
    assert_eq!(story.at(0, wrong()), ["There jim"]);
    assert!(story.at(50, fine()).is_empty());
    assert_eq!(story.at(100, vec![]), ["Over jim"]);
}

#[test]
fn what_is_unknown_neither_opens_nor_closes() {
    let unknown = || vec![Observation { key: key(), finding: Finding::Unknown }];
    let mut story = Story::default();
    story.at(0, unknown());
    assert!(story.board.open(&key()).is_none());
    story.at(1, wrong());
    story.at(2, unknown());
    assert!(story.board.open(&key()).is_some());
}

#[test]
fn quiet_hours_hold_messages_until_they_end_but_for_exceptions() {
    let time = |hour| jiff::civil::time(hour, 0, 0, 0);
    let quiet = QuietHours { zone: Zone::utc(), from: time(22), to: time(6), except: vec![] };
    let mut escalation = Escalation { quiet: Some(quiet.clone()), ..jim_then_anna() };
    let mut board = Board::default();
    board.observe(wrong(), at(0), || AlertId::new(Uuid::nil()));
    assert!(board.clone().notices(&escalation, &mut [], at(0)).is_empty(), "midnight is quiet");
    assert_eq!(board.clone().notices(&escalation, &mut [], at(6 * 60)).len(), 1);
    escalation.quiet = Some(QuietHours { except: vec![Condition::Backup], ..quiet });
    assert_eq!(board.notices(&escalation, &mut [], at(0)).len(), 1);
}

#[test]
fn when_many_clients_vanish_at_once_we_suspect_ourselves() {
    let doubt = SelfDoubt { percent: 30 };
    assert!(!doubt.holds(2, 2), "two clients can fail at once");
    assert!(!doubt.holds(3, 100));
    let silent =
        Observation { key: AlertKey { condition: Condition::Silent, ..key() }, finding: Finding::Wrong("x".into()) };
    let seen = doubt.apply(vec![silent, wrong().remove(0)], 40, 100);
    assert_eq!(seen[0].finding, Finding::Unknown);
    assert!(matches!(seen[1].finding, Finding::Wrong(_)), "a failed backup is no matter of connections");
    assert!(matches!(&seen[2].finding, Finding::Wrong(why) if why.starts_with("40 of 100 clients")));
}
