//! The provider of a consistent view: which one fits a device, why, and the snapshots that some of them make.
//!
//! The ladder, best first: offline; an LVM snapshot, thin or thick; a device-mapper snapshot with a store that was named; the
//! tracker; else nothing, unless an inconsistent image was asked for. Snapshots have names that begin with [`PREFIX`], so that
//! what a crash left behind is found and removed by the next run.

mod dm;
mod facts;
mod lvm;
mod owner;
mod programs;

use std::path::PathBuf;

pub use crate::capture::Provider;
pub use dm::{DmSnapshot, remove_abandoned_dm_snapshots};
pub use facts::{DeviceFacts, Volume};
pub use lvm::{LvmSnapshot, remove_abandoned_lvm_snapshots};
pub use programs::{ProgramError, Programs, SystemPrograms};

#[cfg(test)]
pub(crate) use programs::script;

/// What the names of our snapshots begin with.
pub const PREFIX: &str = "stead-snap-";

/// Why nothing provides a consistent view.
#[derive(Debug, thiserror::Error)]
#[error("{} is in use and nothing gives a consistent view of it: {}", device.display(), reasons.join("; "))]
pub struct NoProvider {
    /// The device.
    pub device: PathBuf,
    /// Why each provider does not fit.
    pub reasons: Vec<String>,
}

impl NoProvider {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        "unmount it, or name a device that a snapshot keeps changes on (--snapshot-store); --inconsistent takes an image that may \
         need repair"
    }
}

/// What was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The provider.
    pub provider: Provider,
    /// Why this one, in a sentence.
    pub reason: String,
}

/// Whether an image that is of no instant will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inconsistent {
    /// It will not.
    Refused,
    /// It was asked for.
    Wanted,
}

/// Chooses for one device.
pub fn choose(facts: &DeviceFacts, inconsistent: Inconsistent) -> Result<Choice, NoProvider> {
    let mut reasons = Vec::new();
    for rung in [offline, thin, thick, device_mapper, tracker] {
        match rung(facts) {
            Ok(choice) => return Ok(choice),
            Err(reason) if reasons.contains(&reason) => {}
            Err(reason) => reasons.push(reason),
        }
    }
    match inconsistent {
        Inconsistent::Wanted => Ok(chosen(Provider::None, "an inconsistent image was asked for".to_owned())),
        Inconsistent::Refused => Err(NoProvider { device: facts.device.clone(), reasons }),
    }
}

fn chosen(provider: Provider, reason: String) -> Choice {
    Choice { provider, reason }
}

fn offline(facts: &DeviceFacts) -> Result<Choice, String> {
    match facts.is_in_use {
        false => Ok(chosen(Provider::Offline, "nobody uses it".to_owned())),
        true => Err("it is in use".to_owned()),
    }
}

fn volume(facts: &DeviceFacts) -> Result<&Volume, String> {
    if facts.filesystem.as_deref() == Some("btrfs") {
        return Err("snapshots below btrfs show its filesystem twice".to_owned());
    }
    facts.volume.as_ref().ok_or_else(|| "it is no LVM volume".to_owned())
}

fn thin(facts: &DeviceFacts) -> Result<Choice, String> {
    let volume = volume(facts)?;
    let pool = volume.pool.as_ref().ok_or_else(|| "the volume is not thin".to_owned())?;
    match volume.pool_used_percent {
        Some(used) if used < Volume::FULL_POOL => {
            Ok(chosen(Provider::LvmThin, format!("a thin volume of pool {pool}, which is {used:.0} % full")))
        }
        used => Err(format!("thin pool {pool} is too full for a snapshot ({:.0} %)", used.unwrap_or(100.0))),
    }
}

fn thick(facts: &DeviceFacts) -> Result<Choice, String> {
    let volume = volume(facts)?;
    if volume.pool.is_some() {
        return Err("the volume is thin".to_owned());
    }
    let (wanted, free) = (volume.snapshot_size(), volume.group_free);
    match free >= wanted {
        true => {
            let reason = format!("volume group {} has {} MiB for a snapshot", volume.group, free >> 20);
            Ok(chosen(Provider::LvmThick, reason))
        }
        false => Err(format!(
            "volume group {} has {} MiB free, and a snapshot takes {} MiB",
            volume.group,
            free >> 20,
            wanted >> 20
        )),
    }
}

fn device_mapper(facts: &DeviceFacts) -> Result<Choice, String> {
    if !facts.is_mapped {
        return Err("it is no device-mapper device".to_owned());
    }
    match &facts.store {
        Some(store) => Ok(chosen(Provider::DeviceMapper, format!("changes are kept on {}", store.display()))),
        None => Err("no device was named that a device-mapper snapshot could keep changes on".to_owned()),
    }
}

fn tracker(facts: &DeviceFacts) -> Result<Choice, String> {
    match &facts.tracker {
        Ok(()) => Ok(chosen(Provider::Tracker, "this kernel tells what is written".to_owned())),
        Err(reason) => Err(format!("it cannot be tracked ({reason})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounted() -> DeviceFacts {
        DeviceFacts {
            device: "/dev/vg/root".into(),
            is_in_use: true,
            is_mapped: true,
            filesystem: Some("ext4".to_owned()),
            volume: Some(Volume {
                group: "vg".to_owned(),
                name: "root".to_owned(),
                size: 100 << 30,
                group_free: 50 << 30,
                pool: None,
                pool_used_percent: None,
            }),
            store: None,
            tracker: Err("not request based".to_owned()),
        }
    }

    fn provider(facts: &DeviceFacts) -> Option<Provider> {
        choose(facts, Inconsistent::Refused).ok().map(|choice| choice.provider)
    }

    #[test]
    fn the_first_provider_that_fits_is_chosen() {
        let mut facts = mounted();
        assert_eq!(provider(&facts), Some(Provider::LvmThick));
        facts.volume.as_mut().unwrap().group_free = 1 << 20;
        assert_eq!(provider(&facts), None);
        facts.store = Some("/dev/sdb".into());
        assert_eq!(provider(&facts), Some(Provider::DeviceMapper));
        facts.is_mapped = false;
        facts.tracker = Ok(());
        assert_eq!(provider(&facts), Some(Provider::Tracker));
        facts.is_in_use = false;
        assert_eq!(provider(&facts), Some(Provider::Offline));
    }

    #[test]
    fn a_thin_pool_that_is_nearly_full_is_left_alone() {
        let mut facts = mounted();
        let volume = facts.volume.as_mut().unwrap();
        (volume.pool, volume.pool_used_percent) = (Some("pool".to_owned()), Some(40.0));
        assert_eq!(provider(&facts), Some(Provider::LvmThin));
        facts.volume.as_mut().unwrap().pool_used_percent = Some(95.0);
        let error = choose(&facts, Inconsistent::Refused).unwrap_err();
        assert!(error.to_string().contains("too full"), "{error}");
        facts.volume.as_mut().unwrap().pool_used_percent = None;
        assert_eq!(provider(&facts), None);
    }

    #[test]
    fn btrfs_is_never_shown_twice() {
        let mut facts = mounted();
        facts.filesystem = Some("btrfs".to_owned());
        facts.tracker = Ok(());
        assert_eq!(provider(&facts), Some(Provider::Tracker));
    }

    #[test]
    fn nothing_fits_and_all_reasons_are_said() {
        let mut facts = mounted();
        facts.volume = None;
        let error = choose(&facts, Inconsistent::Refused).unwrap_err();
        for reason in ["in use", "no LVM volume", "no device was named", "not request based"] {
            assert!(error.to_string().contains(reason), "{error}");
        }
        let choice = choose(&facts, Inconsistent::Wanted).unwrap();
        assert_eq!(choice.provider, Provider::None);
    }
}
