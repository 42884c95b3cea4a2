//! Passkeys, with a real browser and its virtual authenticator.

use std::path::Path;
use std::process::Command;

use crate::looks::{look, room};
use crate::shop::Shop;

const ANNA: &str = "anna@example.org";

#[tokio::test(flavor = "multi_thread")]
async fn somebody_adds_a_passkey_signs_in_by_it_and_takes_it_back() {
    let Some(room) = room() else { return };
    let shop = Shop::named().await;
    let tenant = shop.firm("Brightside", ANNA).await;
    let anna = shop.signed_in(ANNA).await;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("looks");
    std::fs::create_dir_all(&folder).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/passkey.mjs");
    let mut node = Command::new("node");
    node.arg(script).arg(&shop.origin).arg(&anna.cookie).arg(&folder).env("STEAD_BROWSER", &room);
    let output = tokio::task::spawn_blocking(move || node.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let seen: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(seen["troubles"], serde_json::json!([]), "{seen}");
    assert_eq!(seen["added"], "The passkey is added. You can sign in with it.", "{seen}");
    assert_eq!(seen["listed"], true, "{seen}");
    assert_eq!(seen["signedIn"], "/people", "{seen}");
    assert_eq!(seen["replayed"], 422, "what was sent once opens nothing again: {seen}");
    assert_eq!((&seen["removed"], &seen["cookies"]), (&422.into(), &0.into()), "{seen}");
    let scope = shop.scope(ANNA).await;
    let log = shop.store.within(&scope).audit_from(tenant, 0, 1_000).await.unwrap();
    for (act, times) in [("person passkey", 2), ("person sign in", 2)] {
        assert_eq!(log.iter().filter(|line| line.act == act).count(), times, "{act}");
    }
    look(&room, &shop, &anna, &["/settings#passkeys".into()]).await;
    shop.close().await;
}

#[tokio::test]
async fn without_a_name_the_page_says_why_there_are_no_passkeys() {
    let shop = Shop::open().await;
    shop.firm("Brightside", ANNA).await;
    let mut anna = shop.signed_in(ANNA).await;
    assert!(anna.get("/settings").await.text.contains("no name that browsers take passkeys for"));
    assert_eq!(anna.send("/settings/passkeys/begin", &[]).await.status, 409);
    assert!(!anna.get("/sign-in").await.text.contains("Sign in with a passkey"));
    shop.close().await;
}

#[tokio::test]
async fn a_passkey_is_added_by_whoever_began_with_it_and_rubbish_is_refused() {
    let shop = Shop::named().await;
    let tenant = shop.firm("Brightside", ANNA).await;
    shop.member(ANNA, tenant, "jim@example.org", continuity::Role::Technician).await;
    let (mut anna, mut jim) = (shop.signed_in(ANNA).await, shop.signed_in("jim@example.org").await);
    anna.get("/settings").await;
    jim.get("/settings").await;
    let begun = anna.send("/settings/passkeys/begin", &[]).await;
    let begun: serde_json::Value = serde_json::from_str(&begun.text).unwrap();
    assert_eq!(begun["options"]["authenticatorSelection"]["residentKey"], "required");
    let ceremony = begun["ceremony"].as_str().unwrap();
    for credential in ["", "{}", "[]", &"x".repeat(50_000)] {
        let fields = [("name", "phone"), ("ceremony", ceremony), ("credential", credential)];
        assert_eq!(jim.send("/settings/passkeys", &fields).await.status, 422);
        assert_eq!(anna.send("/settings/passkeys", &fields).await.status, 422);
        let fields = [("ceremony", ceremony), ("credential", credential)];
        assert_eq!(shop.browser().send("/sign-in/passkey", &fields).await.status, 422);
    }
    shop.close().await;
}
