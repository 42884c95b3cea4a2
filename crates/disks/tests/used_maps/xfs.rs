//! XFS, versions 4 and 5.

use stead_disks::Extents;
use stead_disks::used::{Kind, State, Taken};
use testkit::loop_device::{LoopDevice, Mounted, is_root_or_skip, succeeds};

use crate::oracle;
use crate::subject::{MIB, Subject, contents, punch, use_for_real};

/// Words for mkfs; the last two cannot be mounted by every kernel.
const VARIANTS: [&str; 8] = [
    "-m crc=1",
    "-b size=1024 -m crc=1,rmapbt=1,reflink=0",
    "-d agcount=7 -i size=1024",
    "-m finobt=0,reflink=0,bigtime=0 -i sparse=0",
    "-m reflink=1,rmapbt=1,inobtcount=1",
    "-s size=4096 -d agcount=3",
    "-m crc=0,finobt=0,reflink=0,rmapbt=0",
    "-m crc=0 -b size=1024 -d agcount=5",
];

fn made(words: &str) -> Subject {
    let mkfs: Vec<&str> = ["mkfs.xfs", "-q", "-f", "-L", "an xfs"].into_iter().chain(words.split(' ')).collect();
    // Each group must have room for a log.
    let size = if words.contains("agcount") { 900 } else { 340 };
    Subject::made(size * MIB + 3 * 512, &mkfs)
}

/// What `xfs_db` calls free: group, block and length of each extent, lists of blocks kept for trees included.
fn xfs_db(subject: &Subject) -> Extents {
    let ask = |what: &str| succeeds("xfs_db", &["-r", "-c", what, &subject.name()]);
    let text = succeeds("xfs_db", &["-r", "-c", "sb 0", "-c", "p blocksize agblocks", &subject.name()]);
    let value = |name: &str| oracle::field(&text, name).trim_start_matches([' ', '=']).parse::<u64>().unwrap();
    let (block, group) = (value("blocksize"), value("agblocks"));
    let lines = ask("freesp -d");
    let rows = lines.lines().filter_map(|line| {
        let numbers: Vec<u64> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
        <[u64; 3]>::try_from(numbers).ok()
    });
    rows.map(|[number, start, length]| (number * group + start) * block..(number * group + start + length) * block)
        .collect()
}

#[test]
fn every_kind_of_xfs_agrees_with_xfs_db_when_new() {
    for words in VARIANTS {
        println!("mkfs.xfs {words}");
        let subject = made(words);
        let usage = subject.agrees(&xfs_db(&subject), 0);
        assert_eq!((usage.kind, usage.state, usage.label.as_deref()), (Kind::Xfs, State::Clean, Some("an xfs")));
        subject.spoil_free();
        succeeds("xfs_repair", &["-n", &subject.name()]);
    }
}

#[test]
fn every_kind_of_xfs_agrees_with_xfs_db_when_used_and_survives_rubbish_in_what_is_free() {
    if !is_root_or_skip() {
        return;
    }
    for words in &VARIANTS[..6] {
        println!("mkfs.xfs {words}");
        let subject = made(words);
        let before = subject.mounted(&[], |folder| {
            use_for_real(folder, 150 * MIB);
            punch(folder);
            contents(folder)
        });
        subject.agrees(&xfs_db(&subject), 0);
        subject.spoil_free();
        succeeds("xfs_repair", &["-n", &subject.name()]);
        assert_eq!(subject.mounted(&["-oro"], contents), before);
    }
}

#[test]
fn an_old_xfs_that_was_filled_when_it_was_made_agrees_too() {
    let folder = tempfile::tempdir().unwrap();
    let content = folder.path().join("content");
    std::fs::write(&content, vec![7; 300_000]).unwrap();
    let files: String = (0..800).map(|n| format!("file{n} ---644 0 0 {}\n", content.display())).collect();
    let proto = folder.path().join("proto");
    std::fs::write(&proto, format!("/dev/null\n0 0\nd--755 0 0\n{files}$\n")).unwrap();
    let subject = made(&format!("-m crc=0 -b size=1024 -p {}", proto.display()));
    let usage = subject.agrees(&xfs_db(&subject), 0);
    assert!(usage.bytes_used() > 200 * MIB, "{}", usage.bytes_used());
    subject.spoil_free();
    succeeds("xfs_repair", &["-n", &subject.name()]);
}

#[test]
fn partclone_calls_the_same_blocks_of_xfs_free() {
    if !is_root_or_skip() {
        return;
    }
    let subject = made("-m crc=1");
    subject.mounted(&[], |folder| use_for_real(folder, 150 * MIB));
    subject.agrees(&oracle::partclone(&subject, "partclone.xfs"), 0);
}

#[test]
fn an_xfs_whose_log_waits_is_used_as_a_whole_unless_it_was_frozen() {
    if !is_root_or_skip() {
        return;
    }
    let subject = made("-m crc=1");
    let (busy, frozen) = (Subject::empty(0), Subject::empty(0));
    let device = LoopDevice::attach(&subject.image());
    let mounted = Mounted::new(device.name(), &subject.folder.path().join("mnt"));
    use_for_real(mounted.folder(), 100 * MIB);
    succeeds("sync", &[]);
    std::fs::copy(subject.image(), busy.image()).unwrap();
    let name = mounted.folder().to_str().unwrap();
    succeeds("fsfreeze", &["--freeze", name]);
    let copied = std::fs::copy(subject.image(), frozen.image());
    succeeds("fsfreeze", &["--unfreeze", name]);
    copied.unwrap();
    let before = contents(mounted.folder());
    drop((mounted, device));

    let usage = busy.expect(Kind::Xfs);
    assert!(matches!(usage.state, State::NeedsRecovery(_)) && usage.free.is_empty(), "{:?}", usage.state);
    let usage = frozen.usage_taken(Taken::Frozen);
    assert_eq!((usage.state, usage.warnings), (State::Clean, Vec::new()));
    assert_eq!(usage.free, xfs_db(&frozen));
    frozen.spoil(&usage.free);
    assert_eq!(frozen.mounted(&[], contents), before);
    succeeds("xfs_repair", &["-n", &frozen.name()]);
}

#[test]
fn an_xfs_with_its_log_elsewhere_or_a_realtime_section_is_used_as_a_whole() {
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("other");
    std::fs::File::create(&other).unwrap().set_len(100 * MIB).unwrap();
    let other = other.to_str().unwrap();
    for words in [format!("-l logdev={other},size=64m"), format!("-r rtdev={other} -m rmapbt=0,reflink=0")] {
        let usage = made(&words).expect(Kind::Xfs);
        assert!(usage.free.is_empty() && usage.warnings[0].contains("another device"), "{:?}", usage.warnings);
    }
}
