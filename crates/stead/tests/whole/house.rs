//! A house: a database, a storage, and whatever parts of stead a story starts there. The agent's machine is called `desk`.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use continuity::{Act, Scope, Verb};
use fleet::{
    Client, ClientId, Drill, JobKind, Keep, KeyCustody, MachineClass, MachineId, Policy, PolicyId, Run, Schedule,
    Selection, State, Times, Zone,
};
use jiff::{SignedDuration, Timestamp};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use store::{CodeId, FleetFilter, NewCode, Secret, Store, Token, TokenId};
use tempfile::TempDir;
use testkit::{Peer, sample};

/// How long anything may take on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(150);

/// What lets the machine in.
pub(crate) const CODE: &str = "ABCDEFGHJKMN";

/// Where everything is.
pub(crate) struct House {
    pub(crate) room: TempDir,
    /// The database's address.
    pub(crate) database: String,
    /// Where repositories are, as restic writes it.
    pub(crate) storage: String,
    /// What opens the storage.
    pub(crate) environment: Vec<(&'static str, &'static str)>,
    runtime: tokio::runtime::Runtime,
}

/// A part that runs; killed when dropped.
pub(crate) struct Part {
    child: Child,
    /// What it said first.
    pub(crate) told: Value,
}

impl Part {
    /// Starts it, and waits for its first message where it has one.
    pub(crate) fn start(command: &mut Command, first: Option<&str>) -> Part {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
        let told = first.map(|wanted| {
            let mut messages = lines.by_ref().filter_map(|line| serde_json::from_str::<Value>(&line).ok());
            messages.find(|message| message["message_type"] == wanted).unwrap_or_else(|| panic!("no {wanted}"))
        });
        // What it says later is read, so that it may say it.
        std::thread::spawn(move || lines.for_each(drop));
        Part { child, told: told.unwrap_or_default() }
    }

    /// Asks it to end, and waits until it has.
    #[track_caller]
    pub(crate) fn stop(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("our own child");
        assert!(self.child.wait().expect("our own child").success());
    }

    #[track_caller]
    pub(crate) fn says(&self, what: &str) -> &str {
        self.told[what].as_str().unwrap_or_else(|| panic!("no {what} in {}", self.told))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Waits for a fact.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut fact: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = fact() {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "it never came: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

pub(crate) fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

impl House {
    /// With the database in a file of the server's directory, and repositories elsewhere.
    pub(crate) fn new() -> House {
        let room = TempDir::new().expect("room");
        let storage = room.path().join("storage").to_string_lossy().into_owned();
        let database = format!("sqlite:{}", room.path().join("server/stead.db").display());
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        std::fs::create_dir(room.path().join("storage")).expect("a folder");
        std::fs::create_dir(room.path().join("work")).expect("a folder");
        sample::office(&room.path().join("work"), 5, 60);
        House { room, database, storage, environment: Vec::new(), runtime }
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.room.path().join(name)
    }

    /// `stead` with these words.
    pub(crate) fn stead(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stead"));
        command.args(words).env("HOME", self.room.path()).envs(self.environment.iter().copied());
        for name in ["XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "STEAD_SERVER", "STEAD_TOKEN"] {
            command.env_remove(name);
        }
        command
    }

    /// What a command says, which must succeed.
    #[track_caller]
    pub(crate) fn says(&self, words: &[&str]) -> String {
        let output = self.stead(words).output().expect("it runs");
        assert!(output.status.success(), "{words:?}: {}", told(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The server alone, listening there.
    pub(crate) fn server(&self, data: &str, port: u16) -> Part {
        let (data, listen) = (self.at(data), format!("127.0.0.1:{port}"));
        let mut command = self.stead(&["server", "run", "--json", "--listen", &listen, "--data"]);
        Part::start(command.arg(data).args(["--database-url", &self.database]), Some("listening"))
    }

    /// A gateway with a directory of its own.
    pub(crate) fn gateway(&self, state: &str) -> Part {
        let mut command = self.stead(&["gateway", "run", "--json", "--listen", "127.0.0.1:0", "--state"]);
        command.arg(self.at(state)).args(["--database-url", &self.database, "--storage", &self.storage]);
        Part::start(&mut command, Some("listening"))
    }

    /// A keeper, made known to the server.
    pub(crate) fn keeper(&self, server: &Part) -> Part {
        let state = self.at("keeper");
        let state = state.to_str().expect("text");
        let (address, fingerprint) = (server.says("address"), server.says("fingerprint"));
        let init = ["keeper", "init", "--json", "--state", state, "--server", address, "--fingerprint", fingerprint];
        let made: Value = serde_json::from_str(&self.says(&init)).expect("JSON");
        let (identity, public) = (made["identity"].as_str().expect("one"), made["public"].as_str().expect("one"));
        let add = ["server", "keeper", "add", "vault", "--identity", identity, "--public", public];
        self.says(&[&add[..], &["--database-url", &self.database]].concat());
        Part::start(&mut self.stead(&["keeper", "run", "--state", state]), None)
    }

    /// Lets the machine join; its agent runs.
    pub(crate) fn agent(&self, server: &Part) -> Part {
        let state = self.at("agent");
        let state = state.to_str().expect("text");
        let (address, fingerprint) = (server.says("address"), server.says("fingerprint"));
        let name = ["--name", "desk", "--fingerprint", fingerprint];
        self.says(&[&["agent", "enrol", "--state", state, address, CODE][..], &name].concat());
        Part::start(&mut self.stead(&["agent", "run", "--state", state]), None)
    }

    /// The server's memory, as its pages see it.
    pub(crate) fn looks<T>(&self, look: impl AsyncFnOnce(&Store, &Scope) -> T) -> T {
        self.runtime.block_on(async {
            let store = Store::open(&self.database).await.expect("the database");
            let known = store.system().sign_in("owner@localhost").await.unwrap().unwrap();
            let scope = store.system().scope(known.person.id, Timestamp::now()).await.unwrap().unwrap();
            let seen = look(&store, &scope).await;
            store.close().await.expect("closed");
            seen
        })
    }

    /// What the owner does on the pages: a client, a policy, a code for two machines, and a token for programs.
    pub(crate) fn expects_a_machine(&self) -> String {
        self.expects_a_machine_with(self.at("work").to_str().expect("text"))
    }

    /// The same, for a machine that has its files elsewhere.
    pub(crate) fn expects_a_machine_with(&self, work: &str) -> String {
        let work = work.to_owned();
        self.looks(async |store, scope| {
            let (now, view) = (Timestamp::now(), store.within(scope));
            let tenant = view.tenants().await.unwrap()[0].id;
            let client = ClientId::made(now, rand::random());
            let (zone, custody) = (Zone::utc(), KeyCustody::Managed);
            let new = Client { id: client, tenant, name: "Bakery".into(), zone, custody, sheet_confirmed: None };
            view.add_client(&new).await.unwrap();
            let id = PolicyId::made(now, rand::random());
            view.save_policy(&Policy { id, tenant, ..policy(work) }).await.unwrap();
            let (code, expires) = (CodeId::made(now, rand::random()), now + SignedDuration::from_hours(1));
            let (class, policy) = (MachineClass::Laptop, Some(id));
            let new = NewCode { id: code, client, class, policy, uses: 2, expires };
            view.add_code(&new, &Secret::received(CODE)).await.unwrap();
            let (id, secret) = (TokenId::made(now, rand::random()), Secret::random());
            let acts = [Act::LOOK, Act::Do(Verb::Backup)].into();
            let token = Token { id, name: "terminal".into(), acts, made: now, ends: expires };
            view.add_token(&token, &secret).await.unwrap();
            secret.text().to_owned()
        })
    }

    /// The machine that joined.
    pub(crate) fn desk(&self) -> MachineId {
        self.looks(async |store, scope| {
            let cards = store.within(scope).fleet(&FleetFilter::default(), None, 100).await.unwrap().cards;
            cards.into_iter().find(|card| card.name == "desk").expect("a machine").machine
        })
    }

    /// Orders a backup from a terminal, and waits until it has ended well.
    #[track_caller]
    pub(crate) fn backs_up(&self, server: &Part, authority: &Path, token: &str) {
        let asked = Timestamp::now();
        let words = ["fleet", "backup", "desk", "--server", server.says("address"), "--cacert"];
        let output = self.stead(&words).arg(authority).env("STEAD_TOKEN", token).output().expect("it runs");
        assert!(output.status.success(), "{}", told(&output));
        let run = until("the end of a backup that was asked for", || {
            let is_over =
                |run: &Run| run.kind == JobKind::Backup && run.started >= asked && run.state() != State::Running;
            self.runs().into_iter().find(is_over)
        });
        assert_eq!(run.state(), State::Good, "{run:?}");
    }

    /// Runs of the machine, as the server knows them.
    pub(crate) fn runs(&self) -> Vec<Run> {
        let desk = self.desk();
        let rows = self.looks(async |store, scope| store.within(scope).runs(desk, 30).await.unwrap());
        rows.into_iter().map(|row| row.run).collect()
    }

    /// How many snapshots stock restic finds in the machine's repository, after it has read all of it.
    #[track_caller]
    pub(crate) fn restic_finds(&self, location: &str, restic: &Peer) -> usize {
        let on = |words: &[&str]| {
            let mut command = restic.command();
            command.args(["--no-cache", "-r", location, "--password-file"]).arg(self.at("agent/repository.password"));
            let output = command.args(words).envs(self.environment.iter().copied()).output().expect("restic runs");
            assert!(output.status.success(), "{words:?}: {}", told(&output));
            output.stdout
        };
        on(&["check", "--read-data", "--no-lock"]);
        let listed: Value = serde_json::from_slice(&on(&["snapshots", "--json", "--no-lock"])).expect("JSON");
        listed.as_array().expect("a list").len()
    }
}

/// A policy for this folder that makes no backup of itself.
fn policy(work: String) -> Policy {
    let times = Times::cron("0 0 29 2 *").expect("times");
    Policy {
        schedule: Schedule { zone: Zone::utc(), times, spread: 0, windows: vec![] },
        what: vec![Selection::Files { paths: vec![work], excludes: vec![] }],
        keep: Keep { daily: 14, ..Keep::default() },
        drills: vec![Drill::FileSample],
        name: "Office".into(),
        copies: vec![],
        roaming: Default::default(),
        id: PolicyId::new(fleet::Uuid::nil()),
        tenant: fleet::TenantId::new(fleet::Uuid::nil()),
    }
}
