//! Programs with a token do what the pages do: backups, restores, jobs; and what a firm set up.

use api::wire::agent::{Order, RestoreTo, ToAgent};
use api::wire::keeper::{Answer, Entry, EntryKind, FromKeeper, Place, Question};
use continuity::Act;
use jiff::SignedDuration;
use serde_json::{Value, json};
use store::{Secret, Token, TokenId};

use crate::caller::Caller;
use crate::keepers::{Stage, answers, snapshot};
use crate::shop::Shop;

const OWNER: &str = "owner@example.org";

/// A program with a token.
pub(crate) struct Program {
    origin: String,
    token: String,
    client: reqwest::Client,
}

impl Program {
    /// One of somebody's, which may do what they may.
    pub(crate) async fn of(shop: &Shop, email: &str) -> Program {
        let (scope, made, secret) = (shop.scope(email).await, shop.now(), Secret::random());
        let (id, ends) = (TokenId::made(made, shop.bits()), made + SignedDuration::from_hours(1));
        let token = Token { id, name: "script".into(), acts: Act::ALL.into(), made, ends };
        shop.store.within(&scope).add_token(&token, &secret).await.unwrap();
        Program { origin: shop.origin.clone(), token: secret.text().to_owned(), client: reqwest::Client::new() }
    }

    async fn sent(&self, request: reqwest::RequestBuilder) -> (u16, Value) {
        let response = request.bearer_auth(&self.token).send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default())
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.sent(self.client.get(format!("{}/api/v1{path}", self.origin))).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.sent(self.client.post(format!("{}/api/v1{path}", self.origin)).json(&body)).await
    }

    /// A download; none if it was broken off.
    async fn download(&self, path: &str) -> Option<Vec<u8>> {
        let asked = self.client.get(format!("{}/api/v1{path}", self.origin)).bearer_auth(&self.token);
        let response = asked.send().await.unwrap();
        assert_eq!(response.status(), 200);
        response.bytes().await.ok().map(|bytes| bytes.to_vec())
    }
}

#[tokio::test]
async fn a_program_lists_searches_and_downloads_what_the_keeper_knows() {
    let mut stage = Stage::set().await;
    let agent = stage.seal().await;
    let program = Program::of(&stage.shop, OWNER).await;
    let here = format!("/machines/{}", stage.machine);
    let (status, away) = program.get(&format!("{here}/snapshots")).await;
    assert_eq!(status, 409, "{away}");
    assert!(away["sentence"].as_str().unwrap().contains("not connected"), "{away}");
    let mut keeper = Caller::welcomed(&stage.shop, &mut stage.keeper).await;
    let found = snapshot(&stage.shop);
    let tells = |_: &Question| Ok(Answer::Snapshots(vec![found.clone()]));
    let list = format!("{here}/snapshots");
    let ((_, all), _) = tokio::join!(program.get(&list), answers(&mut keeper, tells));
    assert_eq!((&all["snapshots"][0]["id"], &all["snapshots"][0]["size"]), (&json!(found.id), &json!(1_000)));

    let letter = Entry { name: "letter & co".into(), kind: EntryKind::File, size: 7, changed: Some(found.at) };
    let opens = |question: &Question| match question {
        Question::List { path, after, .. } if path == "/home" && after.as_deref() == Some("a") => {
            Ok(Answer::Entries { entries: vec![letter.clone()], more: true })
        }
        other => Err(format!("{other:?}")),
    };
    let asked = format!("{list}/{}?path=%2Fhome&after=a", found.id);
    let ((_, folder), _) = tokio::join!(program.get(&asked), answers(&mut keeper, opens));
    assert_eq!(folder["entries"][0]["path"], "/home/letter & co", "{folder}");
    assert_eq!((&folder["entries"][0]["kind"], &folder["next"]), (&json!("file"), &json!("letter & co")));

    let place =
        Place { snapshot: found.id.clone(), at: found.at, path: "/home/x".into(), kind: EntryKind::Folder, size: 0 };
    let finds = |question: &Question| match question {
        Question::Search { text } if text == "x y" => {
            let incomplete = Some("One snapshot was not read yet.".into());
            Ok(Answer::Places { places: vec![place.clone()], more: false, incomplete })
        }
        other => Err(format!("{other:?}")),
    };
    let sought = format!("{here}/find?text=+x%20y");
    let ((_, places), _) = tokio::join!(program.get(&sought), answers(&mut keeper, finds));
    assert_eq!((&places["places"][0]["path"], &places["places"][0]["kind"]), (&json!("/home/x"), &json!("folder")));
    assert!(places["incomplete"].as_str().unwrap().contains("not read yet"), "{places}");

    let file = format!("{list}/{}/download?path=%2Fa", found.id);
    let begins = |_: &Question| Ok(Answer::Fetching { name: "a".into(), size: None });
    for ending in [Ok(Answer::Fetched), Err("the pack is damaged".to_owned())] {
        let is_whole = ending.is_ok();
        let sends = async {
            let ask = answers(&mut keeper, begins).await;
            keeper.sends([&ask.to_be_bytes(), b"all of it".as_slice()].concat()).await;
            keeper.says(&FromKeeper::Answer { ask, answer: ending }).await;
        };
        let (bytes, ()) = tokio::join!(program.download(&file), sends);
        assert_eq!(bytes.as_deref(), is_whole.then_some(b"all of it".as_slice()), "half a file is an error");
    }
    let refused = ["/snapshots/latest", &format!("/snapshots/{}?path=home", found.id)];
    for wrong in refused {
        assert_eq!(program.get(&format!("{here}{wrong}")).await.0, 422, "{wrong}");
    }
    drop(agent);
    stage.shop.close().await;
}

#[tokio::test]
async fn a_program_asks_for_a_restore_and_calls_it_back() {
    let mut stage = Stage::set().await;
    let mut agent = stage.seal().await;
    let program = Program::of(&stage.shop, OWNER).await;
    let (here, of) = (format!("/machines/{}", stage.machine), "ab".repeat(32));
    let wish = |paths: &[&str], to: &str| json!({"snapshot": of, "paths": paths, "to": to, "request": "once"});
    let ask = async |body: Value| program.post(&format!("{here}/restore"), body).await;
    let (status, asked) = ask(wish(&["/home/a", "/home/b"], "missing_only")).await;
    assert_eq!(status, 202, "{asked}");
    assert_eq!(ask(wish(&["/home/a"], "missing_only")).await.1["job"], asked["job"], "it was asked for once");
    let order = agent.waits_for(|message: ToAgent| match message {
        ToAgent::Order { order: Order::Restore { snapshot, paths, to }, .. } => Some((snapshot, paths, to)),
        _ => None,
    });
    let paths = vec!["/home/a".to_owned(), "/home/b".into()];
    assert_eq!(order.await, (of.clone(), paths, RestoreTo::MissingOnly));
    let (_, jobs) = program.get(&format!("{here}/jobs")).await;
    let job = jobs["jobs"].as_array().unwrap().iter().find(|job| job["id"] == asked["job"]).unwrap();
    assert_eq!((&job["kind"], &job["state"], &job["asked_by"]), (&json!("restore"), &json!("taken"), &json!(OWNER)));
    let cancel = format!("/jobs/{}/cancel", asked["job"].as_str().unwrap());
    assert_eq!(program.post(&cancel, Value::Null).await.0, 204);
    let id: fleet::JobId = asked["job"].as_str().unwrap().parse().unwrap();
    agent.waits_for(|message: ToAgent| (message == ToAgent::Cancel { job: id }).then_some(())).await;
    assert_eq!(program.post(&cancel, Value::Null).await.0, 409, "it is over");
    for wrong in [wish(&["/a/../b"], "new_folder"), wish(&["/sda.img/1/etc"], "new_folder"), wish(&[], "overwrite")] {
        let (status, told) = ask(wrong.clone()).await;
        assert_eq!(status, 422, "{wrong}: {told}");
    }
    drop(agent);
    stage.shop.close().await;
}
