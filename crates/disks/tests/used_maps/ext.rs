//! ext2, ext3 and ext4, with every feature that mkfs has for where blocks are.

use stead_disks::used::{Kind, State};
use testkit::loop_device::{is_root_or_skip, succeeds};

use crate::oracle;
use crate::subject::{MIB, Subject, contents, punch, use_for_real};

/// Words for mkfs, and what comes of them. The sizes make several groups and a last one that is not whole.
const VARIANTS: [(&str, u64, Kind); 20] = [
    ("-text2 -b1024", 67, Kind::Ext2),
    ("-text2 -b4096 -r0", 67, Kind::Ext2),
    ("-text3 -b1024", 67, Kind::Ext3),
    ("-text4 -b1024", 131, Kind::Ext4),
    ("-text4 -b2048", 131, Kind::Ext4),
    ("-text4 -b4096", 600, Kind::Ext4),
    ("-text4 -b65536", 300, Kind::Ext4),
    ("-text4 -b1024 -O ^64bit", 131, Kind::Ext4),
    ("-text4 -b1024 -O ^metadata_csum,uninit_bg", 131, Kind::Ext4),
    ("-text4 -b1024 -O ^metadata_csum,^uninit_bg", 131, Kind::Ext4),
    ("-text4 -b1024 -O ^flex_bg", 131, Kind::Ext4),
    ("-text4 -b1024 -O ^flex_bg,^resize_inode,meta_bg", 259, Kind::Ext4),
    ("-text4 -b1024 -O ^resize_inode,meta_bg,64bit", 259, Kind::Ext4),
    ("-text4 -b4096 -O bigalloc -C65536", 600, Kind::Ext4),
    ("-text4 -b1024 -O bigalloc,^resize_inode -C16384", 259, Kind::Ext4),
    ("-text4 -b1024 -O sparse_super2,^resize_inode", 131, Kind::Ext4),
    ("-text4 -b1024 -O sparse_super2,^resize_inode -E num_backup_sb=1", 131, Kind::Ext4),
    ("-text4 -b1024 -O mmp,quota,project,orphan_file", 131, Kind::Ext4),
    ("-text4 -b1024 -O metadata_csum_seed,casefold,encrypt,verity -g 2048 -G 4", 131, Kind::Ext4),
    ("-text4 -b1024 -O ^has_journal,ea_inode,inline_data -I 512 -N 5000", 131, Kind::Ext4),
];

fn made(words: &str, size: u64) -> Subject {
    let mkfs: Vec<&str> = ["mkfs.ext4", "-q", "-F", "-Llabel of it"].into_iter().chain(words.split(' ')).collect();
    Subject::made(size * MIB + 5 * 1024, &mkfs)
}

fn is_mountable(words: &str) -> bool {
    // Larger blocks than pages, and features that this kernel may lack.
    !words.contains("65536 ") && !words.ends_with("-b65536") && !words.contains("encrypt") && !words.contains("quota")
}

#[test]
fn every_kind_of_ext_agrees_with_dumpe2fs_when_new() {
    for (words, size, kind) in VARIANTS {
        println!("mkfs.ext4 {words}");
        let subject = made(words, size);
        let usage = subject.agrees(&oracle::dumpe2fs(&subject), 0);
        assert_eq!((usage.kind, usage.state), (kind, State::Clean));
        assert_eq!(usage.label.as_deref(), Some("label of it"));
        let text = succeeds("dumpe2fs", &["-h", &subject.name()]);
        assert_eq!(usage.uuid.unwrap(), oracle::field(&text, "Filesystem UUID:"));
        let (blocks, block) = (oracle::field(&text, "Block count:"), oracle::field(&text, "Block size:"));
        assert_eq!(usage.size, blocks.parse::<u64>().unwrap() * block.parse::<u64>().unwrap());
        subject.spoil_free();
        succeeds("e2fsck", &["-fn", &subject.name()]);
    }
}

#[test]
fn every_kind_of_ext_agrees_with_dumpe2fs_when_used_and_survives_rubbish_in_what_is_free() {
    if !is_root_or_skip() {
        return;
    }
    for (words, size, _) in VARIANTS.into_iter().filter(|(words, ..)| is_mountable(words)) {
        println!("mkfs.ext4 {words}");
        let subject = made(words, size);
        let before = subject.mounted(&[], |folder| {
            // Small files fill clusters of 64 KiB quickly.
            let share = if words.contains("bigalloc") { 10 } else { 2 };
            use_for_real(folder, size * MIB / share);
            if !words.contains("ext2") && !words.contains("ext3") {
                punch(folder);
            }
            contents(folder)
        });
        subject.agrees(&oracle::dumpe2fs(&subject), 0);
        subject.spoil_free();
        succeeds("e2fsck", &["-fn", &subject.name()]);
        assert_eq!(subject.mounted(&["-oro"], contents), before);
    }
}

#[test]
fn partclone_calls_the_same_blocks_of_ext_free() {
    if !is_root_or_skip() {
        return;
    }
    let subject = made("-text4 -b4096", 300);
    subject.mounted(&[], |folder| use_for_real(folder, 150 * MIB));
    subject.agrees(&oracle::partclone(&subject, "partclone.extfs"), 0);
}

#[test]
fn an_ext_whose_journal_waits_is_used_as_a_whole_and_says_why() {
    if !is_root_or_skip() {
        return;
    }
    let subject = made("-text4 -b1024", 67);
    let copy = Subject::empty(0);
    subject.mounted(&[], |folder| {
        use_for_real(folder, 20 * MIB);
        std::fs::copy(subject.image(), copy.image()).unwrap();
    });
    let usage = copy.expect(Kind::Ext4);
    assert!(matches!(usage.state, State::NeedsRecovery(_)));
    assert!(usage.free.is_empty() && usage.warnings[0].contains("everything counts as used"), "{:?}", usage.warnings);
}

#[test]
fn the_journal_of_another_ext_is_used_as_a_whole() {
    let journal = Subject::made(20 * MIB, &["mkfs.ext4", "-q", "-F", "-b4096", "-Ojournal_dev"]);
    assert!(journal.expect(Kind::ExtJournal).free.is_empty());
}

#[test]
fn a_group_whose_bitmap_is_damaged_is_used_and_the_others_are_not() {
    let subject = made("-text4 -b1024", 131);
    let text = succeeds("dumpe2fs", &[&subject.name()]);
    let place = text.lines().filter_map(|line| line.split("Block bitmap at ").nth(1)).nth(2).unwrap();
    let block: u64 = place.split([' ', ',']).next().unwrap().parse().unwrap();
    let file = std::fs::File::options().write(true).open(subject.image()).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[0; 100], block * 1024 + 512).unwrap();
    let usage = subject.expect(Kind::Ext4);
    let third = (1 + 2 * 8192) * 1024..(1 + 3 * 8192) * 1024;
    assert!(usage.free.touches(0..third.start) && usage.free.touches(third.end..third.end + 8 * MIB));
    let is_initialised = !text.contains("Group 2: (Blocks 16385-24576) csum") || !usage.free.touches(third);
    assert!(is_initialised || usage.warnings.is_empty());
}

#[test]
fn an_ext_on_a_volume_that_is_too_small_is_used_as_a_whole() {
    let subject = made("-text4 -b1024", 131);
    std::fs::File::options().write(true).open(subject.image()).unwrap().set_len(100 * MIB).unwrap();
    let usage = subject.expect(Kind::Ext4);
    assert!(usage.free.is_empty() && !usage.warnings.is_empty());
}
