//! On terminals, narrow ones too, and when the reader of a pipe goes away.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use testkit::{Peer, sample};

/// What a command shows on a terminal of that many columns.
fn on_a_terminal(columns: u32, repository: &Path, words: &str) -> Option<String> {
    let script = Peer::find("script")?;
    let stead = env!("CARGO_BIN_EXE_stead");
    let line = format!("stty cols {columns} rows 24; {stead} --no-cache {words}");
    let output = Command::new(script.path())
        .args(["-qec", &line, "/dev/null"])
        .env("RESTIC_REPOSITORY", repository)
        .env("RESTIC_PASSWORD", "test")
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .output()
        .expect("runs");
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn repository_with_a_snapshot(room: &Path) -> std::path::PathBuf {
    let stead = Peer::at(env!("CARGO_BIN_EXE_stead"));
    let (repository, source) =
        (room.join("repository"), room.join("source of a long name, longer than a phone is wide"));
    fs::create_dir(&source).expect("a folder");
    sample::office(&source, 3, 400);
    stead.succeeds(&repository, ["init"]);
    stead.succeeds(&repository, ["backup", source.to_str().expect("UTF-8")]);
    repository
}

#[test]
fn a_phone_shows_snapshots_one_field_a_line() {
    let room = tempfile::tempdir().expect("room");
    let repository = repository_with_a_snapshot(room.path());
    let Some(narrow) = on_a_terminal(40, &repository, "snapshots") else { return };
    assert!(narrow.lines().any(|line| line.starts_with("Host ")), "{narrow}");
    assert!(!narrow.lines().any(|line| line.starts_with("ID ") && line.contains("Time")), "{narrow}");
    let Some(wide) = on_a_terminal(200, &repository, "snapshots") else { return };
    assert!(wide.lines().any(|line| line.starts_with("ID ") && line.contains("Time")), "{wide}");
}

#[test]
fn help_fits_a_narrow_screen() {
    let room = tempfile::tempdir().expect("room");
    let Some(help) = on_a_terminal(60, room.path(), "forget --help") else { return };
    let longest = help.lines().map(|line| line.trim_end().chars().count()).max().expect("lines");
    assert!(longest <= 100, "{longest} columns:\n{help}");
    assert!(help.contains("Example"), "{help}");
}

#[test]
fn progress_is_shown_on_a_terminal_and_cleaned_up() {
    let room = tempfile::tempdir().expect("room");
    let repository = repository_with_a_snapshot(room.path());
    fs::write(room.path().join("large"), sample::random_bytes(3, 128 << 20)).expect("a file");
    let words = format!("backup {}", room.path().join("large").display());
    let Some(shown) = on_a_terminal(100, &repository, &words) else { return };
    assert!(shown.contains("128.000 MiB") && shown.contains("snapshot "), "{shown}");
    assert!(shown.contains("left") || shown.contains("so far") || shown.contains("total 1 files"), "{shown}");
}

#[test]
fn a_reader_that_goes_away_is_no_error_worth_telling() {
    let room = tempfile::tempdir().expect("room");
    let repository = repository_with_a_snapshot(room.path());
    let stead = Peer::at(env!("CARGO_BIN_EXE_stead"));
    let mut command = stead.repository_command(&repository);
    let command = command.args(["dump", "latest", "/"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("runs");
    let mut first = [0; 10];
    child.stdout.take().expect("a pipe").read_exact(&mut first).expect("some bytes");
    let output = child.wait_with_output().expect("ends");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(141));
    assert_eq!(fs::read_dir(repository.join("locks")).expect("locks").count(), 0, "the lock is gone");
}

#[test]
fn ctrl_c_ends_with_130_and_leaves_no_lock() {
    let room = tempfile::tempdir().expect("room");
    let repository = repository_with_a_snapshot(room.path());
    fs::write(room.path().join("large"), sample::random_bytes(3, 256 << 20)).expect("a file");
    let stead = Peer::at(env!("CARGO_BIN_EXE_stead"));
    let mut command = stead.repository_command(&repository);
    // Slow enough to be stopped in the middle.
    let command = command.args(["--limit-upload", "4096", "backup"]).arg(room.path().join("large"));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("runs");
    for _ in 0..300 {
        if fs::read_dir(repository.join("locks")).expect("locks").next().is_some() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    std::thread::sleep(std::time::Duration::from_millis(500));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("a signal");
    let status = child.wait().expect("ends");
    assert_eq!(status.code(), Some(130));
    assert_eq!(fs::read_dir(repository.join("locks")).expect("locks").count(), 0, "the lock is gone");
    stead.succeeds(&repository, ["check", "--read-data"]);
}
