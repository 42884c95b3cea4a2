//! LVM volumes, thick and thin, imaged by their snapshots.

use std::time::Instant;

use serde_json::{Value, json};
use testkit::{Guest, Kernel};

use crate::machine::{Stead, backup, busy_with, does, nothing_is_left, proves_sound, refuses};

const MIB: u64 = 1 << 20;

/// A guest with a volume group on its disk.
fn with_group(stead: &Stead) -> Guest {
    let mut guest = stead.boot();
    does(&mut guest, "pvcreate -q /dev/vda\nvgcreate -q vg /dev/vda\nstead init >/dev/null");
    guest
}

/// A volume is imaged while it is written, and nothing is left of the snapshot.
fn a_volume_in_use(stead: &Stead, guest: &mut Guest, make: &str, kind: &str) -> Value {
    let begin = Instant::now();
    does(guest, make);
    let busy = busy_with(guest, kind, "/dev/vg/root");
    let before = busy.number(guest);
    let summary = backup(guest, "/dev/vg/root");
    let after = busy.number(guest);
    assert_eq!((&summary["capture"]["consistency"], &summary["state"]), (&json!("frozen"), &json!("complete")));
    // XFS keeps a log that looks in use, ext4 a flag: both were frozen, and what is free is known.
    assert!(summary["bytes_in_use"].as_u64() < Some(200 * MIB), "{summary}");
    nothing_is_left(guest);
    busy.stop(guest);
    does(guest, "lvremove -q -f vg/root");
    let image = stead.restored(summary["snapshot_id"].as_str().expect("an id"));
    proves_sound(kind, &image, before..=after + 1, &stead.path(""));
    eprintln!("{make}, {kind}: {:.1} s", begin.elapsed().as_secs_f64());
    summary
}

#[test]
fn thick_volumes_are_imaged_by_a_snapshot_while_they_are_written() {
    let Some(stead) = Stead::new(Kernel::Bookworm, 1024 * MIB) else { return };
    let mut guest = with_group(&stead);
    for kind in ["ext4", "xfs"] {
        let summary = a_volume_in_use(&stead, &mut guest, "lvcreate -q -y -n root -L 400M vg", kind);
        assert_eq!(summary["capture"]["provider"], "lvm-thick", "{summary}");
    }
}

#[test]
fn thin_volumes_are_imaged_by_a_snapshot_while_they_are_written() {
    let Some(stead) = Stead::new(Kernel::Bookworm, 1024 * MIB) else { return };
    let mut guest = with_group(&stead);
    does(&mut guest, "lvcreate -q -y -L 700M --thinpool pool vg");
    for kind in ["ext4", "xfs"] {
        let summary = a_volume_in_use(&stead, &mut guest, "lvcreate -q -y -V 400M --thin -n root vg/pool", kind);
        assert_eq!(summary["capture"]["provider"], "lvm-thin", "{summary}");
    }
}

#[test]
#[ignore = "takes minutes: cargo xtask test --all"]
fn a_thick_snapshot_that_runs_full_is_an_error_and_no_image() {
    let Some(stead) = Stead::new(Kernel::Bookworm, 1024 * MIB) else { return };
    let mut guest = with_group(&stead);
    // Room for a snapshot of 256 MiB, and more than that is written before it is read.
    does(&mut guest, "lvcreate -q -y -n root -L 600M vg\nmkfs.ext4 -q /dev/vg/root\nmount /dev/vg/root /mnt");
    let fill = "dd if=/dev/zero of=/mnt/large bs=1M count=300 conv=fsync";
    for words in ["", "--skip-unreadable"] {
        let said = refuses(
            &mut guest,
            &format!("stead disk backup --no-cache {words} --hook-limit 500 --hook-after '{fill}' /dev/vg/root"),
        );
        assert!(said.contains("ran full") && said.contains("more room"), "{said}");
        nothing_is_left(&mut guest);
    }
    assert!(!stead.here(&["snapshots", "--json"]).contains("\"id\""));
}

#[test]
fn a_snapshot_that_a_killed_run_left_is_removed_by_the_next_one() {
    let Some(stead) = Stead::new(Kernel::Bookworm, 512 * MIB) else { return };
    let mut guest = with_group(&stead);
    does(&mut guest, "lvcreate -q -y -n root -L 128M vg\nmkfs.ext4 -q /dev/vg/root\nmount /dev/vg/root /mnt");
    let hook = "touch /tmp/made; while kill -0 $PPID; do sleep 0.1; done";
    does(
        &mut guest,
        &format!(
            "stead disk backup --no-cache --hook-limit 500 --hook-after '{hook}' /dev/vg/root >/tmp/said 2>&1 &\n\
             until [ -e /tmp/made ]; do sleep 0.1; done\nkill -9 $!"
        ),
    );
    assert!(does(&mut guest, "lvs --noheadings -o lv_name").contains("stead-snap-"));
    let said = does(&mut guest, "stead disk backup --no-cache /dev/vg/root");
    assert!(said.contains("removed the snapshot vg/stead-snap-"), "{said}");
    nothing_is_left(&mut guest);
}
