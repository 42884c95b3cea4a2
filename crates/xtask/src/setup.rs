//! Installs what tests and benchmarks need: Debian packages, peers, tools. A second run finds all there and is quick.

mod browser;
mod debian;
mod kernels;
mod peers;

use crate::program::{self, Outcome};
use crate::workspace;

/// Debian packages: servers and tools that tests run, and what borg is built with.
const PACKAGES: [&str; 53] = [
    "acl",
    "attr",
    "binutils",
    "btrfs-progs",
    "busybox-static",
    "ca-certificates",
    "chromium",
    "cmake",
    "cryptsetup-bin",
    "dbus-daemon",
    "debootstrap",
    "dosfstools",
    "e2fsprogs",
    "exfat-fuse",
    "exfatprogs",
    "faketime",
    "fdisk",
    "fonts-noto-core",
    "gcc",
    "gdisk",
    "git",
    "libacl1-dev",
    "liblz4-dev",
    "libssl-dev",
    "libxxhash-dev",
    "libzstd-dev",
    "lvm2",
    "make",
    "mtools",
    "ntfs-3g",
    "openssh-client",
    "openssh-server",
    "openssh-sftp-server",
    "openssl",
    "ovmf",
    "partclone",
    "pebble",
    "pkg-config",
    "postgresql",
    "psmisc",
    "python3-dev",
    "python3-venv",
    "qemu-system-x86",
    "strace",
    "swtpm",
    "thin-provisioning-tools",
    "time",
    "tpm2-tools",
    "util-linux",
    "valgrind",
    "xfsprogs",
    "xz-utils",
    "zstd",
];

/// The version that `.ci/run` was written for.
const CARGO_DENY: &str = "0.20.2";

/// Installs what is missing. Who is not root gets the one line to run.
pub(crate) fn install() -> Outcome {
    let missing = missing_packages();
    let has_systems = kernels::missing().is_empty() && !debian::is_missing();
    let complete = missing.is_empty() && peers::missing().is_empty() && browser::missing().is_empty() && has_systems;
    if complete && has_cargo_deny() {
        println!("setup: all there");
        return Ok(());
    }
    if !is_root() && !missing.is_empty() {
        return Err(format!("not root; please run:\n\n  sudo apt-get install -y {}\n", missing.join(" ")));
    }
    install_packages(&missing)?;
    peers::install()?;
    browser::install()?;
    debian::install()?;
    kernels::install()?;
    if !has_cargo_deny() {
        println!("setup: building cargo-deny, which takes some minutes");
        program::run(&mut workspace::cargo(["install", "cargo-deny", "--version", CARGO_DENY, "--locked", "--quiet"]))?;
    }
    println!("setup: done");
    Ok(())
}

/// Before tests: as root installs, otherwise says what is missing and goes on, because tests without their peer are skipped.
pub(crate) fn install_or_tell() -> Outcome {
    if is_root() {
        return install();
    }
    let missing = missing_packages();
    if !missing.is_empty() {
        println!("setup: some tests will be skipped; to have them all: sudo apt-get install -y {}", missing.join(" "));
    }
    let peers = peers::missing();
    if !peers.is_empty() {
        println!("setup: no {} here; `cargo xtask setup` as root installs them", peers.join(", "));
    }
    let browser = browser::missing();
    if !browser.is_empty() {
        println!("setup: no {} here; `cargo xtask setup` installs them", browser.join(", "));
    }
    let kernels = kernels::missing();
    if !kernels.is_empty() {
        println!("setup: no {} here; `cargo xtask setup` as root unpacks them", kernels.join(", "));
    }
    Ok(())
}

fn missing_packages() -> Vec<&'static str> {
    let installed =
        program::output(&mut program::command(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n"]));
    let installed = installed.unwrap_or_default();
    let is_there = |name: &&str| installed.lines().any(|line| line.strip_prefix(*name) == Some(" installed"));
    PACKAGES.into_iter().filter(|name| !is_there(name)).collect()
}

fn install_packages(missing: &[&str]) -> Outcome {
    if missing.is_empty() {
        return Ok(());
    }
    println!("setup: installing {}", missing.join(" "));
    let install = || {
        let words =
            ["apt-get", "install", "-q", "-y", "--no-install-recommends"].into_iter().chain(missing.iter().copied());
        program::output(program::command(words).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    if install().is_err() {
        program::output(&mut program::command(["apt-get", "update", "-q"]))?;
        install()?;
    }
    Ok(())
}

fn has_cargo_deny() -> bool {
    program::succeeds(&mut workspace::cargo(["deny", "--version"]))
}

/// True if we may install packages.
pub(super) fn is_root() -> bool {
    program::output(&mut program::command(["id", "-u"])).is_ok_and(|uid| uid.trim() == "0")
}
