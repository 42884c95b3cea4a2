//! A Debian that was imaged and restored boots to its login: from a disk of the same size, and with `STEAD_ALL` from one of
//! twice and of half the size, and by UEFI.

use std::path::Path;
use std::time::{Duration, Instant};

use testkit::bench::as_str;
use testkit::loop_device::{is_root_or_skip, succeeds};
use testkit::qemu::{Firmware, Machine};
use testkit::{Bench, LoopDevice, Peer, peer};

const GIB: u64 = 1 << 30;

/// Longest that a machine may take whose processor is emulated, while other tests use ours.
const PATIENCE: Duration = Duration::from_secs(400);

/// Puts the system onto the disk `$1`, from the archive `$2`, below the folder `$3`, with GRUB for BIOS and for UEFI. The
/// mounts are seen by nobody else and go with the shell.
const INSTALL: &str = r#"
set -e
mkfs.vfat "$1"p2 >/dev/null
mkfs.ext4 -q "$1"p3
mount "$1"p3 "$3"
tar -C "$3" --zstd -xf "$2"
uuid=$(blkid -s UUID -o value "$1"p3)
echo "UUID=$uuid / ext4 defaults 0 1" >"$3"/etc/fstab
cat >"$3"/etc/default/grub <<GRUB
GRUB_TIMEOUT=0
GRUB_CMDLINE_LINUX="console=ttyS0"
GRUB_TERMINAL=console
GRUB_DISABLE_OS_PROBER=true
GRUB
for folder in dev proc sys; do mount --rbind /$folder "$3"/$folder; done
chroot "$3" grub-install --target=i386-pc "$1"
# Not every kernel mounts FAT: what firmware starts is put there by mtools.
printf 'search.fs_uuid %s root\nset prefix=($root)/boot/grub\nconfigfile $prefix/grub.cfg\n' "$uuid" >"$3"/boot/early.cfg
chroot "$3" grub-mkimage -O x86_64-efi -o /boot/bootx64.efi -p /boot/grub -c /boot/early.cfg part_gpt ext2 fat normal \
    configfile search search_fs_uuid linux gzio echo test all_video loadenv minicmd sleep boot
mmd -i "$1"p2 ::EFI ::EFI/BOOT
mcopy -i "$1"p2 "$3"/boot/bootx64.efi ::EFI/BOOT/BOOTX64.EFI
chroot "$3" update-grub
# Without udev, GRUB does not find out the UUID by itself.
sed -i "s,root=/dev/[a-z0-9]*,root=UUID=$uuid," "$3"/boot/grub/grub.cfg
for folder in dev proc sys; do umount --recursive --lazy "$3"/$folder; done
umount "$3"
"#;

/// A disk with Debian, and its image.
struct Debian {
    bench: Bench,
}

impl Debian {
    /// A disk with Debian, imaged.
    fn imaged() -> Option<Debian> {
        for tool in ["qemu-system-x86_64", "sgdisk", "mkfs.vfat", "mkfs.ext4", "resize2fs", "zstd", "mcopy"] {
            Peer::find(tool)?;
        }
        let archive = peer::folder().parent().unwrap_or(Path::new("/")).join("debian-1.tar.zst");
        if !archive.is_file() {
            peer::skip("no Debian root; run `cargo xtask setup`");
            return None;
        }
        if !is_root_or_skip() {
            return None;
        }
        let debian = Debian { bench: Bench::new(env!("CARGO_BIN_EXE_stead")) };
        debian.install(&archive);
        debian.bench.says(&["disk", "backup", &debian.bench.path("debian.raw")]);
        Some(debian)
    }

    fn install(&self, archive: &Path) {
        let device = LoopDevice::create(&self.bench.at("debian.raw"), 2 * GIB);
        let table = ["-n1:2048:+1M", "-t1:ef02", "-n2:0:+64M", "-t2:ef00", "-n3:0:0", "-t3:8300"];
        succeeds("sgdisk", &[&table[..], &[device.name()]].concat());
        device.show_partitions();
        let folder = self.bench.at("root");
        std::fs::create_dir(&folder).expect("a folder");
        let script = ["--mount", "--propagation", "private", "sh", "-c", INSTALL, "sh"];
        succeeds("unshare", &[&script[..], &[device.name(), as_str(archive), as_str(&folder)]].concat());
    }

    /// Restores it to so many bytes, looks at table and root, and boots it.
    #[expect(clippy::print_stdout, reason = "the figures belong into the test run's output")]
    fn boots(&self, size: u64, firmware: Firmware) {
        let begin = Instant::now();
        let target = self.bench.at("restored");
        let bytes = size.to_string();
        let said = self.bench.says(&["disk", "restore", "latest", as_str(&target), "--size", &bytes, "--verify"]);
        let restored = begin.elapsed();
        let device = LoopDevice::attach(&target);
        let verified = succeeds("sgdisk", &["--verify", device.name()]);
        assert!(verified.contains("No problems found"), "{said}{verified}");
        device.show_partitions();
        succeeds("e2fsck", &["-f", "-n", &device.partition(3)]);
        drop(device);
        let booted = Machine::boot(&target, firmware).waits_for("login:", PATIENCE);
        println!("{size} bytes, {firmware:?}: restored in {restored:.1?}, login after {booted:.1?}");
        std::fs::remove_file(&target).expect("removed");
    }
}

#[test]
fn a_restored_debian_boots_to_its_login() {
    let Some(debian) = Debian::imaged() else { return };
    debian.boots(2 * GIB, Firmware::Bios);
    if std::env::var_os("STEAD_ALL").is_some() {
        debian.boots(4 * GIB, Firmware::Bios);
        debian.boots(GIB, Firmware::Bios);
        debian.boots(GIB, Firmware::Uefi);
    }
}
