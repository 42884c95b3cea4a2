//! Snapshots of any device-mapper device, by its own program: its table is put below a new device, and the device becomes
//! that one's *snapshot-origin*. One call exchanges the tables: it suspends the device (which freezes the filesystem) and
//! resumes it, so that no program has to be started, maybe from that very device, while it stands still.
//!
//! Four devices: the base has the table that the device had; the device itself is a snapshot-origin of the base; the snapshot
//! reads the base as it was, and keeps what was overwritten in the store.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use platform::{BlockDevice, DeviceNumber};

use super::{PREFIX, ProgramError, Programs, owner};

/// Bytes at the beginning of a store that are cleared: all that filesystems are known by.
const BEGIN: usize = 1 << 20;

/// Sectors of 512 bytes that are kept at once.
const KEPT_AT_ONCE: u32 = 16;

/// A snapshot that is taken apart when this is dropped: the device has its own table again.
pub struct DmSnapshot<'a> {
    programs: &'a dyn Programs,
    names: Names,
    is_removed: bool,
}

/// What the device mapper calls the devices of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Names {
    /// The device that it is of.
    device: String,
    /// What reads it as it was.
    view: String,
    /// What has its own table meanwhile.
    base: String,
}

const VIEW: &str = "-view-";
const BASE: &str = "-base-";

impl Names {
    fn new(owner: &str, device: &str) -> Names {
        let named = |kind: &str| format!("{owner}{kind}{device}");
        Names { device: device.to_owned(), view: named(VIEW), base: named(BASE) }
    }

    /// From the name of a base.
    fn of_base(base: &str) -> Option<Names> {
        let (owner, device) = base.split_once(BASE).filter(|(owner, _)| owner.starts_with(PREFIX))?;
        Some(Names::new(owner, device))
    }

    fn node(name: &str) -> PathBuf {
        Path::new("/dev/mapper").join(name)
    }
}

impl<'a> DmSnapshot<'a> {
    /// Makes one of the device of that name in the device mapper; the store's content is lost.
    pub fn create(device: &str, store: &Path, programs: &'a dyn Programs) -> Result<DmSnapshot<'a>, ProgramError> {
        // With keys: a table without them could not be loaded.
        let table = programs.run("dmsetup", &["table", "--showkeys", device])?;
        let sectors = length(&table)?;
        let snapshot = DmSnapshot { programs, names: Names::new(&owner::new_name(), device), is_removed: false };
        let Names { view, base, .. } = &snapshot.names;
        let base_node = Names::node(base).display().to_string();
        programs.run("dmsetup", &["create", base, "--table", table.trim()])?;
        let kept = format!("0 {sectors} snapshot {base_node} {} N {KEPT_AT_ONCE}", store.display());
        let origin = format!("0 {sectors} snapshot-origin {base_node}");
        // Nobody reads it yet; its instant is that of the exchange, from which on it hears of writes.
        programs.run("dmsetup", &["create", view, "--readonly", "--table", &kept])?;
        programs.run("dmsetup", &["load", device, "--table", &origin])?;
        programs.run("dmsetup", &["resume", device])?;
        Ok(snapshot)
    }

    /// Where it can be read.
    pub fn device(&self) -> PathBuf {
        Names::node(&self.names.view)
    }

    /// Fails if it ran full. To be asked after it was read, and when reading failed.
    pub fn check(&self) -> Result<(), ProgramError> {
        let said = self.programs.run("dmsetup", &["status", &self.names.view])?;
        match said.contains("Invalid") || said.contains("Overflow") {
            true => Err(ProgramError::SnapshotFull { snapshot: self.names.view.clone() }),
            false => Ok(()),
        }
    }

    /// Takes it apart. Nothing may have it open any more.
    pub fn remove(mut self) -> Result<(), ProgramError> {
        self.is_removed = true;
        take_apart(&self.names, self.programs)
    }
}

impl Drop for DmSnapshot<'_> {
    /// If this fails, the next run tries again.
    fn drop(&mut self) {
        if !self.is_removed {
            let _ = take_apart(&self.names, self.programs);
        }
    }
}

/// In an order in which every step can be repeated. The device goes on, whatever fails: it stands still in no step but the
/// exchange.
fn take_apart(names: &Names, programs: &dyn Programs) -> Result<(), ProgramError> {
    let Names { device, view, base } = names;
    let table = programs.run("dmsetup", &["table", "--showkeys", base])?;
    programs.run("dmsetup", &["load", device, "--table", table.trim()])?;
    programs.run("dmsetup", &["resume", device])?;
    if programs.run("dmsetup", &["info", view]).is_ok() {
        let store = programs.run("dmsetup", &["table", view]).ok().and_then(|table| store_of(&table));
        programs.run("dmsetup", &["remove", "--retry", view])?;
        store.into_iter().for_each(clear);
    }
    programs.run("dmsetup", &["remove", "--retry", base]).map(drop)
}

/// `START LENGTH snapshot BASE STORE …`
fn store_of(table: &str) -> Option<DeviceNumber> {
    let words: Vec<&str> = table.split_ascii_whitespace().collect();
    words.get(4).filter(|_| words.get(2) == Some(&"snapshot"))?.parse().ok()
}

/// Parts of the device are in its store, which looks like a copy of it: nobody shall take it for one.
fn clear(store: DeviceNumber) {
    let node = BlockDevice::new(store).map(|device| device.node());
    let file = node.and_then(|node| File::options().write(true).open(node));
    // The snapshot is gone all the same.
    let _ = file.and_then(|mut file| {
        file.write_all(&[0; BEGIN])?;
        file.sync_all()
    });
}

/// Sectors of a table: the end of its last line.
fn length(table: &str) -> Result<u64, ProgramError> {
    let not_understood = || ProgramError::NotUnderstood { program: "dmsetup".to_owned(), said: table.to_owned() };
    let last = table.lines().rfind(|line| !line.trim().is_empty()).ok_or_else(not_understood)?;
    let mut fields = last.split_ascii_whitespace().map(str::parse::<u64>);
    match (fields.next(), fields.next()) {
        (Some(Ok(start)), Some(Ok(length))) => start.checked_add(length).ok_or_else(not_understood),
        _ => Err(not_understood()),
    }
}

/// Takes apart what runs left behind that were killed, and returns the devices. What living processes have stays.
pub fn remove_abandoned_dm_snapshots(programs: &dyn Programs) -> Result<Vec<String>, ProgramError> {
    let said = programs.run("dmsetup", &["ls"])?;
    let names = said.lines().filter_map(|line| line.split_ascii_whitespace().next());
    let abandoned: Vec<Names> = names.filter(|name| owner::is_abandoned(name)).filter_map(Names::of_base).collect();
    abandoned.iter().try_for_each(|names| take_apart(names, programs))?;
    Ok(abandoned.into_iter().map(|names| names.device).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::programs::script::Script;

    const TABLE: &str = "0 2048 linear 8:1 0\n2048 4096 linear 8:2 0\n";

    fn script() -> Script {
        Script::default().says("dmsetup table", TABLE)
    }

    #[test]
    fn the_device_becomes_an_origin_and_itself_again() {
        let script = script();
        let snapshot = DmSnapshot::create("root", Path::new("/dev/sdz"), &script).unwrap();
        let (view, base) = (snapshot.names.view.clone(), snapshot.names.base.clone());
        assert_eq!(snapshot.device(), Path::new("/dev/mapper").join(&view));
        snapshot.check().unwrap();
        drop(snapshot);
        let lines = script.lines.into_inner();
        let position = |beginning: &str| lines.iter().position(|line| line.starts_with(beginning)).unwrap();
        assert!(position(&format!("dmsetup create {view}")) < position("dmsetup load root"));
        assert!(position("dmsetup load root") < position("dmsetup resume root"));
        let origin = format!("dmsetup load root --table 0 6144 snapshot-origin /dev/mapper/{base}");
        assert!(lines.contains(&origin), "{lines:?}");
        let resumes: Vec<usize> = (0..lines.len()).filter(|number| lines[*number] == "dmsetup resume root").collect();
        assert_eq!(resumes.len(), 2);
        assert_eq!(*lines.last().unwrap(), format!("dmsetup remove --retry {base}"));
    }

    #[test]
    fn a_device_whose_snapshot_fails_goes_on() {
        let script = script().fails("dmsetup create stead-snap-", "no space").fails("dmsetup info", "none");
        assert!(DmSnapshot::create("root", Path::new("/dev/sdz"), &script).is_err());
        let lines = script.lines.into_inner();
        assert!(lines.contains(&"dmsetup resume root".to_owned()), "{lines:?}");
        assert!(lines.last().unwrap().starts_with("dmsetup remove --retry stead-snap-"), "{lines:?}");
    }

    #[test]
    fn the_base_stays_while_the_device_still_stands_on_it() {
        let script = script().says("dmsetup ls", "root\t(254:0)\nstead-snap-1-2-3-base-root\t(254:3)\n");
        let script = script.fails("dmsetup load root", "refused");
        assert!(remove_abandoned_dm_snapshots(&script).is_err());
        let lines = script.lines.into_inner();
        assert!(!lines.contains(&"dmsetup remove --retry stead-snap-1-2-3-base-root".to_owned()), "{lines:?}");
    }

    #[test]
    fn what_a_living_process_has_stays() {
        let living = Names::new(&owner::new_name(), "root");
        let said = format!("root\t(254:0)\n{}\t(254:3)\nstead-snap-1-2-3-base-my-base-home\t(254:5)\n", living.base);
        let script = script().says("dmsetup ls", &said);
        assert_eq!(remove_abandoned_dm_snapshots(&script).unwrap(), ["my-base-home"]);
        let lines = script.lines.into_inner();
        assert!(lines.contains(&"dmsetup remove --retry stead-snap-1-2-3-base-my-base-home".to_owned()), "{lines:?}");
        assert!(!lines.iter().any(|line| line.contains(&living.base)), "{lines:?}");
    }

    #[test]
    fn a_full_store_is_noticed() {
        let script = script().says("dmsetup status", "0 6144 snapshot Invalid");
        let snapshot = DmSnapshot::create("root", Path::new("/dev/sdz"), &script).unwrap();
        assert!(snapshot.check().unwrap_err().to_string().contains("ran full"));
    }

    #[test]
    fn the_store_is_known_by_the_table_of_the_snapshot() {
        let store = store_of("0 6144 snapshot 254:1 8:16 N 16\n");
        assert_eq!(store, Some(DeviceNumber { major: 8, minor: 16 }));
        assert_eq!((store_of(TABLE), store_of("0 1 snapshot"), store_of("")), (None, None, None));
    }

    #[test]
    fn tables_that_are_no_tables_are_refused() {
        assert_eq!(length(TABLE).unwrap(), 6144);
        assert!(
            length("").is_err() && length("no such device").is_err() && length("5 18446744073709551615 x").is_err()
        );
    }
}
