//! Gate 3: system calls that fail, full disks, writers that stand still. Whatever happens, what was reported as written
//! restores with stock restic, and the next run succeeds without help.

use std::process::{Command, Output};
use std::time::Duration;

use testkit::{Peer, Picture, Shop, sample};

const STEAD: &str = env!("CARGO_BIN_EXE_stead");

fn shop_with_a_backup() -> Option<Shop> {
    let mut shop = Shop::open(STEAD)?;
    sample::office(&shop.work(), 1, 80);
    let mut backup = shop.backup();
    shop.succeeds(&mut backup);
    Some(shop)
}

/// A command under strace with one fault injected.
fn under_fault(shop: &Shop, strace: &Peer, fault: &str, words: &[&str]) -> Command {
    let mut command = strace.command();
    shop.surround(&mut command);
    let syscall = fault.split(':').next().expect("a system call");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={syscall}"), "-e", &format!("inject={fault}")]);
    command.arg(shop.program()).args(words);
    command
}

fn errors_in(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The result of a run under a fault must be honest: success is a promise, failure has words and no panic.
fn note_outcome(shop: &mut Shop, fault: &str, output: &Output, work: Picture) {
    let words = errors_in(output);
    assert!(!words.contains("panicked"), "{fault}: {words}");
    match output.status.code() {
        Some(0) => shop.promise(output, work),
        // 127 is the dynamic loader's: the program did not start.
        Some(1 | 3 | 10 | 11 | 12 | 127) => assert!(!words.trim().is_empty(), "{fault}: failed without a word"),
        other => panic!("{fault}: ended with {other:?}: {words}"),
    }
}

/// F23: Borg damaged its segments and metadata when a write in their midst failed.
#[test]
fn a_system_call_that_fails_never_makes_a_false_promise() {
    let Some(strace) = Peer::find("strace") else { return };
    let Some(mut shop) = shop_with_a_backup() else { return };
    let work = shop.work();
    let work = work.to_str().expect("UTF-8").to_owned();
    let mut seed = 0;
    for syscall in [
        "write",
        "pwrite64",
        "fsync",
        "renameat2",
        "rename",
        "linkat",
        "openat",
        "read",
        "pread64",
        "getdents64",
        "statx",
    ] {
        for (error, when) in [("EIO", "3"), ("ENOSPC", "2+5"), ("EINTR", "1+2"), ("EDQUOT", "7"), ("EIO", "20+")] {
            seed += 1;
            sample::a_day_of_work(&shop.work(), seed, 12);
            let fault = format!("{syscall}:error={error}:when={when}");
            let before = Picture::of(&shop.work());
            let output = under_fault(&shop, &strace, &fault, &["backup", "--json", &work]).output().expect("runs");
            note_outcome(&mut shop, &fault, &output, before);
            let mut backup = shop.backup();
            shop.succeeds(&mut backup);
        }
        shop.every_promise_is_kept();
        let mut forget = shop.stead(["forget", "--keep-last", "2", "--prune"]);
        shop.succeeds(&mut forget);
        shop.forgot_all_but(2);
    }
}

/// F23: the same for what deletes.
#[test]
fn a_prune_whose_system_calls_fail_harms_nothing() {
    let Some(strace) = Peer::find("strace") else { return };
    let Some(mut shop) = shop_with_a_backup() else { return };
    for (number, syscall) in
        ["write", "pwrite64", "fsync", "unlinkat", "unlink", "renameat2", "pread64", "openat"].iter().enumerate()
    {
        for (error, when) in [("EIO", "2"), ("ENOSPC", "1+3"), ("EIO", "9+")] {
            sample::a_day_of_work(&shop.work(), number as u64, 4);
            let mut backup = shop.backup();
            shop.succeeds(&mut backup);
            let fault = format!("{syscall}:error={error}:when={when}");
            let rule = ["forget", "--keep-last", "2", "--prune", "--max-unused", "0"];
            let output = under_fault(&shop, &strace, &fault, &rule).output().expect("runs");
            assert!(!errors_in(&output).contains("panicked"), "{fault}: {}", errors_in(&output));
            shop.forgot_all_but(2);
        }
        let mut prune = shop.stead(["prune"]);
        shop.succeeds(&mut prune);
        shop.every_promise_is_kept();
    }
}

#[test]
fn a_write_that_lies_about_its_length_is_noticed() {
    let Some(strace) = Peer::find("strace") else { return };
    let Some(mut shop) = shop_with_a_backup() else { return };
    let work = shop.work();
    let work = work.to_str().expect("UTF-8").to_owned();
    for (seed, syscall) in ["write", "pwrite64", "writev", "pwritev"].iter().enumerate() {
        sample::a_day_of_work(&shop.work(), 50 + seed as u64, 6);
        let before = Picture::of(&shop.work());
        // One byte, because a system that says that it wrote more than it was given breaks every program.
        let fault = format!("{syscall}:retval=1:when=2+3");
        let output = under_fault(&shop, &strace, &fault, &["backup", "--json", &work]).output().expect("runs");
        note_outcome(&mut shop, &fault, &output, before);
        let mut backup = shop.backup();
        shop.succeeds(&mut backup);
    }
    shop.every_promise_is_kept();
}

/// F25: a repository without room ends a backup; no source file is to blame, and nothing is passed over.
#[test]
fn a_full_disk_is_the_repositorys_fault_and_room_is_all_that_helps() {
    let Some(small) = SmallDisk::mount("20m") else { return };
    let Some(mut shop) = Shop::open(STEAD) else { return };
    sample::office(&shop.work(), 3, 40);
    let repository = small.path().join("repository");
    let on_small_disk = |shop: &Shop, words: &[&str]| {
        let mut command = shop.stead(words.iter().copied());
        command.env("RESTIC_REPOSITORY", &repository).env("RESTIC_PASSWORD", "test");
        command
    };
    let mut init = on_small_disk(&shop, &["init"]);
    shop.succeeds(&mut init);
    std::fs::write(shop.work().join("large"), sample::random_bytes(1, 40 << 20)).expect("a file");
    let work = shop.work();
    let work = work.to_str().expect("UTF-8").to_owned();
    let output = on_small_disk(&shop, &["backup", &work]).output().expect("runs");
    let words = errors_in(&output);
    assert_eq!(output.status.code(), Some(1), "{words}");
    assert!(words.contains("No space left") || words.contains("full"), "{words}");
    std::fs::remove_file(shop.work().join("large")).expect("a file");
    let mut prune = on_small_disk(&shop, &["prune"]);
    shop.succeeds(&mut prune);
    let mut check = on_small_disk(&shop, &["check", "--read-data"]);
    shop.succeeds(&mut check);
}

/// F3: `restic prune` beside rustic's backup, which knows no locks, deleted fourteen packs that were needed.
#[test]
fn a_writer_that_stands_still_while_others_prune_ends_well_or_refuses_clearly() {
    let Some(mut shop) = shop_with_a_backup() else { return };
    for round in 0..6 {
        sample::a_day_of_work(&shop.work(), 70 + round, 2);
        let before = Picture::of(&shop.work());
        let mut backup = shop.backup();
        let writer =
            backup.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().expect("runs");
        std::thread::sleep(Duration::from_millis(60 + 60 * round));
        let pid = rustix::process::Pid::from_raw(writer.id() as i32).expect("a pid");
        _ = rustix::process::kill_process(pid, rustix::process::Signal::STOP);
        if round % 2 == 0 {
            _ = shop.restic(["prune", "--max-unused", "0"]).output().expect("runs");
        } else {
            _ = shop.stead(["prune", "--delay", "0s", "--max-unused", "0"]).output().expect("runs");
        }
        _ = rustix::process::kill_process(pid, rustix::process::Signal::CONT);
        let output = writer.wait_with_output().expect("a child");
        note_outcome(&mut shop, "SIGSTOP", &output, before);
        shop.every_promise_is_kept();
    }
}

/// Stops a program, lets `meanwhile` happen, and lets it go on to its end.
fn while_it_stands_still(mut command: Command, before: Duration, meanwhile: impl FnOnce()) -> Output {
    use rustix::process::{Pid, Signal, kill_process};
    let running =
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().expect("runs");
    std::thread::sleep(before);
    let pid = Pid::from_raw(running.id() as i32).expect("a pid");
    _ = kill_process(pid, Signal::STOP);
    meanwhile();
    _ = kill_process(pid, Signal::CONT);
    running.wait_with_output().expect("a child")
}

/// F3: rustic marks what it finds unused without asking for locks. A writer that stood still meanwhile, and relies on what
/// a forgotten snapshot left behind, loses nothing: the next prune takes back what was marked.
#[test]
fn a_writer_that_stands_still_while_rustic_prunes_ends_well() {
    let Some(rustic) = Peer::find("rustic") else { return };
    let Some(mut shop) = shop_with_a_backup() else { return };
    for round in 0..6 {
        // Nothing but the writer's own knowledge of the index keeps these blobs.
        for id in shop.snapshots() {
            shop.restic_succeeds(["forget", &id]);
        }
        shop.forgot_all_but(0);
        let before = Picture::of(&shop.work());
        let mut backup = shop.backup();
        backup.arg("--force");
        let mut prune = rustic.command();
        shop.surround(&mut prune);
        prune
            .env("RUSTIC_REPOSITORY", shop.repository())
            .env("RUSTIC_PASSWORD_FILE", shop.password_file())
            .env("RUSTIC_NO_CACHE", "true")
            .args(["prune", "--max-unused", "0%", "--keep-delete", "1d"]);
        let output = while_it_stands_still(backup, Duration::from_millis(40 + 50 * round), || {
            let pruned = prune.output().expect("runs");
            assert!(pruned.status.success(), "{}", errors_in(&pruned));
        });
        note_outcome(&mut shop, "SIGSTOP", &output, before);
        let mut prune = shop.stead(["prune", "--delay", "48h", "--max-unused", "0"]);
        shop.succeeds(&mut prune);
        shop.every_promise_is_kept();
    }
}

/// F36: bupstash fell over its local log when the disk was full. A machine without room for a cache backs up, checks,
/// prunes and restores as any other.
#[test]
fn a_full_disk_under_the_cache_fails_nothing() {
    let Some(small) = SmallDisk::mount("256k") else { return };
    let Some(mut shop) = Shop::open(STEAD) else { return };
    sample::office(&shop.work(), 5, 60);
    let fill = || _ = std::fs::write(small.path().join("filler"), vec![0; 1 << 20]);
    fill();
    for round in 0..3 {
        sample::a_day_of_work(&shop.work(), round, 5);
        for words in [&["backup", "--json", shop.work().to_str().expect("UTF-8")][..], &["check", "--read-data"]] {
            let mut command = shop.stead(words.iter().copied());
            command.env("XDG_CACHE_HOME", small.path());
            shop.succeeds(&mut command);
            fill();
        }
    }
    let mut forget = shop.stead(["forget", "--keep-last", "1", "--prune", "--max-unused", "0"]);
    shop.succeeds(forget.env("XDG_CACHE_HOME", small.path()));
    shop.forgot_all_but(1);
    let target = shop.room().join("restored");
    let below = format!("latest:{}", shop.work().display());
    let mut restore = shop.stead(["restore", &below, "--target", target.to_str().expect("UTF-8")]);
    shop.succeeds(restore.env("XDG_CACHE_HOME", small.path()));
    Picture::of(&shop.work()).assert_same(&Picture::of(&target));
    shop.every_promise_is_kept();
}

#[test]
fn a_pack_that_came_back_damaged_is_found_and_named() {
    let Some(mut shop) = shop_with_a_backup() else { return };
    let pack = first_file(&shop.repository().join("data"));
    let mut content = std::fs::read(&pack).expect("a pack");
    let middle = content.len() / 2;
    content[middle] ^= 1;
    std::fs::remove_file(&pack).expect("a pack");
    std::fs::write(&pack, content).expect("a pack");
    let output = shop.stead(["check", "--read-data"]).output().expect("runs");
    assert_eq!(output.status.code(), Some(1));
    let name = pack.file_name().expect("a name").to_str().expect("hexadecimal");
    assert!(errors_in(&output).contains(&name[..8]), "{}", errors_in(&output));
    let mut backup = shop.backup();
    shop.succeeds(backup.arg("--force"));
}

fn first_file(folder: &std::path::Path) -> std::path::PathBuf {
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_file() {
                return path;
            }
            folders.push(path);
        }
    }
    panic!("no file in {}", folder.display());
}

/// A tmpfs of limited size.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(size: &str) -> Option<SmallDisk> {
        let folder = tempfile::TempDir::new().expect("room");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(folder.path())
            .status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(SmallDisk(folder));
        }
        testkit::peer::skip("a small tmpfs cannot be mounted; run as root");
        None
    }

    fn path(&self) -> &std::path::Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}
