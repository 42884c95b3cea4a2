//! Onto smaller disks.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use testkit::bench::as_str;
use testkit::loop_device::succeeds;
use testkit::{LoopDevice, sample};

use crate::bench::{Fs, MIB, bench, entries, imaged, is_clean, plan, uuids};

/// On a smaller disk, the file system has become smaller and nothing is missing.
fn shrinks(fs: Fs, size: &str, words: &[&str], tool: &str) {
    let Some((bench, imaged)) = imaged(fs) else { return };
    let before = succeeds("sha256sum", &[as_str(&imaged.disk)]);
    let target = bench.path("smaller");
    let words = [&[&*target, "--size", size, "--verify"], words].concat();
    let plan = plan(&bench, &words);
    let part = &plan["parts"][1];
    let seen = (&plan["fit"]["fits"], &part["change"], &part["tool"]);
    assert_eq!(seen, (&"shrunk".into(), &"shrink".into(), &tool.into()));
    assert!(plan["scratch"]["bytes"].as_u64() >= part["used"].as_u64(), "{plan}");
    let said = bench.says(&[&["disk", "restore", "latest"], &words[..]].concat());
    assert!(said.contains("after shrinking") && said.contains("  scratch up to"), "{said}");
    let target = Path::new(&target);
    assert_eq!(Some(fs::metadata(target).unwrap().len()), plan["room"].as_u64());
    assert_eq!(Some(entries(target)[1].size), part["to"]["size"].as_u64(), "the plan is what was done");
    assert_eq!(uuids(target), uuids(&imaged.disk));
    imaged.is_right_on(&bench, target);
    assert_eq!(succeeds("sha256sum", &[as_str(&imaged.disk)]), before, "the source is not touched");
    is_clean(&bench);
}

#[test]
fn an_ext4_shrinks_in_scratch_first() {
    shrinks(Fs::Ext4, "256M", &[], "resize2fs");
}

#[test]
fn an_ntfs_shrinks_in_scratch_first() {
    shrinks(Fs::Ntfs, "256M", &[], "ntfsresize");
}

#[test]
fn a_btrfs_shrinks_in_scratch_where_it_may_be_mounted() {
    shrinks(Fs::Btrfs, "420M", &["--grow-mounted"], "btrfs_resize");
}

#[test]
fn what_cannot_shrink_does_not_fit_and_the_plan_says_why_in_figures() {
    let Some((bench, _imaged)) = imaged(Fs::Xfs) else { return };
    let target = bench.at("smaller");
    let words = ["disk", "restore", "latest", as_str(&target), "--size", "400M"];
    let said = bench.refuses(&words);
    assert!(said.contains("the disk does not fit, because its partitions need"), "{said}");
    assert!(said.contains("partition 2 (XFS,") && said.contains("XFS never gets smaller; a larger disk"), "{said}");
    let said = bench.says(&[&words[..], &["--dry-run"]].concat());
    assert!(said.contains("does not fit, because") && said.contains("bytes in use"), "{said}");
    assert!(!target.exists());
}

#[test]
fn too_small_is_said_before_anything_is_written_and_what_fails_in_scratch_leaves_the_target_alone() {
    let Some((bench, imaged)) = imaged(Fs::Ext4) else { return };
    let target = bench.at("smaller");
    fs::write(&target, b"precious").unwrap();
    let restore = ["disk", "restore", "latest", as_str(&target), "--yes-overwrite", "smaller"];
    let said = bench.refuses(&[&restore[..], &["--size", "40M"]].concat());
    assert!(said.contains("does not fit") && said.contains("partition 2 (ext4,"), "{said}");
    let full = ["--size", "256M", "--scratch", "/proc"];
    assert!(bench.refuses(&[&restore[..], &full[..]].concat()).contains("has room for 0 bytes"));
    let failing = bench.at("programs");
    fs::create_dir(&failing).unwrap();
    let script = "#!/bin/sh\n[ \"$1\" = --version ] && exit 0\necho no space >&2\nexit 1\n";
    fs::write(failing.join("resize2fs"), script).unwrap();
    succeeds("chmod", &["+x", as_str(&failing.join("resize2fs"))]);
    let path = format!("{}:{}", failing.display(), std::env::var("PATH").unwrap());
    let words = [&restore[..], &["--size", "256M"]].concat();
    let output = bench.command(&words).env("PATH", path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("no space"), "{said}");
    assert_eq!(fs::read(&target).unwrap(), b"precious");
    bench.says(&words);
    imaged.is_right_on(&bench, &target);
    is_clean(&bench);
}

#[test]
fn a_shrinking_restore_that_was_killed_goes_on() {
    let Some((bench, imaged)) = imaged(Fs::Ext4) else { return };
    let target = LoopDevice::create(&bench.at("disk"), 256 * MIB);
    let words = ["disk", "restore", "latest", target.name(), "--verify"];
    // A reader that ends its caller when the table was written: only its end says that all is done.
    let folder = bench.at("programs");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("udevadm"), "#!/bin/sh\nkill -9 $PPID\n").unwrap();
    succeeds("chmod", &["+x", as_str(&folder.join("udevadm"))]);
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let output = bench.command(&words).env("PATH", path).output().unwrap();
    assert_eq!(output.status.code(), None, "{}", String::from_utf8_lossy(&output.stderr));
    bench.says(&["unlock", "--remove-all"]);
    let said = bench.says(&words);
    assert!(said.contains("going on from an earlier run"), "{said}");
    drop(target);
    imaged.is_right_on(&bench, &bench.at("disk"));
    is_clean(&bench);
}

#[test]
fn unused_space_behind_the_partitions_and_behind_file_systems_is_let_go_without_any_program() {
    let Some(bench) = bench(&["mkfs.ext4"]) else { return };
    let disk = bench.at("roomy.raw");
    fs::File::create(&disk).unwrap().set_len(256 * MIB).unwrap();
    let script = b"label: gpt\nstart=2048, size=32768, type=linux\nsize=131072, type=linux\n";
    let mut sfdisk = Command::new("sfdisk").args(["--quiet", as_str(&disk)]).stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut sfdisk.stdin.take().unwrap(), script).unwrap();
    assert!(sfdisk.wait().unwrap().success());
    let device = LoopDevice::attach(&disk);
    device.show_partitions();
    fs::write(device.partition(1), sample::random_bytes(1, 16 << 20)).unwrap();
    // Half as large as its partition.
    succeeds("mkfs.ext4", &["-q", &device.partition(2), "32M"]);
    drop(device);
    bench.says(&["disk", "backup", as_str(&disk)]);
    for (size, words) in
        [("100M", "stays 64.000 MiB"), ("60M", "becomes 32.000 MiB, behind the end of its file system")]
    {
        let target = bench.at(size);
        let said = bench.says(&["disk", "restore", "latest", as_str(&target), "--size", size, "--verify"]);
        assert!(said.contains("what is in use has its place there") && said.contains(words), "{said}");
        let device = LoopDevice::attach(&target);
        assert!(succeeds("sgdisk", &["--verify", device.name()]).contains("No problems found"));
        device.show_partitions();
        succeeds("e2fsck", &["-f", "-n", &device.partition(2)]);
        assert!(fs::read(device.partition(1)).unwrap() == sample::random_bytes(1, 16 << 20));
    }
    is_clean(&bench);
}
