//! Beside `stead up`: a recovery sheet is printed and opens what was backed up; what plain restic brought is scrubbed.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use fleet::{JobKind, MachineClass, MachineId, Outcome, RunState};
use jiff::{SignedDuration, Timestamp};
use store::{CodeId, Enrolment, NewCode, Secret, Store};
use testkit::Peer;

use crate::protects::{Parts, repositories};

/// What must come, comes within this time, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// Waits until something is so.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "it never was so: {what}");
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn on_the_store<T>(room: &Path, work: impl AsyncFnOnce(&Store, &continuity::Scope) -> T) -> T {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = Store::open(&format!("sqlite:{}", room.join("data/stead.db").display())).await.unwrap();
        let owner = store.system().sign_in("owner@localhost").await.unwrap().unwrap();
        let scope = store.system().scope(owner.person.id, Timestamp::now()).await.unwrap().unwrap();
        work(&store, &scope).await
    })
}

#[test]
fn a_sheet_is_printed_while_the_keeper_runs_and_opens_the_repository_with_stock_restic() {
    let Some(restic) = Peer::find("restic") else { return };
    let room = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(room.path().join("home")).unwrap();
    std::fs::write(room.path().join("home/letter.txt"), "Dear Anna").unwrap();
    let mut parts = Parts::start(room.path(), &[&room.path().join("home")]);
    parts.message("first_backup");
    let client = on_the_store(room.path(), async |store, scope| store.within(scope).clients().await.unwrap()[0].id);
    let sheet = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stead"));
        command.args(["keeper", "sheet", &client.to_string(), "--state"]).arg(room.path().join("data/keeper"));
        let output = command.args(more).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let told: serde_json::Value = serde_json::from_str(&sheet(&["--json"])).unwrap();
    let password = told["password"].as_str().unwrap();
    assert_eq!(password.split(' ').count(), 24, "{told}");
    assert!(sheet(&[]).contains(&password[..29]), "six groups to a line");
    let page = room.path().join("sheet.html");
    sheet(&["--name", "Harbour & Söhne", "--page", page.to_str().unwrap()]);
    let printed = std::fs::read_to_string(&page).unwrap();
    assert!(printed.contains(password) && printed.contains("Harbour &amp; Söhne") && printed.contains("<svg"));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&page).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let [repository] = repositories(room.path()).try_into().expect("one repository");
    until("the keeper has let the sheet's password in", || {
        let mut command = restic.repository_command(&repository);
        command.env("RESTIC_PASSWORD", password).args(["snapshots", "--no-lock"]).output().unwrap().status.success()
    });
    assert!(parts.stop());
}

#[test]
fn what_plain_restic_brought_is_scrubbed_and_its_storage_is_checked() {
    let Some(restic) = Peer::find("restic") else { return };
    let room = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(room.path().join("home")).unwrap();
    std::fs::write(room.path().join("home/letter.txt"), "Dear Anna").unwrap();
    let mut parts = Parts::start(room.path(), &[&room.path().join("home")]);
    parts.message("first_backup");
    let (machine, credential) = on_the_store(room.path(), async |store, scope| plain(store, scope).await);
    let gate = on_the_store(room.path(), async |store, _| store.system().setting("gateway").await.unwrap().unwrap());
    let gate: serde_json::Value = serde_json::from_str(&gate).unwrap();
    let port = gate["address"].as_str().unwrap().rsplit(':').next().unwrap().to_owned();
    let place = format!("rest:https://{machine}:{credential}@localhost:{port}/{machine}/");
    for words in [&["init"][..], &["backup", room.path().join("home").to_str().unwrap()][..]] {
        let mut command = restic.repository_command(Path::new(&place));
        command
            .env("RESTIC_PASSWORD", "secret of the machine")
            .arg("--cacert")
            .arg(room.path().join("data/tls/authority.pem"));
        let output = command.args(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let figures = gate["address"].as_str().unwrap().to_owned() + "/metrics";
    let authority = std::fs::read(room.path().join("data/tls/authority.pem")).unwrap();
    let figures = figures.replace(figures.split('/').nth(2).unwrap(), &format!("localhost:{port}"));
    assert!(fetched(&figures, &authority).contains("gateway_"), "figures for Prometheus");
    assert!(parts.stop());
    // It is looked at half a minute after a start.
    let again = Parts::start(room.path(), &[]);
    let good = |run: &fleet::Run| {
        run.kind == JobKind::Check && matches!(&run.state, RunState::Ended { outcome: Outcome::Good, .. })
    };
    until("its storage is checked", || {
        on_the_store(room.path(), async |store, scope| {
            store.within(scope).runs(machine, 50).await.unwrap().iter().any(|row| good(&row.run))
        })
    });
    assert!(again.stop());
}

/// What is answered to a program of this machine.
fn fetched(address: &str, authority: &[u8]) -> String {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let authority = reqwest::Certificate::from_pem(authority).unwrap();
        let client = reqwest::Client::builder().tls_certs_only([authority]).build().unwrap();
        client.get(address).send().await.unwrap().text().await.unwrap()
    })
}

/// A machine that plain restic backs up, and what it shows to the gateway.
async fn plain(store: &Store, scope: &continuity::Scope) -> (MachineId, String) {
    let (now, code, credential) = (Timestamp::now(), Secret::random(), Secret::random());
    let view = store.within(scope);
    let client = view.clients().await.unwrap()[0].id;
    let (id, expires) = (CodeId::made(now, rand::random()), now + SignedDuration::from_hours(1));
    let new = NewCode { id, client, class: MachineClass::Workstation, policy: None, uses: 1, expires };
    view.add_code(&new, &code).await.unwrap();
    let machine = MachineId::made(now, rand::random());
    let (name, identity, hardware, sealed_key) = ("a Mac".into(), None, None, None);
    let new = Enrolment { machine, name, identity, hardware, sealed_key, credential: credential.hash() };
    store.system().enrol(&code, &new, now).await.unwrap();
    (machine, credential.text().to_owned())
}
