//! On the line with a server: tasks once, events until they are heard.

use api::wire::keeper::{Event, ToKeeper, Work};
use fleet::{Drill, JobKind, Outcome, RunId};
use testkit::sample;

use crate::front::{Front, Line, job};
use crate::house::House;
use crate::running::Running;

fn check() -> Work {
    Work::Check { slice: 1, of: 1 }
}

/// The end of the next run, with its number.
fn end(line: &mut Line) -> (u64, RunId, u32, Outcome) {
    loop {
        let (number, event) = line.event();
        if let Event::Ended { run, job, outcome, .. } = event {
            return (number, run, job.attempt, outcome);
        }
    }
}

#[test]
fn a_task_is_done_once_and_its_end_is_said_until_it_is_heard_and_again_to_who_asks_again() {
    let Some(house) = House::open() else { return };
    sample::office(&house.files(), 20, 10);
    house.backup(&[]);
    let mut front = Front::open();
    let keeper = Running::start(&front, &house);
    let machine = keeper.kept(&house);

    let mut line = keeper.call(&mut front, &house);
    line.order(job(1, 1), &machine, check());
    line.order(job(1, 1), &machine, check());
    let (_, begun) = line.event();
    assert!(matches!(begun, Event::Begun { kind: JobKind::Check, .. }), "{begun:?}");
    let (number, run, attempt, outcome) = end(&mut line);
    assert_eq!((attempt, outcome), (1, Outcome::Good));
    drop(line);

    let mut line = keeper.call(&mut front, &house);
    let again = end(&mut line);
    assert_eq!((again.0, again.1), (number, run), "what was not heard is said again, under its number");
    line.say(&ToKeeper::Heard { number });
    line.order(job(1, 2), &machine, check());
    let (later, same, attempt, outcome) = end(&mut line);
    assert!(later > number && same == run, "it is not done again");
    assert_eq!((attempt, outcome), (2, Outcome::Good));
}

#[test]
fn who_asks_again_while_names_are_still_noted_is_answered_by_the_end() {
    let Some(house) = House::open() else { return };
    sample::office(&house.files(), 20, 10);
    house.backup(&[]);
    let mut front = Front::open();
    let keeper = Running::start(&front, &house);
    let machine = keeper.kept(&house);
    let mut line = keeper.call(&mut front, &house);
    for number in 1..=4 {
        line.order(job(number, 1), &machine, check());
        let (_, run, ..) = end(&mut line);
        line.order(job(number, 2), &machine, check());
        let (_, same, attempt, outcome) = end(&mut line);
        assert_eq!((same, attempt, outcome), (run, 2, Outcome::Good));
    }
}

#[test]
fn a_keeper_that_stopped_in_the_middle_goes_on_with_what_it_had() {
    let Some(house) = House::open() else { return };
    for number in 0..8 {
        std::fs::write(house.files().join(format!("{number}.bin")), sample::random_bytes(number, 4 << 20)).unwrap();
    }
    house.backup(&[]);
    let mut front = Front::open();
    let keeper = Running::start(&front, &house);
    let machine = keeper.kept(&house);
    let mut line = keeper.call(&mut front, &house);
    line.order(job(1, 1), &machine, check());
    let (number, begun) = line.event();
    let Event::Begun { run, .. } = begun else { panic!("{begun:?}") };
    line.say(&ToKeeper::Heard { number });
    drop(line);
    drop(keeper);

    let keeper = Running::start(&front, &house);
    let mut line = keeper.call(&mut front, &house);
    let (_, same, _, outcome) = end(&mut line);
    assert_eq!((same, outcome), (run, Outcome::Good));
}

#[test]
fn what_is_called_back_stops_and_what_cannot_be_done_now_is_put_off() {
    let Some(house) = House::open() else { return };
    house.backup(&[]);
    let mut front = Front::open();
    let keeper = Running::start(&front, &house);
    let machine = keeper.kept(&house);
    let mut line = keeper.call(&mut front, &house);

    // Somebody else's exclusive lock.
    let repo = house.direct();
    let owner = repo::lock::LockOwner::this_process("elsewhere", "somebody");
    let options = repo::lock::LockOptions { kind: repo::lock::LockKind::Exclusive, owner, wait: Default::default() };
    let lock = repo::lock::Lock::acquire(&repo, &options).unwrap();
    line.order(job(1, 1), &machine, check());
    let (_, put_off) = line.event();
    let Event::Postponed { why, .. } = &put_off else { panic!("{put_off:?}") };
    assert!(why.contains("locked"), "{why}");
    lock.release().unwrap();

    line.order(job(2, 1), &machine, Work::Drill(Drill::BootTest));
    let (_, put_off) = line.event();
    assert!(matches!(&put_off, Event::Postponed { why, .. } if why.contains("boot test")), "{put_off:?}");

    let unknown = api::wire::keeper::Kept { sealed: "00".repeat(60), ..machine.clone() };
    line.order(job(3, 1), &unknown, check());
    let (_, _, _, outcome) = end(&mut line);
    assert!(matches!(&outcome, Outcome::Failed { why } if why.contains("sealed")), "{outcome:?}");

    // Two for one repository: the second waits for the first, and is called back meanwhile or done.
    line.order(job(4, 1), &machine, check());
    line.order(job(5, 1), &machine, check());
    line.say(&ToKeeper::Cancel { job: job(5, 1).job });
    let ends = [end(&mut line), end(&mut line)];
    let stopped = ends.iter().filter(|end| matches!(&end.3, Outcome::Failed { why } if why.contains("called back")));
    assert!(stopped.count() <= 1 && ends.iter().any(|end| end.3 == Outcome::Good), "{ends:?}");
}
