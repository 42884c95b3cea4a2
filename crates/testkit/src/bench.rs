//! A workbench for black-box tests of disks: a repository, room for disks beside it, and `stead`.
//!
//! Everything lies in one folder that goes with the bench; repositories have the password `test`, and each has a state of its
//! own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::Peer;

/// The bench; its repository is called `repository`.
pub struct Bench {
    room: TempDir,
    stead: Peer,
    before: fn(),
}

impl Bench {
    /// With an empty repository, made by the `stead` at that path.
    #[track_caller]
    pub fn new(stead: &str) -> Bench {
        let bench = Bench { room: TempDir::new().expect("room"), stead: Peer::at(stead), before: || () };
        bench.says(&["init"]);
        bench
    }

    /// Does this before every command that it runs.
    pub fn before(mut self, step: fn()) -> Bench {
        self.before = step;
        self
    }

    /// The folder.
    pub fn room(&self) -> &Path {
        self.room.path()
    }

    /// A place in the folder.
    pub fn at(&self, name: &str) -> PathBuf {
        self.room().join(name)
    }

    /// As [`Bench::at`], for a command's arguments.
    pub fn path(&self, name: &str) -> String {
        as_str(&self.at(name)).to_owned()
    }

    /// A command on the repository, to be completed by the caller.
    pub fn command(&self, words: &[&str]) -> Command {
        self.command_at("repository", words)
    }

    /// A command on a repository of another name, with another state.
    pub fn command_at(&self, repository: &str, words: &[&str]) -> Command {
        let mut command = self.stead.repository_command(&self.at(repository));
        command.env("XDG_STATE_HOME", self.at("state").join(repository)).env("TMPDIR", self.room()).args(words);
        command
    }

    /// Runs a command to its end, however that is.
    pub fn run(&self, words: &[&str]) -> Output {
        (self.before)();
        self.command(words).output().expect("runs")
    }

    /// What a command prints that must succeed.
    #[track_caller]
    pub fn says(&self, words: &[&str]) -> String {
        succeeded(&self.run(words))
    }

    /// What a command says that must fail.
    #[track_caller]
    pub fn refuses(&self, words: &[&str]) -> String {
        refused(&self.run(words))
    }

    /// What a command prints with `--json`: its messages, of which the last is its summary.
    #[track_caller]
    pub fn messages(&self, words: &[&str]) -> Vec<Value> {
        messages(&self.run(&[words, &["--json"]].concat()))
    }

    /// The summary of a command with `--json`.
    #[track_caller]
    pub fn summary(&self, words: &[&str]) -> Value {
        self.messages(words).pop().expect("a summary")
    }
}

/// What a command said on the error output.
pub fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What a command printed; fails the test unless it succeeded.
#[track_caller]
pub fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}: {}", output.status, told(output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What a command told; fails the test unless it failed as it should: with the code 1 and without panic.
#[track_caller]
pub fn refused(output: &Output) -> String {
    let said = told(output);
    assert!(output.status.code() == Some(1) && !said.contains("panicked"), "{}: {said}", output.status);
    said
}

/// What a command printed that succeeded, line by line.
#[track_caller]
pub fn messages(output: &Output) -> Vec<Value> {
    succeeded(output).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// A path of a test, which names its files in UTF-8.
pub fn as_str(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}
