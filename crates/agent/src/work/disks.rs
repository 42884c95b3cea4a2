//! Which disks of this machine an order or a policy means. One that is not there is an error that names those that are.

use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use disks::inventory::disks_below;
use fleet::{SYSTEM_DISK, size_in_words};
use platform::hardware::{Device, Kind, System};

use super::Halt;

/// The paths of the disks that are named; nothing named means all that stay in the machine.
pub(super) fn chosen(named: &[String]) -> Result<Vec<PathBuf>, Halt> {
    let devices = System::this().devices().map_err(Halt::failed)?;
    if named.is_empty() {
        return lasting(&devices);
    }
    let mut paths = Vec::new();
    for name in named {
        let found = if name == SYSTEM_DISK { system(&devices)? } else { vec![one(&devices, name)?] };
        paths.extend(found);
    }
    paths.sort();
    paths.dedup();
    Ok(paths)
}

fn is_lasting(device: &&Device) -> bool {
    device.kind == Kind::Disk && !device.removable
}

fn path(name: &str) -> PathBuf {
    Path::new("/dev").join(name)
}

fn lasting(devices: &[Device]) -> Result<Vec<PathBuf>, Halt> {
    let paths: Vec<PathBuf> = devices.iter().filter(is_lasting).map(|device| path(&device.name)).collect();
    match paths.is_empty() {
        true => Err(Halt::Failed("this machine has no disks that could be imaged".into())),
        false => Ok(paths),
    }
}

/// What the root of the file systems lies on, through volumes and arrays.
fn system(devices: &[Device]) -> Result<Vec<PathBuf>, Halt> {
    let below = disks_below(&System::this(), Path::new("/")).map_err(Halt::failed)?;
    let disks = devices.iter().filter(|device| device.kind == Kind::Disk && below.contains(&device.name));
    let paths: Vec<PathBuf> = disks.map(|device| path(&device.name)).collect();
    match paths.is_empty() {
        true => Err(Halt::Failed(format!(
            "the system disk of this machine cannot be told: name it in the policy; {}",
            there_are(devices)
        ))),
        false => Ok(paths),
    }
}

/// A device by its node, or by a link to it such as those in `/dev/disk/by-id`.
fn one(devices: &[Device], name: &str) -> Result<PathBuf, Halt> {
    let node = std::fs::canonicalize(name).ok().filter(|node| node.starts_with("/dev"));
    let is_device = |node: &PathBuf| std::fs::metadata(node).is_ok_and(|found| found.file_type().is_block_device());
    node.filter(is_device)
        .ok_or_else(|| Halt::Failed(format!("{name:?} is no disk of this machine; {}", there_are(devices))))
}

/// "it has /dev/sda (500 GB)"
fn there_are(devices: &[Device]) -> String {
    let told = devices
        .iter()
        .filter(is_lasting)
        .map(|device| format!("{} ({})", path(&device.name).display(), size_in_words(device.size)));
    match told.collect::<Vec<_>>().join(", ") {
        none if none.is_empty() => "it has none that stays in it".into(),
        told => format!("it has {told}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(name: &str) -> String {
        match chosen(&[name.to_owned()]) {
            Err(Halt::Failed(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_no_disk_is_refused_with_those_that_there_are() {
        for name in ["/dev/nothing-like-that", "/dev/null", "/etc/hostname", "/dev/../etc", "sda", ""] {
            let why = refused(name);
            assert!(why.contains("is no disk of this machine; it has "), "{why}");
        }
    }
}
