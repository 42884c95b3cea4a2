//! A guest with stead in it, a repository that the guest and this machine share, and somebody who writes.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use testkit::loop_device::{is_root_or_skip, succeeds};
use testkit::writer::{Writer, is_of_one_instant};
use testkit::{Guest, Kernel, LoopDevice, Machine, Mounted, Peer};

/// How long anything in a guest may take, on a machine that has other things to do.
const LIMIT: Duration = Duration::from_secs(600);

/// Set in the guest's process that is to write into that folder.
const WRITES: &str = "STEAD_TEST_WRITES";

/// Set in the guest's process that is to look at that folder, with the numbers that it expects.
const LOOKS: &str = "STEAD_TEST_LOOKS";

/// What the guest's scripts begin with.
const BEGIN: &str = "export RESTIC_REPOSITORY=/shared/repository RESTIC_PASSWORD=test XDG_STATE_HOME=/shared/state\n";

/// Not a test by itself: what runs in a guest, until it is killed.
#[test]
fn somebody_who_writes() {
    let Some(folder) = std::env::var_os(WRITES) else { return };
    let _writer = Writer::start(Path::new(&folder));
    loop {
        std::thread::park();
    }
}

/// A machine that has stead.
pub(crate) struct Stead {
    machine: Machine,
    room: TempDir,
}

impl Stead {
    /// With one disk of that size, as `/dev/vda`; `None` is a skip.
    pub(crate) fn new(kernel: Kernel, size: u64) -> Option<Stead> {
        if !is_root_or_skip() {
            return None;
        }
        let room = tempfile::tempdir().expect("room");
        let tests = std::env::current_exe().expect("this program");
        let shared = room.path().join("shared");
        std::fs::create_dir(&shared).expect("a folder");
        let machine = Machine::find(kernel)?.disk(room.path().join("disk"), size).shared(&shared);
        let machine = machine.program(env!("CARGO_BIN_EXE_stead"), "stead").program(tests, "tests");
        Some(Stead { machine, room })
    }

    /// One disk more.
    pub(crate) fn disk(self, name: &str, size: u64) -> Stead {
        Stead { machine: self.machine.disk(self.room.path().join(name), size), room: self.room }
    }

    pub(crate) fn boot(&self) -> Guest {
        let guest = self.machine.boot();
        eprintln!("root made in {:?}, booted in {:?}", guest.root_made_in(), guest.booted_in());
        guest
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.room.path().join(name)
    }

    /// Runs stead here, on the same repository.
    pub(crate) fn here(&self, words: &[&str]) -> String {
        Peer::at(env!("CARGO_BIN_EXE_stead")).succeeds(&self.path("shared/repository"), words)
    }

    /// An image as a file.
    pub(crate) fn restored(&self, image: &str) -> PathBuf {
        let file = self.path("restored");
        let _ = std::fs::remove_file(&file);
        self.restore_onto(image, "restored");
        file
    }

    /// An image as the content of a file, such as one that is a disk of the guest.
    pub(crate) fn restore_onto(&self, image: &str, name: &str) {
        let (file, state) = (self.path(name), self.path("state"));
        let (file, state) = (file.to_str().expect("UTF-8"), state.to_str().expect("UTF-8"));
        self.here(&["disk", "restore", image, file, "--yes-overwrite", name, "--state-dir", state]);
    }
}

/// Runs a script with stead's settings; every command must succeed.
pub(crate) fn does(guest: &mut Guest, script: &str) -> String {
    let begin = Instant::now();
    let said = guest.succeeds(&format!("{BEGIN}{script}"), LIMIT);
    eprintln!("{:.1} s: {}", begin.elapsed().as_secs_f64(), script.lines().last().unwrap_or_default());
    said
}

/// As [`does`], and the command is to fail; what it said.
pub(crate) fn refuses(guest: &mut Guest, script: &str) -> String {
    let ran = guest.run(&format!("{BEGIN}{script}"), LIMIT);
    assert!(ran.status != 0 && !ran.output.contains("panicked"), "{script}: {}", ran.output);
    ran.output
}

/// Somebody who writes below `/mnt` of a guest.
pub(crate) struct Busy;

impl Busy {
    pub(crate) fn start(guest: &mut Guest) -> Busy {
        let run = "tests machine::somebody_who_writes --exact --nocapture >/tmp/writer 2>&1 & echo $! >/tmp/writer.pid";
        let until = "until [ -s /mnt/two ] && ls /mnt/small | grep -q file-; do";
        let lives = "kill -0 $(cat /tmp/writer.pid) || { cat /tmp/writer; exit 1; }; sleep 0.1; done";
        does(guest, &format!("mkdir -p /mnt/boot\n{WRITES}=/mnt {run}\n{until} {lives}"));
        Busy
    }

    /// The number that is written just now.
    pub(crate) fn number(&self, guest: &mut Guest) -> u64 {
        does(guest, "cat /mnt/one").trim().parse().expect("a number")
    }

    pub(crate) fn stop(self, guest: &mut Guest) {
        // A process that was killed is gone when nothing has its files open.
        does(guest, "kill -9 $(cat /tmp/writer.pid)\nuntil umount /mnt; do sleep 0.1; done");
    }
}

/// Makes a filesystem on a device, and has somebody write into it.
pub(crate) fn busy_with(guest: &mut Guest, kind: &str, device: &str) -> Busy {
    let quiet = if kind == "ext4" { "-q" } else { "-fq" };
    does(guest, &format!("mkfs.{kind} {quiet} {device}\nmount -t {kind} {device} /mnt"));
    Busy::start(guest)
}

/// What `stead disk backup` told at its end.
pub(crate) fn backup(guest: &mut Guest, words: &str) -> Value {
    let said = does(guest, &format!("stead disk backup --json --no-cache {words}"));
    let line = said.lines().rev().find(|line| line.contains("\"summary\"")).unwrap_or_else(|| panic!("{said}"));
    let summary: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {said}"));
    let capture = &summary["capture"];
    eprintln!("captured: {capture}, {} s; {}", summary["total_duration"], summary["capture_details"]);
    summary
}

/// Nothing of ours is in the guest's kernel or its volume groups.
pub(crate) fn nothing_is_left(guest: &mut Guest) {
    let said = does(
        guest,
        "dmsetup ls; lvs --noheadings -o lv_full_name 2>/dev/null; ls /sys/fs/bpf/stead 2>/dev/null || true",
    );
    assert!(!said.contains("stead"), "{said}");
}

/// Not a test by itself: what looks at a writer's folder in a guest.
#[test]
fn somebody_who_looks() {
    let Some(text) = std::env::var(LOOKS).ok() else { return };
    let words: Vec<&str> = text.split(' ').collect();
    let number = |place: usize| words[place].parse::<u64>().expect("a number");
    is_of_one_instant(Path::new(words[0]), number(1)..=number(2));
}

/// The same for a device of the guest.
pub(crate) fn proves_sound_there(guest: &mut Guest, device: &str, expected: std::ops::RangeInclusive<u64>) {
    let looks =
        format!("{LOOKS}='/mnt {} {}' tests machine::somebody_who_looks --exact", expected.start(), expected.end());
    does(guest, &format!("e2fsck -fn {device}\nmount -t ext4 {device} /mnt\n{looks}\numount /mnt"));
}

/// An image of one filesystem is sound, and what the writer wrote is of one instant.
pub(crate) fn proves_sound(kind: &str, image: &Path, expected: std::ops::RangeInclusive<u64>, room: &Path) {
    let device = LoopDevice::attach(image);
    if kind != "xfs" {
        // XFS plays its log when it is mounted, and is looked at afterwards.
        check(kind, device.name());
    }
    let mounted = Mounted::new(device.name(), &room.join("mounted"));
    is_of_one_instant(mounted.folder(), expected);
    drop(mounted);
    check(kind, device.name());
}

/// The filesystem on a device is sound, as its own program says.
pub(crate) fn check(kind: &str, device: &str) {
    match kind {
        "ext4" => drop(succeeds("e2fsck", &["-fn", device])),
        "xfs" => drop(succeeds("xfs_repair", &["-n", device])),
        _ => drop(succeeds("btrfs", &["check", "--readonly", device])),
    }
}
