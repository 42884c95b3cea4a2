//! Every command once on real data: what a person sees, and what is left behind.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tempfile::TempDir;
use testkit::{Peer, Picture, sample};

/// A repository with two snapshots of a small folder.
struct Desk {
    room: TempDir,
    stead: Peer,
}

impl Desk {
    fn new() -> Desk {
        let desk = Desk { room: TempDir::new().expect("room"), stead: Peer::at(env!("CARGO_BIN_EXE_stead")) };
        fs::create_dir_all(desk.source().join("folder")).expect("a folder");
        fs::write(desk.source().join("letter.txt"), "Dear client,\n").expect("a file");
        fs::write(desk.source().join("folder/photo"), sample::random_bytes(1, 700_000)).expect("a file");
        desk.says(&["init"]);
        desk.backup(&["--tag", "daily,first"]);
        fs::write(desk.source().join("letter.txt"), "Dear client, again,\n").expect("a file");
        desk.backup(&["--tag", "daily"]);
        desk
    }

    fn source(&self) -> PathBuf {
        self.room.path().join("source")
    }

    fn path(&self, name: &str) -> String {
        self.room.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    fn repository(&self) -> PathBuf {
        self.room.path().join("repository")
    }

    fn run(&self, words: &[&str]) -> Output {
        self.stead.on(&self.repository(), words)
    }

    fn says(&self, words: &[&str]) -> String {
        self.stead.succeeds(&self.repository(), words)
    }

    fn backup(&self, options: &[&str]) -> String {
        let source = self.path("source");
        self.says(&[&["backup"], options, &[source.as_str()]].concat())
    }

    fn ids(&self) -> Vec<String> {
        let printed = self.says(&["snapshots", "--json"]);
        let snapshots: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
        let ids = snapshots.as_array().expect("a list").iter();
        ids.map(|snapshot| snapshot["short_id"].as_str().expect("an id").to_owned()).collect()
    }

    /// A file of the source, as a snapshot names it.
    fn inside(&self, name: &str) -> String {
        self.path(&format!("source/{name}"))
    }
}

#[test]
fn a_backup_tells_what_it_did_and_quiet_ones_do_not() {
    let desk = Desk::new();
    let told = desk.backup(&[]);
    assert!(told.contains("using parent snapshot"), "{told}");
    assert!(told.contains("0 new,     0 changed,     2 unmodified"), "{told}");
    assert!(told.contains("snapshot ") && told.contains(" saved"), "{told}");
    assert_eq!(desk.backup(&["--quiet"]), "");
    assert_eq!(desk.ids().len(), 4);
    let told = desk.backup(&["--dry-run"]);
    assert!(told.contains("Would add"), "{told}");
    assert_eq!(desk.ids().len(), 4, "a dry run writes no snapshot");
}

#[test]
fn nothing_new_is_no_snapshot_if_asked_so() {
    let desk = Desk::new();
    // By a relative path: the folders above are in the snapshot otherwise, and other tests change `/tmp`.
    let backup = || {
        let mut command = desk.stead.repository_command(&desk.repository());
        let command = command.current_dir(desk.room.path()).args(["backup", "--skip-if-unchanged", "source"]);
        String::from_utf8_lossy(&command.output().expect("runs").stdout).into_owned()
    };
    assert!(backup().contains("saved"));
    let told = backup();
    assert!(told.contains("no snapshot was made"), "{told}");
    assert_eq!(desk.ids().len(), 3);
}

#[test]
fn excludes_leave_out_and_what_comes_by_pipe_is_a_file() {
    let desk = Desk::new();
    desk.backup(&["--exclude", "photo", "--exclude-larger-than", "1M"]);
    let listed = desk.says(&["ls", "latest"]);
    assert!(listed.contains("letter.txt") && !listed.contains("photo"), "{listed}");
    let mut command = desk.stead.repository_command(&desk.repository());
    let mut child = command
        .args(["backup", "--stdin", "--stdin-filename", "dump.sql"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("runs");
    child.stdin.take().expect("a pipe").write_all(b"insert into t").expect("a write");
    assert!(child.wait().expect("ends").success());
    assert_eq!(desk.says(&["dump", "latest", "/dump.sql"]), "insert into t");
    desk.says(&["backup", "--stdin-from-command", "--", "printf", "from a command"]);
    assert_eq!(desk.says(&["dump", "latest", "stdin"]), "from a command");
    let failed = desk.run(&["backup", "--stdin-from-command", "--", "false"]);
    assert_eq!(failed.status.code(), Some(1));
}

#[test]
fn lists_of_files_are_read() {
    let desk = Desk::new();
    let list = desk.path("list");
    fs::write(&list, format!("# letters only\n{}\n", desk.inside("*.txt"))).expect("a list");
    desk.says(&["backup", "--files-from", &list]);
    let listed = desk.says(&["ls", "latest"]);
    assert!(listed.contains("letter.txt") && !listed.contains("photo"), "{listed}");
}

#[test]
fn ls_finds_long_sorted_and_for_ncdu() {
    let desk = Desk::new();
    let long = desk.says(&["ls", "-l", "latest", "--sort", "size", "--reverse"]);
    let first = long.lines().nth(1).expect("a line");
    assert!(first.starts_with("-rw") && first.ends_with("photo"), "{long}");
    let ncdu: serde_json::Value = serde_json::from_str(&desk.says(&["ls", "latest", "--ncdu"])).expect("JSON");
    assert_eq!(ncdu[0], 1);
    let folder = desk.says(&["ls", "latest", &desk.inside("folder")]);
    assert!(folder.contains("photo") && !folder.contains("letter.txt"), "{folder}");
}

#[test]
fn find_diff_and_dump_show_what_happened_to_a_letter() {
    let desk = Desk::new();
    let found = desk.says(&["find", "letter*"]);
    assert_eq!(found.matches("Found matching entries in snapshot").count(), 2, "{found}");
    assert_eq!(desk.says(&["find", "no-such-file"]), "");
    let ids = desk.ids();
    let changed = desk.says(&["diff", &ids[0], &ids[1]]);
    assert!(changed.lines().any(|line| line.starts_with("M    ") && line.ends_with("letter.txt")), "{changed}");
    assert!(changed.contains("0 new,     0 removed,     1 changed"), "{changed}");
    assert_eq!(desk.says(&["dump", &ids[0], &desk.inside("letter.txt")]), "Dear client,\n");
    let tar = desk.path("letters.tar");
    desk.says(&["dump", "latest", &desk.inside("folder"), "--target", &tar]);
    assert!(fs::metadata(&tar).expect("an archive").len() > 700_000);
    let missing = desk.run(&["dump", "latest", "/nowhere"]);
    assert_eq!(missing.status.code(), Some(1));
}

#[test]
fn what_was_restored_is_what_was_there() {
    let desk = Desk::new();
    let target = desk.path("target");
    let told = desk.says(&["restore", "latest", "--target", &target, "--verify"]);
    assert!(told.contains("Summary: Restored"), "{told}");
    let below = format!("{target}{}", desk.path("source"));
    Picture::of(&desk.source()).assert_same(&Picture::of(Path::new(&below)));
    fs::write(Path::new(&below).join("stray"), "x").expect("a file");
    let folder = format!("latest:{}", desk.path("source"));
    desk.says(&["restore", &folder, "--target", &below, "--delete"]);
    assert!(!Path::new(&below).join("stray").exists());
    let only = desk.path("only");
    desk.says(&["restore", "latest", "--target", &only, "--include", "letter.txt"]);
    assert!(Path::new(&format!("{only}{}", desk.inside("letter.txt"))).exists());
    assert!(!Path::new(&format!("{only}{}", desk.inside("folder/photo"))).exists());
    let nowhere = desk.run(&["restore", "latest"]);
    assert_eq!(nowhere.status.code(), Some(1));
    let both = desk.run(&["restore", "latest", "--target", &only, "--include", "a", "--exclude", "b"]);
    assert_eq!(both.status.code(), Some(1));
}

#[test]
fn forget_shows_reasons_and_dry_runs_change_nothing() {
    let desk = Desk::new();
    let shown = desk.says(&["forget", "--keep-last", "1", "--dry-run", "--prune"]);
    assert!(shown.contains("keep 1 snapshots:") && shown.contains("last snapshot"), "{shown}");
    assert!(shown.contains("remove 1 snapshots:") && shown.contains("Would have removed"), "{shown}");
    assert_eq!(desk.ids().len(), 2);
    let done = desk.says(&["forget", "--keep-last", "1", "--prune"]);
    assert!(done.contains("1 / 1 snapshots removed") && done.contains("total prune:"), "{done}");
    assert_eq!(desk.ids().len(), 1);
    let refused = desk.run(&["forget"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("hint: "));
    let all = desk.run(&["forget", "--unsafe-allow-remove-all"]);
    assert_eq!(all.status.code(), Some(1), "needs a filter");
    desk.says(&["forget", "--unsafe-allow-remove-all", "--tag", "daily"]);
    assert_eq!(desk.ids().len(), 0);
    desk.says(&["prune"]);
    desk.says(&["check", "--read-data"]);
}

#[test]
fn prune_with_a_delay_marks_first() {
    let desk = Desk::new();
    desk.says(&["forget", "latest"]);
    desk.says(&["prune", "--delay", "48h", "--max-unused", "0"]);
    desk.says(&["check", "--read-data"]);
    desk.backup(&[]);
    desk.says(&["check", "--read-data"]);
}

#[test]
fn keys_come_and_go() {
    let desk = Desk::new();
    let file = desk.path("new-password");
    fs::write(&file, "another\n").expect("a file");
    let added = desk.says(&["key", "add", "--new-password-file", &file, "--user", "anna"]);
    assert!(added.starts_with("saved new key with ID "), "{added}");
    let listed = desk.says(&["key", "list"]);
    assert!(listed.contains("anna") && listed.matches('*').count() == 1, "{listed}");
    let current = listed.lines().find_map(|line| line.strip_prefix('*')).expect("the current one");
    let refused = desk.run(&["key", "remove", &current[..8]]);
    assert_eq!(refused.status.code(), Some(1));
    let id = added.trim().rsplit(' ').next().expect("an id");
    desk.says(&["key", "remove", id]);
    desk.says(&["key", "passwd", "--new-password-file", &file]);
    assert_eq!(desk.run(&["snapshots"]).status.code(), Some(12));
    desk.says(&["--password-file", &file, "snapshots"]);
    desk.says(&["--password-command", &format!("cat {file}"), "snapshots"]);
}

#[test]
fn tags_change_and_the_first_id_is_remembered() {
    let desk = Desk::new();
    let before = desk.ids();
    desk.says(&["tag", "--add", "keep", "--remove", "daily", "latest"]);
    let shown = desk.says(&["snapshots", "--tag", "keep"]);
    assert!(shown.contains("1 snapshots"), "{shown}");
    let after = desk.ids();
    assert_ne!(before, after);
    let stored = desk.says(&["cat", "snapshot", after.iter().find(|id| !before.contains(id)).expect("a new one")]);
    assert!(stored.contains("\"original\""), "{stored}");
    assert_eq!(desk.run(&["tag", "latest"]).status.code(), Some(1));
}

#[test]
fn a_copy_is_made_once() {
    let desk = Desk::new();
    let other = Path::new(&desk.path("other")).to_owned();
    desk.stead.succeeds(&other, ["init"]);
    let mut words = desk.stead.repository_command(&other);
    let from = |command: &mut std::process::Command| {
        let file = desk.path("from-password");
        fs::write(&file, "test").expect("a file");
        command.arg("copy").arg("--from-repo").arg(desk.repository()).arg("--from-password-file").arg(file);
    };
    from(&mut words);
    let first = words.output().expect("runs");
    assert!(first.status.success(), "{first:?}");
    assert!(String::from_utf8_lossy(&first.stdout).contains("2 snapshots copied"), "{first:?}");
    let mut words = desk.stead.repository_command(&other);
    from(&mut words);
    let again = words.output().expect("runs");
    assert!(String::from_utf8_lossy(&again.stdout).contains("0 snapshots copied, 2 were there"), "{again:?}");
    desk.stead.succeeds(&other, ["check", "--read-data"]);
}

#[test]
fn insides_can_be_listed_and_printed() {
    let desk = Desk::new();
    assert_eq!(desk.says(&["list", "snapshots"]).lines().count(), 2);
    assert_eq!(desk.says(&["list", "keys"]).lines().count(), 1);
    assert_eq!(desk.says(&["list", "locks"]), "");
    assert!(desk.says(&["list", "packs"]).lines().count() > 0);
    let blobs = desk.says(&["list", "blobs"]);
    let tree = blobs.lines().find_map(|line| line.strip_prefix("tree ")).expect("a tree");
    assert!(desk.says(&["cat", "blob", tree]).starts_with("{\"nodes\":"));
    assert!(desk.says(&["cat", "tree", "latest"]).starts_with("{\"nodes\":"));
    assert!(desk.says(&["cat", "config"]).contains("chunker_polynomial"));
    assert!(desk.says(&["cat", "masterkey"]).contains("encrypt"));
    assert!(desk.says(&["stats"]).contains("Snapshots processed:  2"));
    assert!(desk.says(&["stats", "--mode", "raw-data"]).contains("Compression"));
    assert_eq!(desk.says(&["unlock"]), "");
    assert!(desk.says(&["version"]).starts_with("stead "));
}

#[test]
fn rabin_repositories_and_shared_cuts_can_be_asked_for() {
    let room = tempfile::tempdir().expect("room");
    let stead = Peer::at(env!("CARGO_BIN_EXE_stead"));
    stead.succeeds(&room.path().join("rabin"), ["init", "--chunker", "rabin"]);
    let mut command = stead.repository_command(&room.path().join("sister"));
    command.env("RESTIC_FROM_PASSWORD", "test").args(["init", "--copy-chunker-params", "--from-repo"]);
    assert!(command.arg(room.path().join("rabin")).status().expect("runs").success());
    let polynomial = |name: &str| {
        let config = stead.succeeds(&room.path().join(name), ["cat", "config"]);
        config.lines().find(|line| line.contains("chunker_polynomial")).map(str::to_owned)
    };
    assert!(polynomial("rabin").is_some());
    assert_eq!(polynomial("rabin"), polynomial("sister"));
}

#[test]
fn manuals_and_completions_come_from_the_binary() {
    let room = tempfile::tempdir().expect("room");
    let run = |option: &str, name: &str| {
        let path = room.path().join(name);
        let status =
            std::process::Command::new(env!("CARGO_BIN_EXE_stead")).args(["generate", option]).arg(&path).status();
        assert!(status.expect("runs").success());
        path
    };
    for shell in ["bash", "fish", "zsh", "powershell"] {
        let script = fs::read_to_string(run(&format!("--{shell}-completion"), shell)).expect("a script");
        assert!(script.contains("stead") && script.contains("snapshots"), "{shell}");
    }
    assert!(run("--man", "man").join("stead-backup.1").is_file());
    assert!(fs::read_to_string(run("--markdown", "pages").join("forget.md")).expect("a page").contains("--keep-daily"));
}

#[test]
fn words_that_contradict_each_other_are_refused() {
    let desk = Desk::new();
    for words in [
        &["backup", "--parent", "latest", "--force", "/tmp"][..],
        &["check", "--read-data", "--read-data-subset", "1/2"],
        &["ls"],
        &["snapshots", "--pack-size", "1"],
        &["snapshots", "-o", "nonsense=1"],
        &["snapshots", "--compression", "zip"],
        &["stats", "--mode", "guess"],
        &["forget", "--keep-last", "-1"],
        &["forget", "--keep-last", "1", "latest"],
        &["snapshots", "--insecure-no-password"],
    ] {
        let output = desk.run(words);
        assert_eq!(output.status.code(), Some(1), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_lock_of_somebody_else_is_exit_code_11() {
    let Some(restic) = Peer::find("restic") else { return };
    let desk = Desk::new();
    // A lock that restic holds while it waits for standard input.
    let mut command = restic.repository_command(&desk.repository());
    let mut holder =
        command.args(["backup", "--stdin"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("runs");
    let locks = desk.repository().join("locks");
    for _ in 0..200 {
        if fs::read_dir(&locks).expect("locks").next().is_some() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let refused = desk.run(&["prune"]);
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(11), "{words}");
    assert!(words.contains("locked") && words.contains("hint: "), "{words}");
    desk.says(&["snapshots"]);
    holder.kill().expect("killed");
    holder.wait().expect("gone");
    assert!(desk.says(&["unlock"]).contains("removed 1 locks"));
    desk.says(&["prune"]);
}

#[test]
fn the_cuts_of_a_gear_repository_are_not_copied_and_it_is_said_why() {
    let desk = Desk::new();
    let from = desk.repository();
    let words = ["init", "--copy-chunker-params", "--from-repo", from.to_str().expect("UTF-8")];
    let mut command = desk.stead.repository_command(Path::new(&desk.path("second")));
    let output = command.args(words).env("RESTIC_FROM_PASSWORD", "test").output().expect("runs");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    for words in ["gear chunker", "made from its id", "leave `--copy-chunker-params` away", "--chunker rabin"] {
        assert!(said.contains(words), "{said}");
    }
    assert!(!Path::new(&desk.path("second")).exists());
}

#[test]
fn a_restore_with_delete_says_first_what_goes() {
    let desk = Desk::new();
    let target = desk.path("target");
    fs::create_dir(&target).expect("a folder");
    fs::write(Path::new(&target).join("mine"), "12345").expect("a file");
    let below = format!("latest:{}", desk.path("source"));
    let restore = ["restore", &below, "--target", &target, "--delete"];
    let said = desk.says(&[&restore[..], &["--dry-run", "-vv"]].concat());
    assert!(said.contains("1 items (5 B) that the snapshot does not have would be deleted"), "{said}");
    assert!(said.contains("deleted   /mine"), "{said}");
    assert!(Path::new(&target).join("mine").exists());
    let said = desk.says(&restore);
    assert!(said.contains("will be deleted"), "{said}");
    assert!(!Path::new(&target).join("mine").exists());
}
