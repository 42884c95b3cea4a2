//! Limits: from which age on something is late, by class of machine, each of them overridable.

use serde::{Deserialize, Serialize};

use crate::MachineClass;

const HOUR: u32 = 60;
const DAY: u32 = 24 * HOUR;

/// When the last good backup is too old.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackupLimit {
    /// After this many minutes.
    Minutes(u32),
    /// After this many days on which the machine was in use.
    DaysInUse(u32),
}

/// From which age on a machine's lights say "late". Ages are minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Since the agent was last heard.
    pub heartbeat: u32,
    /// Since the last good backup.
    pub backup: BackupLimit,
    /// Since the newest snapshot that was copied offsite was taken.
    pub offsite: u32,
    /// Since a restore was last proven.
    pub proven: u32,
    /// Since storage was last checked.
    pub storage: u32,
}

impl Limits {
    /// What holds for a class where nobody said otherwise. A computer that is switched off at night is not late because
    /// of it: for workstations and laptops silence is judged as slowly as backups are.
    pub fn of(class: MachineClass) -> Limits {
        let (heartbeat, backup, offsite) = match class {
            MachineClass::Server => (15, BackupLimit::Minutes(26 * HOUR), 50 * HOUR),
            MachineClass::Workstation => (7 * DAY, BackupLimit::Minutes(7 * DAY), 8 * DAY),
            MachineClass::Laptop => (7 * DAY, BackupLimit::DaysInUse(7), 14 * DAY),
        };
        Limits { heartbeat, backup, offsite, proven: 35 * DAY, storage: 35 * DAY }
    }
}
