//! The JSON API as its own description says it is: schemathesis asks for everything, with a token and without.

use std::path::PathBuf;
use std::process::Command;

use continuity::Act;
use jiff::SignedDuration;
use store::{Secret, Token, TokenId};

use crate::shop::Shop;

const OWNER: &str = "owner@example.org";

#[tokio::test(flavor = "multi_thread")]
async fn the_api_answers_as_its_description_says_whatever_is_asked() {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let bin = std::env::var_os("STEAD_PEERS").map(PathBuf::from).unwrap_or(home.join(".cache/stead-peers/bin"));
    let program = bin.join("schemathesis");
    if !program.exists() {
        testkit::peer::skip("no schemathesis; `cargo xtask setup` installs it");
        return;
    }
    let shop = Shop::open().await;
    let tenant = shop.firm("Brightside", OWNER).await;
    let client = shop.client(OWNER, tenant, "Harbour").await;
    shop.machine(OWNER, client, "HD-SRV1").await;
    let (scope, made, secret) = (shop.scope(OWNER).await, shop.now(), Secret::random());
    let (id, ends) = (TokenId::made(made, shop.bits()), made + SignedDuration::from_hours(1));
    let token = Token { id, name: "script".into(), acts: Act::ALL.into(), made, ends };
    shop.store.within(&scope).add_token(&token, &secret).await.unwrap();
    for bearer in [Some(secret.text()), None] {
        let mut asking = Command::new(&program);
        let folder = tempfile::tempdir().unwrap();
        asking.current_dir(folder.path()).arg("run").arg(format!("{}/api/v1/openapi.json", shop.origin));
        asking.args([
            "--checks",
            "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
        ]);
        asking.args(["--max-examples", "40", "--phases", "examples,coverage,fuzzing", "--no-color"]);
        if let Some(bearer) = bearer {
            asking.args(["--header", &format!("Authorization: Bearer {bearer}")]);
        }
        let output = tokio::task::spawn_blocking(move || asking.output().unwrap()).await.unwrap();
        let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
    }
    shop.close().await;
}
