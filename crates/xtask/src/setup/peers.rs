//! The newest peers in one folder: restic, rclone, rest-server and ntfy from Debian sid, whose binaries are static; rustic
//! built by Cargo; borg, resticpy, aiosmtpd and schemathesis from Python's index; Azure's emulator from Node's.
//!
//! Debian's mirror is the one that this machine uses already. sid gets so low a priority that nothing else is taken from it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::program::{self, Outcome, at};
use crate::workspace;

const STATIC: [&str; 4] = ["restic", "rclone", "restic-rest-server", "ntfy"];
const RUSTIC: &str = "0.11.4";
const PYTHON: [&str; 4] = ["borgbackup==1.4.5", "resticpy", "aiosmtpd", "schemathesis"];
const OF_PYTHON: [&str; 4] = ["borg", "resticpy", "aiosmtpd", "schemathesis"];
/// The last version that runs on the Node of Debian and of this machine alike.
const AZURITE: &str = "azurite@3.35.0";

const SOURCES: &str = "/etc/apt/sources.list.d/stead-peers.sources";
const PREFERENCES: &str = "/etc/apt/preferences.d/stead-peers";
const PINS: &str =
    "Package: *\nPin: release n=trixie\nPin-Priority: 50\n\nPackage: *\nPin: release n=sid\nPin-Priority: 40\n";

/// Names of peers that are not in the folder.
pub(super) fn missing() -> Vec<&'static str> {
    let all = STATIC.into_iter().chain(["rustic", "azurite-blob"]).chain(OF_PYTHON);
    all.filter(|name| !workspace::peers().join(name).exists()).collect()
}

/// Installs those that are missing.
pub(super) fn install() -> Outcome {
    let bin = workspace::peers();
    at(&bin, fs::create_dir_all(&bin))?;
    let missing = missing();
    install_static(&bin, &missing)?;
    if missing.contains(&"rustic") {
        install_rustic(&bin)?;
    }
    if OF_PYTHON.iter().any(|name| missing.contains(name)) {
        install_python(&bin)?;
    }
    if missing.contains(&"azurite-blob") {
        install_azurite(&bin)?;
    }
    Ok(())
}

/// Where what is not a program is kept: beside the folder of programs.
fn store() -> PathBuf {
    let bin = workspace::peers();
    bin.parent().unwrap_or(&bin).to_path_buf()
}

fn install_static(bin: &Path, missing: &[&str]) -> Outcome {
    let wanted: Vec<_> = STATIC.into_iter().filter(|name| missing.contains(name)).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    know_sid()?;
    wanted.into_iter().try_for_each(|name| install_from_sid(bin, name))
}

fn install_from_sid(bin: &Path, name: &str) -> Outcome {
    println!("setup: {name} from Debian sid");
    let room = store().join("download");
    let _ = fs::remove_dir_all(&room);
    at(&room, fs::create_dir_all(&room))?;
    program::output(program::command(["apt-get", "download", "-q", &format!("{name}/sid")]).current_dir(&room))?;
    let package = at(&room, fs::read_dir(&room))?.next().ok_or("apt-get downloaded nothing")?;
    let package = at(&room, package)?.path();
    program::output(program::command(["dpkg", "-x"]).arg(&package).arg(room.join("unpacked")))?;
    let from = room.join("unpacked/usr/bin").join(name);
    at(&from, fs::copy(&from, bin.join(name)))?;
    at(&room, fs::remove_dir_all(&room))
}

/// Adds trixie and sid from the mirror that the machine uses, at priorities below everything else.
fn know_sid() -> Outcome {
    if Path::new(SOURCES).exists() {
        return Ok(());
    }
    if !super::is_root() {
        return Err("not root; please run `sudo cargo xtask setup` once, for restic, rclone and rest-server".into());
    }
    let mirror = mirror().ok_or("found no Debian mirror in this machine's apt sources")?;
    let keys = "/usr/share/keyrings/debian-archive-keyring.gpg";
    let sources = format!("Types: deb\nURIs: {mirror}\nSuites: trixie sid\nComponents: main\nSigned-By: {keys}\n");
    at(Path::new(PREFERENCES), fs::write(PREFERENCES, PINS))?;
    at(Path::new(SOURCES), fs::write(SOURCES, sources))?;
    program::output(&mut program::command(["apt-get", "update", "-q"])).map(drop)
}

/// The first mirror in the machine's apt sources, in either of the two formats.
pub(super) fn mirror() -> Option<String> {
    let folder = Path::new("/etc/apt/sources.list.d");
    let listed = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let files = [folder.join("debian.sources"), "/etc/apt/sources.list".into()].into_iter().chain(listed);
    files.filter_map(|file| fs::read_to_string(file).ok()).find_map(|text| text.lines().find_map(mirror_in))
}

/// The mirror that one line names.
fn mirror_in(line: &str) -> Option<String> {
    let is_mirror = |word: &&str| word.contains("://");
    match line.split_whitespace().next()? {
        "URIs:" | "deb" => line.split_whitespace().find(is_mirror).map(str::to_owned),
        _ => None,
    }
}

fn install_rustic(bin: &Path) -> Outcome {
    println!("setup: building rustic, which takes about eight minutes");
    let root = store().join("rustic");
    let words = ["install", "rustic-rs", "--version", RUSTIC, "--locked", "--no-default-features", "--quiet", "--root"];
    program::run(workspace::cargo(words).arg(&root))?;
    let built = root.join("bin/rustic");
    at(&built, fs::copy(&built, bin.join("rustic"))).map(drop)
}

fn install_python(bin: &Path) -> Outcome {
    println!("setup: borg, resticpy, aiosmtpd and schemathesis");
    let room = python_room();
    if !room.join("bin/pip").exists() {
        program::output(program::command(["/usr/bin/python3", "-m", "venv", "--clear"]).arg(&room))?;
    }
    let pip = room.join("bin/pip");
    program::output(std::process::Command::new(pip).args(["install", "--quiet"]).args(PYTHON))?;
    for name in ["borg", "aiosmtpd", "schemathesis"] {
        wrap(&room.join("bin").join(name), &bin.join(name))?;
    }
    // resticpy is a library: its "program" is the interpreter that knows it.
    program::output(std::process::Command::new(room.join("bin/python")).args(["-c", "import restic"]))?;
    wrap(&room.join("bin/python"), &bin.join("resticpy"))
}

/// Azure's emulator of blobs, which Node runs. Where there is no npm, Debian's is installed.
fn install_azurite(bin: &Path) -> Outcome {
    println!("setup: azurite");
    if !program::succeeds(&mut program::command(["npm", "--version"])) {
        super::install_packages(&["nodejs", "npm"])?;
    }
    let room = store().join("azurite");
    at(&room, fs::create_dir_all(&room))?;
    let words = ["install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--omit=optional"];
    let quiet = ["--loglevel=error", AZURITE, "--prefix"];
    program::output(program::command(["npm"]).args(words).args(quiet).arg(&room))?;
    wrap_with("node ", &room.join("node_modules/azurite/dist/src/blob/main.js"), &bin.join("azurite-blob"))
}

/// A script that runs `program`, because an interpreter that is called by another path does not find its packages.
fn wrap(program: &Path, script: &Path) -> Outcome {
    wrap_with("", program, script)
}

fn wrap_with(interpreter: &str, program: &Path, script: &Path) -> Outcome {
    let _ = fs::remove_file(script);
    at(script, fs::write(script, format!("#!/bin/sh\nexec {interpreter}'{}' \"$@\"\n", program.display())))?;
    at(script, fs::set_permissions(script, fs::Permissions::from_mode(0o755)))
}

/// The virtual environment that what comes from Python's index lives in.
fn python_room() -> PathBuf {
    store().join("borg")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_read_from_both_formats_of_apt_sources() {
        let mirror = Some("http://mirror.example/debian".to_owned());
        assert_eq!(mirror_in("URIs: http://mirror.example/debian"), mirror);
        assert_eq!(mirror_in("deb [arch=amd64 signed-by=/k] http://mirror.example/debian bookworm main"), mirror);
        assert_eq!(mirror_in("# deb http://mirror.example/debian bookworm main"), None);
        assert_eq!(mirror_in("Types: deb"), None);
        assert_eq!(mirror_in(""), None);
    }
}
