//! Every page in Chromium: phone and desk, light and dark, by keyboard, without script, with axe-core. Screenshots are
//! left in `target/looks` for people to look at. Skipped where `cargo xtask setup` has installed no browser.

use std::path::{Path, PathBuf};
use std::process::Command;

use api::wire::keeper::{Answer, Entry, EntryKind, FromKeeper, Place, Question, Snapshot, ToKeeper};
use api::{Method, Route};
use fleet::{Amount, JobKind, Outcome, Phase, Report, Run, RunCondition, RunId};

use crate::browser::Browser;
use crate::caller::Caller;
use crate::keepers::Stage;
use crate::roles;
use crate::shop::Shop;

const OWNER: &str = "owner@example.org";

/// What is asked for by `GET` and is no page: it answers bytes, a stream or JSON, or leads elsewhere.
const NO_PAGES: [Route; 7] = [
    Route::Health,
    Route::Asset,
    Route::FleetLive,
    Route::MachineLive,
    Route::Download,
    Route::AuditExport,
    Route::WelcomePage,
];

/// Where playwright-core and axe-core are.
pub(crate) fn room() -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from)?;
    let peers = std::env::var_os("STEAD_PEERS").map(PathBuf::from).unwrap_or(home.join(".cache/stead-peers/bin"));
    let room = peers.with_file_name("browser");
    let is_there = room.join("node_modules/axe-core").exists() && Path::new("/usr/bin/chromium").exists();
    if !is_there {
        testkit::peer::skip("no browser; `cargo xtask setup` installs it");
    }
    is_there.then_some(room)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_of_the_table_of_routes_is_fit_to_be_seen() {
    let Some(room) = room() else { return };
    let mut stage = Stage::set().await;
    drop(stage.seal().await);
    let tenant = *stage.shop.scope(OWNER).await.reach(continuity::Act::LOOK).tenants.first().unwrap();
    let long = stage.shop.machine(OWNER, stage.client, "reception-with-a-rather-long-name-for-a-phone-2").await;
    run(&stage.shop, long, None).await;
    run(&stage.shop, stage.machine, Some(Outcome::Failed { why: "the data disk is full".into() })).await;
    stage.shop.store.system().judge(&[long, stage.machine], None, stage.shop.now()).await.unwrap();
    let policy = stage.shop.store.within(&stage.shop.scope(OWNER).await).policies(tenant).await.unwrap().remove(0).id;
    let alert = roles::alert(&stage.shop, tenant, stage.client, stage.machine).await;
    let ids = [
        ("client", stage.client.to_string()),
        ("machine", stage.machine.to_string()),
        ("alert", alert.to_string()),
        ("policy", policy.to_string()),
        ("snapshot", "ab".repeat(32)),
    ];
    let is_page = |route: &Route| !NO_PAGES.contains(route) && !route.path().starts_with("/api/");
    let pages = Route::ALL.iter().filter(|route| route.method() == Method::Get && is_page(route));
    let mut pages: Vec<_> = pages.map(|route| page(*route, &ids)).collect();
    pages.push(format!("/machines/{long}"));
    pages.push(format!("/machines/{long}/snapshots#no-key"));
    pages.push(format!("/machines/{}/snapshots/{}?path=%2Fdisks%2Fsda.img", stage.machine, "ab".repeat(32)));
    pages.push(format!("/machines/{}/snapshots/{}/preview?path=%2Fhome%2Fphoto.jpg", stage.machine, "ab".repeat(32)));
    pages.push("/machines/00000000-0000-0000-0000-000000000000#404".into());
    let owner = stage.shop.signed_in(OWNER).await;
    let keeper = Caller::welcomed(&stage.shop, &mut stage.keeper).await;
    let answering = tokio::spawn(answers(keeper));
    look(&room, &stage.shop, &owner, &pages).await;
    answering.abort();
    stage.shop.close().await;
}

/// Where a route's page is on the stage.
fn page(route: Route, ids: &[(&str, String)]) -> String {
    let mut path = route.path().to_owned();
    for (name, id) in ids {
        path = path.replace(&format!("{{{name}}}"), id);
    }
    assert!(!path.contains('{'), "{route:?} leads to {path}: say what it is about, or that it is no page");
    match route {
        Route::Folder => path + "?path=%2Fhome",
        Route::Preview => path + "?path=%2Fhome%2Fletter.txt",
        Route::FindFile => path + "?text=letter",
        _ => path,
    }
}

/// Plays the keeper until it is told to stop. Pages that ask nothing may take long.
async fn answers(mut keeper: Caller) {
    loop {
        tokio::select! {
            message = keeper.hears::<ToKeeper>() => match message {
                Some(ToKeeper::Ask { ask, question, .. }) => {
                    keeper.says(&FromKeeper::Answer { ask, answer: Ok(answer(&question)) }).await;
                }
                Some(_) => {}
                None => return,
            },
            () = tokio::time::sleep(std::time::Duration::from_secs(5)) => {
                keeper.says(&FromKeeper::Beat { at: jiff::Timestamp::now() }).await;
            }
        }
    }
}

fn answer(question: &Question) -> Answer {
    let (id, at) = ("ab".repeat(32), "2026-11-20T20:00:00Z".parse().unwrap());
    let entry = |name: &str, kind, size| Entry { name: name.into(), kind, size, changed: Some(at) };
    match question {
        Question::Snapshots => Answer::Snapshots(vec![
            Snapshot { id, at, paths: vec!["/home".into()], tags: Vec::new(), size: Some(61_000_000_000) },
            Snapshot { id: "cd".repeat(32), at, paths: vec!["/disks/sda.img".into()], tags: vec![], size: None },
        ]),
        Question::List { path, .. } if path.ends_with(".img") => Answer::Entries {
            entries: vec![entry("1 EFI system", EntryKind::Folder, 0), entry("2 Windows", EntryKind::Folder, 0)],
            more: false,
        },
        Question::List { .. } => Answer::Entries {
            entries: vec![
                entry(
                    "Bookkeeping of all the years that came before this one, scanned.pdf",
                    EntryKind::File,
                    7_000_000,
                ),
                entry("letters", EntryKind::Folder, 0),
                entry("sda.img", EntryKind::Image, 0),
                entry("socket", EntryKind::Other, 0),
            ],
            more: true,
        },
        Question::RecoverySheet { .. } => {
            let missing = vec![(fleet::MachineId::new(fleet::Uuid::nil()), "it is locked by restic".into())];
            Answer::RecoverySheet { asks: [7, 19], opens: Vec::new(), missing }
        }
        Question::Preview { path, .. } if path.ends_with(".jpg") => Answer::Preview { text: None, size: 3_000_000 },
        Question::Preview { .. } => {
            Answer::Preview { text: Some(format!("Dear Sir or Madam,\n{}\n", "a long line ".repeat(40))), size: 7 }
        }
        _ => Answer::Places {
            places: vec![Place {
                snapshot: id,
                at,
                path: "/home/anna/letters/to-the-tax-office/letter-of-november.odt".into(),
                kind: EntryKind::File,
                size: 23_000,
            }],
            more: true,
            incomplete: Some("2 snapshots were not read yet.".into()),
        },
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_somebody_who_just_began_say_what_will_be_there() {
    let Some(room) = room() else { return };
    let shop = Shop::open().await;
    shop.firm("Brightside IT", OWNER).await;
    let owner = shop.signed_in(OWNER).await;
    let alike = ["/", "/alerts", "/people", "/enrol", "/audit", "/policies", "/destinations", "/messages"];
    look(&room, &shop, &owner, &alike.map(|path| format!("{path}#new"))).await;
    let link = shop.link(OWNER).await;
    look(&room, &shop, &Browser::new(shop.address), &["/sign-in".into(), link]).await;
    shop.close().await;
}

/// What is shown once, after a form was sent: it has no address of its own.
#[tokio::test(flavor = "multi_thread")]
async fn pages_that_a_form_leads_to_are_fit_to_be_seen() {
    let Some(room) = room() else { return };
    let shop = Shop::open().await;
    stead_server::gateway::tell(&shop.store, "https://backup.example:8444".into(), None).await.unwrap();
    let tenant = shop.firm("Brightside IT", OWNER).await;
    let client = shop.client(OWNER, tenant, "Harbour Dental").await;
    let owner = shop.signed_in(OWNER).await;
    let scripts = ["linux", "macos", "windows"];
    let mut pages: Vec<_> = scripts
        .map(|system| format!("/enrol!/enrol/plain?client={client}&class=laptop&name=tills&system={system}#{system}"))
        .into();
    pages.push(format!("/enrol!/enrol?client={client}&class=laptop&uses=1&hours=1#code"));
    pages.push("/settings!/settings/factor#factor".into());
    pages.push("/settings!/settings/tokens?name=script&days=30&may=look#token".into());
    pages.push(format!("/people!/people?tenant={tenant}&name=&email=x&role=technician#refused422"));
    let policy = "name=Nights&paths=%2Fhome&at=20%3A00&zone=UTC&do=preview";
    pages.push(format!("/policies/new!/policies?tenant={tenant}&{policy}#preview"));
    look(&room, &shop, &owner, &pages).await;
    // A machine of plain restic has no agent that could be told anything.
    let cards =
        shop.store.within(&shop.scope(OWNER).await).fleet(&store::FleetFilter::default(), None, 1).await.unwrap();
    let machine = format!("/machines/{}", cards.cards[0].machine);
    look(&room, &shop, &owner, &[format!("{machine}#plain"), format!("{machine}/settings#plain")]).await;
    let mut browser = owner.clone();
    let page = browser.get(&machine).await;
    assert!(!page.text.contains("Back up now") && !page.text.contains("Files and restore"), "{}", page.text);
    let refused = browser.send(&format!("{machine}/backup"), &[]).await;
    assert!(refused.status == 409 && refused.text.contains("Plain restic backs"), "{}", refused.text);
    shop.close().await;
}

#[tokio::test]
async fn what_is_called_no_page_answers_none() {
    let mut stage = Stage::set().await;
    drop(stage.seal().await);
    let mut owner = stage.shop.signed_in(OWNER).await;
    let machine = stage.machine.to_string();
    // Streams have no end, a call is no page by its protocol, a link is looked at elsewhere; without a keeper nothing is
    // downloaded, and what there is of assets pages name.
    let others =
        [Route::FleetLive, Route::MachineLive, Route::ApiCall, Route::WelcomePage, Route::Download, Route::Asset];
    for route in NO_PAGES.iter().filter(|route| !others.contains(route)) {
        let path = route.path().replace("{machine}", &machine);
        let kind = owner.get_as(&path, &[("accept", "*/*")]).await.header("content-type").to_owned();
        assert!(!kind.starts_with("text/html"), "{route:?} answers {kind}");
    }
    stage.shop.close().await;
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

pub(crate) async fn look(room: &Path, shop: &Shop, browser: &Browser, pages: &[String]) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("looks");
    std::fs::create_dir_all(&folder).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browse.mjs");
    let cookie = if browser.cookie.is_empty() { "none=" } else { &browser.cookie };
    let mut node = Command::new("node");
    node.arg(script).arg(&shop.origin).arg(cookie).arg(&folder).args(pages).env("STEAD_BROWSER", room);
    let output = tokio::task::spawn_blocking(move || node.output().unwrap()).await.unwrap();
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
