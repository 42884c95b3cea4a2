//! btrfs, on one device and on several.

use stead_disks::Extents;
use stead_disks::used::{Kind, State};
use testkit::loop_device::{LoopDevice, Mounted, is_root_or_skip, succeeds};

use crate::subject::{MIB, Subject, contents, punch, use_for_real};

const VARIANTS: [&str; 5] = ["-m dup", "-m single -n 4096", "-O mixed-bg -n 4096", "-R ^free-space-tree", "-n 65536"];

fn made(words: &str, size: u64) -> Subject {
    let mkfs: Vec<&str> = ["mkfs.btrfs", "-q", "-f", "-L", "a btrfs"].into_iter().chain(words.split(' ')).collect();
    Subject::made(size * MIB, &mkfs)
}

/// Bytes that no chunk has and that we call used all the same: the beginning, where boot loaders live.
const SLACK: u64 = MIB;

/// A chunk as `btrfs inspect-internal dump-tree` tells it: its address, its bytes, and where its copies are.
type Chunk = (u64, u64, Vec<u64>);

/// What is free by extents and chunks as btrfs's own tool prints them. (partclone 0.3.23 calls whole chunks of metadata used
/// once a few of their nodes are, and leaves out second copies.)
fn dump_tree(subject: &Subject, node: u64) -> Extents {
    let dump = |tree: &str| succeeds("btrfs", &["inspect-internal", "dump-tree", "-t", tree, &subject.name()]);
    let chunks = chunks(&dump("chunk"));
    let mut used: Extents = [0x1_0000, 0x400_0000].into_iter().map(|mirror| mirror..mirror + 4096).collect();
    for line in dump("extent").lines() {
        let Some((key, _)) = line.split_once(" key (").and_then(|(_, rest)| rest.split_once(')')) else { continue };
        let words: Vec<&str> = key.split(' ').collect();
        let length = match words[1] {
            "EXTENT_ITEM" => words[2].parse().unwrap(),
            "METADATA_ITEM" => node,
            _ => continue,
        };
        let address: u64 = words[0].parse().unwrap();
        let (start, _, copies) =
            chunks.iter().find(|(start, size, _)| (*start..start + size).contains(&address)).unwrap();
        copies.iter().for_each(|copy| used.insert(copy + address - start..copy + address - start + length));
    }
    used.complement(std::fs::metadata(subject.image()).unwrap().len())
}

fn chunks(text: &str) -> Vec<Chunk> {
    let mut chunks: Vec<Chunk> = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let Some((_, address)) = line.split_once("CHUNK_ITEM ") {
            chunks.push((address.split(')').next().unwrap().parse().unwrap(), 0, Vec::new()));
        } else if let (Some(chunk), ["length", size, "owner", ..]) = (chunks.last_mut(), &words[..]) {
            chunk.1 = size.parse().unwrap();
        } else if let (Some(chunk), ["stripe", _, "devid", "1", "offset", place]) = (chunks.last_mut(), &words[..]) {
            chunk.2.push(place.parse().unwrap());
        }
    }
    chunks
}

#[test]
fn every_kind_of_btrfs_agrees_with_its_own_tool_and_survives_rubbish_in_what_is_free() {
    if !is_root_or_skip() {
        return;
    }
    for words in VARIANTS {
        println!("mkfs.btrfs {words}");
        let subject = made(words, 600);
        let before = subject.mounted(&[], |folder| {
            use_for_real(folder, 200 * MIB);
            punch(folder);
            contents(folder)
        });
        let node = words.split_once("-n ").map_or(16384, |(_, node)| node.parse().unwrap());
        subject.agrees(&dump_tree(&subject, node), SLACK);
        let usage = subject.expect(Kind::Btrfs);
        assert_eq!((usage.state, usage.label.as_deref()), (State::Clean, Some("a btrfs")));
        subject.spoil_free();
        succeeds("btrfs", &["check", &subject.name()]);
        assert_eq!(subject.mounted(&["-oro"], contents), before);
    }
}

#[test]
fn a_btrfs_whose_log_waits_frees_whole_chunks_only() {
    if !is_root_or_skip() {
        return;
    }
    let subject = made("-m single", 600);
    let copy = Subject::empty(0);
    subject.mounted(&[], |folder| {
        use_for_real(folder, 100 * MIB);
        succeeds("sync", &[]);
        std::fs::write(folder.join("last"), [3; 9000]).unwrap();
        succeeds("sync", &[folder.join("last").to_str().unwrap()]);
        std::fs::copy(subject.image(), copy.image()).unwrap();
    });
    let usage = copy.expect(Kind::Btrfs);
    assert!(matches!(usage.state, State::NeedsRecovery(_)));
    assert!(usage.warnings[0].contains("whole chunks"), "{:?}", usage.warnings);
    copy.spoil(&usage.free);
    let last = copy.mounted(&[], |folder| std::fs::read(folder.join("last")).unwrap());
    assert_eq!(last, [3; 9000]);
}

#[test]
fn each_device_of_a_btrfs_keeps_its_own_stripes() {
    if !is_root_or_skip() {
        return;
    }
    for profiles in ["-m raid1 -d raid1", "-m raid1 -d raid0", "-m raid1 -d single"] {
        println!("mkfs.btrfs {profiles}");
        let subjects = [Subject::empty(400 * MIB), Subject::empty(400 * MIB)];
        let before = with_both(&subjects, |devices| {
            let words = [&["-q", "-f"], &profiles.split(' ').collect::<Vec<_>>()[..], devices].concat();
            succeeds("mkfs.btrfs", &words);
            succeeds("btrfs", &["device", "scan", devices[0]]);
            succeeds("btrfs", &["device", "scan", devices[1]]);
            let mounted = Mounted::new(devices[0], &subjects[0].folder.path().join("mnt"));
            use_for_real(mounted.folder(), 150 * MIB);
            contents(mounted.folder())
        });
        for subject in &subjects {
            let usage = subject.expect(Kind::Btrfs);
            assert!(usage.free.bytes() > 100 * MIB, "{} {:?}", usage.free.bytes(), usage.warnings);
            assert!(usage.warnings[0].contains("one of 2 devices"), "{:?}", usage.warnings);
            subject.spoil_free();
        }
        with_both(&subjects, |devices| {
            succeeds("btrfs", &["device", "scan", devices[0]]);
            succeeds("btrfs", &["device", "scan", devices[1]]);
            succeeds("btrfs", &["check", devices[0]]);
            let mounted = Mounted::with(devices[0], &subjects[0].folder.path().join("mnt"), &["-oro"]);
            assert_eq!(contents(mounted.folder()), before);
        });
    }
}

fn with_both<T>(subjects: &[Subject; 2], with: impl FnOnce(&[&str]) -> T) -> T {
    let devices = [LoopDevice::attach(&subjects[0].image()), LoopDevice::attach(&subjects[1].image())];
    let result = with(&[devices[0].name(), devices[1].name()]);
    let _ = std::process::Command::new("btrfs").args(["device", "scan", "--forget"]).output();
    result
}
