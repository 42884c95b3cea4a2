//! Recovery sheets: printed at the keeper, confirmed on a page, and never on a server.

use api::wire::keeper::{Answer, FromKeeper, Question, ToKeeper};
use continuity::Role;

use crate::browser::Answer as Page;
use crate::caller::Caller;
use crate::keepers::Stage;

const OWNER: &str = "owner@example.org";
const TECHNICIAN: &str = "technician@example.org";

/// Answers what is asked about sheets, as a keeper does, until the page is there.
async fn meanwhile(keeper: &mut Caller, stage: &Stage, page: impl Future<Output = Page>) -> Page {
    tokio::pin!(page);
    loop {
        tokio::select! {
            page = &mut page => return page,
            message = keeper.hears::<ToKeeper>() => {
                if let Some(ToKeeper::Ask { ask, question, .. }) = message {
                    let answer = Ok(answer(stage, &question));
                    keeper.says(&FromKeeper::Answer { ask, answer }).await;
                }
            }
        }
    }
}

fn answer(stage: &Stage, question: &Question) -> Answer {
    match question {
        Question::RecoverySheet { client } => {
            assert_eq!(*client, stage.client.to_string());
            Answer::RecoverySheet { asks: [7, 19], opens: vec![stage.machine], missing: Vec::new() }
        }
        Question::ProveSheet { groups, .. } => Answer::SheetProved { right: groups == &["0a1b", "2c3d"] },
        question => panic!("{question:?}"),
    }
}

#[tokio::test]
async fn a_sheet_is_at_hand_once_somebody_typed_two_groups_of_it() {
    let mut stage = Stage::set().await;
    drop(stage.seal().await);
    let mut keeper = Caller::welcomed(&stage.shop, &mut stage.keeper).await;
    let mut owner = stage.shop.signed_in(OWNER).await;
    let client = format!("/clients/{}", stage.client);
    let sheet = format!("{client}/sheet");
    assert!(owner.get("/").await.text.contains("recovery sheet not confirmed"));
    let page = owner.get(&client).await;
    assert!(page.text.contains("Nobody has shown yet") && page.text.contains(&sheet), "{}", page.text);

    let page = meanwhile(&mut keeper, &stage, owner.get(&sheet)).await;
    for words in ["Group 7", "Group 19", "HD-SRV1", &format!("stead keeper sheet {}", stage.client)] {
        assert!(page.text.contains(words), "{words}: {}", page.text);
    }
    let typed = |second| [("first", "0a1b"), ("second", second)];
    let page = meanwhile(&mut keeper, &stage, owner.send(&sheet, &typed("0000"))).await;
    assert!(page.status == 422 && page.text.contains("Those are not the groups"), "{}", page.text);
    assert!(owner.get(&client).await.text.contains("Nobody has shown yet"));
    let page = meanwhile(&mut keeper, &stage, owner.send(&sheet, &typed("2c3d"))).await;
    assert_eq!(page.status, 303, "{}", page.text);
    assert!(owner.get(&client).await.text.contains("The recovery sheet is at hand: confirmed"));
    assert!(!owner.get("/").await.text.contains("recovery sheet not confirmed"));

    let scope = stage.shop.scope(OWNER).await;
    let view = stage.shop.store.within(&scope);
    let tenant = view.client(stage.client).await.unwrap().tenant;
    let log = view.audit_from(tenant, 0, 1_000).await.unwrap();
    assert_eq!(log.iter().filter(|line| line.act == "client confirm sheet").count(), 1);

    // Who may not have keys, may not have this either.
    stage.shop.member(OWNER, tenant, TECHNICIAN, Role::Technician).await;
    let mut technician = stage.shop.signed_in(TECHNICIAN).await;
    assert!(!technician.get(&client).await.text.contains(&sheet));
    assert_eq!(technician.get(&sheet).await.status, 403);
    stage.shop.close().await;
}

#[tokio::test]
async fn without_a_keeper_that_has_a_key_the_page_says_what_is_missing() {
    let mut stage = Stage::set().await;
    let mut owner = stage.shop.signed_in(OWNER).await;
    let sheet = format!("/clients/{}/sheet", stage.client);
    let page = owner.get(&sheet).await;
    assert!(page.status == 200 && page.text.contains("No keeper has the key of a machine"), "{}", page.text);
    drop(stage.seal().await);
    let page = owner.get(&sheet).await;
    assert!(page.status == 200 && page.text.contains("is not connected now"), "{}", page.text);
    owner.get("/settings").await;
    let refused = owner.send(&sheet, &[("first", "0a1b"), ("second", "2c3d")]).await;
    assert!(refused.status == 409 && refused.text.contains("is not connected"), "{}", refused.text);
    stage.shop.close().await;
}
