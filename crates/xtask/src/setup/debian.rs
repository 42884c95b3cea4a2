//! A Debian system that boots, as an archive: tests put it onto disks and look whether it still boots when it comes back.

use std::fs;
use std::path::PathBuf;

use crate::program::{self, Outcome, at};
use crate::workspace;

const SUITE: &str = "bookworm";
/// Besides the base: what boots, by BIOS and by UEFI.
const PACKAGES: &str = "linux-image-cloud-amd64,initramfs-tools,systemd-sysv,udev,e2fsprogs,grub-pc,grub-efi-amd64-bin";

/// Where the archive is. Another list of packages needs another name.
fn archive() -> PathBuf {
    let bin = workspace::peers();
    bin.parent().unwrap_or(&bin).join("debian-1.tar.zst")
}

/// True if there is none.
pub(super) fn is_missing() -> bool {
    !archive().exists()
}

/// Makes it, which takes one or two minutes and root.
pub(super) fn install() -> Outcome {
    if !is_missing() || !super::is_root() {
        return Ok(());
    }
    println!("setup: a Debian root for boot tests");
    let mirror = super::peers::mirror().ok_or("found no Debian mirror in this machine's apt sources")?;
    let (archive, root) = (archive(), archive().with_extension("root"));
    let _ = fs::remove_dir_all(&root);
    at(&root, fs::create_dir_all(&root))?;
    let include = format!("--include={PACKAGES}");
    let mut debootstrap = program::command(["debootstrap", "--variant=minbase", &include, SUITE]);
    program::output(debootstrap.arg(&root).arg(mirror).env("DEBIAN_FRONTEND", "noninteractive"))?;
    // Whole or not at all: who is stopped half-way begins again.
    let part = archive.with_extension("part");
    let mut tar =
        program::command(["tar", "--zstd", "--exclude=./var/cache/apt/*", "--exclude=./usr/share/doc/*", "-C"]);
    program::output(tar.arg(&root).arg("-cf").arg(&part).arg("."))?;
    at(&archive, fs::rename(&part, &archive))?;
    at(&root, fs::remove_dir_all(&root))
}
