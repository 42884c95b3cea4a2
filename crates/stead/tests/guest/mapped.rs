//! What is mapped onto disks by other targets than LVM's: encrypted disks, and devices of several disks.

use serde_json::json;
use testkit::Kernel;

use crate::machine::{Stead, backup, busy_with, does, nothing_is_left, proves_sound, proves_sound_there, refuses};

const MIB: u64 = 1 << 20;

const ENCRYPT: &str = "echo secret >/tmp/key
cryptsetup -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 luksFormat /dev/vda /tmp/key
cryptsetup --key-file /tmp/key open /dev/vda plain
stead init >/dev/null";

#[test]
fn an_encrypted_disk_is_imaged_while_it_is_written_as_it_is_and_as_what_is_in_it() {
    encrypted_images("");
}

#[test]
#[ignore = "takes minutes: cargo xtask test --all"]
fn a_spool_in_what_is_encrypted_is_left_out_of_both_images() {
    let left_out = encrypted_images("--pack-size 4 --spool /mnt/spool");
    let [inside, whole] = left_out[..] else { return };
    // What is inside compresses to a few packs; the whole is noise, and fills the spool.
    assert!(inside > 0 && whole > 32 * MIB, "{left_out:?}");
}

/// Images what is on an encrypted disk and the disk, and looks at them; what was left out of them.
fn encrypted_images(words: &str) -> Vec<u64> {
    let Some(stead) = Stead::new(Kernel::Bookworm, 160 * MIB) else { return Vec::new() };
    let stead = stead.disk("spare", 160 * MIB);
    let mut guest = stead.boot();
    does(&mut guest, ENCRYPT);
    let busy = busy_with(&mut guest, "ext4", "/dev/mapper/plain");
    let (mut images, mut left_out) = (Vec::new(), Vec::new());
    for device in ["/dev/mapper/plain", "/dev/vda"] {
        let before = busy.number(&mut guest);
        let summary = backup(&mut guest, &format!("--freeze-budget 20 {words} {device}"));
        let after = busy.number(&mut guest);
        let capture = &summary["capture"];
        assert_eq!((&capture["provider"], &capture["consistency"]), (&json!("tracker"), &json!("frozen")));
        assert_eq!(capture["cross_check"]["ours"], capture["cross_check"]["kernel"]);
        nothing_is_left(&mut guest);
        left_out.push(summary["bytes_left_out"].as_u64().expect("bytes"));
        images.push((summary["snapshot_id"].as_str().expect("an id").to_owned(), before..=after + 1));
    }
    busy.stop(&mut guest);
    let [(plain, in_plain), (whole, in_whole)] = &images[..] else { unreachable!("two were made") };
    proves_sound("ext4", &stead.restored(plain), in_plain.clone(), &stead.path(""));
    // This kernel has no dm-crypt: the guest looks.
    stead.restore_onto(whole, "spare");
    does(&mut guest, "cryptsetup --key-file /tmp/key open /dev/vdb again");
    proves_sound_there(&mut guest, "/dev/mapper/again", in_whole.clone());
    left_out
}

/// On two disks, half and half.
const ODD: &str = "half=$(blockdev --getsz /dev/vdb)
printf '0 %d linear /dev/vda 0\\n%d %d linear /dev/vdb 0\\n' $half $half $half | dmsetup create odd
stead init >/dev/null";

#[test]
#[ignore = "takes minutes: cargo xtask test --all"]
fn a_device_on_several_disks_is_imaged_by_a_snapshot_that_keeps_changes_on_another_disk() {
    let Some(stead) = Stead::new(Kernel::Bookworm, 128 * MIB) else { return };
    let stead = stead.disk("second", 128 * MIB).disk("store", 256 * MIB);
    let mut guest = stead.boot();
    does(&mut guest, ODD);
    let table = does(&mut guest, "dmsetup table odd");
    let busy = busy_with(&mut guest, "ext4", "/dev/mapper/odd");
    let said = refuses(&mut guest, "stead disk backup --no-cache /dev/mapper/odd");
    assert!(said.contains("lies on several disks: vda, vdb") && said.contains("--snapshot-store"), "{said}");
    let said = refuses(&mut guest, "stead disk backup --no-cache --snapshot-store /dev/vdb /dev/mapper/odd");
    assert!(said.contains("in use"), "{said}");
    does(&mut guest, "mkfs.ext4 -q /dev/vdc");
    let said = refuses(&mut guest, "stead disk backup --no-cache --snapshot-store /dev/vdc /dev/mapper/odd");
    assert!(said.contains("ext4"), "{said}");
    does(&mut guest, "dd if=/dev/zero of=/dev/vdc bs=1M count=8 conv=fsync 2>/dev/null");

    let hook = "touch /tmp/made; while kill -0 $PPID; do sleep 0.1; done";
    let killed = format!(
        "stead disk backup --no-cache --snapshot-store /dev/vdc --hook-limit 500 --hook-after '{hook}' /dev/mapper/odd \
         >/tmp/said 2>&1 &\nuntil [ -e /tmp/made ]; do sleep 0.1; done\nkill -9 $!"
    );
    does(&mut guest, &killed);
    assert!(does(&mut guest, "dmsetup ls").contains("-base-odd"));

    let before = busy.number(&mut guest);
    let summary = backup(&mut guest, "--snapshot-store /dev/vdc /dev/mapper/odd");
    let after = busy.number(&mut guest);
    let capture = &summary["capture"];
    assert_eq!((&capture["provider"], &capture["consistency"]), (&json!("device-mapper"), &json!("frozen")));
    nothing_is_left(&mut guest);
    assert_eq!(does(&mut guest, "dmsetup table odd"), table);
    busy.stop(&mut guest);
    let id = summary["snapshot_id"].as_str().expect("an id");
    proves_sound("ext4", &stead.restored(id), before..=after + 1, &stead.path(""));
}

#[test]
#[ignore = "takes minutes: cargo xtask test --all"]
fn a_volume_in_a_container_is_put_onto_another_disk_whose_structure_is_made_anew() {
    let Some(stead) = Stead::new(Kernel::Bookworm, 160 * MIB) else { return };
    let stead = stead.disk("spare", 200 * MIB).disk("small", 100 * MIB);
    let mut guest = stead.boot();
    does(&mut guest, ENCRYPT);
    does(
        &mut guest,
        "pvcreate -q /dev/mapper/plain\nvgcreate -q vg /dev/mapper/plain\nlvcreate -q -y -n root -l 100%FREE vg",
    );
    let busy = busy_with(&mut guest, "ext4", "/dev/vg/root");
    let before = busy.number(&mut guest);
    // No room for a snapshot: by the tracker, two devices further down.
    let summary = backup(&mut guest, "--freeze-budget 20 /dev/vg/root");
    let after = busy.number(&mut guest);
    assert_eq!(summary["capture"]["provider"], json!("tracker"), "{summary}");
    nothing_is_left(&mut guest);
    busy.stop(&mut guest);
    let rebuild = "stead disk rebuild --passphrase-file /tmp/other latest";
    let said = refuses(&mut guest, &format!("echo other >/tmp/other\n{rebuild} /dev/vdb"));
    assert!(said.contains("called plain on this machine"), "{said}");
    // The machine is another one now.
    does(
        &mut guest,
        "vgchange -q -an vg\ncryptsetup close plain\ndd if=/dev/zero of=/dev/vda bs=1M count=20 conv=fsync",
    );
    let said = refuses(&mut guest, &format!("mkfs.ext4 -q /dev/vdb\n{rebuild} /dev/vdb"));
    assert!(said.contains("ext4 is on it"), "{said}");
    does(&mut guest, "dd if=/dev/zero of=/dev/vdb bs=1M count=20 conv=fsync");
    let said = does(&mut guest, &format!("{rebuild} /dev/vdb --dry-run"));
    assert!(said.contains("would make an encrypted container (LUKS2)"), "{said}");
    let said = does(&mut guest, &format!("{rebuild} /dev/vdb"));
    assert!(said.contains("then: stead disk restore latest /dev/vg/root"), "{said}");
    // What is in a container with a new key is noise where nothing was written: it does not look empty.
    let name = "dm-$((0x$(stat -L -c %T /dev/vg/root)))";
    does(&mut guest, &format!("stead disk restore --no-cache --yes-overwrite {name} latest /dev/vg/root"));
    does(&mut guest, "cryptsetup --key-file /tmp/other --test-passphrase open /dev/vdb");
    proves_sound_there(&mut guest, "/dev/vg/root", before..=after + 1);
}
