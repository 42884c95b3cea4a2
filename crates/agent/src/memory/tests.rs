//! What is remembered after a restart, what is told once, and what is answered from memory.

use api::wire::agent::{Event, Order, Taken};
use fleet::{JobId, JobKind, Outcome, RunId, Uuid};

use super::*;
use crate::memory::{Ending, Ongoing};

fn room() -> (tempfile::TempDir, Place) {
    let room = tempfile::tempdir().unwrap();
    let place = Place::made(room.path()).unwrap();
    (room, place)
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn job(attempt: u32) -> Taken {
    Taken { job: JobId::new(Uuid::from_u128(1)), attempt }
}

fn backup() -> Order {
    Order::Backup { what: None }
}

fn ongoing(job: Option<Taken>) -> Ongoing {
    Ongoing { run: RunId::new(Uuid::from_u128(9)), order: backup(), job, begun: at(10), attempt: 1 }
}

fn good() -> Ending {
    Ending { at: at(20), outcome: Outcome::Good, snapshots: vec!["ab".into()], evidence: None }
}

fn told(memory: &Memory) -> Vec<Event> {
    memory.unheard(0, 100).unwrap().into_iter().map(|(_, event)| event).collect()
}

#[test]
fn numbers_only_grow_also_when_everything_was_heard_and_the_agent_starts_again() {
    let (_room, place) = room();
    let first = {
        let memory = Memory::open(&place).unwrap();
        memory.begin(&ongoing(None), Some(at(5))).unwrap();
        memory.end(ongoing(None).run, &good()).unwrap();
        let numbers: Vec<u64> = memory.unheard(0, 100).unwrap().into_iter().map(|(number, _)| number).collect();
        assert_eq!(numbers, [1, 2]);
        memory.heard(2).unwrap();
        assert_eq!((memory.count().unwrap(), memory.count().unwrap()), (1, 2));
        numbers[1]
    };
    let memory = Memory::open(&place).unwrap();
    assert_eq!(memory.unheard_count().unwrap(), 0);
    assert!(memory.say(&Event::Declined { job: job(1), why: "no".into() }).unwrap() > first);
    assert_eq!(memory.count().unwrap(), 3, "the counter is durable before it is used");
    assert_eq!(memory.handled().unwrap(), Some(at(5)));
}

#[test]
fn a_run_that_ended_is_told_once_and_never_again() {
    let (_room, place) = room();
    let memory = Memory::open(&place).unwrap();
    memory.begin(&ongoing(None), None).unwrap();
    memory.end(ongoing(None).run, &good()).unwrap();
    memory.end(ongoing(None).run, &good()).unwrap();
    let ends = told(&memory).into_iter().filter(|event| matches!(event, Event::Ended { .. })).count();
    assert_eq!((ends, memory.ongoing().unwrap().len()), (1, 0));
    assert_eq!(memory.last_backup().unwrap(), Some(at(10)));
}

#[test]
fn an_order_that_comes_again_is_answered_from_memory_in_its_newest_attempt() {
    let (_room, place) = room();
    let memory = Memory::open(&place).unwrap();
    assert_eq!(memory.take(job(1), backup(), at(1)).unwrap(), Reply::New);
    assert_eq!(memory.take(job(1), backup(), at(2)).unwrap(), Reply::Known);
    assert_eq!(memory.waiting().unwrap().len(), 1, "it waits once");
    memory.begin(&ongoing(Some(job(1))), None).unwrap();
    assert_eq!(memory.take(job(2), backup(), at(3)).unwrap(), Reply::Known);
    let begun = told(&memory).pop().unwrap();
    assert!(matches!(begun, Event::Begun { job: Some(taken), kind: JobKind::Backup, .. } if taken == job(2)));
    assert_eq!(memory.ongoing().unwrap()[0].job, Some(job(2)), "its end will be told for the newest attempt");
    memory.end(ongoing(None).run, &good()).unwrap();
    memory.take(job(3), backup(), at(4)).unwrap();
    let ended = told(&memory).pop().unwrap();
    assert!(
        matches!(ended, Event::Ended { job: Some(taken), snapshots, .. } if taken == job(3) && snapshots == ["ab"])
    );
    assert_eq!(memory.waiting().unwrap().len(), 0, "it is not carried out again");
}

#[test]
fn an_order_that_was_called_back_does_not_begin_and_a_declined_one_stays_declined() {
    let (_room, place) = room();
    let memory = Memory::open(&place).unwrap();
    memory.take(job(1), backup(), at(1)).unwrap();
    assert_eq!(memory.call_back(job(1).job).unwrap(), None);
    memory.take(job(2), backup(), at(2)).unwrap();
    assert!(memory.waiting().unwrap().is_empty() && told(&memory).is_empty());
    let other = Taken { job: JobId::new(Uuid::from_u128(2)), attempt: 1 };
    memory.decline(other, backup(), "no", at(3)).unwrap();
    memory.take(Taken { attempt: 2, ..other }, backup(), at(4)).unwrap();
    assert!(told(&memory).iter().all(|event| matches!(event, Event::Declined { .. })) && told(&memory).len() == 2);
}

#[test]
fn old_orders_are_forgotten_and_no_more_wait_than_can_be_borne() {
    let (_room, place) = room();
    let memory = Memory::open(&place).unwrap();
    let take = |number: u128| {
        let job = Taken { job: JobId::new(Uuid::from_u128(number)), attempt: 1 };
        memory.take(job, backup(), at(number as i64)).unwrap()
    };
    assert!((1..=100).all(|number| take(number) == Reply::New));
    assert_eq!(take(101), Reply::TooMany);
}

#[test]
fn one_process_at_a_time_has_the_memory() {
    let (_room, place) = room();
    let _memory = Memory::open(&place).unwrap();
    assert!(matches!(Memory::open(&place), Err(MemoryError::InUse(_))));
}

#[test]
fn a_memory_that_holds_rubbish_is_an_error_and_no_panic() {
    let (_room, place) = room();
    let memory = Memory::open(&place).unwrap();
    memory.set(MEMBERSHIP, &"rubbish").unwrap();
    assert!(matches!(memory.membership(), Err(MemoryError::Damaged { .. })));
    drop(memory);
    std::fs::write(place.memory(), vec![7; 10_000]).unwrap();
    assert!(matches!(Memory::open(&place), Err(MemoryError::Database { .. })));
}
