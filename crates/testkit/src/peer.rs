//! Other programs that tests talk to: restic, rustic, rclone, rest-server, borg.
//!
//! `cargo xtask setup` puts them into one folder; a test whose peer is missing is skipped by name, and where
//! `STEAD_NO_SKIP` is set (as `.ci/run` does) it fails instead.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A program that can be run.
#[derive(Clone, Debug)]
pub struct Peer {
    path: PathBuf,
}

/// Where OpenSSH keeps what nobody calls by hand, such as `sftp-server`.
const OPENSSH: &str = "/usr/lib/openssh";

/// The folder of peers: `$STEAD_PEERS`, or `~/.cache/stead-peers/bin`.
pub fn folder() -> PathBuf {
    match std::env::var_os("STEAD_PEERS") {
        Some(folder) => folder.into(),
        None => Path::new(&std::env::var_os("HOME").unwrap_or_default()).join(".cache/stead-peers/bin"),
    }
}

impl Peer {
    /// Finds a peer in the folder of peers or on the path; reports a skip (or fails, see above) where there is none.
    pub fn find(name: &str) -> Option<Peer> {
        let found = std::iter::once(folder())
            .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()))
            .chain([OPENSSH.into()])
            .map(|folder| folder.join(name))
            .find(|path| path.is_file());
        match found {
            Some(path) => Some(Peer { path }),
            None => {
                skip(&format!("{name} not found; run `cargo xtask setup`"));
                None
            }
        }
    }

    /// A program at a known place, such as the `stead` that Cargo built for a test.
    pub fn at(path: impl Into<PathBuf>) -> Peer {
        Peer { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A command to be completed by the caller.
    pub fn command(&self) -> Command {
        Command::new(&self.path)
    }

    /// Runs it on a repository with the password `test` (restic's and rustic's way to say both).
    pub fn on<S: AsRef<OsStr>>(&self, repository: &Path, args: impl IntoIterator<Item = S>) -> Output {
        self.repository_command(repository)
            .args(args)
            .output()
            .unwrap_or_else(|error| panic!("cannot run {}: {error}", self.path.display()))
    }

    /// As [`Peer::on`], and fails the test unless it succeeds; returns what it printed.
    pub fn succeeds<S: AsRef<OsStr>>(&self, repository: &Path, args: impl IntoIterator<Item = S>) -> String {
        let args: Vec<S> = args.into_iter().collect();
        let words: Vec<String> = args.iter().map(|arg| arg.as_ref().to_string_lossy().into_owned()).collect();
        let output = self.on(repository, args);
        assert!(
            output.status.success(),
            "{} {} failed ({}):\n{}\n{}",
            self.path.display(),
            words.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The command on a repository, with caches and keys of this test only.
    pub fn repository_command(&self, repository: &Path) -> Command {
        let mut command = self.command();
        command
            .env("RESTIC_REPOSITORY", repository)
            .env("RESTIC_PASSWORD", "test")
            .env_remove("STEAD_REPOSITORY")
            .env_remove("STEAD_PASSWORD")
            .env("RUSTIC_REPOSITORY", repository)
            .env("RUSTIC_PASSWORD", "test")
            .env("RUSTIC_NO_CACHE", "true");
        if !self.path.ends_with("rustic") {
            command.arg("--no-cache");
        }
        command
    }
}

/// Reports that this test is skipped, or fails it where nothing may be skipped.
#[expect(clippy::print_stderr, reason = "a skip must be seen in the test run's output")]
pub fn skip(why: &str) {
    let test = std::thread::current().name().unwrap_or("?").to_owned();
    assert!(std::env::var_os("STEAD_NO_SKIP").is_none(), "{test} must not be skipped here: {why}");
    eprintln!("SKIPPED {test}: {why}");
}
