//! Gate 6: wrong input of every kind gets a clear error with a hint and restic's exit code: no panic, no damage.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tempfile::TempDir;
use testkit::{Peer, sample};

/// A source and a repository with one snapshot.
struct Desk {
    room: TempDir,
    stead: Peer,
}

impl Desk {
    fn new() -> Desk {
        let desk = Desk { room: TempDir::new().expect("room"), stead: Peer::at(env!("CARGO_BIN_EXE_stead")) };
        fs::create_dir(desk.source()).expect("a folder");
        sample::office(&desk.source(), 1, 20);
        desk.stead.succeeds(&desk.repository(), ["init"]);
        desk.stead.succeeds(&desk.repository(), ["backup", desk.source().to_str().expect("UTF-8")]);
        desk
    }

    fn source(&self) -> PathBuf {
        self.room.path().join("source")
    }

    fn repository(&self) -> PathBuf {
        self.room.path().join("repository")
    }

    fn run(&self, words: &[&str]) -> Output {
        self.stead.on(&self.repository(), words)
    }

    /// The only or any file of a kind.
    fn a_file(&self, folder: &str) -> PathBuf {
        files_below(&self.repository().join(folder)).remove(0)
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn words_of(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[track_caller]
fn fails_with(output: &Output, code: i32, clue: &str) {
    let words = words_of(output);
    assert!(!words.contains("panicked"), "{words}");
    assert_eq!(output.status.code(), Some(code), "{words}");
    assert!(words.to_lowercase().contains(&clue.to_lowercase()), "says nothing of {clue:?}: {words}");
}

fn overwrite(path: &Path, content: &[u8]) {
    fs::remove_file(path).expect("a file");
    fs::write(path, content).expect("a file");
}

#[test]
fn a_wrong_password_is_exit_code_12() {
    let desk = Desk::new();
    let mut command = desk.stead.repository_command(&desk.repository());
    let output = command.env("RESTIC_PASSWORD", "wrong").arg("snapshots").output().expect("runs");
    fails_with(&output, 12, "wrong password");
}

#[test]
fn no_repository_is_exit_code_10() {
    let desk = Desk::new();
    fails_with(&desk.stead.on(&desk.room.path().join("nowhere"), ["snapshots"]), 10, "no repository");
    fs::create_dir(desk.room.path().join("empty")).expect("a folder");
    fails_with(&desk.stead.on(&desk.room.path().join("empty"), ["snapshots"]), 10, "no repository");
}

#[test]
fn nobody_is_asked_for_the_password_of_a_repository_that_is_not_there() {
    let desk = Desk::new();
    let mut command = desk.stead.repository_command(&desk.room.path().join("nowhere"));
    command.env_remove("RESTIC_PASSWORD").env_remove("RESTIC_PASSWORD_FILE").stdin(std::process::Stdio::null());
    fails_with(&command.arg("snapshots").output().expect("runs"), 10, "no repository");
}

#[test]
fn half_a_repository_is_said_to_be_half() {
    let desk = Desk::new();
    fs::remove_file(desk.repository().join("config")).expect("a config");
    fails_with(&desk.run(&["snapshots"]), 10, "config");
    fails_with(&desk.run(&["init"]), 1, "exists");
    assert_eq!(files_below(&desk.repository().join("keys")).len(), 1, "init must not add to half a repository");
}

#[test]
fn a_repository_is_not_made_twice() {
    let desk = Desk::new();
    fails_with(&desk.run(&["init"]), 1, "exists");
    desk.stead.succeeds(&desk.repository(), ["check"]);
}

/// F16: restic told of a snapshot, and success, where a path to back up did not exist; a malformed one once gave an empty
/// snapshot.
#[test]
fn sources_that_are_missing_or_malformed_never_make_an_empty_snapshot() {
    let desk = Desk::new();
    let snapshots = || files_below(&desk.repository().join("snapshots")).len();
    let list = desk.room.path().join("list");
    let listed = list.to_str().expect("UTF-8");
    let (file, folder) = (desk.source().join("x"), desk.source());
    fs::write(&file, "x").expect("a file");
    let (file, folder) = (file.to_str().expect("UTF-8"), folder.to_str().expect("UTF-8"));
    let before = snapshots();
    for path in ["", "/does/not/exist", "\u{1f600}:\\x\n", &format!("{file}/below")] {
        let output = desk.run(&["backup", path]);
        assert_eq!(output.status.code(), Some(1), "{path:?}: {}", words_of(&output));
        assert_eq!(snapshots(), before, "{path:?} made a snapshot");
        fs::write(&list, format!("{path}\0")).expect("a list");
        let output = desk.run(&["backup", "--files-from-raw", listed]);
        assert_eq!(output.status.code(), Some(1), "{path:?} in a list: {}", words_of(&output));
        assert_eq!(snapshots(), before, "{path:?} in a list made a snapshot");
    }
    // Beside one that is there: the snapshot has that one, and the exit code says that it is not everything.
    assert_eq!(desk.run(&["backup", folder, "/does/not/exist"]).status.code(), Some(3));
    assert_eq!(snapshots(), before + 1);
}

#[test]
fn a_source_that_does_not_exist_is_an_error() {
    let desk = Desk::new();
    fails_with(&desk.run(&["backup", "/does/not/exist"]), 1, "/does/not/exist");
    let source = desk.source();
    let output = desk.run(&["backup", source.to_str().expect("UTF-8"), "/does/not/exist"]);
    fails_with(&output, 3, "/does/not/exist");
}

#[test]
fn an_unknown_snapshot_is_an_error() {
    let desk = Desk::new();
    for words in
        [&["ls", "deadbeef"][..], &["restore", "deadbeef", "--target", "/tmp"], &["diff", "deadbeef", "latest"]]
    {
        fails_with(&desk.run(words), 1, "deadbeef");
    }
    fails_with(&desk.run(&["ls", "latest:/no/such/folder"]), 1, "is not in the snapshot");
}

#[test]
fn wrong_words_on_the_command_line_are_explained() {
    let desk = Desk::new();
    fails_with(&desk.run(&["bakcup"]), 1, "backup");
    fails_with(&desk.run(&["backup", "--no-such-flag"]), 1, "--no-such-flag");
    fails_with(&desk.run(&["forget", "--keep-last", "minus"]), 1, "--keep-last");
    fails_with(&desk.run(&["check", "--read-data-subset", "7/3"]), 1, "7/3");
    fails_with(&desk.run(&["backup"]), 1, "path");
}

/// F12: also on the command line.
#[test]
fn forget_refuses_to_keep_nothing() {
    let desk = Desk::new();
    let output = desk.run(&["forget", "--keep-tag", "a-typo"]);
    assert_ne!(output.status.code(), Some(0), "{}", words_of(&output));
    desk.stead.succeeds(&desk.repository(), ["ls", "latest"]);
}

/// F18: cut to any length, a key or a config is named; none makes the whole repository unusable.
#[test]
fn truncated_files_of_every_kind_are_named_and_never_panic() {
    for folder in ["keys", "snapshots", "index", "data", "config"] {
        for length in [0, 1, 16, 31, 32, 33, 64] {
            let desk = Desk::new();
            let path = if folder == "config" { desk.repository().join("config") } else { desk.a_file(folder) };
            let content = fs::read(&path).expect("a file");
            overwrite(&path, &content[..length.min(content.len())]);
            for words in [&["check", "--read-data"][..], &["snapshots"], &["restore", "latest", "--target", "out"]] {
                let mut command = desk.stead.repository_command(&desk.repository());
                let output = command.current_dir(desk.room.path()).args(words).output().expect("runs");
                let said = words_of(&output);
                assert!(!said.contains("panicked"), "{folder} cut to {length}, {words:?}: {said}");
                let may_succeed = words[0] == "snapshots" && matches!(folder, "index" | "data" | "snapshots");
                assert!(may_succeed || output.status.code() != Some(0), "{folder} cut to {length}, {words:?}: {said}");
            }
        }
    }
}

#[test]
fn every_flipped_byte_of_a_small_repository_is_found() {
    let desk = Desk::new();
    let password_is_wrong_or_damaged = |code| matches!(code, Some(1 | 10 | 12));
    for path in files_below(&desk.repository()) {
        let content = fs::read(&path).expect("a file");
        for at in [0, content.len() / 3, content.len() / 2, content.len() - 1] {
            let mut flipped = content.clone();
            flipped[at] ^= 0x10;
            overwrite(&path, &flipped);
            let output = desk.run(&["check", "--read-data", "--no-lock"]);
            let said = words_of(&output);
            assert!(!said.contains("panicked"), "{}: {said}", path.display());
            assert!(password_is_wrong_or_damaged(output.status.code()), "{} at {at}: {said}", path.display());
        }
        overwrite(&path, &content);
    }
    desk.stead.succeeds(&desk.repository(), ["check", "--read-data"]);
}

#[test]
fn a_key_file_that_would_eat_the_memory_is_refused() {
    let desk = Desk::new();
    let path = desk.a_file("keys");
    let mut key: serde_json::Value = serde_json::from_slice(&fs::read(&path).expect("a key")).expect("JSON");
    for (name, value) in [("N", 1u64 << 40), ("r", 1 << 30), ("p", 1 << 30), ("N", 3), ("N", 0)] {
        let good = key[name].clone();
        key[name] = value.into();
        let content = key.to_string().into_bytes();
        let hostile = path.with_file_name(backend::Id::of(&content).to_string());
        _ = fs::remove_file(&path);
        fs::write(&hostile, content).expect("a key");
        fails_with(&desk.run(&["snapshots"]), 1, "scrypt");
        fs::remove_file(&hostile).expect("a key");
        key[name] = good;
    }
}

#[test]
fn a_truncated_key_beside_a_good_one_is_skipped_with_a_warning() {
    let desk = Desk::new();
    let id = "0".repeat(63) + "1";
    fs::write(desk.repository().join("keys").join(&id), b"{\"created\":").expect("a key");
    fs::write(desk.repository().join("keys").join("0".repeat(64)), b"").expect("a key");
    let output = desk.run(&["snapshots"]);
    assert_eq!(output.status.code(), Some(0), "{}", words_of(&output));
}

#[test]
fn a_read_only_repository_is_readable_and_says_why_it_cannot_be_written() {
    let desk = Desk::new();
    let Some(_bound) = Bound::read_only(&desk.repository()) else { return };
    let output = desk.run(&["ls", "latest", "--no-lock"]);
    assert_eq!(output.status.code(), Some(0), "{}", words_of(&output));
    fails_with(&desk.run(&["backup", desk.source().to_str().expect("UTF-8")]), 1, "read-only");
    fails_with(&desk.run(&["restore", "latest", "--target", "/proc/nowhere", "--no-lock"]), 1, "/proc/nowhere");
}

/// A folder mounted onto itself, read-only.
struct Bound(PathBuf);

impl Bound {
    fn read_only(folder: &Path) -> Option<Bound> {
        let mount = |args: &[&str]| {
            let mut command = std::process::Command::new("mount");
            command.args(args).arg(folder);
            if args[0] == "--bind" {
                command.arg(folder);
            }
            command.status().is_ok_and(|status| status.success())
        };
        if mount(&["--bind"]) && mount(&["-o", "remount,ro,bind"]) {
            return Some(Bound(folder.to_path_buf()));
        }
        testkit::peer::skip("a folder cannot be mounted read-only here");
        None
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_source_that_may_not_be_read_makes_the_backup_incomplete_and_is_named() {
    let desk = Desk::new();
    let secret = desk.source().join("secret");
    fs::write(&secret, "private").expect("a file");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).expect("a mode");
    let stead = desk.room.path().join("stead");
    fs::copy(desk.stead.path(), &stead).expect("a copy");
    for path in [desk.room.path(), &desk.repository(), &stead] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a mode");
    }
    let give = std::process::Command::new("chown").args(["-R", "nobody"]).arg(desk.repository()).status();
    if !rustix::process::geteuid().is_root() || !give.is_ok_and(|status| status.success()) {
        testkit::peer::skip("another user cannot be played; run as root");
        return;
    }
    let mut command = under(&["setpriv", "--reuid=nobody", "--clear-groups"], &Peer::at(&stead), &desk);
    let output = command.arg("backup").arg(desk.source()).output().expect("runs");
    fails_with(&output, 3, "secret");
}

/// `program` started by another one.
fn under(starter: &[&str], program: &Peer, desk: &Desk) -> std::process::Command {
    let plain = program.repository_command(&desk.repository());
    let mut command = std::process::Command::new(starter[0]);
    command.args(&starter[1..]).arg(program.path()).args(plain.get_args());
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

#[test]
fn a_clock_in_1970_backs_up_all_the_same() {
    let Some(faketime) = Peer::find("faketime") else { return };
    let desk = Desk::new();
    let faketime = faketime.path().to_str().expect("UTF-8");
    let mut command = under(&[faketime, "1970-01-01 00:00:10"], &desk.stead, &desk);
    let output = command.arg("backup").arg(desk.source()).output().expect("runs");
    assert_eq!(output.status.code(), Some(0), "{}", words_of(&output));
    desk.stead.succeeds(&desk.repository(), ["check"]);
    desk.stead.succeeds(&desk.repository(), ["forget", "--keep-last", "1"]);
}

/// Each of these once had no hint, another command's, or words of the programming language.
#[test]
fn small_mistakes_are_answered_with_what_helps() {
    let desk = Desk::new();
    for (words, hint) in [
        (&["key", "remove", "abc"][..], "`stead key list`"),
        (&["restore", "latest:/nope", "--target", "x"], "`stead ls SNAPSHOT`"),
        (&["ls", "latest", "nopath"], "as in `/home/anna/nopath`"),
        (&["backup", "/not/there"], "check the spelling"),
        (&["--limit-upload", "1M", "snapshots"], "KiB per second, such as 500"),
        (&["prune", "--max-unused", "lots"], "a share such as 5%"),
        (&["forget", "--keep-within", "3"], "as in 1y5m7d2h"),
    ] {
        fails_with(&desk.run(words), 1, hint);
    }
    let mut command = desk.stead.repository_command(&desk.repository());
    let output = command.arg("snapshots").env_remove("RESTIC_PASSWORD").stdin(Stdio::null()).output().expect("runs");
    fails_with(&output, 1, "`--password-file`");
}
