//! A machine with an agent, its gateway, and the wires between them.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use api::answer::Enrolled;
use api::wire::agent::{Event, Order, Taken, ToAgent};
use api::wire::duties::{Duties, Gateway};
use fleet::{
    JobId, Keep, MachineId, Outcome, Policy, PolicyId, RunId, Schedule, Selection, TenantId, Times, Uuid, Zone,
};
use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use testkit::{Wire, sample};

use crate::peer::{CODE, Server, until};

/// A machine.
pub(crate) struct Machine {
    pub(crate) room: TempDir,
    pub(crate) server: Server,
    /// To the server.
    pub(crate) line: Wire,
    /// To the gateway.
    pub(crate) road: Wire,
    gateway: Child,
    agent: Option<Child>,
    pub(crate) id: MachineId,
}

pub(crate) fn stead(room: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stead"));
    command.args(words).env("HOME", room).env_remove("XDG_STATE_HOME").env_remove("XDG_DATA_HOME");
    command
}

pub(crate) fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

impl Machine {
    /// One that has not joined; its gateway knows it.
    pub(crate) fn new() -> Machine {
        let room = TempDir::new().expect("room");
        let id = MachineId::new(Uuid::from_u128(0x0198_a1b2_0000_7000_8000_0000_0000_0001));
        let (gateway, port, credential) = gateway(room.path(), id);
        let server = Server::start();
        let (line, road) = (Wire::to(server.port()), Wire::to(port));
        let client = "0198a1b2-0000-7000-8000-00000000000c".to_owned();
        server.will_enrol(Enrolled { machine: id.to_string(), client, credential });
        Machine { room, server, line, road, gateway, agent: None, id }
    }

    /// One that has joined, with its duties; its agent runs.
    pub(crate) fn at_work() -> Machine {
        let mut machine = Machine::new();
        machine.server.gives(machine.duties(None));
        let output = machine.enrol(&[]);
        assert!(output.status.success(), "{}", told(&output));
        machine.start();
        machine.server.until_connected();
        machine
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.room.path().join("state")
    }

    pub(crate) fn source(&self) -> PathBuf {
        self.room.path().join("work")
    }

    pub(crate) fn enrol(&self, words: &[&str]) -> Output {
        let address = format!("http://127.0.0.1:{}", self.line.port());
        self.run(&[&["enrol", &address, CODE], words].concat())
    }

    pub(crate) fn run(&self, words: &[&str]) -> Output {
        self.command(words).stdin(Stdio::null()).output().expect("it runs")
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = stead(self.room.path(), &["agent"]);
        command.args(words).arg("--state").arg(self.state());
        command
    }

    /// Starts the agent on a machine without desktop services.
    pub(crate) fn start(&mut self) {
        let nobody = format!("unix:path={}", self.room.path().join("no bus").display());
        self.start_on(&nobody);
    }

    /// Starts the agent with the desktop services at a bus.
    pub(crate) fn start_on(&mut self, bus: &str) {
        let mut command = self.command(&["run"]);
        command.env("DBUS_SYSTEM_BUS_ADDRESS", bus);
        command.arg("--hooks").arg(self.room.path().join("hooks"));
        let log = std::fs::File::options().create(true).append(true).open(self.room.path().join("log")).expect("a log");
        let errors = log.try_clone().expect("a log");
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        self.agent = Some(command.spawn().expect("it starts"));
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.room.path().join("log")).unwrap_or_default()
    }

    /// Kills the agent with signal 9.
    pub(crate) fn kill(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            agent.kill().expect("our own child");
            agent.wait().expect("our own child");
        }
    }

    /// Asks the agent to end, and waits until it has.
    pub(crate) fn stop(&mut self) {
        let mut agent = self.agent.take().expect("it runs");
        kill_process(Pid::from_child(&agent), Signal::TERM).expect("our own child");
        let status = until("the agent's end", || agent.try_wait().expect("our own child"));
        assert!(status.success(), "{status}: {}", self.log());
    }

    /// What it does: with a schedule, or by orders alone.
    pub(crate) fn duties(&self, cron: Option<&str>) -> Duties {
        let times = Times::cron(cron.unwrap_or("0 0 29 2 *")).expect("times");
        let policy = Policy {
            schedule: Schedule { zone: Zone::utc(), times, spread: 0, windows: vec![] },
            ..policy(vec![Selection::Files {
                paths: vec![self.source().to_string_lossy().into_owned()],
                excludes: vec!["*.tmp".into()],
            }])
        };
        let address = format!("http://127.0.0.1:{}", self.road.port());
        let gateway = Some(Gateway { address, authority: None });
        Duties { policy: Some(policy), zone: Zone::utc(), pause: None, gateway, keeper: None }
    }

    /// Some hundred files.
    pub(crate) fn works(&self) {
        std::fs::create_dir_all(self.source()).expect("a folder");
        sample::office(&self.source(), 1, 150);
    }

    /// So many megabytes that nothing can be done about.
    pub(crate) fn works_hard(&self, megabytes: usize) {
        std::fs::create_dir_all(self.source()).expect("a folder");
        for number in 0..megabytes / 4 {
            let content = sample::random_bytes(number as u64, 4 << 20);
            std::fs::write(self.source().join(format!("{number}.bin")), content).expect("a file");
        }
    }

    pub(crate) fn orders(&self, number: u128, attempt: u32, order: Order) -> Taken {
        let job = Taken { job: JobId::new(Uuid::from_u128(number)), attempt };
        self.server.says(ToAgent::Order { job, order });
        job
    }

    pub(crate) fn orders_backup(&self, number: u128) -> Taken {
        self.orders(number, 1, Order::Backup { what: None })
    }

    /// Waits for the beginning of an order's run.
    #[track_caller]
    pub(crate) fn began(&self, order: Taken) -> RunId {
        self.server.event("a beginning", |event| match event {
            Event::Begun { run, job: Some(job), .. } if job.job == order.job => Some(*run),
            _ => None,
        })
    }

    /// Waits for the end of an order's run.
    #[track_caller]
    pub(crate) fn ended(&self, order: Taken) -> (RunId, Outcome, Vec<String>) {
        self.server.event("an end", |event| match event {
            Event::Ended { run, job: Some(job), outcome, snapshots, .. } if job.job == order.job => {
                Some((*run, outcome.clone(), snapshots.clone()))
            }
            _ => None,
        })
    }

    /// Backs up by an order; the snapshot.
    #[track_caller]
    pub(crate) fn backs_up(&self, number: u128) -> String {
        let (_, outcome, snapshots) = self.ended(self.orders_backup(number));
        assert_eq!(outcome, Outcome::Good, "{}", self.log());
        snapshots.into_iter().next().expect("a snapshot")
    }

    /// `stead` on the machine's repository, with the machine's own password.
    pub(crate) fn repository(&self, words: &[&str]) -> Output {
        let secret = std::fs::read_to_string(self.room.path().join("credential")).expect("a credential");
        let location = format!("rest:http://{}:{secret}@127.0.0.1:{}/{}/", self.id, self.road.port(), self.id);
        let mut command = stead(self.room.path(), words);
        command.args(["-r", &location, "--no-cache", "--password-file"]).arg(self.state().join("repository.password"));
        command.output().expect("it runs")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.kill();
        _ = self.gateway.kill();
        _ = self.gateway.wait();
        if std::thread::panicking() {
            eprintln!("the agent said:\n{}", self.log());
        }
    }
}

/// A policy that protects this.
pub(crate) fn policy(what: Vec<Selection>) -> Policy {
    Policy {
        id: PolicyId::new(Uuid::from_u128(1)),
        tenant: TenantId::new(Uuid::from_u128(2)),
        name: "Office".into(),
        what,
        schedule: Schedule {
            zone: Zone::utc(),
            times: Times::cron("0 0 29 2 *").expect("times"),
            spread: 0,
            windows: vec![],
        },
        copies: vec![],
        keep: Keep::default(),
        drills: vec![],
        roaming: Default::default(),
    }
}

/// A gateway's process, its port, and the machine's credential.
fn gateway(room: &Path, machine: MachineId) -> (Child, u16, String) {
    use std::io::{BufRead, BufReader};
    let access = room.join("gateway.json");
    let access = access.to_str().expect("text");
    let id = machine.to_string();
    let added = stead(room, &["gateway", "add", &id, "--json", "--url", "http://127.0.0.1/", "--access", access]);
    let added = { added }.output().expect("it runs");
    assert!(added.status.success(), "{}", told(&added));
    let added: serde_json::Value = serde_json::from_slice(&added.stdout).expect("JSON");
    let location = added["location"].as_str().expect("a location").to_owned();
    let secret = location.split('@').next().and_then(|front| front.rsplit(':').next()).expect("a secret").to_owned();
    std::fs::write(room.join("credential"), &secret).expect("a file");
    let data = room.join("repositories");
    let mut serve = stead(room, &["gateway", "serve", "--json", "--listen", "127.0.0.1:0", "--access", access]);
    serve.arg("--data").arg(data).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut process = serve.spawn().expect("it starts");
    let mut line = String::new();
    BufReader::new(process.stdout.take().expect("a pipe")).read_line(&mut line).expect("it speaks");
    let told: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    let address = told["address"].as_str().expect("an address");
    let port = address.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    (process, port, secret)
}

/// Now, for those who need it in words.
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}
