//! Images that wait in a spool: captured without the repository, sent later, cut off as often as it happens, never half there.

mod road;
mod same_disk;

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;
use testkit::bench::as_str;
use testkit::loop_device::{is_root_or_skip, succeeds};
use testkit::{Bench, LoopDevice, Mounted, sample};

use road::{MIB, Road};

#[test]
fn an_image_is_captured_without_network_and_sent_when_there_is_one() {
    let Some(mut road) = Road::new(48 * MIB) else { return };
    road.leave();
    let spool = road.spool();
    let early = road.run(&["disk", "backup", road.disk.name(), "--spool", &spool]);
    let said = String::from_utf8_lossy(&early.stderr).into_owned();
    assert!(early.status.code() == Some(1) && said.contains("once it was used with it"), "{said}");

    road.arrive();
    road.says(&["disk", "watch", road.disk.name()]);
    road.says(&["disk", "backup", road.disk.name(), "--spool", &spool, "--pack-size", "4"]);
    assert_eq!((road.snapshots(), road.waiting()), (1, 0));

    road.write(2, 7 * MIB + 512, 3 * MIB);
    road.leave();
    let first = road.captures();
    let told = first.iter().find(|message| message["message_type"] == "spool").expect("what became of it");
    assert!(told["state"] == "captured" && told["packs_sent"] == 0 && told["packs_total"].as_u64() > Some(0), "{told}");
    // What the repository has is not captured again.
    assert!((3 * MIB..8 * MIB).contains(&road.waiting()), "{}", road.waiting());
    let summary =
        |all: &[Value]| all.iter().find(|message| message["message_type"] == "summary").cloned().expect("one");
    road.write(3, 20 * MIB, MIB);
    let second = road.captures();
    // The kernel's count may be wrong, and then everything is read; else the image continues one that waits.
    let (first, second) = (summary(&first), summary(&second));
    assert!(second["base"].is_null() || second["base"] == first["snapshot_id"], "{second}");
    assert_eq!(road.run(&["disk", "send", "--spool", &spool]).status.code(), Some(20));

    road.arrive();
    assert_eq!(road.snapshots(), 1);
    road.says(&["disk", "send", "--spool", &spool]);
    assert_eq!((road.snapshots(), road.waiting()), (3, 0));
    road.is_right();
    let again = road.says(&["disk", "send", "--spool", &spool]);
    assert!(again.contains("0 packs sent"), "{again}");
    road.says(&["disk", "unwatch", road.disk.name()]);
}

#[test]
fn sending_that_is_killed_goes_on_and_nothing_is_half_there() {
    let Some(mut road) = Road::new(64 * MIB) else { return };
    let spool = road.spool();
    // With the network it was used once.
    fs::write(road.room.path().join("small"), sample::random_bytes(9, MIB as usize)).expect("a file");
    let small = road.room.path().join("small");
    road.says(&["disk", "backup", small.to_str().expect("UTF-8"), "--spool", &spool]);
    road.leave();
    road.captures();
    let waiting = road.waiting();
    road.arrive();
    let begin = road.wire.sent();
    // The wire is another address of the repository, and spools are found by address.
    let through_wire = spool_for(&road);
    for round in 1..=5 {
        let mut send = road.command_to(road.wire.port(), &["disk", "send", "--spool", &through_wire]);
        send.args(["--limit-upload", "16000"]).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = send.spawn().expect("starts");
        while road.wire.sent() - begin < waiting / 7 * round {
            assert!(child.try_wait().expect("our child").is_none(), "it ended by itself");
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        child.kill().expect("killed");
        child.wait().expect("ended");
        assert_eq!(road.snapshots(), 1);
    }
    let send = road.command_to(road.wire.port(), &["disk", "send", "--spool", &through_wire]).output().expect("runs");
    assert!(send.status.success(), "{}", String::from_utf8_lossy(&send.stderr));
    let sent = road.wire.sent() - begin;
    // Of packs that were on their way, a part is sent twice: five times some packs of 4 MiB.
    assert!(sent < waiting + 5 * 5 * 5 * MIB, "{sent} bytes for {waiting}");
    assert_eq!(road.snapshots(), 2);
    road.is_right();
}

/// The same spool under the address that leads through the wire.
fn spool_for(road: &Road) -> String {
    let spool = PathBuf::from(road.spool());
    let of = |port: u16| {
        let location = format!("rest:http://127.0.0.1:{port}/laptop/");
        spool.join(backend::Id::of(location.as_bytes()).short())
    };
    fs::rename(of(road.port), of(road.wire.port())).expect("renamed");
    spool.to_str().expect("UTF-8").to_owned()
}

#[test]
fn a_spool_that_is_full_sends_the_rest_at_once() {
    let Some(road) = Road::new(64 * MIB) else { return };
    let spool = road.room.path().join("spool");
    fs::create_dir(&spool).expect("a folder");
    let folder = spool.to_str().expect("UTF-8");
    succeeds("mount", &["-t", "tmpfs", "-o", "size=28m", "tmpfs", folder]);
    let output = road.run(&["disk", "backup", road.disk.name(), "--spool", folder, "--pack-size", "4"]);
    let left = road.waiting();
    succeeds("umount", &[folder]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!((road.snapshots(), left), (1, 0));
    road.is_right();
}

#[test]
fn a_spool_on_the_disk_itself_is_refused_where_files_move_when_they_are_written() {
    if !is_root_or_skip() {
        return;
    }
    let bench = Bench::new(env!("CARGO_BIN_EXE_stead"));
    let device = LoopDevice::create(&bench.at("disk"), 256 * MIB);
    succeeds("mkfs.btrfs", &["-q", device.name()]);
    let mounted = Mounted::new(device.name(), &bench.at("mounted"));
    let spool = mounted.folder().join("spool");
    let said = bench.refuses(&["disk", "backup", device.name(), "--spool", as_str(&spool)]);
    assert!(said.contains("lies on it") && said.contains("only of ext4 and XFS"), "{said}");
    assert!(!spool.exists());
    // A repository on this machine needs no spool.
    bench.says(&["disk", "backup", device.name(), "--spool", "auto"]);
    assert!(!bench.at("state/repository/stead/spool").exists());
}
