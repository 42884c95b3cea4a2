//! The tracker on kernels that are older than this machine's.

use serde_json::json;
use testkit::loop_device::succeeds;
use testkit::{Kernel, LoopDevice, Mounted};

use crate::machine::{Stead, backup, busy_with, check, does, nothing_is_left};

const MIB: u64 = 1 << 20;

/// A disk with a partition table is imaged while its filesystem is written: by a tracker that is held by a process, because
/// this kernel has no links to tracepoints, and known by its disk's name alone, because disks have no numbers of their own.
fn a_disk_in_use(kernel: Kernel, kind: &str) {
    let Some(stead) = Stead::new(kernel, 400 * MIB) else { return };
    let mut guest = stead.boot();
    does(&mut guest, "sgdisk -n1:2048:0 /dev/vda >/dev/null\nstead init >/dev/null");
    let busy = busy_with(&mut guest, kind, "/dev/vda1");
    let before = busy.number(&mut guest);
    let summary = backup(&mut guest, "/dev/vda --freeze-budget 20");
    let after = busy.number(&mut guest);
    let capture = &summary["capture"];
    assert_eq!((&capture["provider"], &capture["consistency"]), (&json!("tracker"), &json!("frozen")));
    let counts = &capture["cross_check"];
    assert!(counts["ours"] == counts["kernel"] && counts["ours"].as_u64() > Some(0), "{counts}");
    assert_eq!(summary["capture_details"]["full_compares"], 0, "{summary}");
    nothing_is_left(&mut guest);
    busy.stop(&mut guest);
    drop(guest);
    let device = LoopDevice::attach(&stead.restored("latest"));
    succeeds("sgdisk", &["--verify", device.name()]);
    device.show_partitions();
    if kind != "xfs" {
        // XFS plays its log when it is mounted, and is looked at afterwards.
        check(kind, &device.partition(1));
    }
    let mounted = Mounted::new(&device.partition(1), &stead.path("mounted"));
    testkit::writer::is_of_one_instant(mounted.folder(), before..=after + 1);
    drop(mounted);
    check(kind, &device.partition(1));
}

#[test]
fn the_tracker_works_on_the_oldest_kernel_that_is_supported() {
    a_disk_in_use(Kernel::Bullseye, "ext4");
}

#[test]
#[ignore = "takes minutes: cargo xtask test --all"]
fn the_tracker_works_on_the_kernel_of_debian_12() {
    a_disk_in_use(Kernel::Bookworm, "xfs");
}
