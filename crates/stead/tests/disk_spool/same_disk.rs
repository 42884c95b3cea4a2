//! A spool on the disk that is imaged, which is written meanwhile: what is in the spool is no part of the image.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use testkit::bench::{as_str, messages, refused, succeeded, told};
use testkit::loop_device::succeeds;
use testkit::writer::{Writer, is_of_one_instant};
use testkit::{LoopDevice, Mounted, sample};

use crate::road::{MIB, Road};

/// A partition that is mounted, with somebody who writes into it, and a spool in it.
struct Laptop {
    writer: Option<Writer>,
    mounted: Mounted,
    kind: &'static str,
    road: Road,
}

impl Laptop {
    /// With files of that many bytes.
    fn new(kind: &'static str, size: u64, files: u64) -> Option<Laptop> {
        let mut road = Road::with(|path| fs::File::create(path).expect("a disk").set_len(size).expect("its size"))?;
        succeeds("sgdisk", &["-n1:2048:0", road.disk.name()]);
        road.disk.show_partitions();
        let partition = road.disk.partition(1);
        succeeds(&format!("mkfs.{kind}"), &[if kind == "xfs" { "-fq" } else { "-q" }, &partition]);
        let mounted = Mounted::new(&partition, &road.at("mounted"));
        road.puts_its_spool(mounted.folder().join("spool"));
        let laptop = Laptop { writer: None, mounted, kind, road };
        laptop.fills("files", 1, files);
        Some(laptop)
    }

    fn fills(&self, name: &str, seed: u64, bytes: u64) {
        let folder = self.mounted.folder().join(name);
        fs::create_dir(&folder).expect("a folder");
        for number in 0..bytes / (8 * MIB) {
            let content = sample::random_bytes(seed * 1000 + number, 8 * MIB as usize);
            fs::write(folder.join(number.to_string()), content).expect("a file");
        }
        succeeds("sync", &["--file-system", as_str(&folder)]);
    }

    fn live(&self) -> PathBuf {
        self.mounted.folder().join("live")
    }

    fn is_written(&mut self) {
        fs::create_dir_all(self.live().join("boot")).expect("a folder");
        self.writer = Some(Writer::start(&self.live()));
        while self.number() == 0 {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }

    fn number(&self) -> u64 {
        self.writer.as_ref().expect("a writer").sequence()
    }

    /// Restores the newest image and looks at it closely; the numbers are those that the writer may have been at.
    fn is_right(&self, expected: std::ops::RangeInclusive<u64>) {
        let target = self.road.at("restored");
        self.road.says(&["disk", "restore", "latest", as_str(&target), "--verify"]);
        let device = LoopDevice::attach(&target);
        device.show_partitions();
        let partition = device.partition(1);
        if self.kind == "ext4" {
            succeeds("e2fsck", &["-fn", &partition]);
        }
        let place = self.road.at("again");
        let again = Mounted::with(&partition, &place, &["-o", if self.kind == "xfs" { "nouuid" } else { "rw" }]);
        is_of_one_instant(&place.join("live"), expected);
        for entry in fs::read_dir(self.mounted.folder().join("files")).expect("a folder") {
            let entry = entry.expect("an entry");
            let ours = fs::read(entry.path()).expect("ours");
            assert!(fs::read(place.join("files").join(entry.file_name())).expect("theirs") == ours);
        }
        self.does_not_send(&place.join("spool"));
        drop(again);
        if self.kind == "xfs" {
            succeeds("xfs_repair", &["-n", &partition]);
        }
        drop(device);
        fs::remove_file(target).expect("removed");
        self.road.says(&["check", "--read-data"]);
    }

    /// Of the spool that came back only the names are there.
    fn does_not_send(&self, spool: &Path) {
        let said = refused(&self.road.run(&["disk", "send", "--spool", as_str(spool)]));
        assert!(said.contains("came back with an image of its disk") && said.contains("remove"), "{said}");
        assert!(spool.read_dir().expect("a folder").flatten().any(|entry| entry.path().join("README").exists()));
    }
}

fn summary(all: &[Value]) -> &Value {
    all.iter().find(|message| message["message_type"] == "summary").expect("a summary")
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn an_image_does_not_have_its_spool(kind: &'static str) {
    let Some(mut laptop) = Laptop::new(kind, 1024 * MIB, 160 * MIB) else { return };
    laptop.is_written();
    let (disk, spool) = (laptop.road.disk.name().to_owned(), laptop.road.spool());
    let words = ["disk", "backup", &disk, "--spool", &spool, "--pack-size", "4", "--json"];
    let before = laptop.number();
    let first = messages(&laptop.road.run(&words));
    let first = summary(&first);
    assert_eq!((&first["capture"]["provider"], &first["state"]), (&"tracker".into(), &"complete".into()), "{first}");
    assert_eq!((laptop.road.snapshots(), laptop.road.waiting()), (1, 0));
    laptop.is_right(before..=laptop.number() + 1);
    let left_out = number(&first["bytes_left_out"]);
    // The last packs were not full when it was frozen.
    assert!((140 * MIB..300 * MIB).contains(&left_out), "{left_out}");
    // All of it went through the spool, which would be there a second time.
    let stored = laptop.road.stored();
    assert!((160 * MIB..260 * MIB).contains(&stored), "{stored}");

    // What waits there from before is left out as well.
    laptop.fills("more", 2, 80 * MIB);
    laptop.road.leave();
    let second = laptop.road.captures();
    let waiting = laptop.road.waiting();
    assert!(waiting >= 80 * MIB, "{waiting}");
    let before = laptop.number();
    let third = laptop.road.captures();
    let after = laptop.number();
    let (second, third) = (number(&summary(&second)["bytes_in_use"]), number(&summary(&third)["bytes_in_use"]));
    assert!(third < second + 40 * MIB, "{second}, then {third}, and {waiting} wait");
    laptop.road.arrive();
    laptop.road.says(&["disk", "send", "--spool", &spool]);
    assert_eq!((laptop.road.snapshots(), laptop.road.waiting()), (3, 0));
    laptop.is_right(before..=after + 1);
}

#[test]
fn a_spool_on_the_disk_itself_is_left_out_of_the_image_of_an_ext4() {
    an_image_does_not_have_its_spool("ext4");
}

#[test]
fn a_spool_on_the_disk_itself_is_left_out_of_the_image_of_an_xfs() {
    an_image_does_not_have_its_spool("xfs");
}

#[test]
fn a_capture_into_the_disk_itself_that_is_killed_is_taken_up() {
    let Some(mut laptop) = Laptop::new("ext4", 1024 * MIB, 320 * MIB) else { return };
    laptop.is_written();
    let (disk, spool) = (laptop.road.disk.name().to_owned(), laptop.road.spool());
    let words = ["disk", "backup", &disk, "--spool", &spool, "--pack-size", "4", "--json"];
    for round in 1..=3 {
        let mut backup = laptop.road.command_to(laptop.road.port, &words);
        let said = laptop.road.at("said");
        let stderr = fs::File::create(&said).expect("a file");
        let mut child = backup.stdout(Stdio::null()).stderr(stderr).spawn().expect("starts");
        while laptop.road.waiting() < round * 80 * MIB {
            let ended = child.try_wait().expect("our child");
            assert!(ended.is_none(), "{ended:?} by itself: {}", fs::read_to_string(&said).unwrap_or_default());
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        child.kill().expect("killed");
        child.wait().expect("ended");
        if round == 2 {
            laptop.road.leave();
        }
    }
    let before = laptop.number();
    let all = laptop.road.captures();
    let after = laptop.number();
    assert!(all.iter().any(|message| message["message_type"] == "resumed"), "{all:?}");
    assert!(number(&summary(&all)["bytes_in_use"]) < 500 * MIB, "{}", summary(&all));
    laptop.road.arrive();
    laptop.road.says(&["disk", "send", "--spool", &spool]);
    laptop.is_right(before..=after + 1);
    let watched = disks::tracker::watched().expect("a list");
    let name = disk.trim_start_matches("/dev/");
    assert!(!watched.iter().any(|watched| watched.disk.as_deref() == Some(name)), "{watched:?}");
}

#[test]
fn where_little_room_is_left_the_rest_is_sent_at_once_and_it_is_said() {
    let Some(mut laptop) = Laptop::new("ext4", 384 * MIB, 200 * MIB) else { return };
    laptop.is_written();
    let (disk, spool) = (laptop.road.disk.name().to_owned(), laptop.road.spool());
    let words = ["disk", "backup", &disk, "--spool", &spool, "--pack-size", "4"];
    let before = laptop.number();
    let output = laptop.road.run(&words);
    let after = laptop.number();
    succeeded(&output);
    assert!(told(&output).contains("not much room left"), "{}", told(&output));
    assert_eq!((laptop.road.snapshots(), laptop.road.waiting()), (1, 0));
    laptop.is_right(before..=after + 1);

    laptop.road.leave();
    fs::remove_dir_all(laptop.mounted.folder().join("files")).expect("removed");
    laptop.fills("others", 3, 200 * MIB);
    let said = refused(&laptop.road.run(&words));
    assert!(said.contains("room left that is meant for others"), "{said}");
    succeeds("touch", &[as_str(&laptop.live())]);
}
