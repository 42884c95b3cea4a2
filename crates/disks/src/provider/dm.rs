//! Snapshots of any device-mapper device, by its own program: its table is put below a new device, and the device becomes
//! that one's *snapshot-origin*. One call exchanges the tables: it suspends the device (which freezes the filesystem) and
//! resumes it, so that no program has to be started, maybe from that very device, while it stands still.
//!
//! Four devices: the base has the table that the device had; the device itself is a snapshot-origin of the base; the snapshot
//! reads the base as it was, and keeps what was overwritten in the store.

use std::path::{Path, PathBuf};

use super::{PREFIX, ProgramError, Programs};

/// Sectors of 512 bytes that are kept at once.
const KEPT_AT_ONCE: u32 = 16;

/// A snapshot that is taken apart when this is dropped: the device has its own table again.
pub struct DmSnapshot<'a> {
    programs: &'a dyn Programs,
    /// The device mapper's name of the device.
    device: String,
}

impl<'a> DmSnapshot<'a> {
    /// Makes one of the device of that name in the device mapper; the store's content is lost.
    pub fn create(device: &str, store: &Path, programs: &'a dyn Programs) -> Result<DmSnapshot<'a>, ProgramError> {
        // With keys: a table without them could not be loaded.
        let table = programs.run("dmsetup", &["table", "--showkeys", device])?;
        let sectors = length(&table)?;
        let snapshot = DmSnapshot { programs, device: device.to_owned() };
        let (base, ours) = (snapshot.base(), snapshot.name());
        let base_node = format!("/dev/mapper/{base}");
        programs.run("dmsetup", &["create", &base, "--table", table.trim()])?;
        let kept = format!("0 {sectors} snapshot {base_node} {} N {KEPT_AT_ONCE}", store.display());
        let origin = format!("0 {sectors} snapshot-origin {base_node}");
        // Nobody reads it yet; its instant is that of the exchange, from which on it hears of writes.
        programs.run("dmsetup", &["create", &ours, "--readonly", "--table", &kept])?;
        programs.run("dmsetup", &["load", device, "--table", &origin])?;
        programs.run("dmsetup", &["resume", device])?;
        Ok(snapshot)
    }

    fn base(&self) -> String {
        base_of(&self.device)
    }

    fn name(&self) -> String {
        format!("{PREFIX}{}", self.device)
    }

    /// Where it can be read.
    pub fn node(&self) -> PathBuf {
        Path::new("/dev/mapper").join(self.name())
    }

    /// Fails if it ran full. To be asked after it was read.
    pub fn check(&self) -> Result<(), ProgramError> {
        let said = self.programs.run("dmsetup", &["status", &self.name()])?;
        match said.contains("Invalid") || said.contains("Overflow") {
            true => Err(ProgramError::Failed {
                line: format!("snapshot {}", self.name()),
                said: "its store ran full while it was read".to_owned(),
            }),
            false => Ok(()),
        }
    }
}

impl Drop for DmSnapshot<'_> {
    /// If this fails, the next run tries again.
    fn drop(&mut self) {
        let _ = take_apart(&self.device, self.programs);
    }
}

fn base_of(device: &str) -> String {
    format!("{PREFIX}base-{device}")
}

/// In an order in which every step can be repeated. The device goes on, whatever fails: it stands still in no step but the
/// exchange.
fn take_apart(device: &str, programs: &dyn Programs) -> Result<(), ProgramError> {
    let base = base_of(device);
    let table = programs.run("dmsetup", &["table", "--showkeys", &base])?;
    programs.run("dmsetup", &["load", device, "--table", table.trim()])?;
    programs.run("dmsetup", &["resume", device])?;
    let ours = format!("{PREFIX}{device}");
    if programs.run("dmsetup", &["info", &ours]).is_ok() {
        programs.run("dmsetup", &["remove", "--retry", &ours])?;
    }
    programs.run("dmsetup", &["remove", "--retry", &base]).map(|_| ())
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

/// Takes apart what runs left behind that were killed, and returns the devices. No other run may be under way.
pub fn remove_abandoned_dm_snapshots(programs: &dyn Programs) -> Result<Vec<String>, ProgramError> {
    let said = programs.run("dmsetup", &["ls"])?;
    let base = base_of("");
    let names = said.lines().filter_map(|line| line.split_ascii_whitespace().next());
    let devices: Vec<String> = names.filter_map(|name| name.strip_prefix(&base)).map(str::to_owned).collect();
    for device in &devices {
        take_apart(device, programs)?;
    }
    Ok(devices)
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
        assert_eq!(snapshot.node(), Path::new("/dev/mapper/stead-snap-root"));
        snapshot.check().unwrap();
        drop(snapshot);
        let lines = script.lines.into_inner();
        let position = |beginning: &str| lines.iter().position(|line| line.starts_with(beginning)).unwrap();
        assert!(position("dmsetup create stead-snap-root") < position("dmsetup load root"));
        assert!(position("dmsetup load root") < position("dmsetup resume root"));
        assert!(
            lines.contains(
                &"dmsetup load root --table 0 6144 snapshot-origin /dev/mapper/stead-snap-base-root".to_owned()
            )
        );
        let resumes: Vec<usize> = (0..lines.len()).filter(|number| lines[*number] == "dmsetup resume root").collect();
        assert_eq!(resumes.len(), 2);
        assert_eq!(lines.last().unwrap(), "dmsetup remove --retry stead-snap-base-root");
    }

    #[test]
    fn a_device_whose_snapshot_fails_goes_on() {
        let script = script().fails("dmsetup create stead-snap-root", "no space").fails("dmsetup info", "none");
        assert!(DmSnapshot::create("root", Path::new("/dev/sdz"), &script).is_err());
        let lines = script.lines.into_inner();
        assert!(lines.contains(&"dmsetup resume root".to_owned()), "{lines:?}");
        assert_eq!(lines.last().unwrap(), "dmsetup remove --retry stead-snap-base-root");
    }

    #[test]
    fn the_base_stays_while_the_device_still_stands_on_it() {
        let script = script().says("dmsetup ls", "root\t(254:0)\nstead-snap-base-root\t(254:3)\n");
        let script = script.fails("dmsetup load root", "refused");
        assert!(remove_abandoned_dm_snapshots(&script).is_err());
        let lines = script.lines.into_inner();
        assert!(!lines.contains(&"dmsetup remove --retry stead-snap-base-root".to_owned()), "{lines:?}");
    }

    #[test]
    fn a_full_store_is_noticed() {
        let script = script().says("dmsetup status", "0 6144 snapshot Invalid");
        let snapshot = DmSnapshot::create("root", Path::new("/dev/sdz"), &script).unwrap();
        assert!(snapshot.check().unwrap_err().to_string().contains("ran full"));
    }

    #[test]
    fn tables_that_are_no_tables_are_refused() {
        assert_eq!(length(TABLE).unwrap(), 6144);
        assert!(
            length("").is_err() && length("no such device").is_err() && length("5 18446744073709551615 x").is_err()
        );
    }
}
