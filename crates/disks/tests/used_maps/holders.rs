//! LUKS, LVM, RAID: volumes that hold others.

use stead_disks::used::{Inside, Kind, Luks, Usage};
use stead_disks::{Extents, used::lvm::Piece};
use testkit::loop_device::{LoopDevice, is_root_or_skip, succeeds};

use crate::subject::{MIB, Subject};

fn encrypted(words: &str) -> Subject {
    let subject = Subject::empty(40 * MIB);
    let key = subject.folder.path().join("key");
    std::fs::write(&key, "secret").unwrap();
    let quick = "-q --pbkdf pbkdf2 --pbkdf-force-iterations 1000";
    let (name, key) = (subject.name(), key.to_str().unwrap().to_owned());
    let words = [quick.split(' ').collect(), words.split(' ').collect::<Vec<_>>(), vec!["luksFormat", &name, &key]];
    succeeds("cryptsetup", &words.concat());
    subject
}

#[test]
fn of_luks_everything_is_used_and_the_header_tells_where_it_begins() {
    for (words, version, payload) in
        [("--type luks1", 1, 2 * MIB), ("--type luks2", 2, 16 * MIB), ("--type luks2 --offset 40960", 2, 20 * MIB)]
    {
        let subject = encrypted(words);
        let usage = subject.expect(Kind::Luks);
        assert!(usage.free.is_empty());
        assert_eq!(usage.inside, Some(Inside::Luks(Luks { version, payload: Some(payload) })), "{:?}", usage.warnings);
        let text = succeeds("cryptsetup", &["luksUUID", &subject.name()]);
        assert_eq!(usage.uuid.as_deref(), Some(text.trim()));
    }
}

/// Two logical volumes, one of them in two pieces and one striped over two physical volumes.
const VOLUMES: &str = r#"
logical_volumes {
  one {
    id = "AAAAAA-BBBB-CCCC-DDDD-EEEE-FFFF-GGGGGG"
    status = ["READ", "WRITE", "VISIBLE"]
    segment_count = 2
    segment1 { start_extent = 0 extent_count = 5 type = "striped" stripe_count = 1 stripes = ["pv0", 3] }
    segment2 { start_extent = 5 extent_count = 10 type = "striped" stripe_count = 1 stripes = ["pv0", 40] }
  }
  two {
    id = "AAAAAA-BBBB-CCCC-DDDD-EEEE-FFFF-HHHHHH"
    status = ["READ", "WRITE", "VISIBLE"]
    segment_count = 1
    segment1 {
      start_extent = 0 extent_count = 8 type = "striped" stripe_count = 2 stripe_size = 128
      stripes = ["pv0", 20, "pv1", 7]
    }
  }
}
"#;

/// lvcreate needs the kernel's device mapper; vgcfgrestore writes the same metadata without it.
fn group(subjects: &[Subject; 2], group: &str) -> [Vec<(u64, u64, String)>; 2] {
    let devices = [LoopDevice::attach(&subjects[0].image()), LoopDevice::attach(&subjects[1].image())];
    let backup = subjects[0].folder.path().join("backup");
    let file = backup.to_str().unwrap();
    succeeds("vgcreate", &["--yes", group, devices[0].name(), devices[1].name()]);
    succeeds("vgcfgbackup", &["-f", file, group]);
    let text = std::fs::read_to_string(&backup).unwrap();
    // The group's section is the last one, and ends at the beginning of a line.
    let end = text.rfind("\n}").unwrap();
    std::fs::write(&backup, format!("{}{VOLUMES}{}", &text[..end], &text[end..])).unwrap();
    succeeds("vgcfgrestore", &["-f", file, group]);
    [0, 1].map(|number| segments(devices[number].name()))
}

/// Segments as `pvs` tells them: first extent, how many, and whose.
fn segments(device: &str) -> Vec<(u64, u64, String)> {
    let text = succeeds("pvs", &["--noheadings", "--segments", "-o", "pvseg_start,pvseg_size,lv_name", device]);
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        (words[0].parse().unwrap(), words[1].parse().unwrap(), words.get(2).copied().unwrap_or("").to_owned())
    };
    text.lines().filter(|line| !line.trim().is_empty()).map(row).collect()
}

#[test]
fn of_a_physical_volume_extents_that_are_not_mapped_are_free_as_pvs_says() {
    if !is_root_or_skip() {
        return;
    }
    let subjects = [Subject::empty(300 * MIB), Subject::empty(200 * MIB + 1024)];
    let name = format!("stead{}", std::process::id());
    let said = group(&subjects, &name);
    let extent = 4 * MIB;
    let usages: Vec<Usage> = subjects.iter().map(|subject| subject.expect(Kind::Lvm)).collect();
    for (usage, said) in usages.iter().zip(said) {
        let free = said.iter().filter(|(.., volume)| volume.is_empty());
        let expected: Extents =
            free.map(|(start, count, _)| MIB + start * extent..MIB + (start + count) * extent).collect();
        assert_eq!(usage.free, expected, "{:?}", usage.warnings);
        assert!(usage.warnings.is_empty() && usage.label.as_deref() == Some(&name));
    }
    let Some(Inside::Lvm(lvm)) = &usages[0].inside else { panic!("no group") };
    assert_eq!((lvm.group.as_str(), lvm.physical_volumes, lvm.volumes.len()), (name.as_str(), 2, 2));
    assert!(lvm.text.contains("seqno") && lvm.volumes.iter().all(|volume| volume.is_visible));
    let pieces = [(3, 5), (40, 10)].map(|(at, count)| Piece { start: MIB + at * extent, size: count * extent });
    assert_eq!(lvm.volumes[0].pieces.as_deref(), Some(&pieces[..]));
    assert_eq!((lvm.volumes[1].pieces.as_ref(), lvm.volumes[1].size), (None, 8 * extent));
}

#[test]
fn a_physical_volume_without_metadata_or_with_damaged_metadata_is_used_as_a_whole() {
    if !is_root_or_skip() {
        return;
    }
    let subjects = [Subject::empty(300 * MIB), Subject::empty(200 * MIB)];
    group(&subjects, &format!("damaged{}", std::process::id()));
    let file = std::fs::File::options().write(true).open(subjects[0].image()).unwrap();
    // All of the ring of metadata but its header.
    std::os::unix::fs::FileExt::write_all_at(&file, &vec![b'x'; 500_000], 4096 + 512).unwrap();
    let usage = subjects[0].expect(Kind::Lvm);
    assert!(usage.free.is_empty() && usage.warnings[0].contains("metadata"), "{:?}", usage.warnings);
    let alone = Subject::empty(100 * MIB);
    let device = LoopDevice::attach(&alone.image());
    succeeds("pvcreate", &["--yes", device.name()]);
    drop(device);
    assert!(alone.expect(Kind::Lvm).free.is_empty());
}

#[test]
fn a_member_of_a_raid_is_used_as_a_whole_whatever_else_is_seen_on_it() {
    let subject = Subject::made(100 * MIB, &["mkfs.ext4", "-q", "-F"]);
    assert!(!subject.usage().free.is_empty());
    let mut superblock = vec![0; 256];
    superblock[..4].copy_from_slice(&0xa92b_4efc_u32.to_le_bytes());
    superblock[4] = 1;
    let place = (100 * MIB / 512 - 16) & !7;
    superblock[144..152].copy_from_slice(&place.to_le_bytes());
    let file = std::fs::File::options().write(true).open(subject.image()).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &superblock, place * 512).unwrap();
    assert!(subject.expect(Kind::Raid).free.is_empty());
}
