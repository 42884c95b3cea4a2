//! Disks that shrink, cannot be read, or are damaged; manifests that lie; no root, no BPF: clear errors, and nothing left behind.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::bench::{as_str, refused, told};
use testkit::loop_device::{is_root_or_skip, succeeds};
use testkit::{Bench, LoopDevice, Mounted, Peer, sample};

const MIB: u64 = 1 << 20;

/// A repository, and room for disks beside it.
fn bench() -> Bench {
    Bench::new(env!("CARGO_BIN_EXE_stead"))
}

/// A command, run by another program.
fn under(bench: &Bench, wrapper: &[&str], words: &[&str]) -> Output {
    let inner = bench.command(words);
    let mut outer = Command::new(wrapper[0]);
    outer.args(&wrapper[1..]).arg(inner.get_program()).args(inner.get_args());
    for (name, value) in inner.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    outer.output().expect("runs")
}

/// The manifest of the newest snapshot.
fn newest_manifest(bench: &Bench) -> Value {
    serde_json::from_str(&bench.says(&["dump", "latest", "/manifest.json"])).expect("JSON")
}

fn a_disk(bench: &Bench, seed: u64, size: u64) -> PathBuf {
    let disk = bench.at("disk");
    fs::write(&disk, sample::random_bytes(seed, size as usize)).expect("a disk");
    disk
}

/// What still tracks a disk.
fn tracked(device: &LoopDevice) -> usize {
    let name = device.name().trim_start_matches("/dev/");
    let all = disks::tracker::watched().expect("a list");
    all.into_iter().filter(|watched| watched.disk.as_deref() == Some(name)).count()
}

/// A filesystem that is neither frozen nor tracked takes a file, at once.
fn is_left_alone(device: &LoopDevice, mounted: &Mounted) {
    assert_eq!(tracked(device), 0);
    let begin = Instant::now();
    let file = File::create(mounted.folder().join("afterwards")).expect("a file");
    file.write_all_at(b"written", 0).and_then(|()| file.sync_all()).expect("written");
    assert!(begin.elapsed() < Duration::from_secs(30), "it was frozen for {:?}", begin.elapsed());
}

fn mounted(bench: &Bench) -> (LoopDevice, Mounted) {
    let device = LoopDevice::create(&bench.at("disk"), 64 * MIB);
    succeeds("mkfs.ext4", &["-q", "-F", device.name()]);
    let mounted = Mounted::new(device.name(), &bench.at("mounted"));
    fs::write(mounted.folder().join("file"), sample::random_bytes(1, 9 * MIB as usize)).expect("a file");
    (device, mounted)
}

#[test]
fn a_device_that_shrinks_while_it_is_read_ends_the_image() {
    if !is_root_or_skip() {
        return;
    }
    let bench = bench();
    let disk = a_disk(&bench, 1, 96 * MIB);
    let device = LoopDevice::attach(&disk);
    let messages = File::create(bench.at("messages")).expect("a file");
    let mut backup = bench.command(&["disk", "backup", device.name(), "--limit-upload", "8192", "--json"]);
    let mut backup = backup.stdout(messages).stderr(Stdio::piped()).spawn().expect("starts");
    let read = || {
        let all = fs::read_to_string(bench.at("messages")).expect("messages");
        let done =
            all.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()?["bytes_done"].as_u64()).max();
        done.unwrap_or(0)
    };
    while read() == 0 {
        assert!(backup.try_wait().expect("a state").is_none(), "it ended too early");
        std::thread::sleep(Duration::from_millis(20));
    }
    File::options().write(true).open(&disk).and_then(|file| file.set_len(8 * MIB)).expect("shorter");
    succeeds("losetup", &["--set-capacity", device.name()]);
    let said = refused(&backup.wait_with_output().expect("ends"));
    // Whichever is noticed first: that it is shorter, or that its end cannot be read.
    let is_told = said.contains("had 100663296 bytes and has 8388608 now") || said.contains("Input/output error");
    assert!(is_told && said.contains(device.name()), "{said}");
    assert!(bench.says(&["snapshots", "--json"]).trim() == "[]", "no snapshot was saved");
}

#[test]
fn unreadable_sectors_end_the_image_or_are_gaps_for_ever() {
    if !is_root_or_skip() || Peer::find("strace").is_none() {
        return;
    }
    let bench = bench();
    let disk = a_disk(&bench, 2, 128 * MIB);
    let device = LoopDevice::attach(&disk);
    // The table is looked at with some thirty requests; then the disk itself is read.
    let inject = "inject=pread64:error=EIO:when=40..44";
    let trace = bench.path("trace");
    let strace = ["strace", "-f", "-qq", "-o", &trace, "-P", device.name(), "-e", "trace=pread64", "-e", inject];
    let backup = ["disk", "backup", device.name(), "--name", "disk"];
    let said = refused(&under(&bench, &strace, &backup));
    assert!(said.contains("Input/output error") && said.contains("--skip-unreadable"), "{said}");
    let output = under(&bench, &strace, &[&backup[..], &["--skip-unreadable"]].concat());
    let said = told(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("could not be read") && said.contains("is not complete"), "{said}");
    let manifest = newest_manifest(&bench);
    assert_eq!(manifest["state"], "incomplete");
    let gaps = manifest["disks"][0]["gaps"].as_array().expect("gaps").clone();
    assert!(!gaps.is_empty());
    // The gaps are zeros, and all else is right.
    bench.says(&["disk", "restore", "latest:disk", &bench.path("back")]);
    let (back, mut original) = (fs::read(bench.at("back")).unwrap(), fs::read(&disk).unwrap());
    for gap in gaps {
        let (start, length) = (gap[0].as_u64().unwrap() as usize, gap[1].as_u64().unwrap() as usize);
        original[start..start + length].fill(0);
    }
    assert!(back == original);
    // What can be read again is read by the next image, which is complete.
    assert_eq!(bench.summary(&backup)["state"], "complete");
    assert!(newest_manifest(&bench)["disks"][0].get("gaps").is_none());
}

#[test]
fn a_damaged_partition_table_is_told_and_everything_is_kept() {
    if Peer::find("sfdisk").is_none() {
        return;
    }
    let bench = bench();
    let disk = a_disk(&bench, 3, 24 * MIB);
    let script = "printf 'label: gpt\\nsize=8M\\nsize=8M\\n' | sfdisk -q --no-tell-kernel \"$0\"";
    succeeds("sh", &["-c", script, as_str(&disk)]);
    let file = File::options().write(true).open(&disk).expect("the disk");
    // Both headers: what is left are entries that nobody vouches for.
    file.write_all_at(b"XXXX", 512 + 60).expect("written");
    file.write_all_at(b"XXXX", 24 * MIB - 512 + 60).expect("written");
    let output = bench.command(&["disk", "backup", as_str(&disk)]).output().expect("runs");
    assert!(output.status.success() && told(&output).contains("partition table cannot be read"), "{}", told(&output));
    bench.says(&["disk", "restore", "latest:disk", &bench.path("back")]);
    assert!(fs::read(bench.at("back")).unwrap() == fs::read(&disk).unwrap());
    assert!(bench.refuses(&["disk", "ls", "latest:disk/1"]).contains("has no partition 1"));
}

#[test]
fn a_windows_that_sleeps_is_imaged_as_a_whole_and_told() {
    if Peer::find("mkntfs").is_none() {
        return;
    }
    let bench = bench();
    let disk = a_disk(&bench, 4, 24 * MIB);
    succeeds("mkntfs", &["-F", "-Q", "-q", as_str(&disk)]);
    let used = |bench: &Bench| bench.summary(&["disk", "backup", as_str(&disk)])["bytes_in_use"].as_u64().unwrap();
    assert!(used(&bench) < 6 * MIB);
    let hibernation = bench.at("hiberfil.sys");
    fs::write(&hibernation, [&b"hibr"[..], &[7; 8000]].concat()).expect("a file");
    succeeds("ntfscp", &[as_str(&disk), as_str(&hibernation), "hiberfil.sys"]);
    let output = bench.command(&["disk", "backup", as_str(&disk)]).output().expect("runs");
    assert!(told(&output).contains("hibernated"), "{}", told(&output));
    assert_eq!(used(&bench), 24 * MIB, "nothing is proven free");
    // It can be looked into, without waking it up.
    assert!(bench.says(&["disk", "ls", "latest:disk/0"]).contains("/hiberfil.sys"));
}

/// Puts a changed manifest beside the trees of an image, as somebody would who can write to the repository.
fn with_manifest(bench: &Bench, restic: &Peer, change: impl Fn(&mut Value)) -> String {
    let room = bench.at("lie");
    _ = fs::remove_dir_all(&room);
    let target = bench.path("lie");
    restic.succeeds(&bench.at("repository"), ["restore", "latest", "--host", "honest", "--target", &target]);
    let mut manifest: Value = serde_json::from_slice(&fs::read(room.join("manifest.json")).unwrap()).unwrap();
    change(&mut manifest);
    fs::write(room.join("manifest.json"), manifest.to_string()).unwrap();
    let mut backup = restic.repository_command(&bench.at("repository"));
    let output = backup.args(["backup", "--host", "liar", "--json", "."]).current_dir(&room).output().expect("runs");
    assert!(output.status.success(), "{}", told(&output));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let summary: Value = serde_json::from_str(printed.lines().last().expect("a summary")).expect("JSON");
    summary["snapshot_id"].as_str().expect("an id").to_owned()
}

#[test]
fn a_manifest_that_lies_is_refused_in_words() {
    let Some(restic) = Peer::find("restic") else { return };
    let bench = bench();
    // Shorter than restic cuts, so that its one chunk is ours.
    let disk = a_disk(&bench, 5, MIB / 4);
    bench.says(&["disk", "backup", as_str(&disk), "--host", "honest"]);
    let honest = with_manifest(&bench, &restic, |_| {});
    bench.says(&["disk", "restore", &format!("{honest}:disk"), &bench.path("back")]);
    assert!(fs::read(bench.at("back")).unwrap() == fs::read(&disk).unwrap(), "the way of the lie is sound");
    type Lie = fn(&mut Value);
    let lies: [Lie; 8] = [
        |manifest| manifest["disks"][0]["size"] = json!(9_u64 << 40),
        |manifest| manifest["disks"][0]["size"] = json!(MIB / 2),
        |manifest| manifest["disks"][0]["name"] = json!("../../etc"),
        |manifest| manifest["disks"][0]["name"] = json!("other"),
        |manifest| manifest["disks"][0]["chunk_size"] = json!(4096),
        |manifest| manifest["disks"][0]["gaps"] = json!([[u64::MAX, 2]]),
        |manifest| manifest["version"] = json!(9),
        |manifest| manifest["disks"] = json!([]),
    ];
    let expected = "is damaged: ";
    for lie in lies {
        let id = with_manifest(&bench, &restic, lie);
        let said = bench.refuses(&["disk", "restore", &format!("{id}:disk"), &bench.path("nowhere")]);
        assert!(said.contains(expected), "{expected}: {said}");
        let said = bench.refuses(&["disk", "cat", &format!("{id}:disk/0/file")]);
        assert!(said.contains(expected), "{expected}: {said}");
        // A lie about what is inside a segment is found when that is read; a restore that was begun keeps its file to go on.
        _ = fs::remove_file(bench.at("nowhere"));
    }
}

#[test]
fn who_is_not_root_is_told_so() {
    if !is_root_or_skip() {
        return;
    }
    let bench = bench();
    let disk = a_disk(&bench, 6, 4 * MIB);
    let device = LoopDevice::attach(&disk);
    for folder in ["", "repository", "state"] {
        fs::create_dir_all(bench.at(folder)).expect("a folder");
        fs::set_permissions(bench.at(folder), fs::Permissions::from_mode(0o755)).expect("a mode");
    }
    succeeds("chown", &["-R", "nobody", &bench.path("repository"), &bench.path("state")]);
    let nobody = ["setpriv", "--reuid=nobody", "--clear-groups"];
    let said = refused(&under(&bench, &nobody, &["disk", "backup", device.name()]));
    assert!(said.contains("Permission denied") && said.contains("only root may read disks"), "{said}");
    let output = under(&bench, &nobody, &["disk", "list"]);
    assert!(output.status.success(), "{}", told(&output));
    fs::set_permissions(&disk, fs::Permissions::from_mode(0o644)).expect("a mode");
    let output = under(&bench, &nobody, &["disk", "backup", as_str(&disk)]);
    assert!(output.status.success(), "a file that holds a disk is everybody's: {}", told(&output));
}

#[test]
fn without_bpf_a_disk_in_use_is_refused_unless_inconsistency_is_wanted() {
    if !is_root_or_skip() {
        return;
    }
    let bench = bench();
    let (device, mounted) = mounted(&bench);
    let without = ["setpriv", "--bounding-set=-bpf,-sys_admin,-perfmon"];
    let backup = ["disk", "backup", device.name()];
    let said = refused(&under(&bench, &without, &backup));
    assert!(said.contains("nothing gives a consistent view") && said.contains("--inconsistent"), "{said}");
    assert!(said.contains("a kernel with BPF"), "{said}");
    is_left_alone(&device, &mounted);
    let output = under(&bench, &without, &[&backup[..], &["--inconsistent"]].concat());
    assert!(output.status.success(), "{}", told(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("NOT consistent"));
    let manifest = newest_manifest(&bench);
    assert_eq!(
        (&manifest["state"], &manifest["disks"][0]["capture"]["provider"]),
        (&json!("inconsistent"), &json!("none"))
    );
    is_left_alone(&device, &mounted);
}

#[test]
fn a_freeze_that_may_hardly_last_ends_with_an_image_or_the_choices() {
    if !is_root_or_skip() {
        return;
    }
    let bench = bench();
    let (device, mounted) = mounted(&bench);
    let output = bench.command(&["disk", "backup", device.name(), "--freeze-budget", "0.01"]).output().expect("runs");
    match output.status.success() {
        true => assert_eq!(newest_manifest(&bench)["state"], "complete"),
        false => assert!(refused(&output).contains("allow a longer freeze"), "{}", told(&output)),
    }
    is_left_alone(&device, &mounted);
    let said = told(&bench.command(&["disk", "backup", device.name(), "--freeze-budget", "0"]).output().expect("runs"));
    assert!(said.contains("0.01"), "{said}");
}
