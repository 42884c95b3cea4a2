//! Kernels that guests of the test suite boot (see `testkit::guest`): Debian's own, unpacked and not installed.
//!
//! apt keeps lists of its own for them, so that nothing of the machine's own is changed, and nobody has to be root.

use std::fs;
use std::path::{Path, PathBuf};

use super::peers;
use crate::program::{self, Outcome, at};
use crate::workspace;

/// Debian's releases, and the kernel of each; folders are named by the kernel.
const KERNELS: [(&str, &str); 2] = [("bullseye", "5.10"), ("bookworm", "6.1")];

/// Parts of a kernel's modules that a guest may need.
const PARTS: [&str; 12] = [
    "arch",
    "crypto",
    "drivers/block",
    "drivers/char",
    "drivers/dax",
    "drivers/md",
    "drivers/nvdimm",
    "drivers/scsi",
    "drivers/virtio",
    "fs",
    "lib",
    "net/9p",
];

/// Kernels that are not there, as a person would name them.
pub(super) fn missing() -> Vec<String> {
    let is_missing = |(_, version): &&(&str, &str)| !folder(version).join("vmlinuz").exists();
    KERNELS.iter().filter(is_missing).map(|(release, version)| format!("Linux {version} ({release})")).collect()
}

/// Where a kernel is unpacked.
fn folder(version: &str) -> PathBuf {
    workspace::peers().with_file_name("guest").join(version)
}

/// Downloads and unpacks those that are missing.
pub(super) fn install() -> Outcome {
    KERNELS.iter().filter(|(_, version)| !folder(version).join("vmlinuz").exists()).try_for_each(
        |(release, version)| {
            println!("setup: Linux {version} from Debian {release}, for guests");
            let room = folder(version).with_extension("new");
            let _ = fs::remove_dir_all(&room);
            let package = download(release, version, &room)?;
            unpack(&package, &room)?;
            at(&room, fs::rename(&room, folder(version)))
        },
    )
}

/// The newest package of that kernel, downloaded into the room.
fn download(release: &str, version: &str, room: &Path) -> Outcome<PathBuf> {
    let apt = Apt::new(release, &room.join("apt"))?;
    apt.run("apt-get", &["update", "-q"], room)?;
    let beginning = format!("linux-image-{version}.0-");
    let names = apt.run("apt-cache", &["pkgnames", &beginning], room)?;
    let number = |name: &&str| name.strip_prefix(&*beginning)?.strip_suffix("-amd64")?.parse::<u32>().ok();
    let newest = names.lines().filter(|name| number(name).is_some()).max_by_key(number);
    let newest = newest.ok_or_else(|| format!("Debian {release} has no package {beginning}N-amd64"))?;
    apt.run("apt-get", &["download", "-q", newest], room)?;
    let is_package = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "deb");
    let files = at(room, fs::read_dir(room))?.flatten().map(|entry| entry.path());
    files.into_iter().find(is_package).ok_or_else(|| format!("apt-get downloaded no {newest}"))
}

/// apt with one release of the mirror that the machine uses, and lists in a folder of its own.
struct Apt {
    options: Vec<String>,
}

impl Apt {
    fn new(release: &str, folder: &Path) -> Outcome<Apt> {
        for part in ["lists/partial", "cache/archives/partial"] {
            at(folder, fs::create_dir_all(folder.join(part)))?;
        }
        let mirror = peers::mirror().ok_or("found no Debian mirror in this machine's apt sources")?;
        let keys = "/usr/share/keyrings/debian-archive-keyring.gpg";
        let list = folder.join("sources.list");
        // A release that is not cared for any more signs no new dates.
        let line = format!("deb [arch=amd64 signed-by={keys} check-valid-until=no] {mirror} {release} main\n");
        at(&list, fs::write(&list, line))?;
        let show = |key: &str, path: &Path| format!("-o{key}={}", path.display());
        let options = vec![
            show("Dir::Etc::sourcelist", &list),
            show("Dir::Etc::sourceparts", Path::new("/dev/null")),
            show("Dir::Etc::preferencesparts", Path::new("/dev/null")),
            show("Dir::State::lists", &folder.join("lists")),
            show("Dir::Cache", &folder.join("cache")),
        ];
        Ok(Apt { options })
    }

    fn run(&self, program: &str, args: &[&str], room: &Path) -> Outcome<String> {
        program::output(program::command([program]).args(&self.options).args(args).current_dir(room))
    }
}

/// Leaves `vmlinuz`, `modules` and the list of what needs what in the room.
fn unpack(package: &Path, room: &Path) -> Outcome {
    let unpacked = room.join("unpacked");
    program::output(program::command(["dpkg-deb", "-x"]).arg(package).arg(&unpacked))?;
    let modules = only_entry(&unpacked.join("lib/modules"))?;
    let release = modules.file_name().unwrap_or_default().to_string_lossy().into_owned();
    program::output(program::command(["busybox", "depmod", "-b"]).arg(&unpacked).arg(&release))?;
    let kernel = unpacked.join(format!("boot/vmlinuz-{release}"));
    at(&kernel, fs::rename(&kernel, room.join("vmlinuz")))?;
    let kept = room.join("modules");
    for part in PARTS.iter().filter(|part| modules.join("kernel").join(part).exists()) {
        let (from, to) = (modules.join("kernel").join(part), kept.join("kernel").join(part));
        at(&to, fs::create_dir_all(to.parent().unwrap_or(&kept)))?;
        at(&from, fs::rename(&from, to))?;
    }
    for list in ["modules.dep", "modules.alias", "modules.builtin"] {
        at(&kept, fs::rename(modules.join(list), kept.join(list)))?;
    }
    at(&kept, fs::write(kept.join("release"), &release))?;
    at(&unpacked, fs::remove_dir_all(&unpacked))?;
    at(&room.join("apt"), fs::remove_dir_all(room.join("apt")))?;
    at(package, fs::remove_file(package))
}

fn only_entry(folder: &Path) -> Outcome<PathBuf> {
    let entry = at(folder, fs::read_dir(folder))?.flatten().next();
    entry.map(|entry| entry.path()).ok_or_else(|| format!("{} is empty", folder.display()))
}
