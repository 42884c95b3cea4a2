//! Gate 3: a power cut half-way through an image.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rand::RngCore;
use testkit::Kernel;
use testkit::loop_device::succeeds;
use testkit::{LoopDevice, Mounted};

use crate::machine::{Busy, Stead, check, does};

const MIB: u64 = 1 << 20;

/// Bytes of what cannot be compressed.
const LARGE: u64 = 80 * MIB;

/// Bytes in a folder and those below it.
fn bytes_in(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let of = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_in(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.flatten().map(of).sum()
}

#[test]
fn an_image_that_a_power_cut_ended_is_taken_up_and_nothing_is_sent_twice() {
    let Some(stead) = Stead::new(Kernel::Bookworm, 256 * MIB) else { return };
    let mut large = vec![0; LARGE as usize];
    rand::rng().fill_bytes(&mut large);
    fs::create_dir_all(stead.path("content/boot")).expect("a folder");
    fs::write(stead.path("content/random"), &large).expect("a file");
    let (content, disk) = (stead.path("content"), stead.path("disk"));
    succeeds("mkfs.ext4", &["-q", "-d", content.to_str().expect("UTF-8"), disk.to_str().expect("UTF-8")]);

    let mut guest = stead.boot();
    does(&mut guest, "stead init >/dev/null\nmount -t ext4 /dev/vda /mnt");
    let _ = Busy::start(&mut guest);
    does(&mut guest, "stead disk backup --no-cache --limit-upload 2048 /dev/vda >/tmp/said 2>&1 &");
    let (data, end) = (stead.path("shared/repository/data"), Instant::now() + Duration::from_secs(600));
    // Two packs are there, and the state that names them.
    while bytes_in(&data) < 36 * MIB || bytes_in(&stead.path("shared/state")) == 0 {
        assert!(Instant::now() < end, "{} bytes stored:\n{}", bytes_in(&data), does(&mut guest, "cat /tmp/said"));
        std::thread::sleep(Duration::from_millis(20));
    }
    guest.cut_power();
    let stored = bytes_in(&data);
    assert!(stored < LARGE, "{stored}: it was cut off half-way");

    let mut guest = stead.boot();
    // The writer counts from the beginning again: what it wrote before the cut must not be taken for it.
    does(&mut guest, "mount -t ext4 /dev/vda /mnt\nrm -r /mnt/one /mnt/two /mnt/small");
    let busy = Busy::start(&mut guest);
    let before = busy.number(&mut guest);
    let said = does(&mut guest, "stead disk backup --no-cache --freeze-budget 20 /dev/vda");
    let after = busy.number(&mut guest);
    assert!(said.contains("taking up the image of vda") && said.contains("only what is missing is sent"), "{said}");
    busy.stop(&mut guest);
    drop(guest);
    let sent = bytes_in(&data);
    eprintln!("{stored} bytes stored before the cut, {sent} in the end");
    // What the writer wrote, trees and the metadata of the file system come to a few MiB.
    assert!(sent < LARGE + LARGE / 20 + 40 * MIB, "{sent}");
    let device = LoopDevice::attach(&stead.restored("latest"));
    check("ext4", device.name());
    let mounted = Mounted::new(device.name(), &stead.path("mounted"));
    testkit::writer::is_of_one_instant(mounted.folder(), before..=after + 1);
    assert!(fs::read(mounted.folder().join("random")).expect("a file") == large);
    // Nobody but a person knows that the machine that held this lock is the one that lost its power.
    stead.here(&["unlock", "--remove-all"]);
    stead.here(&["check", "--read-data"]);
}
