//! Act: what somebody may do. A [`Verb`] can be granted to outsiders; acts that are no verbs never can.

use serde::{Deserialize, Serialize};

/// What a grant can give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// See it. Every grant gives this.
    Look,
    /// Back up, and verify.
    Backup,
    /// Restore to a new place.
    Restore,
    /// Move a server: read the source, write the target.
    Migrate,
    /// Switch on and off.
    Power,
}

impl Verb {
    /// All of them.
    pub const ALL: [Verb; 5] = [Verb::Look, Verb::Backup, Verb::Restore, Verb::Migrate, Verb::Power];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Verb::Look => "look",
            Verb::Backup => "back up and verify",
            Verb::Restore => "restore",
            Verb::Migrate => "migrate",
            Verb::Power => "power",
        }
    }
}

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Enrol and retire machines, change policies (but how long things are kept), handle alerts.
    Configure,
    /// Delete backups.
    DeleteBackups,
    /// Change how long backups are kept.
    ChangeRetention,
    /// Have keys and recovery sheets.
    ExportKeys,
    /// Invite people, change their roles, remove them.
    Invite,
    /// Give, change and end grants.
    ChangeGrants,
    /// What a grant can give too.
    #[serde(untagged)]
    Do(Verb),
}

impl Act {
    /// Seeing.
    pub const LOOK: Act = Act::Do(Verb::Look);

    /// All of them.
    pub const ALL: [Act; 11] = [
        Act::Do(Verb::Look),
        Act::Do(Verb::Backup),
        Act::Do(Verb::Restore),
        Act::Do(Verb::Migrate),
        Act::Do(Verb::Power),
        Act::Configure,
        Act::DeleteBackups,
        Act::ChangeRetention,
        Act::ExportKeys,
        Act::Invite,
        Act::ChangeGrants,
    ];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Act::Do(verb) => verb.word(),
            Act::Configure => "configure",
            Act::DeleteBackups => "delete backups",
            Act::ChangeRetention => "change retention",
            Act::ExportKeys => "export keys",
            Act::Invite => "invite",
            Act::ChangeGrants => "change grants",
        }
    }
}

impl From<Verb> for Act {
    fn from(verb: Verb) -> Act {
        Act::Do(verb)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acts_are_stored_as_their_words() {
        assert_eq!(serde_json::to_string(&Act::LOOK).unwrap(), "\"look\"");
        for act in Act::ALL {
            let text = serde_json::to_string(&act).unwrap();
            assert_eq!(serde_json::from_str::<Act>(&text).unwrap(), act, "{text}");
        }
        assert!(serde_json::from_str::<Verb>("\"delete_backups\"").is_err());
    }
}
