//! The agent with the real server and the real gateway, over TLS.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Output, Stdio};

use continuity::Scope;
use fleet::{
    Client, ClientId, JobId, JobKey, JobKind, KeyCustody, MachineClass, MachineId, Outcome, Policy, PolicyId, RunState,
    Selection, Zone,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use store::{CodeId, NewCode, NewJob, Secret, Store};
use tempfile::TempDir;

use crate::machine::{policy, stead, told};
use crate::peer::until;

/// What lets a machine in.
const CODE: &str = "ABCDEFGHJKMN";

struct Shop {
    room: TempDir,
    up: Child,
    told: Value,
    store: Store,
    runtime: tokio::runtime::Runtime,
    agent: Option<Child>,
}

impl Shop {
    fn open() -> Shop {
        let room = TempDir::new().expect("room");
        let data = room.path().join("server");
        let mut command = stead(room.path(), &["up", "--json", "--listen", "127.0.0.1:0", "--data"]);
        std::fs::create_dir(room.path().join("protected")).expect("a folder");
        std::fs::write(room.path().join("protected/file"), "content").expect("a file");
        let mut up =
            command.arg(&data).arg(room.path().join("protected")).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(up.stdout.as_mut().expect("a pipe")).read_line(&mut line).expect("it speaks");
        let told = serde_json::from_str(&line).expect("JSON");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let store = runtime.block_on(Store::open(&format!("sqlite:{}", data.join("stead.db").display())));
        Shop { room, up, told, store: store.expect("its database"), runtime, agent: None }
    }

    fn scope(&self) -> Scope {
        self.runtime.block_on(async {
            let known = self.store.system().sign_in("owner@localhost").await.unwrap().unwrap();
            self.store.system().scope(known.person.id, Timestamp::now()).await.unwrap().unwrap()
        })
    }

    /// A client with a policy, and a code for one machine.
    fn expects_a_machine(&self) {
        let (scope, now) = (self.scope(), Timestamp::now());
        let view = self.store.within(&scope);
        self.runtime.block_on(async {
            let tenant = view.tenants().await.unwrap()[0].id;
            let client = ClientId::made(now, rand::random());
            let (zone, custody) = (Zone::utc(), KeyCustody::Managed);
            let new = Client { id: client, tenant, name: "Bakery".into(), zone, custody, sheet_confirmed: None };
            view.add_client(&new).await.unwrap();
            let paths = vec![self.work().to_string_lossy().into_owned()];
            let id = PolicyId::made(now, rand::random());
            let what = vec![Selection::Files { paths, excludes: vec![] }];
            view.save_policy(&Policy { id, tenant, ..policy(what) }).await.unwrap();
            let expires = now + SignedDuration::from_hours(1);
            let code = CodeId::made(now, rand::random());
            let new = NewCode { id: code, client, class: MachineClass::Laptop, policy: Some(id), uses: 1, expires };
            view.add_code(&new, &Secret::received(CODE)).await.unwrap();
        });
    }

    fn work(&self) -> std::path::PathBuf {
        self.room.path().join("work")
    }

    fn address(&self) -> &str {
        self.told["address"].as_str().expect("an address")
    }

    fn agent(&self, words: &[&str]) -> Output {
        let mut command = stead(self.room.path(), &["agent", "--state"]);
        command.arg(self.room.path().join("agent")).args(words).stdin(Stdio::null());
        command.output().expect("it runs")
    }

    fn starts(&mut self) {
        let mut command = stead(self.room.path(), &["agent", "run", "--state"]);
        command.arg(self.room.path().join("agent")).stdin(Stdio::null());
        self.agent = Some(command.spawn().expect("it starts"));
    }

    /// The run of a job, once it has ended.
    fn ended(&self, machine: MachineId, job: JobId) -> Outcome {
        let scope = self.scope();
        until("the run's end at the server", || {
            let runs = self.runtime.block_on(self.store.within(&scope).runs(machine, 10)).expect("runs");
            runs.into_iter().find_map(|row| match row.run.state {
                RunState::Ended { outcome, .. } if row.run.job == Some(job) => Some(outcome),
                _ => None,
            })
        })
    }

    fn asks_for_a_backup(&self, machine: MachineId) -> JobId {
        let (scope, now) = (self.scope(), Timestamp::now());
        let id = JobId::made(now, rand::random());
        let key = JobKey::requested(machine, JobKind::Backup, &id.to_string());
        let new = NewJob { id, machine, kind: JobKind::Backup, key, due: now, orders: "{}".into() };
        self.runtime.block_on(self.store.within(&scope).ask_for(&new)).expect("a job")
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        for child in self.agent.iter_mut().chain([&mut self.up]) {
            _ = child.kill();
            _ = child.wait();
        }
    }
}

fn words(output: &Output) -> String {
    told(output)
}

#[test]
fn with_the_real_server_a_machine_joins_by_code_and_fingerprint_and_its_backup_is_known_there() {
    let mut shop = Shop::open();
    std::fs::create_dir(shop.work()).expect("a folder");
    testkit::sample::office(&shop.work(), 3, 100);
    shop.expects_a_machine();
    let (address, right) = (shop.address().to_owned(), shop.told["fingerprint"].as_str().expect("one").to_owned());
    let wrong = right.replace('A', "0").replace('B', "1").replacen(&right[..2], "00", 1);
    let unpinned = shop.agent(&["enrol", &address, CODE]);
    assert!(
        words(&unpinned).contains("not believed") && words(&unpinned).contains("--fingerprint"),
        "{}",
        words(&unpinned)
    );
    let strange = shop.agent(&["enrol", &address, CODE, "--fingerprint", &wrong]);
    assert!(words(&strange).contains("nothing was sent") && words(&strange).contains(&right), "{}", words(&strange));
    let joined = shop.agent(&["enrol", &address, "abcd efgh jkmn", "--fingerprint", &right, "--json"]);
    assert!(joined.status.success(), "{}", words(&joined));
    let joined: Value = serde_json::from_slice(&joined.stdout).expect("JSON");
    let machine: MachineId = joined["machine"].as_str().expect("a machine").parse().expect("a UUID");
    shop.starts();
    let job = shop.asks_for_a_backup(machine);
    assert_eq!(shop.ended(machine, job), Outcome::Good);
    let restored = shop.room.path().join("restored");
    let location = gateway_location(&shop, machine);
    assert!(location.is_some_and(|place| place.join("config").exists()), "the gateway has its repository");
    assert!(!restored.exists());
}

/// Where the gateway keeps the machine's repository.
fn gateway_location(shop: &Shop, machine: MachineId) -> Option<std::path::PathBuf> {
    fn find(folder: &Path, name: &str, depth: u32) -> Option<std::path::PathBuf> {
        let entries = std::fs::read_dir(folder).ok()?;
        entries.flatten().filter(|entry| entry.path().is_dir()).find_map(|entry| match entry.file_name() == name {
            true => Some(entry.path()),
            false if depth > 0 => find(&entry.path(), name, depth - 1),
            false => None,
        })
    }
    find(&shop.room.path().join("server"), &machine.to_string(), 3)
}
