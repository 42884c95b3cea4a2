//! `stead fleet`: the same as the pages, with a token.

use std::path::Path;
use std::process::{Command, Output};

use continuity::Act;
use fleet::{Client, ClientId, KeyCustody, MachineClass, MachineId, Zone};
use jiff::{SignedDuration, Timestamp};
use store::{CodeId, Enrolment, NewCode, Secret, Store, Token, TokenId};

use crate::running::Server;

/// What nobody types at a terminal: a name that would move its cursor.
const NAME: &str = "front \u{1b}[2Jdesk";

fn stead(server: &Server, token: &str, args: &[&str]) -> Output {
    let address = server.told["address"].as_str().unwrap().replace("localhost", "127.0.0.1");
    let mut command = Command::new(env!("CARGO_BIN_EXE_stead"));
    command.arg("fleet").args(args).env("STEAD_SERVER", address).env("STEAD_TOKEN", token).output().unwrap()
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A machine that was never backed up, and a token that may look and configure.
fn furnish(folder: &Path) -> (MachineId, String) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (now, secret, code) = (Timestamp::now(), Secret::random(), Secret::random());
        let store = Store::open(&format!("sqlite:{}", folder.join("stead.db").display())).await.unwrap();
        let owner = store.system().sign_in("owner@localhost").await.unwrap().unwrap();
        let scope = store.system().scope(owner.person.id, now).await.unwrap().unwrap();
        let (view, until) = (store.within(&scope), now + SignedDuration::from_hours(1));
        let tenant = view.tenants().await.unwrap()[0].id;
        let client = Client {
            id: ClientId::made(now, [7; 10]),
            tenant,
            name: "Harbour Dental".into(),
            zone: Zone::utc(),
            custody: KeyCustody::Managed,
            sheet_confirmed: None,
        };
        view.add_client(&client).await.unwrap();
        let (id, class) = (CodeId::made(now, [7; 10]), MachineClass::Server);
        let new = NewCode { id, client: client.id, class, policy: None, uses: 1, expires: until };
        view.add_code(&new, &code).await.unwrap();
        let machine = MachineId::made(now - SignedDuration::from_hours(100), [7; 10]);
        let credential = Secret::random().hash();
        let (identity, hardware) = (Some([7; 32]), None);
        let enrolment = Enrolment { machine, name: NAME.into(), identity, hardware, sealed_key: None, credential };
        store.system().enrol(&code, &enrolment, now - SignedDuration::from_hours(100)).await.unwrap();
        let acts = [Act::LOOK, Act::Configure].into();
        let token = Token { id: TokenId::made(now, [7; 10]), name: "terminal".into(), acts, made: now, ends: until };
        view.add_token(&token, &secret).await.unwrap();
        (machine, secret.text().to_owned())
    })
}

#[test]
fn a_terminal_shows_and_does_what_the_pages_do() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder);
    let (machine, token) = furnish(folder.path());
    // It is judged within some seconds of its joining.
    let open = || told(&stead(&server, &token, &["alerts", "--json"]));
    let alerts = std::iter::repeat_with(open).find(|alerts| alerts.contains("condition")).unwrap();
    let alert: serde_json::Value = serde_json::from_str(alerts.lines().next().unwrap()).unwrap();

    let listed = told(&stead(&server, &token, &["machines"]));
    assert!(listed.contains("desk") && !listed.contains('\u{1b}'), "{listed:?}");
    for name in [NAME, &machine.to_string()] {
        let shown = told(&stead(&server, &token, &["machine", name]));
        assert!(shown.contains("heartbeat"), "{shown}");
    }
    let id = alert["id"].as_str().unwrap();
    assert!(stead(&server, &token, &["acknowledge", id]).status.success());
    assert!(open().contains(r#""by":"owner""#), "{}", open());
    assert!(stead(&server, &token, &["release", id]).status.success());

    let nobody = stead(&server, &token, &["machine", "Front"]);
    assert!(!nobody.status.success() && told(&nobody).contains("no machine \"Front\""), "{}", told(&nobody));
    let stranger = told(&stead(&server, "wrong", &["machines"]));
    assert!(stranger.contains("token"), "{stranger}");
    for disk in [&[][..], &["--disk", "system"]] {
        let forbidden = stead(&server, &token, &[&["backup", NAME], disk].concat());
        assert!(!forbidden.status.success(), "the token was not made for that");
    }
    let wrong = told(&stead(&server, &token, &["backup", NAME, "--disk", "/etc"]));
    assert!(wrong.contains("is no disk"), "{wrong}");
    assert!(server.stop());
}

#[test]
fn a_token_is_sent_nowhere_without_tls_but_to_this_machine() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stead"));
    let args = ["fleet", "machines", "--server", "http://backup.example:8443"];
    let output = command.args(args).env("STEAD_TOKEN", "secret").output().unwrap();
    assert!(told(&output).contains("no address that a token may be sent to"), "{}", told(&output));
}
