//! What is to be known about a device before a provider is chosen.

use std::io;
use std::path::{Path, PathBuf};

use platform::BlockDevice;
use platform::direct::{Claim, DirectFile};
use serde::Deserialize;

use super::{ProgramError, Programs};

/// What is known about a device.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceFacts {
    /// Its node.
    pub device: PathBuf,
    /// It is mounted, or something is made of it.
    pub is_in_use: bool,
    /// It is made by the device mapper.
    pub is_mapped: bool,
    /// The kind of the filesystem on it, if it is mounted.
    pub filesystem: Option<String>,
    /// The LVM volume that it is.
    pub volume: Option<Volume>,
    /// Where a device-mapper snapshot may keep changes.
    pub store: Option<PathBuf>,
    /// Whether it can be tracked, or why not.
    pub tracker: Result<(), String>,
}

/// An LVM volume.
#[derive(Clone, Debug, PartialEq)]
pub struct Volume {
    /// Its group.
    pub group: String,
    /// Its name.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// Bytes of the group that nothing has.
    pub group_free: u64,
    /// The thin pool that it is in.
    pub pool: Option<String>,
    /// How full the pool is.
    pub pool_used_percent: Option<f64>,
}

impl Volume {
    /// Percent from which no snapshot is made: a pool that runs full stops everybody who uses it.
    pub const FULL_POOL: f64 = 85.0;

    /// Bytes that a thick snapshot must have: a tenth of the volume, at least 256 MiB and at most 5 GiB, and never more than
    /// the volume.
    pub fn snapshot_size(&self) -> u64 {
        (self.size / 10).clamp(256 << 20, 5 << 30).min(self.size)
    }

    /// Bytes that it gets: half of what is free if that is more, until it cannot run full.
    pub fn snapshot_room(&self) -> u64 {
        let most = self.size + self.size / 64 + (8 << 20);
        (self.group_free / 2).clamp(self.snapshot_size(), most)
    }
}

impl DeviceFacts {
    /// Finds out. `store` is a device for changes, if one was named; `tracker` is what became of starting one.
    pub fn gather(
        device: &Path,
        store: Option<PathBuf>,
        tracker: Result<(), String>,
        programs: &dyn Programs,
    ) -> io::Result<DeviceFacts> {
        let block = BlockDevice::at(device)?;
        let mapped_as = block.text("dm/uuid").ok();
        let is_volume = mapped_as.as_ref().is_some_and(|uuid| uuid.starts_with("LVM-"));
        let is_mounted = |mount: &platform::Mount| {
            let source = Path::new(&mount.source);
            mount.device == block.number() || BlockDevice::at(source).is_ok_and(|its| its.number() == block.number())
        };
        Ok(DeviceFacts {
            device: device.to_owned(),
            is_in_use: is_in_use(device)?,
            is_mapped: mapped_as.is_some(),
            filesystem: platform::mounts()?.into_iter().find(is_mounted).map(|mount| mount.kind),
            volume: is_volume.then(|| volume(device, programs).map_err(io::Error::other)).transpose()?,
            store,
            tracker,
        })
    }
}

fn is_in_use(device: &Path) -> io::Result<bool> {
    match DirectFile::open(device, Claim::Exclusive) {
        Ok(_) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Ok(true),
        Err(error) => Err(error),
    }
}

#[derive(Deserialize)]
struct Report {
    report: Vec<Volumes>,
}

#[derive(Deserialize)]
struct Volumes {
    lv: Vec<Row>,
}

/// lvm2 writes numbers as text.
#[derive(Deserialize)]
struct Row {
    vg_name: String,
    lv_name: String,
    lv_size: String,
    vg_free: String,
    pool_lv: String,
}

const FIELDS: &str = "vg_name,lv_name,lv_size,vg_free,pool_lv";
const AS_JSON: [&str; 5] = ["--reportformat", "json", "--units", "b", "--nosuffix"];

fn volume(device: &Path, programs: &dyn Programs) -> Result<Volume, ProgramError> {
    let name = device.to_string_lossy();
    let args: Vec<&str> = AS_JSON.into_iter().chain(["-o", FIELDS, &name]).collect();
    let said = programs.run("lvs", &args)?;
    let not_understood = || ProgramError::NotUnderstood { program: "lvs".to_owned(), said: said.clone() };
    let report: Report = serde_json::from_str(&said).map_err(|_| not_understood())?;
    let row = report.report.into_iter().flat_map(|volumes| volumes.lv).next().ok_or_else(not_understood)?;
    let bytes = |text: &str| text.trim().parse().map_err(|_| not_understood());
    let (size, group_free) = (bytes(&row.lv_size)?, bytes(&row.vg_free)?);
    let pool = Some(row.pool_lv).filter(|pool| !pool.is_empty());
    let pool_used_percent = match &pool {
        Some(pool) => {
            let full = format!("{}/{pool}", row.vg_name);
            let used = programs.run("lvs", &["--noheadings", "-o", "data_percent", &full])?;
            used.trim().parse().ok()
        }
        None => None,
    };
    Ok(Volume { group: row.vg_name, name: row.lv_name, size, group_free, pool, pool_used_percent })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::programs::script::Script;

    const REPORT: &str = r#"{"report": [{"lv": [{"vg_name":"vg","lv_name":"root","lv_size":"10737418240",
        "vg_free":"1073741824","pool_lv":"POOL"}]}]}"#;

    #[test]
    fn what_lvm_says_is_understood_or_refused() {
        let thick = Script::default().says("lvs --reportformat", &REPORT.replace("POOL", ""));
        let found = volume(Path::new("/dev/vg/root"), &thick).unwrap();
        assert_eq!((found.size, found.group_free, found.snapshot_size()), (10 << 30, 1 << 30, 1 << 30));
        assert_eq!(found.pool, None);

        let thin = Script::default().says("lvs --reportformat", REPORT).says("lvs --noheadings", "  41.50\n");
        let found = volume(Path::new("/dev/vg/root"), &thin).unwrap();
        assert_eq!((found.pool.as_deref(), found.pool_used_percent), (Some("POOL"), Some(41.5)));

        let odd = Script::default().says("lvs", &REPORT.replace("10737418240", "10.00g"));
        assert!(matches!(volume(Path::new("/dev/vg/root"), &odd), Err(ProgramError::NotUnderstood { .. })));
    }
}
