//! Snapshots of LVM volumes, made and removed by lvm2's own programs. LVM freezes the filesystem while it makes one.

use std::path::{Path, PathBuf};

use super::{ProgramError, Programs, Volume, owner};

/// A snapshot that is removed when this is dropped.
pub struct LvmSnapshot<'a> {
    programs: &'a dyn Programs,
    group: String,
    name: String,
    is_thin: bool,
    is_removed: bool,
}

impl<'a> LvmSnapshot<'a> {
    /// Makes one of a volume.
    pub fn create(volume: &Volume, programs: &'a dyn Programs) -> Result<LvmSnapshot<'a>, ProgramError> {
        let name = owner::new_name();
        let origin = format!("{}/{}", volume.group, volume.name);
        let size = format!("{}b", volume.snapshot_room().next_multiple_of(512));
        let mut args = vec!["--yes", "--snapshot", "--name", &name];
        match volume.pool {
            // Thin ones are not active by themselves.
            Some(_) => args.extend(["--setactivationskip", "n"]),
            None => args.extend(["--permission", "r", "--size", &size]),
        }
        args.push(&origin);
        programs.run("lvcreate", &args)?;
        let (group, is_thin) = (volume.group.clone(), volume.pool.is_some());
        Ok(LvmSnapshot { programs, group, name, is_thin, is_removed: false })
    }

    /// Where it can be read.
    pub fn device(&self) -> PathBuf {
        Path::new("/dev").join(&self.group).join(&self.name)
    }

    /// Fails if it does not hold the volume as it was any more: a thick one that ran full cannot be read, but does not say why.
    /// To be asked after it was read, and when reading failed.
    pub fn check(&self) -> Result<(), ProgramError> {
        if self.is_thin {
            return Ok(());
        }
        let full_name = self.full_name();
        let said = self.programs.run("lvs", &["--noheadings", "-o", "lv_snapshot_invalid", &full_name])?;
        match said.trim() {
            "" => Ok(()),
            _ => Err(ProgramError::SnapshotFull { snapshot: full_name }),
        }
    }

    /// Removes it. Nothing may have it open any more.
    pub fn remove(mut self) -> Result<(), ProgramError> {
        self.is_removed = true;
        self.programs.run("lvremove", &["--yes", "--force", &self.full_name()]).map(drop)
    }

    fn full_name(&self) -> String {
        format!("{}/{}", self.group, self.name)
    }
}

impl Drop for LvmSnapshot<'_> {
    /// If this fails, the next run tries again.
    fn drop(&mut self) {
        if !self.is_removed {
            let _ = self.programs.run("lvremove", &["--yes", "--force", &self.full_name()]);
        }
    }
}

/// Removes what runs left behind that were killed, and returns the names. What living processes have stays.
pub fn remove_abandoned_lvm_snapshots(programs: &dyn Programs) -> Result<Vec<String>, ProgramError> {
    let said = programs.run("lvs", &["--noheadings", "-o", "lv_full_name"])?;
    let of_ours = |name: &&str| name.split_once('/').is_some_and(|(_, name)| owner::is_abandoned(name));
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
        let snapshot = LvmSnapshot::create(&volume(None), &script).unwrap();
        let name = snapshot.device().file_name().unwrap().to_str().unwrap().to_owned();
        assert!(name.starts_with("stead-snap-") && snapshot.device().starts_with("/dev/vg"));
        snapshot.check().unwrap();
        drop(snapshot);
        let lines = script.lines.into_inner();
        let made = format!("lvcreate --yes --snapshot --name {name} --permission r --size {}b vg/root", 1_u64 << 39);
        assert_eq!(lines[0], made);
        assert_eq!(lines[2], format!("lvremove --yes --force vg/{name}"));

        let thin = Script::default();
        LvmSnapshot::create(&volume(Some("pool")), &thin).unwrap().remove().unwrap();
        let lines = thin.lines.into_inner();
        assert!(lines.len() == 2 && lines[0].contains("--setactivationskip n vg/root"), "{lines:?}");
    }

    #[test]
    fn a_snapshot_that_was_not_made_is_not_removed_and_a_full_one_is_noticed() {
        let script = Script::default().fails("lvcreate", "no space");
        assert!(LvmSnapshot::create(&volume(None), &script).is_err());
        assert_eq!(script.lines.into_inner().len(), 1);
        let script = Script::default().says("lvs --noheadings -o lv_snapshot_invalid", "  snapshot invalid\n");
        let snapshot = LvmSnapshot::create(&volume(None), &script).unwrap();
        assert!(snapshot.check().unwrap_err().to_string().contains("ran full"));
    }

    #[test]
    fn what_a_crash_left_is_removed_and_nothing_else() {
        let living = owner::new_name();
        let said = format!("  vg/root\n  vg/stead-snap-1-2-3\n  vg/{living}\n  other/my-stead-snap-2\n");
        let script = Script::default().says("lvs", &said);
        assert_eq!(remove_abandoned_lvm_snapshots(&script).unwrap(), ["vg/stead-snap-1-2-3"]);
        assert_eq!(script.lines.into_inner()[1..], ["lvremove --yes --force vg/stead-snap-1-2-3"]);
    }
}
