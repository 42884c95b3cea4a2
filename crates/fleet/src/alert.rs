//! Alert: something that needs a person. For one machine and condition at most one is not closed; a closed one stays so.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Actor, AlertId, ClientId, MachineId, SiteId};

/// What is wrong, by the question that it answers with no. A backup that is late and then fails is one alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// It is not heard.
    Silent,
    /// There is no recent good backup.
    Backup,
    /// There is no recent copy offsite.
    Offsite,
    /// No restore was proven lately.
    Proven,
    /// Storage is damaged, unchecked or nearly full.
    Storage,
    /// Two machines use one identity.
    Quarantined,
    /// Messages about alerts do not arrive.
    Messages,
}

impl Condition {
    /// All of them.
    pub const ALL: [Condition; 7] = [
        Condition::Silent,
        Condition::Backup,
        Condition::Offsite,
        Condition::Proven,
        Condition::Storage,
        Condition::Quarantined,
        Condition::Messages,
    ];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Condition::Silent => "silent",
            Condition::Backup => "backup",
            Condition::Offsite => "offsite",
            Condition::Proven => "proven",
            Condition::Storage => "storage",
            Condition::Quarantined => "quarantined",
            Condition::Messages => "messages",
        }
    }
}

/// What it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// A machine.
    Machine(ClientId, MachineId),
    /// All of a place.
    Site(ClientId, SiteId),
    /// This server: it seems to have lost its own connection.
    Ourselves,
}

impl Subject {
    /// Whose it is; ourselves are nobody's.
    pub fn client(self) -> Option<ClientId> {
        match self {
            Subject::Machine(client, _) | Subject::Site(client, _) => Some(client),
            Subject::Ourselves => None,
        }
    }
}

/// What makes two alerts the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AlertKey {
    /// About what.
    pub subject: Subject,
    /// What is wrong.
    pub condition: Condition,
}

/// Where an alert stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// Nobody has it.
    Open,
    /// Somebody has it.
    Acknowledged {
        /// Who.
        by: Actor,
        /// Since when.
        at: Timestamp,
    },
    /// It is over.
    Closed {
        /// Since when.
        at: Timestamp,
    },
}

impl AlertState {
    /// The word for it.
    pub fn word(&self) -> &'static str {
        match self {
            AlertState::Open => "open",
            AlertState::Acknowledged { .. } => "acknowledged",
            AlertState::Closed { .. } => "closed",
        }
    }
}

/// What people were last told of an alert.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Heard {
    /// Nothing.
    #[default]
    Nothing,
    /// That it is there.
    There,
    /// That it is over.
    Over,
}

/// Why something cannot happen to an alert.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AlertError {
    /// It is over.
    #[error("alert {0} is closed")]
    Closed(AlertId),
    /// Somebody else has it.
    #[error("alert {alert} is acknowledged by {by}")]
    Taken {
        /// Which.
        alert: AlertId,
        /// By whom.
        by: String,
    },
}

/// Something that needs a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Which.
    pub id: AlertId,
    /// What makes it the same.
    pub key: AlertKey,
    /// What is wrong, in a sentence; the last one that was observed.
    pub sentence: String,
    /// Since when.
    pub opened: Timestamp,
    /// Where it stands.
    pub state: AlertState,
    /// How many steps of the escalation are behind it.
    pub steps: u32,
    /// What people know of it.
    pub(crate) heard: Heard,
    /// Steps went by in a silence.
    pub(crate) hushed: bool,
}

impl Alert {
    /// A new one.
    pub fn open(id: AlertId, key: AlertKey, sentence: String, opened: Timestamp) -> Alert {
        Alert { id, key, sentence, opened, state: AlertState::Open, steps: 0, heard: Heard::Nothing, hushed: false }
    }

    /// Somebody takes it on: it escalates no more. The same somebody may say so twice.
    pub fn acknowledge(&mut self, by: Actor, at: Timestamp) -> Result<(), AlertError> {
        match &self.state {
            AlertState::Closed { .. } => Err(AlertError::Closed(self.id)),
            AlertState::Acknowledged { by: has, .. } if has.key != by.key => {
                Err(AlertError::Taken { alert: self.id, by: has.name.clone() })
            }
            AlertState::Acknowledged { .. } => Ok(()),
            AlertState::Open => {
                self.state = AlertState::Acknowledged { by, at };
                Ok(())
            }
        }
    }

    /// Whoever has it gives it back: it is open again, and goes on where its escalation was.
    pub fn release(&mut self, by: &Actor) -> Result<(), AlertError> {
        match &self.state {
            AlertState::Closed { .. } => Err(AlertError::Closed(self.id)),
            AlertState::Acknowledged { by: has, .. } if has.key != by.key => {
                Err(AlertError::Taken { alert: self.id, by: has.name.clone() })
            }
            AlertState::Acknowledged { .. } | AlertState::Open => {
                self.state = AlertState::Open;
                Ok(())
            }
        }
    }

    /// It is over; one that was already, stays over since then.
    pub fn close(&mut self, at: Timestamp) {
        if !self.is_closed() {
            self.state = AlertState::Closed { at };
        }
    }

    /// Whether it is over and there is nobody left to tell so.
    pub fn is_done_with(&self) -> bool {
        self.is_closed() && self.heard != Heard::There
    }

    /// Whether it is over.
    pub fn is_closed(&self) -> bool {
        matches!(self.state, AlertState::Closed { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Uuid;

    fn actor(key: &str) -> Actor {
        Actor { key: key.into(), name: key.to_uppercase() }
    }

    #[test]
    fn the_first_who_takes_an_alert_has_it() {
        let key = AlertKey { subject: Subject::Ourselves, condition: Condition::Silent };
        let mut alert = Alert::open(AlertId::new(Uuid::nil()), key, "Nothing is heard.".into(), Timestamp::UNIX_EPOCH);
        alert.acknowledge(actor("jim"), Timestamp::UNIX_EPOCH).unwrap();
        alert.acknowledge(actor("jim"), Timestamp::UNIX_EPOCH).unwrap();
        let late = alert.acknowledge(actor("anna"), Timestamp::UNIX_EPOCH).unwrap_err();
        assert!(late.to_string().ends_with("is acknowledged by JIM"), "{late}");
        alert.close(Timestamp::UNIX_EPOCH);
        assert_eq!(alert.acknowledge(actor("jim"), Timestamp::UNIX_EPOCH), Err(AlertError::Closed(alert.id)));
    }
}
