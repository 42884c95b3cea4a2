//! Parts: processes of this program that are started, stopped and killed.

use std::fs::File;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use fleet::MachineId;
use rustix::process::{Pid, Signal, kill_process};

/// How long anything may take on a machine that has other things to do.
const PATIENCE: Duration = Duration::from_secs(240);

/// Waits for a fact.
#[track_caller]
pub(crate) fn until<T>(what: &str, mut fact: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = fact() {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "it never came: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A process that can be started again.
pub(crate) struct Part {
    words: Vec<String>,
    known: Vec<(String, String)>,
    home: PathBuf,
    /// Where it listens, if it does.
    port: Option<u16>,
    log: PathBuf,
    child: Option<Child>,
}

impl Part {
    pub(crate) fn new(home: &Path, name: &str, port: Option<u16>, words: Vec<String>) -> Part {
        Part {
            words,
            known: Vec::new(),
            home: home.to_owned(),
            port,
            log: home.join(format!("{name}.log")),
            child: None,
        }
    }

    /// It finds this in its environment.
    pub(crate) fn knows(&mut self, name: &str, value: &str) {
        self.known.push((name.to_owned(), value.to_owned()));
    }

    /// Starts it; where it listens, waits until it does.
    pub(crate) fn start(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let log = File::options().create(true).append(true).open(&self.log).expect("a log");
        let errors = log.try_clone().expect("a log");
        let mut command = stead(&self.home);
        command.args(&self.words).envs(self.known.iter().cloned()).stdin(Stdio::null()).stdout(log).stderr(errors);
        self.child = Some(command.spawn().expect("it starts"));
        if let Some(port) = self.port {
            until("a part that listens", || {
                assert!(self.runs(), "it has ended: {}", self.log());
                TcpStream::connect(("127.0.0.1", port)).ok()
            });
        }
    }

    /// Whether it has not ended by itself.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().expect("our own child").is_none())
    }

    /// Kills it with signal 9.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("our own child");
            child.wait().expect("our own child");
        }
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn stop(&mut self) {
        let mut child = self.child.take().expect("it runs");
        kill_process(Pid::from_child(&child), Signal::TERM).expect("our own child");
        let status = until("a part's end", || child.try_wait().expect("our own child"));
        assert!(status.success(), "{status}: {}", self.log());
    }

    /// What it has said.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let last: Vec<&str> = log.lines().rev().take(30).collect();
            let last: Vec<&str> = last.into_iter().rev().collect();
            eprintln!("{} said at last:\n{}\n", self.log.display(), last.join("\n"));
        }
    }
}

/// The program, on a machine without desktop services.
pub(crate) fn stead(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stead"));
    for name in ["XDG_STATE_HOME", "XDG_DATA_HOME", "STEAD_REPOSITORY", "STEAD_PASSWORD", "RESTIC_REPOSITORY"] {
        command.env_remove(name);
    }
    let nobody = format!("unix:path={}", home.join("no bus").display());
    command.env("HOME", home).env("DBUS_SYSTEM_BUS_ADDRESS", nobody);
    command
}

pub(crate) fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A machine with an agent.
pub(crate) struct Machine {
    pub(crate) id: MachineId,
    pub(crate) home: PathBuf,
    pub(crate) agent: Part,
}

impl Machine {
    /// One that has joined the server at a port by a code; its agent does not run yet.
    pub(crate) fn joined(home: &Path, port: u16, code: &str) -> Machine {
        let state = home.join("agent");
        std::fs::create_dir_all(home.join("work")).expect("a folder");
        let state = state.to_str().expect("text");
        let mut enrol = stead(home);
        enrol.args(["agent", "--state", state, "enrol", "--json", &format!("http://127.0.0.1:{port}"), code]);
        let output = enrol.stdin(Stdio::null()).output().expect("it runs");
        assert!(output.status.success(), "{}", told(&output));
        let joined: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let id = joined["machine"].as_str().and_then(|id| id.parse().ok()).expect("a machine");
        let hooks = home.join("hooks");
        let words = ["agent", "--state", state, "run", "--hooks", hooks.to_str().expect("text")];
        let agent = Part::new(home, "agent", None, words.map(str::to_owned).to_vec());
        Machine { id, home: home.to_owned(), agent }
    }

    /// What is protected.
    pub(crate) fn work(&self) -> PathBuf {
        self.home.join("work")
    }

    /// A new file appears, whole at once.
    pub(crate) fn gets(&self, name: &str, seed: u64, bytes: usize) {
        let aside = self.home.join(format!("{name}.aside"));
        std::fs::write(&aside, testkit::sample::random_bytes(seed, bytes)).expect("a file");
        std::fs::rename(aside, self.work().join(name)).expect("a file");
    }

    /// Where the password of its repository is.
    pub(crate) fn password(&self) -> PathBuf {
        self.home.join("agent/repository.password")
    }
}
