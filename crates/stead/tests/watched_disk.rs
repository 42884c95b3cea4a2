//! Disks that are watched: their next image reads what was written since, whatever happened meanwhile.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use testkit::bench::succeeded;
use testkit::loop_device::{is_root_or_skip, succeeds};
use testkit::{Bench, LoopDevice, Mounted, sample};

const MIB: u64 = 1 << 20;

/// A mounted disk that may be watched, and repositories beside it.
struct Desk {
    mounted: Option<Mounted>,
    device: LoopDevice,
    bench: Bench,
}

impl Desk {
    /// None if this is not for root.
    fn new(size: u64) -> Option<Desk> {
        if !is_root_or_skip() {
            return None;
        }
        let bench = Bench::new(env!("CARGO_BIN_EXE_stead"));
        let device = LoopDevice::create(&bench.at("disk"), size);
        // The manifest counts what is in use in units of 4096 bytes, and what is not in use may be what it was.
        succeeds("mkfs.ext4", &["-q", "-b", "4096", "-E", "lazy_itable_init=0", device.name()]);
        let mounted = Some(Mounted::new(device.name(), &bench.at("mounted")));
        Some(Desk { mounted, device, bench })
    }

    fn disk(&self) -> &str {
        self.device.name()
    }

    /// What a command prints on another repository.
    fn does_at(&self, repository: &str, words: &[&str]) -> String {
        succeeded(&self.bench.command_at(repository, words).output().expect("runs"))
    }

    /// The last message and those before it.
    fn messages(&self, words: &[&str]) -> (Value, Vec<Value>) {
        let mut all = self.bench.messages(words);
        (all.pop().expect("a message"), all)
    }

    fn backup(&self) -> Value {
        self.messages(&["disk", "backup", self.disk()]).0
    }

    /// Why the next image reads everything.
    fn backup_says_why(&self) -> (Value, String) {
        let (summary, before) = self.messages(&["disk", "backup", self.disk()]);
        let base = before.iter().find(|message| message["message_type"] == "base").expect("what it continues");
        (summary, base["reason"].as_str().expect("a reason").to_owned())
    }

    fn watched(&self) -> Value {
        let (all, _) = self.messages(&["disk", "watch", "--list"]);
        let name = self.disk().trim_start_matches("/dev/");
        let mut disks = all["disks"].as_array().expect("a list").iter();
        disks.find(|one| one["disk"] == name).cloned().unwrap_or(Value::Null)
    }

    /// Changes so many chunks, far from each other.
    fn change_chunks(&self, file: &str, seed: u64, count: u64) {
        let file = File::options().write(true).open(self.bench.at("mounted").join(file)).expect("a file");
        for number in 0..count {
            let bytes = sample::random_bytes(seed + number, 4096);
            file.write_all_at(&bytes, number * 2 * MIB + 4096).expect("written");
        }
        file.sync_all().expect("synced");
    }

    fn write(&self, name: &str, seed: u64, bytes: u64) {
        let path = self.bench.at("mounted").join(name);
        fs::write(&path, sample::random_bytes(seed, bytes as usize)).expect("a file");
        File::open(path).and_then(|file| file.sync_all()).expect("synced");
    }

    fn restored(&self, repository: &str, name: &str) -> Vec<u8> {
        let target = self.bench.path(name);
        self.does_at(repository, &["disk", "restore", "latest", &target]);
        fs::read(target).expect("the image")
    }

    /// What the newest image says is in use.
    fn used(&self, repository: &str) -> Vec<Range<usize>> {
        let manifest = self.does_at(repository, &["dump", "latest", "/manifest.json"]);
        let manifest: Value = serde_json::from_str(&manifest).expect("JSON");
        let used = &manifest["disks"][0]["used"];
        let unit = number(&used["unit"]) as usize;
        let runs: Vec<usize> = used["runs"].as_array().expect("runs").iter().map(|run| number(run) as usize).collect();
        let mut at = 0;
        let ranges = runs.chunks(2).map(|pair| {
            let start = at + pair[0] * unit;
            at = start + pair[1] * unit;
            start..at
        });
        ranges.collect()
    }

    /// Unmounts; the newest image, made once more, is what an image from nothing would be.
    fn ends_as_a_first_image_would(mut self) {
        self.mounted = None;
        let last = self.backup();
        assert_eq!(last["capture"]["provider"], "tracker", "{last}");
        let ours = self.restored("repository", "ours");
        self.bench.says(&["disk", "unwatch", self.disk()]);
        self.does_at("other", &["init"]);
        self.does_at("other", &["disk", "backup", self.disk()]);
        let theirs = self.restored("other", "theirs");
        assert_eq!(ours.len(), theirs.len());
        for used in self.used("other") {
            assert!(ours[used.clone()] == theirs[used.clone()], "the images differ within {used:?}");
        }
        succeeds("e2fsck", &["-fn", &self.bench.path("ours")]);
        assert_eq!(self.watched(), Value::Null);
    }
}

impl Drop for Desk {
    /// Whatever failed, no tracker is left behind.
    fn drop(&mut self) {
        if std::thread::panicking() {
            _ = self.bench.command(&["disk", "unwatch", self.disk()]).output();
        }
    }
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// True if the tracker was found to have lost something, as happens on some kernels now and then: then everything was read.
fn was_distrusted(summary: &Value) -> bool {
    summary["base"].is_null() || number(&summary["capture_details"]["full_compares"]) > 0
}

/// The image continues that snapshot and read little, unless the tracker is to be distrusted.
fn continues(summary: &Value, base: &Value, most: u64) {
    if !was_distrusted(summary) {
        assert_eq!(&summary["base"], base, "{summary}");
        assert!(number(&summary["bytes_read"]) < most, "{summary}");
    }
}

/// Starts a command and waits until it says `word`.
fn until_it_says(mut command: Command, word: &str) -> Child {
    let mut child = command.arg("--json").stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("starts");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    assert!(lines.any(|line| line.expect("a line").contains(word)), "it never says {word}");
    // Whatever it says from now on goes nowhere, and must not stop it.
    std::thread::spawn(move || lines.for_each(drop));
    child
}

#[test]
fn the_next_image_of_a_watched_disk_reads_and_sends_what_was_written_since() {
    let Some(desk) = Desk::new(256 * MIB) else { return };
    desk.write("large", 1, 64 * MIB);
    desk.bench.says(&["disk", "watch", desk.disk()]);
    let (first, why) = desk.backup_says_why();
    assert!(why.contains("not been imaged"), "{why}");
    assert!(number(&first["bytes_read"]) > 64 * MIB);
    let watched = desk.watched();
    assert!(watched["since"].is_string() && watched["base"] == first["snapshot_id"], "{watched}");

    desk.change_chunks("large", 100, 10);
    assert!(number(&desk.watched()["changed"]) >= 10 * (64 << 10));
    let second = desk.backup();
    continues(&second, &first["snapshot_id"], 24 * MIB);
    // Ten chunks of 1 MiB, some of the file system's own, and trees of about 37 KB.
    assert!(number(&second["data_added"]) < 20 * MIB, "{}", second["data_added"]);
    assert!(number(&desk.watched()["changed"]) < MIB);

    let third = desk.backup();
    continues(&third, &second["snapshot_id"], 8 * MIB);
    assert!(number(&third["data_added"]) < 6 * MIB, "{third}");
    desk.change_chunks("large", 200, 3);
    fs::remove_file(desk.bench.at("mounted/large")).expect("removed");
    desk.write("another", 2, 20 * MIB);
    continues(&desk.backup(), &third["snapshot_id"], 48 * MIB);
    desk.ends_as_a_first_image_would();
}

#[test]
fn an_increment_that_is_killed_is_taken_up() {
    let Some(desk) = Desk::new(384 * MIB) else { return };
    desk.write("large", 1, 128 * MIB);
    desk.bench.says(&["disk", "watch", desk.disk()]);
    let first = desk.backup();
    desk.write("large", 2, 128 * MIB);
    for round in 0..3 {
        // Slow enough that it cannot end.
        let slow = desk.bench.command(&["disk", "backup", desk.disk(), "--limit-upload", "2000", "--pack-size", "4"]);
        let mut child = until_it_says(slow, "bytes_new");
        child.kill().expect("killed");
        child.wait().expect("ended");
        desk.change_chunks("large", 300 + round, 5);
        fs::write(desk.bench.at("mounted").join(format!("round-{round}")), "small").expect("a file");
    }
    fs::remove_file(desk.bench.at("mounted/round-1")).expect("removed");
    let (summary, before) = desk.messages(&["disk", "backup", desk.disk()]);
    continues(&summary, &first["snapshot_id"], 200 * MIB);
    assert!(before.iter().any(|message| message["message_type"] == "resumed"), "{before:?}");
    desk.ends_as_a_first_image_would();
}

#[test]
fn after_the_tracker_is_gone_everything_is_read_and_compared() {
    let Some(desk) = Desk::new(192 * MIB) else { return };
    desk.write("large", 1, 48 * MIB);
    desk.bench.says(&["disk", "watch", desk.disk()]);
    desk.backup();
    // As a restart of the machine does.
    desk.bench.says(&["disk", "unwatch", desk.disk()]);
    desk.change_chunks("large", 50, 4);
    desk.bench.says(&["disk", "watch", desk.disk()]);
    let (summary, why) = desk.backup_says_why();
    assert!(why.contains("not been imaged since"), "{why}");
    assert!(number(&summary["bytes_read"]) > 48 * MIB && number(&summary["data_added"]) < 16 * MIB, "{summary}");
    desk.ends_as_a_first_image_would();
}

#[test]
fn what_another_repository_has_is_no_base() {
    let Some(desk) = Desk::new(128 * MIB) else { return };
    desk.bench.says(&["disk", "watch", desk.disk()]);
    desk.does_at("elsewhere", &["init"]);
    desk.does_at("elsewhere", &["disk", "backup", desk.disk()]);
    let (_, why) = desk.backup_says_why();
    assert!(why.contains("not in this repository") || why.contains("the kernel counts"), "{why}");
    // The same disk under another name is another disk.
    let named = desk.messages(&["disk", "backup", desk.disk(), "--name", "office"]);
    assert!(
        named.1.iter().any(|message| message["message_type"] == "base" && message["reason"].is_string()),
        "{named:?}"
    );
    desk.bench.says(&["disk", "unwatch", desk.disk()]);
}

#[test]
fn a_tracker_that_lost_writes_is_not_believed() {
    let Some(desk) = Desk::new(192 * MIB) else { return };
    desk.write("large", 1, 32 * MIB);
    desk.bench.says(&["disk", "watch", desk.disk()]);
    desk.backup();
    let name = desk.watched()["name"].as_str().expect("a name").to_owned();
    fs::remove_file(Path::new("/sys/fs/bpf/stead").join(name).join("link")).expect("taken away");
    desk.change_chunks("large", 70, 4);
    assert_eq!(desk.watched()["is_attached"], false);
    let (summary, why) = desk.backup_says_why();
    assert!(why.contains("not been imaged since it is watched"), "{why}");
    assert!(number(&summary["bytes_read"]) > 32 * MIB, "{summary}");
    assert_eq!(desk.watched()["is_attached"], true);
    desk.ends_as_a_first_image_would();
}

#[test]
fn ctrl_c_leaves_a_tracker_that_is_shown_and_can_be_taken_away() {
    let Some(desk) = Desk::new(192 * MIB) else { return };
    desk.write("large", 1, 64 * MIB);
    let slow = desk.bench.command(&["disk", "backup", desk.disk(), "--limit-upload", "2000", "--pack-size", "4"]);
    let mut child = until_it_says(slow, "bytes_new");
    succeeds("kill", &["-INT", &child.id().to_string()]);
    assert_eq!(child.wait().expect("ended").code(), Some(130));
    let kept = desk.watched();
    assert!(kept["since"].is_null() && kept["is_attached"] == true, "{kept}");
    assert!(desk.bench.says(&["disk", "watch"]).contains("an image that was begun"));
    desk.bench.says(&["disk", "unwatch", desk.disk()]);
    assert_eq!(desk.watched(), Value::Null);
    let said = desk.bench.command(&["disk", "unwatch", desk.disk()]).output().expect("runs");
    assert!(String::from_utf8_lossy(&said.stderr).contains("is not watched"));
    // Without it, everything is read again, and only what is missing is sent.
    let summary = desk.backup();
    assert_eq!(number(&summary["bytes_resumed"]), 0);
    assert_eq!(desk.watched(), Value::Null);
}

#[test]
fn several_disks_become_one_snapshot_of_one_instant() {
    let Some(desk) = Desk::new(128 * MIB) else { return };
    let other = LoopDevice::create(&desk.bench.at("second disk"), 96 * MIB);
    succeeds("mkfs.ext4", &["-q", other.name()]);
    let mounted = Mounted::new(other.name(), &desk.bench.at("mounted too"));
    desk.write("here", 5, 8 * MIB);
    fs::write(desk.bench.at("mounted too/there"), sample::random_bytes(6, 8 * MIB as usize)).expect("a file");
    desk.bench.says(&["disk", "watch", desk.disk(), other.name()]);
    let names = ["--name", "one", "--name", "two"];
    let both = [&["disk", "backup", desk.disk(), other.name()][..], &names].concat();
    let (first, _) = desk.messages(&both);
    assert_eq!(first["disks"].as_array().map(Vec::len), Some(2), "{first}");
    assert!(first["disks"][1]["disk"] == "two" && first["disks"][1]["capture"]["consistency"] == "frozen");
    desk.write("here", 7, 2 * MIB);
    let (second, _) = desk.messages(&both);
    second["disks"].as_array().expect("disks").iter().for_each(|disk| continues(disk, &first["snapshot_id"], 64 * MIB));
    assert!(number(&second["data_added"]) < 12 * MIB, "{second}");
    for (name, file, content) in [("one", "here", (7, 2 * MIB)), ("two", "there", (6, 8 * MIB))] {
        let image = desk.bench.path(name);
        desk.bench.says(&["disk", "restore", &format!("latest:{name}"), &image]);
        succeeds("e2fsck", &["-fn", &image]);
        let device = LoopDevice::attach(Path::new(&image));
        let place = Mounted::new(device.name(), &desk.bench.at(&format!("{name} again")));
        let read = fs::read(desk.bench.at(&format!("{name} again")).join(file)).expect("content");
        assert!(read == sample::random_bytes(content.0, content.1 as usize), "{file}");
        drop(place);
    }
    let refused =
        desk.bench.command(&["disk", "backup", desk.disk(), other.name(), "--name", "x"]).output().expect("runs");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("1 names for 2 disks"));
    let twins = desk.bench.command(&["disk", "backup", desk.disk(), desk.disk()]).output().expect("runs");
    assert!(String::from_utf8_lossy(&twins.stderr).contains("would both be called"));
    let (last, _) = desk.messages(&["disk", "backup", desk.disk(), other.name(), "--separate"]);
    assert_eq!(last["disks"].as_array().map(Vec::len), Some(1));
    desk.bench.says(&["disk", "unwatch", desk.disk(), other.name()]);
    drop(mounted);
}
