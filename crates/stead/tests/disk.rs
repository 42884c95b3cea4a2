//! Whole disks nobody uses: into a repository, out of it with stead and with restic, cut off and taken up, onto the wrong target.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use testkit::bench::as_str;
use testkit::loop_device::is_root_or_skip;
use testkit::{Bench, LoopDevice, Mounted, Peer, sample};

const MIB: u64 = 1 << 20;

/// A repository, and room for disks beside it.
fn bench() -> Bench {
    Bench::new(env!("CARGO_BIN_EXE_stead"))
}

/// Bytes in the repository.
fn stored(bench: &Bench) -> u64 {
    let mut total = 0;
    let mut folders = vec![bench.at("repository")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry")) {
            match entry.file_type().expect("a type").is_dir() {
                true => folders.push(entry.path()),
                false => total += entry.metadata().map_or(0, |metadata| metadata.len()),
            }
        }
    }
    total
}

/// A disk with a partition table and a file system on its first partition, in a file.
fn office_disk(bench: &Bench, name: &str) -> Option<PathBuf> {
    for tool in ["sfdisk", "mkfs.ext4"] {
        Peer::find(tool)?;
    }
    let (disk, folder) = (bench.at(name), bench.at("office"));
    if !folder.exists() {
        fs::create_dir_all(&folder).expect("a folder");
        sample::office(&folder, 1, 60);
        fs::write(folder.join("large"), sample::random_bytes(5, 6 * MIB as usize)).expect("a file");
    }
    fs::File::create(&disk).expect("a disk").set_len(96 * MIB).expect("its size");
    let mut sfdisk = Command::new("sfdisk").arg("--quiet").arg(&disk).stdin(Stdio::piped()).spawn().expect("runs");
    let script = b"label: gpt\nstart=2048, size=131072, type=linux\nsize=16384, type=swap\n";
    sfdisk.stdin.take().expect("a pipe").write_all(script).expect("written");
    assert!(sfdisk.wait().expect("ends").success());
    let mut mkfs = Command::new("mkfs.ext4");
    mkfs.args(["-q", "-F", "-E", "offset=1048576", "-d"]).arg(&folder).arg(&disk).arg("65536k");
    assert!(mkfs.output().expect("runs").status.success());
    Some(disk)
}

/// All segments of a disk that restic restored, one behind the other.
fn concatenated(image: &Path) -> Vec<u8> {
    let mut segments: Vec<PathBuf> =
        fs::read_dir(image).expect("segments").map(|entry| entry.unwrap().path()).collect();
    segments.sort();
    segments.iter().flat_map(|segment| fs::read(segment.join("data")).expect("data")).collect()
}

#[test]
fn a_disk_with_partitions_comes_back_with_stead_and_with_restic() {
    let bench = bench();
    let Some(disk) = office_disk(&bench, "office.raw") else { return };
    let Some(restic) = Peer::find("restic") else { return };
    let said = bench.says(&["disk", "backup", as_str(&disk), "--tag", "night"]);
    assert!(said.contains("office.raw: 96.000 MiB") && said.contains(" saved"), "{said}");

    let said = bench.says(&["disk", "restore", "latest:office.raw", &bench.path("back"), "--verify"]);
    assert!(said.contains("onto") && said.contains("96.000 MiB read back and right"), "{said}");
    let original = fs::read(&disk).unwrap();
    assert!(fs::read(bench.at("back")).unwrap() == original);

    restic.succeeds(&bench.at("repository"), ["check", "--read-data"]);
    restic.succeeds(&bench.at("repository"), ["restore", "latest", "--target", &bench.path("restic")]);
    assert!(concatenated(&bench.at("restic/office.raw.img")) == original);
    assert!(fs::read_to_string(bench.at("restic/manifest.json")).unwrap().contains("stead-disk-image"));
    restic.succeeds(&bench.at("repository"), ["rewrite", "--exclude", "nothing", "latest"]);
    let listed = restic.succeeds(&bench.at("repository"), ["snapshots", "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "rewrite found something to mend: {listed}");
    assert_eq!(listed[0]["paths"][0], as_str(&disk));
    assert_eq!(listed[0]["tags"][0], "night");
    let manifest = fs::metadata(bench.at("restic/manifest.json")).unwrap().len();
    assert_eq!(listed[0]["summary"]["total_bytes_processed"], 96 * MIB + manifest);
    assert_eq!(listed[0]["summary"]["total_files_processed"], 2);
}

#[test]
fn a_file_whose_name_ends_like_an_image_is_found_by_its_name() {
    let bench = bench();
    let Some(disk) = office_disk(&bench, "office.img") else { return };
    bench.says(&["disk", "backup", as_str(&disk)]);
    for name in ["office.img", "office.img.img"] {
        bench.says(&["disk", "restore", &format!("latest:{name}"), &bench.path(&format!("back-{name}"))]);
        assert!(fs::read(bench.at(&format!("back-{name}"))).unwrap() == fs::read(&disk).unwrap());
    }
}

#[test]
fn twice_in_a_row_costs_nothing_and_a_change_costs_its_chunk() {
    let bench = bench();
    let Some(disk) = office_disk(&bench, "office.raw") else { return };
    bench.says(&["disk", "backup", as_str(&disk)]);
    let before = stored(&bench);
    let second = bench.summary(&["disk", "backup", as_str(&disk)]);
    assert!(stored(&bench) - before < 8 << 10, "{}", stored(&bench) - before);
    assert_eq!(second["data_blobs"], 1, "the manifest, which has the time");
    let mut content = fs::read(&disk).unwrap();
    // In the middle of the large file: what is changed in free space is no part of an image.
    let large = sample::random_bytes(5, 6 * MIB as usize);
    let middle = &large[3 * MIB as usize..][..1024];
    let place = content.chunks(1024).position(|block| block == middle).expect("the file's block") * 1024;
    content[place..][..100].copy_from_slice(&sample::random_bytes(9, 100));
    fs::write(&disk, &content).unwrap();
    let third = bench.summary(&["disk", "backup", as_str(&disk)]);
    assert_eq!(third["data_blobs"], 2);
    let parent: serde_json::Value =
        serde_json::from_str(&bench.says(&["cat", "snapshot", third["snapshot_id"].as_str().unwrap()])).unwrap();
    assert_eq!(parent["parent"], second["snapshot_id"]);
    bench.says(&["disk", "restore", "latest", &bench.path("back")]);
    assert!(fs::read(bench.at("back")).unwrap() == content);
}

#[test]
fn a_dry_run_shows_the_plan_and_writes_nothing() {
    let bench = bench();
    let disk = bench.at("disk");
    fs::write(&disk, sample::random_bytes(1, 3 << 20)).unwrap();
    let said = bench.says(&["disk", "backup", as_str(&disk), "--dry-run"]);
    assert!(said.contains("would read 3.000 MiB") && said.contains("the first image"), "{said}");
    assert!(
        bench.refuses(&["disk", "restore", "latest", &bench.path("back")]).contains("no snapshot holds a disk image")
    );
    bench.says(&["disk", "backup", as_str(&disk), "--name", "server"]);
    let said = bench.says(&["disk", "restore", "latest:server", &bench.path("back"), "--dry-run"]);
    assert!(said.contains("would restore disk server") && said.contains("a new file"), "{said}");
    assert!(!bench.at("back").exists());
    let said = bench.refuses(&["disk", "restore", "latest:other", &bench.path("back")]);
    assert!(said.contains("has no disk \"other\"; it has server"), "{said}");
}

#[test]
fn the_wrong_target_is_not_overwritten() {
    let bench = bench();
    let (disk, precious) = (bench.at("disk"), bench.at("precious"));
    fs::write(&disk, sample::random_bytes(1, 3 << 20)).unwrap();
    fs::write(&precious, b"precious").unwrap();
    bench.says(&["disk", "backup", as_str(&disk)]);
    let restore = ["disk", "restore", "latest", as_str(&precious)];
    let said = bench.refuses(&restore);
    assert!(said.contains("it is not empty") && said.contains("--yes-overwrite precious"), "{said}");
    assert!(bench.refuses(&[&restore[..], &["--force"]].concat()).contains("--yes-overwrite precious"));
    let said = bench.refuses(&[&restore[..], &["--yes-overwrite", "disk"]].concat());
    assert!(said.contains("the target is \"precious\""), "{said}");
    assert_eq!(fs::read(&precious).unwrap(), b"precious");
    bench.says(&[&restore[..], &["--yes-overwrite", "precious"]].concat());
    assert!(fs::read(&precious).unwrap() == fs::read(&disk).unwrap());
    assert!(bench.refuses(&["disk", "restore", "latest", as_str(bench.room())]).contains("neither a file nor"));
}

#[test]
fn folders_and_things_that_are_not_there_are_refused_in_words() {
    let bench = bench();
    assert!(bench.refuses(&["disk", "backup", as_str(bench.room())]).contains("neither a block device nor a file"));
    assert!(bench.refuses(&["disk", "backup", &bench.path("nothing")]).contains("No such file"));
    fs::write(bench.at("a"), b"a").unwrap();
    let said = bench.refuses(&["disk", "backup", &bench.path("a"), "--name", "../a"]);
    assert!(said.contains("cannot be the name of a disk"), "{said}");
    bench.says(&["backup", &bench.path("a")]);
    assert!(bench.refuses(&["disk", "restore", "latest", &bench.path("b")]).contains("no snapshot holds a disk image"));
}

#[test]
fn the_disks_of_this_machine_are_listed() {
    let bench = bench();
    let printed = bench.says(&["disk", "list", "--json"]);
    let inventory: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert!(inventory["boot"].is_string() && inventory["disks"].is_array() && inventory["network"].is_array());
    assert!(bench.says(&["disk", "list"]).contains("Name"));
}

/// Bytes of a disk that is long enough to be cut off while it is read.
const LONG: u64 = 192 * MIB;

/// Kills a backup with no warning after a while; false if it was faster.
fn killed(bench: &Bench, disk: &Path, after: Duration) -> bool {
    let mut command = bench.command(&["disk", "backup", as_str(disk), "--limit-upload", "32768", "--pack-size", "4"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
    std::thread::sleep(after);
    let runs = child.try_wait().expect("a state").is_none();
    child.kill().expect("killed");
    child.wait().expect("ends");
    runs
}

#[test]
#[expect(clippy::print_stdout, reason = "the figures belong into the test run's output")]
fn an_image_that_is_killed_at_any_moment_is_taken_up_and_only_packs_in_flight_are_sent_twice() {
    let undisturbed = bench();
    let disk = undisturbed.at("disk");
    fs::write(&disk, sample::random_bytes(7, LONG as usize)).unwrap();
    undisturbed.says(&["disk", "backup", as_str(&disk), "--pack-size", "4"]);

    let bench = bench();
    let rounds: Vec<bool> =
        (0..4u64).map(|round| killed(&bench, &disk, Duration::from_millis(1300 + 717 * round))).collect();
    let kills = rounds.iter().filter(|killed| **killed).count();
    bench.says(&["unlock", "--remove-all"]);
    let printed = bench.says(&["disk", "backup", as_str(&disk), "--json"]);
    let summary: serde_json::Value = serde_json::from_str(printed.lines().last().unwrap()).unwrap();
    let (resumed, read) = (summary["bytes_resumed"].as_u64().unwrap(), summary["bytes_read"].as_u64().unwrap());
    println!("{kills} kills; in the end {resumed} bytes taken up, {read} read");
    // One that was faster than its killer left nothing to take up.
    assert!(!rounds[3] || printed.contains("\"message_type\":\"resumed\""), "{printed}");
    let (sent, expected) = (stored(&bench), stored(&undisturbed));
    println!("{sent} bytes stored, {expected} by an undisturbed run");
    // Each kill costs at most the packs in flight, of which local storage takes two at a time; one ends with the chunk that
    // crosses its size.
    let in_flight = 2 * 5 * MIB;
    assert!(sent <= expected + expected / 100 + kills as u64 * in_flight, "{sent} bytes instead of {expected}");
    bench.says(&["disk", "restore", "latest", &bench.path("back"), "--verify"]);
    assert!(fs::read(bench.at("back")).unwrap() == fs::read(&disk).unwrap());
    bench.says(&["check", "--read-data"]);
}

#[test]
fn a_restore_that_was_cut_off_goes_on() {
    let bench = bench();
    let disk = bench.at("disk");
    fs::write(&disk, sample::random_bytes(7, 64 << 20)).unwrap();
    bench.says(&["disk", "backup", as_str(&disk)]);
    let back = bench.path("back");
    let mut command = bench.command(&["disk", "restore", "latest", &back, "--limit-download", "8192"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
    std::thread::sleep(Duration::from_millis(2500));
    assert!(child.try_wait().unwrap().is_none(), "8 MiB a second take longer");
    child.kill().unwrap();
    child.wait().unwrap();
    bench.says(&["unlock", "--remove-all"]);
    let said = bench.says(&["disk", "restore", "latest", &back, "--verify"]);
    assert!(said.contains("going on from an earlier run"), "{said}");
    assert!(fs::read(&back).unwrap() == fs::read(&disk).unwrap());
    assert!(bench.refuses(&["disk", "restore", "latest", &back]).contains("it is not empty"), "the note is gone");
}

#[test]
fn devices_are_imaged_and_written_unless_they_are_mounted_or_too_small() {
    let bench = bench();
    let Some(disk) = office_disk(&bench, "office.raw") else { return };
    if !is_root_or_skip() {
        return;
    }
    let device = LoopDevice::attach(&disk);
    bench.says(&["disk", "backup", device.name(), "--name", "office"]);
    let original = fs::read(&disk).unwrap();

    let small = bench.at("small");
    fs::File::create(&small).unwrap().set_len(16 * MIB).unwrap();
    let target = LoopDevice::attach(&small);
    let said = bench.refuses(&["disk", "restore", "latest", target.name()]);
    assert!(said.contains("does not fit, because its partitions need"), "{said}");
    assert!(said.contains("bytes at least and it has 16777216"), "{said}");

    let large = bench.at("large");
    fs::write(&large, sample::random_bytes(3, 128 << 20)).unwrap();
    let target = LoopDevice::attach(&large);
    let name = target.name().trim_start_matches("/dev/");
    let restore = ["disk", "restore", "latest:office", target.name(), "--verify"];
    assert!(bench.refuses(&restore).contains("it is not empty"));
    let said = bench.says(&[&restore[..], &["--yes-overwrite", name]].concat());
    assert!(
        said.contains("fits, with 32.000 MiB more") && said.contains("partition 2 (unknown) is the last one"),
        "{said}"
    );
    let back = fs::read(&large).unwrap();
    let partitions = MIB as usize..73 * MIB as usize;
    assert!(back[partitions.clone()] == original[partitions]);
    let said = bench.says(&[&restore[..], &["--delta", "--yes-overwrite", name]].concat());
    assert!(said.contains("2.000 MiB written"), "only the chunks with the table: {said}");
    drop(target);

    let part = bench.at("part");
    fs::write(&part, &original[MIB as usize..65 * MIB as usize]).unwrap();
    let device = LoopDevice::attach(&part);
    let _mounted = Mounted::new(device.name(), &bench.at("mounted"));
    let said = bench.says(&["disk", "restore", "latest", device.name(), "--dry-run"]);
    assert!(said.contains("fits on 64.000 MiB after shrinking") && said.contains("careful it is mounted at"), "{said}");
}
