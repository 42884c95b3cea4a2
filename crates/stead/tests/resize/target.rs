//! Devices as targets: who must not be overwritten, who asks, and what the kernel knows afterwards.

use std::fs;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

use testkit::Bench;
use testkit::bench::as_str;
use testkit::loop_device::succeeds;
use testkit::{LoopDevice, Mounted, Peer, sample};

use crate::bench::{Fs, MIB, bench, imaged, is_clean};

#[test]
fn on_a_device_the_kernel_shows_the_new_partitions_at_once() {
    let Some((bench, imaged)) = imaged(Fs::Ext4) else { return };
    let file = bench.at("disk");
    let target = LoopDevice::create(&file, 1024 * MIB);
    // Something with other partitions was there before.
    succeeds("sgdisk", &["-n1:0:+100M", "-n2:0:+100M", "-n3:0:+100M", target.name()]);
    target.show_partitions();
    let name = target.name().trim_start_matches("/dev/").to_owned();
    let words = ["disk", "restore", "latest", target.name(), "--verify", "--yes-overwrite", &name];
    let said = bench.says(&words);
    assert!(said.contains(&format!("  on it   {name}p3, 104857600 bytes")), "{said}");
    assert!(said.contains("by resize2fs") && !said.contains("warning"), "{said}");
    let shown = fs::read_to_string(format!("/sys/block/{name}/{name}p2/size")).unwrap();
    assert!(shown.trim().parse::<u64>().unwrap() * 512 > 1000 * MIB, "{shown}");
    assert!(!fs::exists(format!("/sys/block/{name}/{name}p3")).unwrap());
    succeeds("e2fsck", &["-f", "-n", &target.partition(2)]);
    drop(target);
    assert!(imaged.is_right_on(&bench, &file) > 900 * MIB);
    is_clean(&bench);
}

#[test]
fn the_disk_that_holds_the_repository_is_no_target_and_no_place_for_scratch() {
    let Some((bench, _)) = imaged(Fs::Ext4) else { return };
    let target = LoopDevice::create(&bench.at("holder"), 300 * MIB);
    succeeds("mkfs.ext4", &["-q", target.name()]);
    let mounted = Mounted::new(target.name(), &bench.at("mounted"));
    let name = target.name().trim_start_matches("/dev/").to_owned();
    let restore = ["disk", "restore", "latest", target.name(), "--yes-overwrite", &name];
    let said = bench.refuses(&[&restore[..], &["--scratch", as_str(mounted.folder())]].concat());
    assert!(said.contains("lies on the target: `--scratch` names another place"), "{said}");
    // The repository moves onto the disk that is then named as target.
    let repository = mounted.folder().join("repository");
    succeeds("cp", &["-a", &bench.path("repository"), as_str(&repository)]);
    let mut command = bench.command(&restore);
    let output = command.env("RESTIC_REPOSITORY", &repository).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("which would overwrite it"), "{said}");
    assert!(repository.join("config").exists());
}

/// What a command says on a terminal on which somebody types a line when it is asked.
fn on_a_terminal(bench: &Bench, words: &[&str], answer: &str) -> Option<String> {
    let script = Peer::find("script")?;
    let line = words.join(" ");
    let mut command = Command::new(script.path());
    command.args(["-qec", &format!("{} --no-cache {line}", env!("CARGO_BIN_EXE_stead")), "/dev/null"]);
    command.env("RESTIC_REPOSITORY", bench.at("repository")).env("RESTIC_PASSWORD", "test").env("TERM", "xterm");
    command.env("XDG_STATE_HOME", bench.at("state/repository")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("starts");
    let (mut input, mut output) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
    let (mut said, mut piece) = (String::new(), [0; 4096]);
    let mut is_asked = false;
    loop {
        let length = output.read(&mut piece).expect("read");
        if length == 0 {
            break;
        }
        said.push_str(&String::from_utf8_lossy(&piece[..length]));
        if !is_asked && said.contains("to overwrite it: ") {
            is_asked = true;
            writeln!(input, "{answer}").expect("typed");
        }
    }
    child.wait().expect("ends");
    assert!(is_asked, "nobody was asked: {said}");
    Some(said)
}

#[test]
fn what_is_mounted_or_not_empty_is_overwritten_by_who_types_its_name() {
    let Some(bench) = bench(&["mkfs.ext4"]) else { return };
    let disk = bench.at("disk");
    fs::write(&disk, sample::random_bytes(1, 8 << 20)).unwrap();
    bench.says(&["disk", "backup", as_str(&disk)]);
    let target = LoopDevice::create(&bench.at("target"), 8 * MIB);
    succeeds("mkfs.ext4", &["-q", "-L", "letters", target.name()]);
    let name = target.name().trim_start_matches("/dev/").to_owned();
    let restore = ["disk", "restore", "latest", target.name()];
    let mounted = Mounted::new(target.name(), &bench.at("mounted"));
    let said = bench.refuses(&restore);
    assert!(said.contains("it is mounted at") && said.contains("--force"), "{said}");
    let Some(said) = on_a_terminal(&bench, &[&restore[..], &["--force"]].concat(), "sda") else { return };
    assert!(said.contains("ext4, label letters, mounted at"), "{said}");
    assert!(said.contains(&format!("the name \"sda\" was given, but the target is \"{name}\"")), "{said}");
    drop(mounted);
    let before = fs::read(bench.at("target")).unwrap();
    assert!(before != fs::read(&disk).unwrap());
    let said = on_a_terminal(&bench, &[&restore[..], &["--force"]].concat(), &name).unwrap();
    assert!(said.contains("it is not empty") && said.contains("restored disk disk in"), "{said}");
    drop(target);
    assert!(fs::read(bench.at("target")).unwrap() == fs::read(&disk).unwrap());
}
