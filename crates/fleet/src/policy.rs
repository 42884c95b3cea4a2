//! Policy: what is protected, when, where to, how long it is kept, and how it is proven.

use serde::{Deserialize, Serialize};

use crate::keep::listed;
use crate::{Destination, Distance, Drill, Keep, Place, PolicyId, Roaming, Schedule, TenantId};

/// What is protected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Selection {
    /// Files and folders.
    Files {
        /// Folders and files; absolute paths.
        paths: Vec<String>,
        /// Patterns of what is left out, as restic's `--exclude`.
        excludes: Vec<String>,
    },
    /// Whole disks as images.
    Disks {
        /// Device paths, or [`SYSTEM_DISK`]; none means all disks of the machine.
        devices: Vec<String>,
    },
}

/// What the disk that a machine's system lies on is called, whatever its path is there.
pub const SYSTEM_DISK: &str = "system";

/// A name that no disk has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no disk: a path such as /dev/sda, or {SYSTEM_DISK:?} for the system disk")]
pub struct NoDisk(pub String);

impl Selection {
    /// Disks by their names: paths of devices, or [`SYSTEM_DISK`]. Whether a machine has them is seen there.
    pub fn disks(devices: Vec<String>) -> Result<Selection, NoDisk> {
        let is_disk = |name: &&String| name.strip_prefix("/dev/").is_some_and(|rest| !rest.is_empty());
        match devices.iter().find(|name| !is_disk(name) && *name != SYSTEM_DISK) {
            Some(wrong) => Err(NoDisk(wrong.clone())),
            None => Ok(Selection::Disks { devices }),
        }
    }

    /// What it is, in words.
    pub fn words(&self) -> String {
        match self {
            Selection::Files { paths, excludes } if excludes.is_empty() => format!("files in {}", listed(paths)),
            Selection::Files { paths, excludes } => {
                format!("files in {} without {}", listed(paths), listed(excludes))
            }
            Selection::Disks { devices } if devices.is_empty() => "all disks".into(),
            Selection::Disks { devices } => match devices.as_slice() {
                [one] if one == SYSTEM_DISK => "the system disk".into(),
                devices => format!(
                    "the disks {}",
                    listed(&devices.iter().map(|device| disk_in_words(device)).collect::<Vec<_>>())
                ),
            },
        }
    }
}

fn disk_in_words(device: &str) -> String {
    if device == SYSTEM_DISK { "the system's".into() } else { device.to_owned() }
}

/// What is done for a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Which.
    pub id: PolicyId,
    /// Whose.
    pub tenant: TenantId,
    /// What people call it.
    pub name: String,
    /// What is protected.
    pub what: Vec<Selection>,
    /// When.
    pub schedule: Schedule,
    /// Where copies go, beside the gateway that machines write to.
    pub copies: Vec<crate::DestinationId>,
    /// How long snapshots are kept, by the time the gateway received them.
    pub keep: Keep,
    /// How it is proven that a restore works.
    pub drills: Vec<Drill>,
    /// What holds on the road.
    #[serde(default)]
    pub roaming: Roaming,
}

impl Policy {
    /// What will happen, in plain sentences: what, when, where to, how long, how proven. Of `destinations` those that
    /// the policy names are told.
    pub fn preview(&self, destinations: &[Destination]) -> Vec<String> {
        let mut sentences = vec![self.what_sentence(), self.schedule.sentence()];
        sentences.extend(self.roaming.sentences());
        sentences.extend([self.where_sentence(destinations), self.keep_sentence(), self.drill_sentence()]);
        sentences
    }

    /// Whether a copy goes away from the machines.
    pub fn goes_offsite(&self, destinations: &[Destination]) -> bool {
        self.named(destinations).any(|destination| destination.distance == Distance::Offsite)
    }

    fn named<'d>(&self, destinations: &'d [Destination]) -> impl Iterator<Item = &'d Destination> {
        let copies = self.copies.clone();
        destinations.iter().filter(move |destination| copies.contains(&destination.id))
    }

    fn what_sentence(&self) -> String {
        match self.what.as_slice() {
            [] => "Nothing is protected yet: choose files or disks.".into(),
            what => format!("Protects {}.", listed(&what.iter().map(Selection::words).collect::<Vec<_>>())),
        }
    }

    fn where_sentence(&self, destinations: &[Destination]) -> String {
        let copies: Vec<_> = self.named(destinations).map(copy_in_words).collect();
        match self.goes_offsite(destinations) {
            _ if copies.is_empty() => "Stored at the gateway only: there is no copy away from the machines.".into(),
            true => format!("Stored at the gateway and copied to {}.", listed(&copies)),
            false => format!("Stored at the gateway and copied to {}; none of it is offsite.", listed(&copies)),
        }
    }

    fn keep_sentence(&self) -> String {
        let counted = "Time counts from when the gateway received a snapshot; what is forgotten can be fetched back for two days.";
        match self.keep.is_everything() {
            true => self.keep.sentence(),
            false => format!("{} {counted}", self.keep.sentence()),
        }
    }

    fn drill_sentence(&self) -> String {
        match self.drills.as_slice() {
            [] => "No drills: nothing proves that it can be restored.".into(),
            drills => {
                let words: Vec<_> = drills.iter().map(|drill| drill.words()).collect();
                format!("Proven by drills: {}.", listed(&words))
            }
        }
    }
}

fn copy_in_words(destination: &Destination) -> String {
    let distance = match destination.distance {
        Distance::Offsite => "offsite",
        Distance::OnSite => "on site",
    };
    match &destination.place {
        Place::Gateway => format!("{} ({distance})", destination.name),
        Place::Copies(address) => format!("{} ({distance}, {address})", destination.name),
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::time;

    use super::*;
    use crate::{DestinationId, Times, Uuid, Zone};

    fn policy() -> Policy {
        Policy {
            id: PolicyId::new(Uuid::from_u128(1)),
            tenant: TenantId::new(Uuid::from_u128(2)),
            name: "Offices".into(),
            what: vec![Selection::Files { paths: vec!["/home".into()], excludes: vec!["*.iso".into()] }],
            schedule: Schedule {
                zone: Zone::named("Europe/Vienna").unwrap(),
                times: Times::daily(vec![time(2, 30, 0, 0)]).unwrap(),
                spread: 1_800,
                windows: vec![],
            },
            copies: vec![DestinationId::new(Uuid::from_u128(3))],
            keep: Keep { daily: 14, monthly: 12, ..Keep::default() },
            drills: vec![Drill::FileSample],
            roaming: Roaming::default(),
        }
    }

    fn cloud() -> Destination {
        Destination {
            id: DestinationId::new(Uuid::from_u128(3)),
            tenant: TenantId::new(Uuid::from_u128(2)),
            name: "Vault".into(),
            place: Place::Copies("s3:https://store/vault".into()),
            distance: Distance::Offsite,
        }
    }

    #[test]
    fn a_preview_says_what_when_where_how_long_and_how_proven() {
        assert_eq!(
            policy().preview(&[cloud()]),
            [
                "Protects files in /home without *.iso.",
                "Runs every day at 02:30 (Europe/Vienna), each machine up to 30 min later. What was missed runs once \
                 when the machine is back.",
                "Stored at the gateway and copied to Vault (offsite, s3:https://store/vault).",
                "Kept: one for each of the last 14 days and one for each of the last 12 months. Time counts from when \
                 the gateway received a snapshot; what is forgotten can be fetched back for two days.",
                "Proven by drills: a sample of files is restored and compared.",
            ]
        );
    }

    #[test]
    fn a_preview_says_what_is_missing() {
        let bare = Policy { what: vec![], copies: vec![], drills: vec![], keep: Keep::default(), ..policy() };
        let sentences = bare.preview(&[cloud()]).join("\n");
        for missing in ["Nothing is protected yet", "no copy away", "No drills", "for ever"] {
            assert!(sentences.contains(missing), "{sentences}");
        }
    }

    #[test]
    fn a_policy_is_stored_and_read_again() {
        let text = serde_json::to_string(&policy()).unwrap();
        assert_eq!(serde_json::from_str::<Policy>(&text).unwrap(), policy());
    }
}
