//! Jobs and runs.

use fleet::{
    Amount, Day, JobId, JobKey, JobKind, MachineClass, MachineId, Missed, Outcome, Phase, Report, Run, RunCondition,
    RunId, State,
};
use jiff::Timestamp;
use stead_store::{Error, NewJob};

use crate::house::{House, after, start};

fn job(house: &House, machine: MachineId, due: Timestamp) -> NewJob {
    let (id, kind) = (JobId::made(start(), house.random()), JobKind::Backup);
    NewJob { id, machine, kind, key: JobKey::scheduled(machine, kind, due), due, orders: "{}".into() }
}

async fn server(house: &House) -> (continuity::Scope, MachineId) {
    let (tenant, owner) = house.owner().await;
    let client = house.client(&owner, tenant, "Harbour Dental").await;
    let machine = house.machine(&owner, client, "files", MachineClass::Server, None).await;
    (owner, machine)
}

pub(crate) async fn what_is_due_twice_is_done_once_by_one_of_two_servers(house: &House) {
    let (owner, machine) = server(house).await;
    let (one, two) = (house.store.system(), house.second.system());
    for minute in 0..20 {
        let (mine, theirs) = (job(house, machine, after(minute)), job(house, machine, after(minute)));
        let (a, b) = tokio::join!(one.make_due(&mine), two.make_due(&theirs));
        assert!(a.unwrap() != b.unwrap(), "one of them made it");
    }
    let words = ["backup"];
    assert!(one.take_jobs("a", &["check"], None, after(60), after(90), 100).await.unwrap().is_empty());
    let (a, b) = tokio::join!(
        one.take_jobs("a", &words, None, after(60), after(90), 12),
        two.take_jobs("b", &words, Some(machine), after(60), after(90), 12),
    );
    let mut taken: Vec<_> = a.unwrap().into_iter().chain(b.unwrap()).collect();
    let rest = one.take_jobs("a", &words, None, after(60), after(90), 100).await.unwrap();
    taken.extend(rest);
    let mut ids: Vec<_> = taken.iter().map(|taken| taken.row.job.id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), taken.len()), (20, 20), "each was taken by one");
    assert!(two.take_jobs("b", &words, None, after(60), after(90), 100).await.unwrap().is_empty());
    let again = job(house, machine, after(0));
    assert!(!one.make_due(&again).await.unwrap(), "what is taken is not due again");
    assert_eq!(house.store.within(&owner).jobs(machine, 100).await.unwrap().len(), 20);
}

pub(crate) async fn a_worker_that_vanished_is_replaced_and_not_listened_to_any_more(house: &House) {
    let (owner, machine) = server(house).await;
    let system = house.store.system();
    let new = job(house, machine, start());
    let asked = house.store.within(&owner).ask_for(&new).await.unwrap();
    assert_eq!(
        house
            .store
            .within(&owner)
            .ask_for(&NewJob { id: JobId::made(start(), house.random()), ..new.clone() })
            .await
            .unwrap(),
        asked
    );
    let take = async |worker: &str, now, until| {
        system.take_jobs(worker, &["backup"], None, now, until, 1).await.unwrap().pop()
    };
    let first = take("a", start(), after(10)).await.unwrap();
    assert_eq!(first.row.asked_by.as_deref(), Some(owner.actor().name.as_str()));
    system.hold_job(asked, first.attempt, after(20)).await.unwrap();
    assert_eq!(take("b", after(19), after(30)).await, None);
    assert_eq!(system.jobs_of("a").await.unwrap(), system.jobs_of("a").await.unwrap());
    assert_eq!(system.jobs_of("a").await.unwrap().len(), 1);
    let second = take("b", after(20), after(30)).await.unwrap();
    for late in [system.job_done(asked, first.attempt).await, system.hold_job(asked, first.attempt, after(90)).await] {
        assert!(matches!(&late, Err(Error::Conflict(why)) if why.contains("not yours")), "{late:?}");
    }
    system.give_job_back(asked, second.attempt, after(40)).await.unwrap();
    assert_eq!(take("a", after(39), after(50)).await, None);
    let third = take("a", after(40), after(50)).await.unwrap();
    system.job_done(asked, third.attempt).await.unwrap();
    assert!(system.job_done(asked, third.attempt).await.is_err());
    assert!(house.store.within(&owner).cancel_job(asked).await.is_err(), "it is done");

    let other = job(house, machine, after(60));
    let other = house.store.within(&owner).ask_for(&other).await.unwrap();
    house.store.within(&owner).cancel_job(other).await.unwrap();
    assert_eq!(take("a", after(60), after(70)).await, None);
    assert_eq!(house.store.within(&owner).job(other).await.unwrap().job.state.word(), "cancelled");
}

pub(crate) async fn a_run_reports_ends_once_and_marks_its_day(house: &House) {
    let (owner, machine) = server(house).await;
    let (system, view) = (house.store.system(), house.store.within(&owner));
    let id = RunId::made(start(), house.random());
    // 23:30 in Vienna: it ends on another day.
    let late = "2026-11-22T22:30:00Z".parse().unwrap();
    let new = Run::begin(id, machine, None, JobKind::Backup, late);
    system.begin_run(&new).await.unwrap();
    system.begin_run(&new).await.unwrap();
    let report = |number, done| Report {
        number,
        at: late,
        phase: Phase::Reading,
        condition: RunCondition::Moving,
        amount: Amount { done, total: 100, new: 1 },
        setback: None,
    };
    assert!(system.report(machine, id, report(1, 50)).await.unwrap());
    assert!(system.report(machine, id, report(3, 92)).await.unwrap());
    assert!(!system.report(machine, id, report(2, 60)).await.unwrap(), "it was overtaken");
    assert_eq!(view.runs_going_on(10).await.unwrap()[0].run.progress.percent(), 92);
    system.judge(&[machine], None, late).await.unwrap();
    let card = view.card(machine).await.unwrap();
    assert_eq!((card.percent, card.lights[1].state), (Some(92), Some(State::Running)));
    assert_eq!(card.bar.days().last().unwrap().1, Day::Running);

    let missed = vec![Missed { what: "/home/a/x".into(), why: "permission denied".into() }];
    let outcome = Outcome::missing(missed, 1);
    let end = "2026-11-22T23:30:00Z".parse().unwrap();
    let stranger = MachineId::made(start(), [9; 10]);
    assert!(system.end_run(stranger, id, end, Outcome::Good).await.is_err(), "it is another machine's");
    assert!(system.end_run(machine, id, end, outcome.clone()).await.unwrap());
    assert!(!system.end_run(machine, id, end, Outcome::Good).await.unwrap(), "the first end stays");
    assert!(!system.report(machine, id, report(9, 99)).await.unwrap());
    system.judge(&[machine], None, end).await.unwrap();
    let card = view.card(machine).await.unwrap();
    let (day, what) = card.bar.days().last().unwrap();
    assert_eq!((day.to_string().as_str(), what), ("2026-11-22", Day::Incomplete));
    let sentence = "Incomplete now: 1 thing was missed, first /home/a/x: permission denied; no good backup yet.";
    assert_eq!(card.lights[1].sentence, sentence);
    assert_eq!(view.runs(machine, 10).await.unwrap(), [view.run(id).await.unwrap()]);
    assert!(view.runs_going_on(10).await.unwrap().is_empty());
}
