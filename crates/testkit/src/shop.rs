//! A small shop for black-box tests: a folder of work, `stead`'s default repository, and a ledger of promises.
//!
//! Every snapshot that `stead` reported as written is a promise: stock restic must restore it byte for byte, whatever
//! happened since, until somebody forgets it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::{Peer, Picture};

/// A folder of work and its backups.
pub struct Shop {
    room: TempDir,
    stead: Peer,
    restic: Peer,
    promised: BTreeMap<String, Picture>,
}

impl Shop {
    /// Opens a shop with nothing in it; `None` (a skip) without restic.
    pub fn open(stead: &str) -> Option<Shop> {
        let restic = Peer::find("restic")?;
        let shop =
            Shop { room: TempDir::new().expect("room"), stead: Peer::at(stead), restic, promised: BTreeMap::new() };
        std::fs::create_dir(shop.work()).expect("a folder");
        Some(shop)
    }

    /// Where the work lies.
    pub fn work(&self) -> PathBuf {
        self.room.path().join("work")
    }

    /// Room for anything else.
    pub fn room(&self) -> &Path {
        self.room.path()
    }

    /// The default repository, which `stead` makes by itself.
    pub fn repository(&self) -> PathBuf {
        self.data().join("stead/repository")
    }

    /// The file with the password that `stead` made.
    pub fn password_file(&self) -> PathBuf {
        self.data().join("stead/password")
    }

    fn data(&self) -> PathBuf {
        self.room.path().join("data")
    }

    /// A `stead` command in this shop's surroundings.
    pub fn stead<'w>(&self, words: impl IntoIterator<Item = &'w str>) -> Command {
        let mut command = self.stead.command();
        self.surround(&mut command);
        command.args(words);
        command
    }

    /// Gives a command (`strace`, say) the surroundings that `stead` has here.
    pub fn surround(&self, command: &mut Command) {
        for name in ["RESTIC_REPOSITORY", "RESTIC_PASSWORD", "STEAD_REPOSITORY", "STEAD_PASSWORD"] {
            command.env_remove(name);
        }
        command
            .env("XDG_DATA_HOME", self.data())
            .env("XDG_CACHE_HOME", self.room.path().join("cache"))
            .env("HOME", self.room.path())
            .stdin(Stdio::null());
    }

    /// The program that is tested.
    pub fn program(&self) -> &Path {
        self.stead.path()
    }

    /// The command that backs the work up.
    pub fn backup(&self) -> Command {
        let mut command = self.stead(["backup", "--json"]);
        command.arg(self.work());
        command
    }

    /// Runs to the end and must succeed; a snapshot that it reports is promised.
    #[track_caller]
    pub fn succeeds(&mut self, command: &mut Command) -> Output {
        let before = Picture::of(&self.work());
        let output = command.output().expect("runs");
        assert!(output.status.success(), "{command:?} failed ({}):\n{}", output.status, printed(&output));
        self.promise(&output, before);
        output
    }

    /// Notes the snapshot that a finished backup reported, if it did.
    pub fn promise(&mut self, output: &Output, work: Picture) {
        for line in String::from_utf8_lossy(&output.stdout).lines() {
            let Ok(message) = serde_json::from_str::<serde_json::Value>(line) else { continue };
            if let (Some("summary"), Some(id)) = (message["message_type"].as_str(), message["snapshot_id"].as_str()) {
                self.promised.insert(id.to_owned(), work.clone());
            }
        }
    }

    /// Starts a command and kills it after `delay` unless it ends earlier; true if it was killed. A snapshot that it
    /// reported before is promised.
    pub fn kill_after(&mut self, command: &mut Command, delay: Duration) -> bool {
        let work = Picture::of(&self.work());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("runs");
        let deadline = Instant::now() + delay;
        let mut killed = false;
        while child.try_wait().expect("a child").is_none() {
            if Instant::now() >= deadline {
                child.kill().expect("killed");
                killed = true;
                break;
            }
            std::thread::sleep(Duration::from_micros(300));
        }
        let output = child.wait_with_output().expect("a child");
        self.promise(&output, work);
        killed
    }

    /// A restic command on the repository.
    pub fn restic<'w>(&self, words: impl IntoIterator<Item = &'w str>) -> Command {
        let mut command = self.restic.command();
        self.surround(&mut command);
        command
            .arg("--no-cache")
            .env("RESTIC_REPOSITORY", self.repository())
            .env("RESTIC_PASSWORD_FILE", self.password_file())
            .args(words);
        command
    }

    /// Runs restic, which must succeed; returns what it printed.
    #[track_caller]
    pub fn restic_succeeds<'w>(&self, words: impl IntoIterator<Item = &'w str>) -> String {
        let output = self.restic(words).output().expect("runs");
        assert!(output.status.success(), "restic failed ({}):\n{}", output.status, printed(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The ids of snapshots that restic sees, oldest first; checkpoints left out.
    pub fn snapshots(&self) -> Vec<String> {
        let listed = self.restic_succeeds(["snapshots", "--json", "--no-lock"]);
        let listed: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
        let complete = |snapshot: &&serde_json::Value| {
            !snapshot["tags"].as_array().is_some_and(|tags| tags.iter().any(|tag| tag == "stead:partial"))
        };
        let id = |snapshot: &serde_json::Value| snapshot["id"].as_str().expect("an id").to_owned();
        listed.as_array().expect("a list").iter().filter(complete).map(id).collect()
    }

    /// Takes back promises for all but the newest `kept` snapshots: somebody ran forget with this rule (perhaps not to
    /// its end).
    #[track_caller]
    pub fn forgot_all_but(&mut self, kept: usize) {
        let left = self.snapshots();
        let newest: Vec<String> = left.iter().rev().take(kept).cloned().collect();
        self.promised.retain(|id, _| newest.contains(id));
    }

    /// Every file of the repository that has its final name has the content that belongs to the name, which anybody can
    /// see without the key. Returns how many there are.
    #[track_caller]
    pub fn every_name_is_true(&self) -> usize {
        let mut looked_at = 0;
        for path in ["data", "index", "snapshots", "keys", "locks"].map(|kind| self.repository().join(kind)) {
            for file in files_below(&path) {
                let name = file.file_name().expect("a name").to_string_lossy().into_owned();
                let Ok(id) = name.parse::<backend::Id>() else {
                    assert!(name.contains("-tmp-"), "{} is neither final nor temporary", file.display());
                    continue;
                };
                // Locks come and go while we look.
                let Ok(content) = std::fs::read(&file) else { continue };
                assert_eq!(backend::Id::of(&content), id, "{} is not what its name says", file.display());
                looked_at += 1;
            }
        }
        looked_at
    }

    /// How many snapshots are promised.
    pub fn promises(&self) -> usize {
        self.promised.len()
    }

    /// Every promise is kept: restic finds no damage and restores every promised snapshot byte for byte.
    #[track_caller]
    pub fn every_promise_is_kept(&self) {
        // stead's next run removes the lock of a run that was killed; restic does so only when asked.
        self.restic_succeeds(["unlock"]);
        self.restic_succeeds(["check", "--read-data"]);
        for (id, expected) in &self.promised {
            let target = tempfile::tempdir_in(self.room.path()).expect("room");
            let below = format!("{id}:{}", self.work().display());
            self.restic_succeeds(["restore", &below, "--target", target.path().to_str().expect("UTF-8")]);
            expected.assert_same(&Picture::of(target.path()));
        }
    }
}

/// Every regular file below a folder.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

fn printed(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
