//! Programs of another age on the line, written down as they speak: what they say is understood as far as it can be, and
//! where it cannot, they are told what to do. These texts are what machines out there run: they are never changed.

use api::wire::{Introduction, Refusal, Verdict};
use fleet::{JobId, JobKey, JobKind, JobState, MachineId, Outcome, RunId, RunState};
use serde_json::Value;
use store::NewJob;

use crate::caller::{Caller, Key};
use crate::shop::{FINGERPRINT, Shop};

const OWNER: &str = "owner@example.org";

/// A snapshot's name.
const SNAPSHOT: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// A machine whose program is not ours.
struct Stage {
    shop: Shop,
    machine: MachineId,
    key: Key,
}

impl Stage {
    async fn set() -> Stage {
        let shop = Shop::open().await;
        let tenant = shop.firm("Brightside", OWNER).await;
        let client = shop.client(OWNER, tenant, "Harbour Dental").await;
        let key = Key::agent();
        let (machine, _) = shop.machine_by(OWNER, client, "HD-SRV1", key.public()).await;
        Stage { shop, machine, key }
    }

    /// Its introduction, as the first program of protocol 1 wrote it; `more` stands among its fields.
    fn introduction(&mut self, challenge: &Value, protocol: i64, more: &str) -> String {
        let nonce = challenge["nonce"].as_str().expect("a nonce").to_owned();
        let challenge = api::wire::Challenge { oldest: 1, newest: 1, version: String::new(), nonce };
        self.key.counter += 1;
        let Introduction { identity, counter, hardware, signature, .. } = self.key.answer(&challenge, FINGERPRINT);
        format!(
            r#"{{"caller":"agent","protocol":{protocol},{more}"version":"0.1.0","identity":"{identity}",
               "counter":{counter},"hardware":"{hardware}","signature":"{signature}"}}"#
        )
    }

    async fn comes_in(&mut self, protocol: i64, more: &str) -> (Caller, Value) {
        let (mut caller, challenge) = Caller::rings(&self.shop).await;
        let challenge = serde_json::to_value(challenge).expect("JSON");
        caller.says_text(self.introduction(&challenge, protocol, more)).await;
        let verdict = caller.hears().await.expect("a verdict");
        (caller, verdict)
    }

    async fn orders_a_backup(&self) -> JobId {
        let (id, due) = (JobId::made(self.shop.now(), self.shop.bits()), self.shop.now());
        let key = JobKey::requested(self.machine, JobKind::Backup, &id.to_string());
        let new = NewJob { id, machine: self.machine, kind: JobKind::Backup, key, due, orders: "{}".into() };
        let scope = self.shop.scope(OWNER).await;
        self.shop.store.within(&scope).ask_for(&new).await.unwrap()
    }

    async fn job(&self, id: JobId) -> JobState {
        let scope = self.shop.scope(OWNER).await;
        self.shop.store.within(&scope).job(id).await.unwrap().job.state
    }

    async fn runs(&self) -> Vec<store::RunRow> {
        let scope = self.shop.scope(OWNER).await;
        self.shop.store.within(&scope).runs(self.machine, 10).await.unwrap()
    }
}

/// The first message with this word, and what stands in it.
async fn said(caller: &mut Caller, word: &str) -> Value {
    caller.waits_for(|message: Value| message.get(word).cloned()).await
}

#[tokio::test]
async fn the_first_program_of_this_protocol_is_served_word_by_word() {
    let mut stage = Stage::set().await;
    let (mut caller, verdict) = stage.comes_in(1, "").await;
    let welcome = &verdict["welcome"];
    assert_eq!(welcome["you"], stage.machine.to_string(), "{verdict}");
    assert!(welcome["at"].is_string() && welcome["beat"].is_number(), "{verdict}");
    let duties = said(&mut caller, "duties").await;
    assert!(duties["zone"].is_string() && duties.get("policy").is_some(), "{duties}");
    let job = stage.orders_a_backup().await;
    let order = said(&mut caller, "order").await;
    assert_eq!(order["job"]["job"], job.to_string());
    assert_eq!(order["order"], serde_json::json!({ "backup": { "what": null } }));
    let (at, run, taken) = (stage.shop.now(), RunId::made(stage.shop.now(), stage.shop.bits()), &order["job"]);
    for (number, text) in [
        (0, format!(r#"{{"beat":{{"at":"{at}"}}}}"#)),
        (
            1,
            format!(
                r#"{{"event":{{"number":1,"event":{{"begun":{{"run":"{run}","job":{taken},"kind":"backup","at":"{at}"}}}}}}}}"#
            ),
        ),
        (
            2,
            format!(
                r#"{{"event":{{"number":2,"event":{{"ended":{{"run":"{run}","job":{taken},"at":"{at}","outcome":"good","snapshots":["{SNAPSHOT}"]}}}}}}}}"#
            ),
        ),
    ] {
        caller.says_text(text).await;
        if number > 0 {
            assert_eq!(said(&mut caller, "heard").await["number"], number);
        }
    }
    assert_eq!(stage.job(job).await, JobState::Done);
    let runs = stage.runs().await;
    assert_eq!((runs.len(), runs[0].run.state(), &*runs[0].snapshots), (1, fleet::State::Good, &[SNAPSHOT.into()][..]));
    stage.shop.close().await;
}

#[tokio::test]
async fn a_program_two_versions_newer_is_served_as_far_as_this_one_goes() {
    let mut stage = Stage::set().await;
    // It speaks protocols 1 to 3, and has chosen the newest that the server does.
    let (mut caller, verdict) = stage.comes_in(1, r#""abilities":["dance"],"mood":{"today":"good"},"#).await;
    assert!(verdict.get("welcome").is_some(), "{verdict}");
    let job = stage.orders_a_backup().await;
    let taken = said(&mut caller, "order").await["job"].clone();
    let (at, run) = (stage.shop.now(), RunId::made(stage.shop.now(), stage.shop.bits()));
    caller.says_text(format!(r#"{{"beat":{{"at":"{at}","moon":"full"}}}}"#)).await;
    for (number, event) in [
        (1, format!(r#"{{"begun":{{"run":"{run}","job":{taken},"kind":"backup","at":"{at}","why":"an order"}}}}"#)),
        (2, r#"{"danced":{"how":"wildly"}}"#.to_owned()),
        (3, format!(r#"{{"ended":{{"run":"{run}","job":{taken},"at":"{at}","outcome":"splendid","snapshots":[]}}}}"#)),
        (
            4,
            format!(
                r#"{{"ended":{{"run":"{run}","job":{taken},"at":"{at}","outcome":"good","snapshots":["{SNAPSHOT}"],"images":7}}}}"#
            ),
        ),
    ] {
        caller.says_text(format!(r#"{{"event":{{"number":{number},"more":1,"event":{event}}}}}"#)).await;
        assert_eq!(said(&mut caller, "heard").await["number"], number, "or it would come for ever");
    }
    assert_eq!((stage.job(job).await, stage.runs().await.len()), (JobState::Done, 1));

    let second = stage.orders_a_backup().await;
    let taken = said(&mut caller, "order").await["job"].clone();
    let why = "the agent does not understand this order: update the agent";
    caller
        .says_text(format!(r#"{{"event":{{"number":5,"event":{{"declined":{{"job":{taken},"why":"{why}"}}}}}}}}"#))
        .await;
    assert_eq!(said(&mut caller, "heard").await["number"], 5);
    assert_eq!(stage.job(second).await, JobState::Cancelled);
    let runs = stage.runs().await;
    let told = |row: &store::RunRow| match &row.run.state {
        RunState::Ended { outcome: Outcome::Failed { why: told }, .. } => told.contains(why),
        _ => false,
    };
    assert!(runs.iter().any(told), "whoever asked hears it: {runs:?}");
    stage.shop.close().await;
}

#[tokio::test]
async fn who_shares_no_protocol_is_told_which_program_to_update() {
    let mut stage = Stage::set().await;
    for (protocol, advice) in [(0, "Update it"), (3, "Update the server")] {
        let (mut caller, verdict) = stage.comes_in(protocol, "").await;
        let verdict: Verdict = serde_json::from_value(verdict).unwrap();
        let Verdict::Refused { cause: Refusal::Version, sentence } = verdict else { panic!("{verdict:?}") };
        assert!(sentence.contains(advice), "{protocol}: {sentence}");
        caller.is_hung_up_on().await;
    }
    let (_, verdict) = stage.comes_in(1, "").await;
    assert!(verdict.get("welcome").is_some(), "its number was not taken for a copy's: {verdict}");
    stage.shop.close().await;
}

#[tokio::test]
async fn a_machine_that_takes_leave_is_retired_and_its_alerts_are_over() {
    let mut stage = Stage::set().await;
    let scope = stage.shop.scope(OWNER).await;
    stage.shop.wait(400 * 3_600);
    let (mut caller, _) = stage.comes_in(1, "").await;
    let view = stage.shop.store.within(&scope);
    while view.open_alerts(10).await.unwrap().is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    caller.says_text(r#""farewell""#.into()).await;
    caller.waits_for(|message: Value| (message == "retired").then_some(())).await;
    let machine = view.machine(stage.machine).await.unwrap();
    assert!(machine.retired.is_some(), "{machine:?}");
    let alerts = view.open_alerts(10).await.unwrap();
    assert!(alerts.is_empty(), "{alerts:?}");
    caller.is_hung_up_on().await;
    let (_, verdict) = stage.comes_in(1, "").await;
    assert_eq!(verdict["refused"]["cause"], "retired");
    stage.shop.close().await;
}
