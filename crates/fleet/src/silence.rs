//! Silence: messages are held back, never alerts. It always has an end, an author and a reason, and counts what it held.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Actor, AlertKey, ClientId, Condition, MachineId, SilenceId, SiteId, Subject};

/// What a silence is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SilenceScope {
    /// Everything of a client.
    Client(ClientId),
    /// A site's own alerts. Its machines are silent by themselves when the site is.
    Site(SiteId),
    /// Everything of a machine.
    Machine(MachineId),
    /// One condition of a machine.
    Condition(MachineId, Condition),
}

impl SilenceScope {
    /// Whether an alert is one of those.
    pub fn covers(self, key: &AlertKey) -> bool {
        match (self, key.subject) {
            (SilenceScope::Client(client), subject) => subject.client() == Some(client),
            (SilenceScope::Site(site), Subject::Site(_, of)) => site == of,
            (SilenceScope::Machine(machine), Subject::Machine(_, of)) => machine == of,
            (SilenceScope::Condition(machine, condition), Subject::Machine(_, of)) => {
                machine == of && condition == key.condition
            }
            _ => false,
        }
    }
}

/// Why something is no silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SilenceError {
    /// It would end before it begins.
    #[error("a silence must end after it begins")]
    NoTime,
    /// It would last longer than anybody remembers it.
    #[error("a silence lasts 31 days at most; retire a machine that is not looked after any more")]
    TooLong,
    /// Nobody said why.
    #[error("a silence needs a reason")]
    NoReason,
}

/// Messages about something are held back for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Which.
    pub id: SilenceId,
    /// About what.
    pub scope: SilenceScope,
    /// Who said so.
    pub by: Actor,
    /// Why.
    pub reason: String,
    /// From when.
    pub from: Timestamp,
    /// Until when; an earlier end is set here too.
    pub until: Timestamp,
    /// How many messages it held back.
    pub suppressed: u64,
}

impl Silence {
    /// Refuses what has no end soon, or no reason.
    pub fn check(&self) -> Result<(), SilenceError> {
        let seconds = self.until.as_second() - self.from.as_second();
        match seconds {
            ..=0 => Err(SilenceError::NoTime),
            _ if seconds > 31 * 86_400 => Err(SilenceError::TooLong),
            _ if self.reason.trim().is_empty() => Err(SilenceError::NoReason),
            _ => Ok(()),
        }
    }

    /// Whether it holds messages about an alert back at this moment.
    pub fn holds(&self, key: &AlertKey, at: Timestamp) -> bool {
        self.from <= at && at < self.until && self.scope.covers(key)
    }
}
