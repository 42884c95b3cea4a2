//! Agents on the line: who comes in, what is written down, what goes out, and what a machine that lies cannot do.

use api::wire::agent::{Event, FromAgent, Order, Taken, ToAgent};
use api::wire::{Refusal, Verdict};
use fleet::{
    Amount, ClientId, Drill, JobId, JobKey, JobKind, MachineId, Missed, Outcome, Phase, Report, RunCondition, RunId,
    RunState, TenantId,
};
use jiff::SignedDuration;
use store::{MachineChange, NewJob};

use crate::caller::{Caller, Key};
use crate::shop::Shop;

const OWNER: &str = "owner@example.org";

/// A firm with a client and a machine whose key the test has.
struct Stage {
    shop: Shop,
    tenant: TenantId,
    client: ClientId,
    machine: MachineId,
    key: Key,
}

impl Stage {
    async fn set() -> Stage {
        Stage::on(Shop::open().await).await
    }

    async fn on(shop: Shop) -> Stage {
        let tenant = shop.firm("Brightside", OWNER).await;
        let client = shop.client(OWNER, tenant, "Harbour Dental").await;
        let key = Key::agent();
        let (machine, _) = shop.machine_by(OWNER, client, "HD-SRV1", key.public()).await;
        Stage { shop, tenant, client, machine, key }
    }

    fn run(&self) -> RunId {
        RunId::made(self.shop.now(), self.shop.bits())
    }

    async fn runs(&self) -> Vec<fleet::Run> {
        let scope = self.shop.scope(OWNER).await;
        let runs = self.shop.store.within(&scope).runs(self.machine, 100).await.unwrap();
        runs.into_iter().map(|row| row.run).collect()
    }

    async fn ask(&self, kind: JobKind, orders: &Order) -> JobId {
        let (id, due) = (JobId::made(self.shop.now(), self.shop.bits()), self.shop.now());
        let (machine, orders) = (self.machine, serde_json::to_string(orders).unwrap());
        let key = JobKey::requested(machine, kind, &id.to_string());
        let scope = self.shop.scope(OWNER).await;
        self.shop.store.within(&scope).ask_for(&NewJob { id, machine, kind, key, due, orders }).await.unwrap()
    }

    async fn job(&self, id: JobId) -> fleet::JobState {
        let scope = self.shop.scope(OWNER).await;
        self.shop.store.within(&scope).job(id).await.unwrap().job.state
    }

    fn begun(&self, run: RunId, job: Option<Taken>) -> Event {
        Event::Begun { run, job, kind: JobKind::Backup, at: self.shop.now() }
    }

    fn ended(&self, run: RunId, job: Option<Taken>, outcome: Outcome) -> Event {
        Event::Ended { run, job, at: self.shop.now(), outcome, snapshots: Vec::new() }
    }
}

async fn order(caller: &mut Caller) -> (Taken, Order) {
    caller
        .waits_for(|message: ToAgent| match message {
            ToAgent::Order { job, order } => Some((job, order)),
            _ => None,
        })
        .await
}

fn refused(verdict: &Verdict) -> Option<Refusal> {
    match verdict {
        Verdict::Refused { cause, .. } => Some(*cause),
        Verdict::Welcome(_) => None,
    }
}

#[tokio::test]
async fn a_machine_comes_in_by_its_key_over_tls_and_is_told_its_duties() {
    let mut stage = Stage::on(Shop::with_tls().await).await;
    let mut caller = Caller::welcomed(&stage.shop, &mut stage.key).await;
    let duties = caller.waits_for(|message: ToAgent| match message {
        ToAgent::Duties(duties) => Some(duties),
        _ => None,
    });
    assert_eq!((duties.await.policy, stage.runs().await.len()), (None, 0));
    drop(caller);
    stage.shop.close().await;
}

#[tokio::test]
async fn who_cannot_sign_or_passes_a_challenge_on_is_unknown() {
    let mut stage = Stage::set().await;
    let (_, unknown) = Caller::introduced(&stage.shop, &mut Key::agent()).await;
    assert_eq!(refused(&unknown), Some(Refusal::Unknown));
    stage.key.counter += 1;
    let (mut caller, challenge) = Caller::rings(&stage.shop).await;
    caller.says(&stage.key.answer(&challenge, "CC:DD")).await;
    assert_eq!(refused(&caller.hears().await.unwrap()), Some(Refusal::Unknown), "it was meant for another server");
    let (mut first, challenge) = Caller::rings(&stage.shop).await;
    let good = stage.key.answer(&challenge, crate::shop::FINGERPRINT);
    let (mut second, _) = Caller::rings(&stage.shop).await;
    second.says(&good).await;
    assert_eq!(refused(&second.hears().await.unwrap()), Some(Refusal::Unknown), "it was meant for another line");
    first.says(&good).await;
    assert_eq!(refused(&first.hears().await.unwrap()), None);
    stage.shop.close().await;
}

#[tokio::test]
async fn a_copied_key_is_believed_at_neither_place_and_an_alert_says_so() {
    let mut stage = Stage::set().await;
    let mut copy = stage.key.copied("board 2");
    let mut right = Caller::welcomed(&stage.shop, &mut stage.key).await;
    copy.counter = stage.key.counter;
    let (_, verdict) = Caller::introduced(&stage.shop, &mut copy).await;
    assert_eq!(refused(&verdict), Some(Refusal::Quarantined));
    right.is_hung_up_on().await;
    let (_, verdict) = Caller::introduced(&stage.shop, &mut stage.key).await;
    assert_eq!(refused(&verdict), Some(Refusal::Quarantined), "until a person says which is right");
    let scope = stage.shop.scope(OWNER).await;
    let alerts = stage.shop.store.within(&scope).open_alerts(10).await.unwrap();
    assert!(alerts.iter().any(|alert| alert.sentence.contains("its hardware is another")), "{alerts:?}");
    stage.shop.close().await;
}

#[tokio::test]
async fn a_number_that_was_used_before_is_a_copy() {
    let mut stage = Stage::set().await;
    drop(Caller::welcomed(&stage.shop, &mut stage.key).await);
    stage.key.counter -= 1;
    let (_, verdict) = Caller::introduced(&stage.shop, &mut stage.key).await;
    assert_eq!(refused(&verdict), Some(Refusal::Quarantined));
    stage.shop.close().await;
}

#[tokio::test]
async fn a_newer_call_ends_the_older_and_a_retired_machine_stays_out() {
    let mut stage = Stage::set().await;
    let mut older = Caller::welcomed(&stage.shop, &mut stage.key).await;
    let mut newer = Caller::welcomed(&stage.shop, &mut stage.key).await;
    older.is_hung_up_on().await;
    newer.tells(1, stage.begun(stage.run(), None)).await;
    let scope = stage.shop.scope(OWNER).await;
    stage.shop.store.within(&scope).change_machine(stage.machine, MachineChange::Retire).await.unwrap();
    newer.is_hung_up_on().await;
    let (_, verdict) = Caller::introduced(&stage.shop, &mut stage.key).await;
    assert_eq!(refused(&verdict), Some(Refusal::Retired));
    stage.shop.close().await;
}

#[tokio::test]
async fn an_event_told_twice_happens_once_and_what_nobody_understands_is_heard() {
    let mut stage = Stage::set().await;
    let mut caller = Caller::welcomed(&stage.shop, &mut stage.key).await;
    let run = stage.run();
    for _ in 0..2 {
        caller.tells(1, stage.begun(run, None)).await;
        caller.tells(2, stage.ended(run, None, Outcome::Good)).await;
    }
    caller.tells(3, stage.ended(run, None, Outcome::Failed { why: "later".into() })).await;
    let drilled = |evidence: &str| Event::Drilled {
        run,
        drill: Drill::FileSample,
        at: stage.shop.now(),
        outcome: Outcome::Good,
        evidence: evidence.into(),
    };
    caller.tells(4, drilled("3 files")).await;
    caller.tells(4, drilled("3 files")).await;
    let runs = stage.runs().await;
    assert_eq!((runs.len(), runs[0].state()), (1, fleet::State::Good));
    let scope = stage.shop.scope(OWNER).await;
    assert_eq!(stage.shop.store.within(&scope).drills(stage.machine, 10).await.unwrap().len(), 1);
    for (number, text) in [
        (5, r#"{"event":{"number":5,"event":{"danced":{"how":"wildly"}}}}"#),
        (6, r#"{"event":{"number":6,"event":{"begun":{"run":7}}}}"#),
    ] {
        caller.says_text(text.into()).await;
        caller.is_heard(number).await;
    }
    caller.says_text(r#""hello""#.into()).await;
    caller.is_hung_up_on().await;
    stage.shop.close().await;
}

#[tokio::test]
async fn who_says_too_much_is_hung_up_on() {
    let mut stage = Stage::set().await;
    let (mut stranger, _) = Caller::rings(&stage.shop).await;
    stranger.says_text("x".repeat(200 << 10)).await;
    stranger.is_hung_up_on().await;
    let mut caller = Caller::welcomed(&stage.shop, &mut stage.key).await;
    caller.says_text(format!(r#"{{"beat":{{"at":"{}"}}}}"#, "x".repeat(api::wire::LARGEST))).await;
    caller.is_hung_up_on().await;
    let mut caller = Caller::welcomed(&stage.shop, &mut stage.key).await;
    caller.sends(vec![0; 100]).await;
    caller.is_hung_up_on().await;
    stage.shop.close().await;
}

#[tokio::test]
async fn an_order_is_given_held_over_a_restart_and_done() {
    let mut stage = Stage::set().await;
    let mut caller = Caller::welcomed(&stage.shop, &mut stage.key).await;
    let job = stage.ask(JobKind::Backup, &Order::Backup { what: None }).await;
    let (taken, given) = order(&mut caller).await;
    assert_eq!((taken.job, given), (job, Order::Backup { what: None }));
    let run = stage.run();
    caller.tells(1, stage.begun(run, Some(taken))).await;
    let report = Report {
        number: 1,
        at: stage.shop.now(),
        phase: Phase::Reading,
        condition: RunCondition::Moving,
        amount: Amount { done: 92, total: 100, new: 7 },
        setback: None,
    };
    caller.says(&FromAgent::Progress { run, report }).await;
    while stage.runs().await[0].progress.percent() != 92 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let mut stage = Stage { shop: stage.shop.begun_again().await, ..stage };
    let mut caller = Caller::welcomed(&stage.shop, &mut stage.key).await;
    let (again, _) = order(&mut caller).await;
    assert_eq!(again, taken, "it is the same attempt at the same job");
    caller.tells(2, stage.ended(run, Some(again), Outcome::Good)).await;
    assert_eq!(stage.job(job).await, fleet::JobState::Done);
    assert_eq!(stage.runs().await[0].job, Some(job));
    stage.shop.close().await;
}

#[tokio::test]
async fn what_is_called_back_declined_or_put_off_is_said_to_whoever_asked() {
    let mut stage = Stage::set().await;
    let mut caller = Caller::welcomed(&stage.shop, &mut stage.key).await;
    let first = stage.ask(JobKind::Backup, &Order::Backup { what: None }).await;
    order(&mut caller).await;
    let scope = stage.shop.scope(OWNER).await;
    stage.shop.store.within(&scope).cancel_job(first).await.unwrap();
    caller.waits_for(|message: ToAgent| (message == ToAgent::Cancel { job: first }).then_some(())).await;

    let second = stage.ask(JobKind::Backup, &Order::Backup { what: None }).await;
    let (taken, _) = order(&mut caller).await;
    let why = "its own settings forbid it".to_owned();
    caller.tells(1, Event::Declined { job: taken, why }).await;
    assert_eq!(stage.job(second).await, fleet::JobState::Cancelled);
    let RunState::Ended { outcome: Outcome::Failed { why }, .. } = &stage.runs().await[0].state else { panic!() };
    assert_eq!(why, "declined: its own settings forbid it");

    drop(caller);
    let mut caller = Caller::welcomed(&stage.shop, &mut stage.key).await;
    caller.waits_for(|message: ToAgent| (message == ToAgent::Cancel { job: first }).then_some(())).await;

    let third = stage.ask(JobKind::Backup, &Order::Backup { what: None }).await;
    let (taken, _) = order(&mut caller).await;
    let again = stage.shop.now() + SignedDuration::from_mins(10);
    caller.tells(2, Event::Postponed { job: taken, again, why: "on battery".into() }).await;
    assert_eq!(stage.job(third).await, fleet::JobState::Waiting);
    stage.shop.wait(601);
    let (taken, _) = order(&mut caller).await;
    assert_eq!((taken.job, taken.attempt), (third, 2));
    stage.shop.close().await;
}

#[tokio::test]
async fn a_machine_that_lies_changes_nothing_of_anothers() {
    let mut stage = Stage::set().await;
    let mut liar = Key::agent();
    stage.shop.machine_by(OWNER, stage.client, "LIAR", liar.public()).await;
    let mut caller = Caller::welcomed(&stage.shop, &mut stage.key).await;
    let job = stage.ask(JobKind::Backup, &Order::Backup { what: None }).await;
    let (taken, _) = order(&mut caller).await;
    let run = stage.run();
    caller.tells(1, stage.begun(run, Some(taken))).await;
    let mut other = Caller::welcomed(&stage.shop, &mut liar).await;
    other.tells(1, stage.begun(run, Some(taken))).await;
    other.tells(2, stage.ended(run, Some(taken), Outcome::Failed { why: "ha".into() })).await;
    other.tells(3, Event::Declined { job: taken, why: "ha".into() }).await;
    other.tells(4, Event::Postponed { job: taken, again: stage.shop.now(), why: "ha".into() }).await;
    let nobody = Taken { job: JobId::made(stage.shop.now(), stage.shop.bits()), attempt: 1 };
    let own = stage.run();
    other.tells(5, stage.begun(own, Some(nobody))).await;
    let many = (0..500).map(|_| Missed { what: "x".repeat(5_000), why: "y".into() }).take(150).collect();
    other.tells(6, stage.ended(own, Some(nobody), Outcome::Incomplete { missed: many, count: 0 })).await;
    assert!(matches!(stage.job(job).await, fleet::JobState::Taken { .. }));
    let runs = stage.runs().await;
    assert_eq!((runs.len(), runs[0].state()), (1, fleet::State::Running));
    stage.shop.close().await;
}

#[tokio::test]
async fn clocks_that_are_wrong_do_not_write_history() {
    let mut stage = Stage::set().await;
    let mut caller = Caller::welcomed(&stage.shop, &mut stage.key).await;
    let day = SignedDuration::from_hours(24);
    let (now, behind) = (stage.shop.now(), stage.shop.now() - day);
    caller.says(&FromAgent::Beat { at: behind }).await;
    let run = stage.run();
    caller.tells(1, Event::Begun { run, job: None, kind: JobKind::Backup, at: behind }).await;
    assert_eq!(stage.runs().await[0].started, now, "its clock is a day behind");
    caller.says(&FromAgent::Beat { at: now }).await;
    let run = stage.run();
    caller.tells(2, Event::Begun { run, job: None, kind: JobKind::Backup, at: now + day }).await;
    assert!(stage.runs().await.iter().all(|run| run.started <= now), "nothing began tomorrow");
    stage.shop.close().await;
}

#[tokio::test]
async fn two_servers_on_one_postgresql_look_after_those_who_called_them() {
    let Some(postgres) = testkit::Postgres::start() else { return };
    let database = postgres.database("calls");
    let mut stage = Stage::on(Shop::on(&database, 1).await).await;
    let other = Shop::on(&database, 2).await;
    let mut here = Caller::welcomed(&stage.shop, &mut stage.key).await;
    let job = stage.ask(JobKind::Backup, &Order::Backup { what: None }).await;
    let (taken, _) = order(&mut here).await;
    let mut there = Caller::welcomed(&other, &mut stage.key).await;
    here.is_hung_up_on().await;
    let (again, _) = order(&mut there).await;
    assert_eq!((again, again.job), (taken, job), "the machine goes on with what it had");
    let run = stage.run();
    there.tells(1, stage.begun(run, Some(again))).await;
    there.tells(2, stage.ended(run, Some(again), Outcome::Good)).await;
    assert_eq!(stage.job(job).await, fleet::JobState::Done);
    let scope = stage.shop.scope(OWNER).await;
    let view = stage.shop.store.within(&scope);
    let pause = fleet::Pause {
        by: scope.actor().clone(),
        reason: "works".into(),
        from: stage.shop.now(),
        until: stage.shop.now() + SignedDuration::from_hours(1),
    };
    view.change_machine(stage.machine, MachineChange::Pause(Some(pause.clone()))).await.unwrap();
    let told = there.waits_for(|message: ToAgent| match message {
        ToAgent::Duties(duties) => duties.pause,
        _ => None,
    });
    assert_eq!(told.await, pause, "a change made at one server reaches a machine at the other");
    assert!(stage.tenant != TenantId::new(fleet::Uuid::nil()));
    other.close().await;
    stage.shop.close().await;
}
