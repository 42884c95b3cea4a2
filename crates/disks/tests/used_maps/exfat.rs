//! exFAT, filled through FUSE.

use std::os::unix::fs::FileExt;

use stead_disks::used::{Kind, State};
use testkit::Peer;
use testkit::loop_device::{is_root_or_skip, succeeds};

use crate::oracle;
use crate::subject::{MIB, Subject, contents, use_for_real};

const SERVER: &str = "mount.exfat-fuse";

fn made(words: &str, size: u64) -> Subject {
    let mkfs: Vec<&str> = ["mkfs.exfat", "-L", "an exfat"].into_iter().chain(words.split(' ')).collect();
    Subject::made(size * MIB, &mkfs)
}

#[test]
fn every_kind_of_exfat_agrees_with_partclone_and_survives_rubbish_in_what_is_free() {
    if !is_root_or_skip() || Peer::find(SERVER).is_none() {
        return;
    }
    for (words, size) in [("-c 4096", 70), ("-c 512", 20), ("-c 128K", 500), ("-c 4096 -b 4M", 300)] {
        println!("mkfs.exfat {words}");
        let subject = made(words, size);
        let before = subject.served(&[SERVER], |folder| {
            use_for_real(folder, size * MIB / 12);
            contents(folder)
        });
        let usage = subject.agrees(&oracle::partclone(&subject, "partclone.exfat"), 0);
        assert_eq!((usage.kind, usage.state, usage.label.as_deref()), (Kind::Exfat, State::Clean, Some("an exfat")));
        subject.spoil_free();
        succeeds("fsck.exfat", &["-n", &subject.name()]);
        assert_eq!(subject.served(&[SERVER, "-oro"], contents), before);
    }
}

#[test]
fn an_exfat_that_was_not_unmounted_is_used_as_a_whole() {
    let subject = made("-c 4096", 70);
    assert!(subject.usage().free.bytes() > 60 * MIB);
    let file = std::fs::File::options().write(true).open(subject.image()).unwrap();
    file.write_all_at(&[2], 106).unwrap();
    let usage = subject.expect(Kind::Exfat);
    assert!(matches!(usage.state, State::Dirty(_)) && usage.free.is_empty());
}

#[test]
fn an_exfat_whose_boot_region_was_changed_is_used_as_a_whole() {
    let subject = made("-c 4096", 70);
    let file = std::fs::File::options().write(true).open(subject.image()).unwrap();
    file.write_all_at(&[1], 88 + 2).unwrap();
    let usage = subject.expect(Kind::Exfat);
    assert!(usage.free.is_empty() && usage.warnings[0].contains("checksum"), "{:?}", usage.warnings);
}
