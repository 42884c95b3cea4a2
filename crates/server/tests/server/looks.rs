//! Every page in Chromium: phone and desk, light and dark, by keyboard, without script, with axe-core. Screenshots are
//! left in `target/looks` for people to look at. Skipped where `cargo xtask setup` has installed no browser.

use std::path::{Path, PathBuf};
use std::process::Command;

use fleet::{Amount, JobKind, Outcome, Phase, Report, Run, RunCondition, RunId};

use crate::browser::Browser;
use crate::shop::Shop;

const OWNER: &str = "owner@example.org";

/// Where playwright-core and axe-core are.
fn room() -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from)?;
    let peers = std::env::var_os("STEAD_PEERS").map(PathBuf::from).unwrap_or(home.join(".cache/stead-peers/bin"));
    let room = peers.with_file_name("browser");
    let is_there = room.join("node_modules/axe-core").exists() && Path::new("/usr/bin/chromium").exists();
    is_there.then_some(room)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_fit_to_be_seen() {
    let Some(room) = room() else {
        testkit::peer::skip("no browser; `cargo xtask setup` installs it");
        return;
    };
    let shop = Shop::open().await;
    let tenant = shop.firm("Brightside IT", OWNER).await;
    let client = shop.client(OWNER, tenant, "Harbour Dental").await;
    let good = shop.machine(OWNER, client, "reception-with-a-rather-long-name-for-a-phone-2").await;
    let bad = shop.machine(OWNER, client, "HD-SRV1").await;
    run(&shop, good, None).await;
    run(&shop, bad, Some(Outcome::Failed { why: "the data disk is full".into() })).await;
    shop.store.system().judge(&[good, bad], None, shop.now()).await.unwrap();
    let owner = shop.signed_in(OWNER).await;
    let (machine, of_client) = (format!("/machines/{good}"), format!("/clients/{client}"));
    let settings = format!("{machine}/settings");
    let pages = [
        "/",
        &machine,
        &of_client,
        "/alerts",
        "/people",
        "/enrol",
        "/audit",
        &settings,
        "/policies",
        "/destinations",
        "/settings",
        "/settings/messages",
        "/messages",
        "/policies",
        "/policies/new",
        "/destinations",
        &settings,
    ];
    look(&room, &shop, &owner, &pages);
    let link = shop.link(OWNER).await;
    look(&room, &shop, &Browser::new(shop.address), &["/sign-in", &link]);
    shop.close().await;
}

/// A run that goes on, or has ended so.
async fn run(shop: &Shop, machine: fleet::MachineId, outcome: Option<Outcome>) {
    let (id, now, system) = (RunId::made(shop.now(), shop.bits()), shop.now(), shop.store.system());
    system.begin_run(&Run::begin(id, machine, None, JobKind::Backup, now)).await.unwrap();
    let amount = Amount { done: 61_000_000_000, total: 187_000_000_000, new: 4_000_000_000 };
    let condition = RunCondition::Moving;
    let report = Report { number: 1, at: now, phase: Phase::Reading, condition, amount, setback: None };
    system.report(machine, id, report).await.unwrap();
    if let Some(outcome) = outcome {
        system.end_run(machine, id, now, outcome).await.unwrap();
    }
}

fn look(room: &Path, shop: &Shop, browser: &Browser, pages: &[&str]) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("looks");
    std::fs::create_dir_all(&folder).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browse.mjs");
    let cookie = if browser.cookie.is_empty() { "none=" } else { &browser.cookie };
    let mut node = Command::new("node");
    node.arg(script).arg(&shop.origin).arg(cookie).arg(&folder).args(pages).env("STEAD_BROWSER", room);
    let output = node.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["looked"], pages.len() * 5);
    let faults: Vec<_> = found["faults"].as_array().unwrap().iter().map(|fault| fault.to_string()).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[tokio::test]
async fn what_a_page_costs_stays_small() {
    let shop = Shop::open().await;
    let tenant = shop.firm("Brightside IT", OWNER).await;
    let client = shop.client(OWNER, tenant, "Harbour Dental").await;
    for number in 0..60 {
        shop.machine(OWNER, client, &format!("machine-{number:03}")).await;
    }
    let mut owner = shop.signed_in(OWNER).await;
    let answer = owner.get_as("/", &[("accept-encoding", "br")]).await;
    assert_eq!(answer.header("content-encoding"), "br");
    let bytes = answer.bytes.len();
    assert!(bytes < 20_000, "50 machines take {bytes} bytes, compressed");
    shop.close().await;
}
