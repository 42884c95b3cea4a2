//! Onto larger disks.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use testkit::Bench;
use testkit::bench::as_str;
use testkit::loop_device::succeeds;
use testkit::{LoopDevice, Mounted, sample};

use crate::bench::{Fs, MIB, SIZE, bench, entries, imaged, is_clean, plan, uuids};

/// On a disk of twice the size, the partition and its file system fill it.
fn grows(fs: Fs, words: &[&str], tool: &str) {
    let Some((bench, imaged)) = imaged(fs) else { return };
    let target = bench.path("twice");
    let words = [&[&*target, "--size", "1024M", "--verify"], words].concat();
    let plan = plan(&bench, &words);
    let part = &plan["parts"][1];
    assert_eq!((&plan["fit"]["fits"], &part["change"], &part["tool"]), (&"grown".into(), &"grow".into(), &tool.into()));
    assert!(!Path::new(&target).exists(), "a plan writes nothing");
    let said = bench.says(&[&["disk", "restore", "latest"], &words[..]].concat());
    assert!(said.contains("fits, with 512.000 MiB more") && said.contains("; resized partition 2: "), "{said}");
    assert_eq!(uuids(Path::new(&target)), uuids(&imaged.disk));
    let grown = entries(Path::new(&target))[1].size;
    assert_eq!(Some(grown), part["to"]["size"].as_u64(), "the plan is what was done");
    assert!(grown > 1000 * MIB, "{grown}");
    let size = imaged.is_right_on(&bench, Path::new(&target));
    assert!(size > grown / 100 * 85, "{size} of {grown}");
    is_clean(&bench);
}

#[test]
fn an_ext4_grows_with_its_partition() {
    grows(Fs::Ext4, &[], "resize2fs");
}

#[test]
fn an_ntfs_grows_with_its_partition() {
    grows(Fs::Ntfs, &[], "ntfsresize");
}

#[test]
fn an_xfs_grows_where_it_may_be_mounted() {
    grows(Fs::Xfs, &["--grow-mounted"], "xfs_growfs");
}

#[test]
fn a_btrfs_grows_where_it_may_be_mounted() {
    grows(Fs::Btrfs, &["--grow-mounted"], "btrfs_resize");
}

#[test]
fn what_may_not_be_mounted_keeps_its_size_in_a_larger_partition_and_the_plan_says_what_to_do() {
    let Some((bench, imaged)) = imaged(Fs::Xfs) else { return };
    let target = bench.at("twice");
    let said = bench.says(&["disk", "restore", "latest", as_str(&target), "--size", "1024M"]);
    assert!(said.contains("its content does not grow") && said.contains("--grow-mounted"), "{said}");
    assert!(entries(&target)[1].size > 1000 * MIB);
    let size = imaged.is_right_on(&bench, &target);
    assert!(size < SIZE, "{size}");

    let none = bench.at("none");
    let said = bench.says(&["disk", "restore", "latest", as_str(&none), "--size", "1024M", "--grow", "none"]);
    assert!(!said.contains("resized"), "{said}");
    assert_eq!(entries(&none), entries(&imaged.disk), "only the table's copy has moved");
    imaged.is_right_on(&bench, &none);
    let said = bench.refuses(&["disk", "restore", "latest", as_str(&none), "--size", "1G", "--grow", "7"]);
    assert!(said.contains("there is no partition 7 that could grow; there are 1, 2"), "{said}");
}

/// An ext4 in the middle, swap space behind it, on a table of either kind.
fn two_partitions(bench: &Bench, table: &str) -> std::path::PathBuf {
    let disk = bench.at("two.raw");
    fs::File::create(&disk).expect("a disk").set_len(96 * MIB).expect("its size");
    let script = match table {
        "gpt" => "label: gpt\nstart=2048, size=131072, type=linux\nsize=16384, type=swap\n",
        // An extended partition with the swap space in it, as Debian's installer makes it.
        _ => {
            concat!(
                "label: dos\nx1 : start=2048, size=131072, type=83, bootable\n",
                "x2 : start=135166, size=20000, type=5\nx5 : start=135168, size=16384, type=82\n"
            )
        }
    };
    let mut sfdisk =
        Command::new("sfdisk").args(["--quiet", as_str(&disk)]).stdin(Stdio::piped()).spawn().expect("runs");
    std::io::Write::write_all(&mut sfdisk.stdin.take().expect("a pipe"), script.as_bytes()).expect("written");
    assert!(sfdisk.wait().expect("ends").success());
    let swap = if table == "gpt" { 2 } else { 5 };
    let device = shown(&disk);
    succeeds("mkfs.ext4", &["-q", &device.partition(1)]);
    succeeds("mkswap", &["-L", "tausch", &device.partition(swap)]);
    let mounted = Mounted::new(&device.partition(1), &bench.at("root"));
    fs::write(mounted.folder().join("file"), sample::random_bytes(3, 5 << 20)).expect("a file");
    drop(mounted);
    drop(device);
    bench.says(&["disk", "backup", as_str(&disk)]);
    disk
}

/// With all partitions: `partx --update` leaves logical ones out.
fn shown(disk: &Path) -> LoopDevice {
    let device = LoopDevice::attach(disk);
    succeeds("partx", &["--add", device.name()]);
    device
}

fn swap_is_right(device: &LoopDevice, number: u32, original: &LoopDevice) {
    let described = |device: &LoopDevice| {
        let tag = |tag: &str| succeeds("blkid", &["-p", "-s", tag, "-o", "value", &device.partition(number)]);
        (tag("UUID"), tag("LABEL"), tag("TYPE"))
    };
    let (uuid, label, kind) = described(device);
    assert_eq!((uuid.clone(), label, kind.trim()), (described(original).0, "tausch\n".into(), "swap"));
}

#[test]
fn a_chosen_partition_grows_and_those_behind_it_make_room() {
    for (table, swap) in [("gpt", 2), ("mbr", 5)] {
        let Some(bench) = bench(&["mkfs.ext4", "resize2fs", "mkswap"]) else { return };
        let disk = two_partitions(&bench, table);
        let target = bench.at("twice");
        let said = bench.says(&["disk", "restore", "latest", as_str(&target), "--size", "192M", "--dry-run"]);
        assert!(said.contains("is the last one and stays as it is: `--grow` chooses another"), "{said}");
        let words = ["disk", "restore", "latest", as_str(&target), "--size", "192M", "--grow", "1", "--verify"];
        let said = bench.says(&words);
        assert!(said.contains("moves from") && said.contains("by resize2fs"), "{said}");
        let (old, new) = (entries(&disk), entries(&target));
        assert!(new[0].size > 150 * MIB && new[0].start == old[0].start, "{new:?}");
        assert_eq!((new.last().unwrap().size, uuids(&target)), (old.last().unwrap().size, uuids(&disk)));
        let (device, original) = (shown(&target), shown(&disk));
        swap_is_right(&device, swap, &original);
        succeeds("e2fsck", &["-f", "-n", &device.partition(1)]);
        let mounted = Mounted::new(&device.partition(1), &bench.at("back"));
        assert!(fs::read(mounted.folder().join("file")).unwrap() == sample::random_bytes(3, 5 << 20));
        drop((mounted, device, original));

        // Swap space is made again.
        let swapped = bench.at("swapped");
        let grow = swap.to_string();
        let words = ["disk", "restore", "latest", as_str(&swapped), "--size", "192M", "--grow", &grow];
        assert!(bench.says(&words).contains("made again by mkswap"));
        let (device, original) = (shown(&swapped), shown(&disk));
        swap_is_right(&device, swap, &original);
        assert!(entries(&swapped).last().unwrap().size > 100 * MIB);
        drop((device, original));
        is_clean(&bench);
    }
}

#[test]
fn a_file_system_on_the_whole_disk_grows_too() {
    let Some(bench) = bench(&["mkfs.ext4", "resize2fs"]) else { return };
    let (disk, target) = (bench.at("whole"), bench.at("twice"));
    fs::File::create(&disk).unwrap().set_len(64 * MIB).unwrap();
    succeeds("mkfs.ext4", &["-q", "-F", as_str(&disk)]);
    bench.says(&["disk", "backup", as_str(&disk)]);
    let said = bench.says(&["disk", "restore", "latest", as_str(&target), "--size", "200M", "--verify"]);
    assert!(said.contains("64.000 MiB becomes 200.000 MiB, by resize2fs"), "{said}");
    succeeds("e2fsck", &["-f", "-n", as_str(&target)]);
    let said = succeeds("dumpe2fs", &["-h", as_str(&target)]);
    let blocks =
        said.lines().find_map(|line| line.strip_prefix("Block count:")).and_then(|text| text.trim().parse().ok());
    assert!(blocks.is_some_and(|blocks: u64| blocks >= 200 * 1024 / 4), "{said}");
    is_clean(&bench);
}

/// A folder of programs that comes before all others.
fn with_program(bench: &Bench, name: &str, script: &str) -> String {
    let folder = bench.at("programs");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), script).unwrap();
    fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:{}", folder.display(), std::env::var("PATH").unwrap())
}

#[test]
fn cut_off_while_it_grows_the_same_command_begins_again_and_ends_well() {
    let Some((bench, imaged)) = imaged(Fs::Ext4) else { return };
    let target = bench.at("twice");
    let words = ["disk", "restore", "latest", as_str(&target), "--size", "1024M", "--verify"];
    // It grows to a half of what is wanted, writes over what it likes, and takes its caller with it.
    let killer = "#!/bin/sh\n[ \"$1\" = --version ] && exit 0\n/usr/sbin/resize2fs \"$1\" 700M\n\
        dd if=/dev/urandom of=\"$1\" bs=1M seek=3 count=2 conv=notrunc 2>/dev/null\nkill -9 $PPID\n";
    let path = with_program(&bench, "resize2fs", killer);
    let cut_off = bench.command(&words).env("PATH", path).output().unwrap();
    assert_eq!(cut_off.status.code(), None, "{}", String::from_utf8_lossy(&cut_off.stderr));
    bench.says(&["unlock", "--remove-all"]);
    let said = bench.says(&words);
    assert!(said.contains("going on from an earlier run") && said.contains("; resized partition 2"), "{said}");
    let size = imaged.is_right_on(&bench, &target);
    assert!(size > 900 * MIB, "{size}");
    assert!(bench.refuses(&words).contains("it is not empty"), "the note is gone");
    is_clean(&bench);
}

#[test]
fn cut_off_while_it_is_copied_the_same_command_goes_on_and_grows_it() {
    let Some((bench, imaged)) = imaged(Fs::Ext4) else { return };
    let target = bench.at("twice");
    let words = ["disk", "restore", "latest", as_str(&target), "--size", "1024M"];
    let mut command = bench.command(&[&words[..], &["--limit-download", "4096"]].concat());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
    // Until something of the file system is there.
    while fs::metadata(&target).map_or(0, |file| std::os::unix::fs::MetadataExt::blocks(&file)) < 8 << 10 {
        assert!(child.try_wait().unwrap().is_none(), "4 MiB a second take longer");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    bench.says(&["unlock", "--remove-all"]);
    let said = bench.says(&words);
    assert!(said.contains("going on from an earlier run"), "{said}");
    imaged.is_right_on(&bench, &target);
}

#[test]
fn a_program_that_fails_or_is_missing_is_told_with_its_words() {
    let Some((bench, imaged)) = imaged(Fs::Ext4) else { return };
    let target = bench.at("twice");
    let words = ["disk", "restore", "latest", as_str(&target), "--size", "1024M"];
    let path = with_program(&bench, "resize2fs", "#!/bin/sh\necho the moon is full >&2; exit 3\n");
    let failed = bench.command(&words).env("PATH", path).output().unwrap();
    let said = String::from_utf8_lossy(&failed.stderr);
    assert!(failed.status.code() == Some(1) && said.contains("the moon is full"), "{said}");
    let plan = bench.command(&[&words[..], &["--dry-run"]].concat()).env("PATH", bench.at("nowhere")).output().unwrap();
    let said = String::from_utf8_lossy(&plan.stdout);
    assert!(said.contains("its content does not grow: `e2fsck` is not installed here"), "{said}");
    bench.says(&words);
    imaged.is_right_on(&bench, &target);
}
