//! NTFS, filled through ntfs-3g.

use std::os::unix::fs::FileExt;

use stead_disks::used::{Kind, State};
use testkit::Peer;
use testkit::loop_device::{is_root_or_skip, succeeds};

use crate::oracle;
use crate::subject::{MIB, Subject, contents, use_for_real};

const SERVER: &str = "ntfs-3g";

fn made(words: &str, size: u64) -> Subject {
    let mkfs: Vec<&str> =
        ["mkfs.ntfs", "-F", "-Q", "-q", "-L", "an ntfs"].into_iter().chain(words.split(' ')).collect();
    Subject::made(size * MIB, &mkfs)
}

#[test]
fn every_kind_of_ntfs_agrees_with_partclone_and_survives_rubbish_in_what_is_free() {
    if !is_root_or_skip() || Peer::find(SERVER).is_none() {
        return;
    }
    for words in ["-c4096", "-c512", "-c65536", "-c4096 -s4096", "-c1024 -z0"] {
        println!("mkfs.ntfs {words}");
        let subject = made(words, 300);
        let before = subject.served(&[SERVER], |folder| {
            use_for_real(folder, 100 * MIB);
            contents(folder)
        });
        let usage = subject.agrees(&oracle::partclone(&subject, "partclone.ntfs"), 0);
        assert_eq!((usage.kind, usage.state, usage.label.as_deref()), (Kind::Ntfs, State::Clean, Some("an ntfs")));
        subject.spoil_free();
        succeeds("ntfsfix", &["-n", &subject.name()]);
        assert_eq!(subject.served(&[SERVER, "-oro"], contents), before);
    }
}

#[test]
fn the_copy_of_the_boot_sector_is_used() {
    let subject = made("-c4096", 50);
    let usage = subject.expect(Kind::Ntfs);
    assert!(!usage.free.touches(50 * MIB - 512..50 * MIB) && usage.size == 50 * MIB);
    assert!(usage.free.bytes() > 40 * MIB);
}

#[test]
fn an_ntfs_with_a_sleeping_windows_is_used_as_a_whole() {
    if !is_root_or_skip() || Peer::find(SERVER).is_none() {
        return;
    }
    // The name of the file is found in the record itself, and in an index beside it.
    for others in [0, 300] {
        let subject = made("-c4096", 50);
        subject.served(&[SERVER], |folder| {
            (0..others).for_each(|number| std::fs::write(folder.join(format!("file{number}")), "x").unwrap());
            std::fs::write(folder.join("hiberfil.sys"), [b"hibr".to_vec(), vec![0; 100_000]].concat()).unwrap();
        });
        let usage = subject.expect(Kind::Ntfs);
        assert_eq!(usage.state, State::Hibernated, "{others}: {:?}", usage.warnings);
        assert!(usage.free.is_empty() && usage.warnings[0].contains("hibernated"));
        subject.served(&[SERVER, "-oremove_hiberfile"], |_| {});
        assert_eq!(subject.usage().state, State::Clean);
    }
}

#[test]
fn an_ntfs_that_is_marked_dirty_is_used_as_a_whole() {
    let subject = made("-c4096", 50);
    let image = std::fs::read(subject.image()).unwrap();
    let mft = u64::from_le_bytes(image[48..56].try_into().unwrap()) * 4096;
    let record = &image[mft as usize + 3 * 1024..][..1024];
    // The attribute 0x70 of $Volume has its flags ten bytes into its content, which is 24 bytes into the attribute.
    let attribute =
        (0..900).step_by(8).find(|at| record[*at..*at + 4] == [0x70, 0, 0, 0] && record[*at + 4] < 80).unwrap();
    let file = std::fs::File::options().write(true).open(subject.image()).unwrap();
    file.write_all_at(&[1], mft + 3 * 1024 + attribute as u64 + 24 + 10).unwrap();
    let usage = subject.expect(Kind::Ntfs);
    assert!(matches!(usage.state, State::Dirty(_)) && usage.free.is_empty(), "{:?}", usage.state);
}

#[test]
fn an_ntfs_whose_log_was_not_closed_is_used_as_a_whole() {
    if !is_root_or_skip() || Peer::find(SERVER).is_none() {
        return;
    }
    let subject = made("-c4096", 50);
    let text = succeeds("ntfsinfo", &["-F", "$LogFile", "-v", &subject.name()]);
    let line = text.lines().skip_while(|line| !line.contains("Run list")).nth(1);
    let place = line.and_then(|line| line.split_whitespace().find_map(|word| word.strip_prefix("0x")));
    let run = text.lines().find(|line| line.contains("VCN:") || line.contains("lcn"));
    let image = std::fs::read(subject.image()).unwrap();
    let begin = image.windows(4).step_by(4096).position(|name| name == b"RSTR").map(|page| page * 4096);
    let Some(begin) = begin else {
        // A new log is filled with ones.
        assert!(place.is_none() || run.is_none() || subject.usage().state == State::Clean);
        return;
    };
    let area = begin + usize::from(u16::from_le_bytes(image[begin + 24..begin + 26].try_into().unwrap()));
    let file = std::fs::File::options().write(true).open(subject.image()).unwrap();
    // A client in use, and no flag that says clean.
    file.write_all_at(&[0, 0, 0, 0], area as u64 + 12).unwrap();
    assert!(matches!(subject.usage().state, State::NeedsRecovery(_)));
}
