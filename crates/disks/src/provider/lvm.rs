//! Snapshots of LVM volumes, made and removed by lvm2's own programs. LVM freezes the filesystem while it makes one.

use std::path::{Path, PathBuf};

use super::{PREFIX, ProgramError, Programs, Volume};

/// A snapshot that is removed when this is dropped.
pub struct LvmSnapshot<'a> {
    programs: &'a dyn Programs,
    group: String,
    name: String,
    is_thin: bool,
}

impl<'a> LvmSnapshot<'a> {
    /// Makes one of a volume. `unique` goes into its name: it must be new on this machine.
    pub fn create(volume: &Volume, unique: &str, programs: &'a dyn Programs) -> Result<LvmSnapshot<'a>, ProgramError> {
        let name = format!("{PREFIX}{unique}");
        let origin = format!("{}/{}", volume.group, volume.name);
        let size = format!("{}b", volume.snapshot_size().next_multiple_of(512));
        let mut args = vec!["--yes", "--snapshot", "--name", &name];
        match volume.pool {
            // Thin ones are not active by themselves.
            Some(_) => args.extend(["--setactivationskip", "n"]),
            None => args.extend(["--permission", "r", "--size", &size]),
        }
        args.push(&origin);
        programs.run("lvcreate", &args)?;
        Ok(LvmSnapshot { programs, group: volume.group.clone(), name, is_thin: volume.pool.is_some() })
    }

    /// Where it can be read.
    pub fn device(&self) -> PathBuf {
        Path::new("/dev").join(&self.group).join(&self.name)
    }

    /// Fails if it does not hold the volume as it was any more: a thick one that ran full shows nothing, but does not say so.
    /// To be asked after it was read.
    pub fn check(&self) -> Result<(), ProgramError> {
        if self.is_thin {
            return Ok(());
        }
        let full_name = self.full_name();
        let said = self.programs.run("lvs", &["--noheadings", "-o", "lv_snapshot_invalid", &full_name])?;
        match said.trim() {
            "" => Ok(()),
            _ => Err(ProgramError::Failed {
                line: format!("snapshot {full_name}"),
                said: "it ran full while it was read".to_owned(),
            }),
        }
    }

    fn full_name(&self) -> String {
        format!("{}/{}", self.group, self.name)
    }
}

impl Drop for LvmSnapshot<'_> {
    /// If this fails, the next run tries again.
    fn drop(&mut self) {
        let _ = self.programs.run("lvremove", &["--yes", "--force", &self.full_name()]);
    }
}

/// Removes what runs left behind that were killed, and returns the names. No other run may be under way on this machine.
pub fn remove_abandoned_lvm_snapshots(programs: &dyn Programs) -> Result<Vec<String>, ProgramError> {
    let said = programs.run("lvs", &["--noheadings", "-o", "lv_full_name"])?;
    let of_ours = |name: &&str| name.split_once('/').is_some_and(|(_, name)| name.starts_with(PREFIX));
    let names: Vec<String> = said.lines().map(str::trim).filter(of_ours).map(str::to_owned).collect();
    for name in &names {
        programs.run("lvremove", &["--yes", "--force", name])?;
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::programs::script::Script;

    fn volume(pool: Option<&str>) -> Volume {
        Volume {
            group: "vg".to_owned(),
            name: "root".to_owned(),
            size: 1 << 40,
            group_free: 1 << 40,
            pool: pool.map(str::to_owned),
            pool_used_percent: None,
        }
    }

    #[test]
    fn a_snapshot_is_removed_whatever_happens() {
        let script = Script::default();
        let snapshot = LvmSnapshot::create(&volume(None), "7", &script).unwrap();
        assert_eq!(snapshot.device(), Path::new("/dev/vg/stead-snap-7"));
        snapshot.check().unwrap();
        drop(snapshot);
        let lines = script.lines.into_inner();
        assert_eq!(lines[0], "lvcreate --yes --snapshot --name stead-snap-7 --permission r --size 5368709120b vg/root");
        assert_eq!(lines[2], "lvremove --yes --force vg/stead-snap-7");

        let thin = Script::default();
        drop(LvmSnapshot::create(&volume(Some("pool")), "8", &thin).unwrap());
        assert!(thin.lines.into_inner()[0].contains("--setactivationskip n vg/root"));
    }

    #[test]
    fn a_snapshot_that_was_not_made_is_not_removed_and_a_full_one_is_noticed() {
        let script = Script::default().fails("lvcreate", "no space");
        assert!(LvmSnapshot::create(&volume(None), "7", &script).is_err());
        assert_eq!(script.lines.into_inner().len(), 1);
        let script = Script::default().says("lvs --noheadings -o lv_snapshot_invalid", "  snapshot invalid\n");
        let snapshot = LvmSnapshot::create(&volume(None), "7", &script).unwrap();
        assert!(snapshot.check().unwrap_err().to_string().contains("ran full"));
    }

    #[test]
    fn what_a_crash_left_is_removed_and_nothing_else() {
        let script = Script::default().says("lvs", "  vg/root\n  vg/stead-snap-1\n  other/my-stead-snap-2\n");
        assert_eq!(remove_abandoned_lvm_snapshots(&script).unwrap(), ["vg/stead-snap-1"]);
        assert_eq!(script.lines.into_inner()[1..], ["lvremove --yes --force vg/stead-snap-1"]);
    }
}
