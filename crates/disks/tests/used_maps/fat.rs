//! FAT12, FAT16 and FAT32, filled with mtools.

use std::path::Path;

use stead_disks::used::{Kind, State, Usage};
use testkit::loop_device::succeeds;

use crate::oracle;
use crate::subject::{MIB, Subject, contents, use_for_real};

/// Words for mkfs, MiB, what comes of them and the state that it can tell.
const VARIANTS: [(&str, u64, Kind); 8] = [
    ("-F12 -s1", 1, Kind::Fat12),
    ("-F12 -s8", 15, Kind::Fat12),
    ("-F16 -s4", 70, Kind::Fat16),
    ("-F16 -s8 -f1", 130, Kind::Fat16),
    ("-F16 -S4096", 300, Kind::Fat16),
    ("-F32 -s1", 70, Kind::Fat32),
    ("-F32 -s8 -R 64 -f 2", 300, Kind::Fat32),
    ("-F32 -S2048 -a", 300, Kind::Fat32),
];

fn made(words: &str, size: u64) -> Subject {
    let mkfs: Vec<&str> = ["mkfs.fat", "-nA LABEL", "-i12AB34CD"].into_iter().chain(words.split(' ')).collect();
    Subject::made(size * MIB, &mkfs)
}

/// Copies files in and deletes some again.
fn fill(subject: &Subject, size: u64) {
    let folder = subject.folder.path().join("files");
    // Root directories of old kinds have room for few names.
    let below = folder.join("below");
    std::fs::create_dir_all(&below).unwrap();
    use_for_real(&below, size * MIB / 2);
    let name = subject.name();
    let entries = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let entries: Vec<String> = entries.map(|path| path.to_str().unwrap().to_owned()).collect();
    let words: Vec<&str> = ["-s", "-Q", "-i", &name].into_iter().chain(entries.iter().map(String::as_str)).collect();
    succeeds("mcopy", &[&words[..], &["::"]].concat());
    if below.join("dir1").is_dir() {
        succeeds("mdeltree", &["-i", &name, "::below/dir1"]);
        std::fs::remove_dir_all(below.join("dir1")).unwrap();
    }
}

fn files_in(subject: &Subject) -> String {
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("out");
    std::fs::create_dir(&into).unwrap();
    succeeds("mcopy", &["-s", "-Q", "-n", "-i", &subject.name(), "::*", into.to_str().unwrap()]);
    contents(&into)
}

fn files_beside(subject: &Subject) -> String {
    contents(Path::new(&subject.folder.path().join("files")))
}

#[test]
fn every_kind_of_fat_agrees_with_partclone_and_survives_rubbish_in_what_is_free() {
    for (words, size, kind) in VARIANTS {
        println!("mkfs.fat {words}");
        let subject = made(words, size);
        fill(&subject, size);
        let usage = subject.expect(kind);
        assert_eq!((used_clusters(&usage), usage.warnings.len()), fsck(&subject));
        // partclone reads sectors of 512 bytes only, and takes all that follows some entries of 12 bits for used.
        if !words.contains("-S") && kind != Kind::Fat12 {
            subject.agrees(&oracle::partclone(&subject, "partclone.fat"), 0);
        }
        assert_eq!((usage.label.as_deref(), usage.uuid.as_deref()), (Some("A LABEL"), Some("12AB-34CD")));
        assert_eq!(usage.state, if kind == Kind::Fat12 { State::Unknown } else { State::Clean });
        subject.spoil_free();
        succeeds("fsck.fat", &["-n", &subject.name()]);
        assert_eq!(files_in(&subject), files_beside(&subject));
    }
}

fn used_clusters(usage: &Usage) -> u64 {
    usage.bytes_used() / usage.block
}

/// Used clusters as `fsck.fat` counts them, in its last line: `image: 5 files, 17/2000 clusters`; and no warnings.
fn fsck(subject: &Subject) -> (u64, usize) {
    let text = succeeds("fsck.fat", &["-n", &subject.name()]);
    let counts = text.trim().rsplit(", ").next().and_then(|counts| counts.split_once('/')).unwrap();
    let all: u64 = counts.1.split(' ').next().unwrap().parse().unwrap();
    // What lies before the first cluster and after the last is used too.
    let usage = subject.usage();
    let outside = usage.size - all * usage.block;
    ((counts.0.parse::<u64>().unwrap() * usage.block + outside) / usage.block, 0)
}

#[test]
fn a_fat_that_was_not_unmounted_says_so_and_its_table_is_believed() {
    let subject = made("-F32 -s1", 70);
    let file = std::fs::File::options().write(true).open(subject.image()).unwrap();
    for table in [32 * 512, 32 * 512 + table_size(&subject)] {
        std::os::unix::fs::FileExt::write_all_at(&file, &0x07ff_ffff_u32.to_le_bytes(), table + 4).unwrap();
    }
    let usage = subject.expect(Kind::Fat32);
    assert!(matches!(usage.state, State::Dirty(_)));
    assert!(usage.free.bytes() > 60 * MIB);
}

#[test]
fn tables_that_disagree_prove_nothing_where_they_do() {
    let subject = made("-F32 -s1", 70);
    let whole = subject.usage().free.bytes();
    let file = std::fs::File::options().write(true).open(subject.image()).unwrap();
    let second = 32 * 512 + table_size(&subject);
    std::os::unix::fs::FileExt::write_all_at(&file, &[9; 400], second + 4000).unwrap();
    assert_eq!(subject.usage().free.bytes(), whole - 100 * 512);
}

fn table_size(subject: &Subject) -> u64 {
    let boot = std::fs::read(subject.image()).unwrap();
    u64::from(u32::from_le_bytes(boot[36..40].try_into().unwrap())) * 512
}
