//! `stead up PATH` protects this machine: the first backup, its proof, and what a second start finds.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

/// All parts on this machine, below one directory.
pub(crate) struct Parts {
    child: Child,
    told: BufReader<ChildStdout>,
}

impl Parts {
    pub(crate) fn start(room: &Path, paths: &[&Path]) -> Parts {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stead"));
        command.args(["up", "--json", "--listen", "127.0.0.1:0", "--data"]).arg(room.join("data")).args(paths);
        let mut child = command.env("HOME", room.join("home")).stdout(Stdio::piped()).spawn().unwrap();
        let told = BufReader::new(child.stdout.take().unwrap());
        Parts { child, told }
    }

    /// The next message of this type.
    pub(crate) fn message(&mut self, wanted: &str) -> Value {
        loop {
            let mut line = String::new();
            assert!(self.told.read_line(&mut line).unwrap() > 0, "it ended without {wanted}");
            let message: Value = serde_json::from_str(&line).unwrap();
            if message["message_type"] == wanted {
                return message;
            }
        }
    }

    pub(crate) fn stop(mut self) -> bool {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.child.wait().unwrap().success()
    }
}

pub(crate) fn repositories(room: &Path) -> Vec<std::path::PathBuf> {
    let all = std::fs::read_dir(room.join("data/repositories")).unwrap();
    all.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn one_command_protects_this_machine_and_the_next_start_goes_on() {
    let room = tempfile::tempdir().unwrap();
    let protected = room.path().join("home/papers");
    std::fs::create_dir_all(&protected).unwrap();
    std::fs::write(protected.join("letter.txt"), "Dear Anna").unwrap();
    let mut parts = Parts::start(room.path(), &[&room.path().join("home")]);
    assert!(parts.message("listening")["link"].is_string());
    let ended = parts.message("first_backup");
    assert_eq!(ended["state"], "good", "{ended}");
    assert!(parts.stop());
    let [repository] = repositories(room.path()).try_into().expect("one repository");
    // The password that the agent made opens it for the command line too.
    let listed = Command::new(env!("CARGO_BIN_EXE_stead"))
        .args(["ls", "latest", "--no-cache", "-r"])
        .arg(&repository)
        .arg("--password-file")
        .arg(room.path().join("data/agent/repository.password"))
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("papers/letter.txt"), "{listed}");
    let mut again = Parts::start(room.path(), &[]);
    again.message("listening");
    assert!(again.stop());
    assert_eq!(repositories(room.path()), [repository], "the second start goes on with what is there");
}
