//! Programs of this machine, and of tests, with the libraries that they need, as a guest's root has them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::archive::Archive;

/// Names that LVM's only program goes by.
const OF_LVM: [&str; 12] = [
    "lvchange",
    "lvcreate",
    "lvremove",
    "lvs",
    "pvcreate",
    "pvs",
    "vgcfgbackup",
    "vgcfgrestore",
    "vgchange",
    "vgcreate",
    "vgs",
    "pvremove",
];

/// Names of the one program of thin-provisioning-tools that LVM runs.
const OF_THIN: [&str; 3] = ["thin_check", "thin_dump", "thin_repair"];

/// Adds busybox, those named programs that are installed, and the test's own.
pub(super) fn add(archive: &mut Archive, names: &[&str], own: &[(PathBuf, String)]) {
    let mut libraries = BTreeSet::new();
    let mut add = |archive: &mut Archive, from: &Path, to: &str| {
        libraries.extend(libraries_of(from));
        archive.file(Path::new(to), &stripped(from), 0o755).expect("an archive");
    };
    let busybox = installed("busybox").expect("busybox: run `cargo xtask setup`");
    add(archive, &busybox, "bin/busybox");
    for (name, path) in names.iter().filter_map(|name| Some((name, installed(name)?))) {
        add(archive, &path, &format!("sbin/{name}"));
    }
    own.iter().for_each(|(path, name)| add(archive, path, &format!("bin/{name}")));
    archive.link(Path::new("bin/sh"), Path::new("busybox")).expect("an archive");
    let links = OF_LVM.map(|name| (name, "lvm")).into_iter().chain(OF_THIN.map(|name| (name, "pdata_tools")));
    links.for_each(|(name, to)| archive.link(&Path::new("sbin").join(name), Path::new(to)).expect("an archive"));
    // LVM asks for this one by its path.
    archive.link(Path::new("usr/sbin"), Path::new("../sbin")).expect("an archive");
    for library in libraries {
        let content = fs::read(&library).unwrap_or_else(|error| panic!("{}: {error}", library.display()));
        archive.file(library.strip_prefix("/").unwrap_or(&library), &content, 0o755).expect("an archive");
    }
}

fn installed(name: &str) -> Option<PathBuf> {
    ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .map(|folder| Path::new(folder).join(name))
        .into_iter()
        .find(|path| path.exists())
}

/// Without what debuggers want, which is most of a test's program.
fn stripped(program: &Path) -> Vec<u8> {
    let read = |path: &Path| fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let room = tempfile::tempdir().expect("room");
    let small = room.path().join("program");
    let strip = Command::new("strip").args(["--strip-debug", "-o"]).arg(&small).arg(program).output();
    match strip {
        Ok(output) if output.status.success() => read(&small),
        _ => read(program),
    }
}

/// Absolute paths that `ldd` tells; none of a static program.
fn libraries_of(program: &Path) -> Vec<PathBuf> {
    let said = Command::new("ldd").arg(program).output().map(|output| output.stdout).unwrap_or_default();
    let said = String::from_utf8_lossy(&said).into_owned();
    let path = |line: &str| line.split_whitespace().find(|word| word.starts_with('/')).map(PathBuf::from);
    said.lines().filter_map(path).collect()
}
