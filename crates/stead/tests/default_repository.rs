//! The first backup of somebody who set nothing up.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

/// A fresh home.
struct Home(TempDir);

impl Home {
    fn new() -> Home {
        let home = Home(TempDir::new().expect("room"));
        fs::create_dir(home.path("Documents")).expect("a folder");
        fs::write(home.path("Documents/letter"), "Dear client,\n").expect("a file");
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stead"));
        for (name, _) in std::env::vars_os() {
            let shown = name.to_string_lossy();
            if shown.starts_with("RESTIC_") || shown.starts_with("STEAD_") || shown.starts_with("XDG_") {
                command.env_remove(&name);
            }
        }
        command.env("HOME", self.0.path()).current_dir(self.0.path()).args(words).output().expect("runs")
    }

    fn says(&self, words: &[&str]) -> String {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

#[test]
fn the_first_backup_needs_no_set_up_and_says_what_to_keep() {
    let home = Home::new();
    let told = home.says(&["backup", "Documents"]);
    let password = home.path(".local/share/stead/password");
    assert!(told.contains(password.to_str().expect("UTF-8")), "{told}");
    assert!(told.contains("Keep a copy") && told.contains("-r "), "{told}");
    assert_eq!(fs::metadata(&password).expect("a file").permissions().mode() & 0o777, 0o600);
    let again = home.says(&["backup", "Documents"]);
    assert!(!again.contains("Keep a copy"), "{again}");
    assert!(home.says(&["snapshots"]).contains("2 snapshots"));
    home.says(&["check"]);
    home.says(&["restore", "latest", "--target", "restored"]);
    assert_eq!(fs::read_to_string(home.path("restored/Documents/letter")).expect("a letter"), "Dear client,\n");
}

#[test]
fn a_backup_of_everything_leaves_its_own_repository_out_and_says_so() {
    let home = Home::new();
    let told = home.says(&["backup", "."]);
    assert!(told.contains("leaving out") && told.contains("stead/repository"), "{told}");
    let listed = home.says(&["ls", "latest"]);
    assert!(listed.contains("/Documents/letter"), "{listed}");
    assert!(!listed.contains("stead/repository/"), "{listed}");
}

#[test]
fn without_a_repository_other_commands_say_how_to_get_one() {
    let home = Home::new();
    for command in [&["snapshots"][..], &["check"], &["init"], &["restore", "latest", "--target", "x"]] {
        let output = home.run(command);
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{words}");
        assert!(words.contains("stead backup PATH"), "{words}");
    }
    assert!(!home.path(".local/share/stead").exists());
}

#[test]
fn a_lost_password_file_is_named() {
    let home = Home::new();
    home.says(&["backup", "Documents"]);
    fs::rename(home.path(".local/share/stead/password"), home.path("elsewhere")).expect("moved");
    let output = home.run(&["snapshots"]);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(words.contains("stead/password") && words.contains("hint: put the file back"), "{words}");
    home.says(&["snapshots", "--password-file", "elsewhere"]);
}

#[test]
fn with_json_the_welcome_is_on_the_other_stream() {
    let home = Home::new();
    let output = home.run(&["--json", "backup", "Documents"]);
    assert!(output.status.success());
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        serde_json::from_str::<serde_json::Value>(line).expect("nothing but JSON");
    }
    assert!(String::from_utf8_lossy(&output.stderr).contains("Keep a copy"));
}
