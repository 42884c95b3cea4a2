//! Escalation: whom to tell first, and whom next while nobody has acknowledged; and when not to wake anybody.

use jiff::Timestamp;
use jiff::civil::Time;
use serde::{Deserialize, Serialize};

use crate::{Condition, Zone};

/// Whom to tell: opaque here, known to whoever sends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Recipient(pub String);

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Minutes since the alert was opened.
    pub after: u32,
    /// Whom to tell.
    pub to: Vec<Recipient>,
}

/// When messages wait, by wall clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuietHours {
    /// Whose clock.
    pub zone: Zone,
    /// From when.
    pub from: Time,
    /// Until when; not later than `from` means on the next day.
    pub to: Time,
    /// What wakes people all the same.
    pub except: Vec<Condition>,
}

impl QuietHours {
    /// Whether messages about this condition wait at this moment.
    pub fn hold(&self, condition: Condition, at: Timestamp) -> bool {
        let clock = self.zone.clock(at).time();
        let within = match self.from < self.to {
            true => self.from <= clock && clock < self.to,
            false => self.from <= clock || clock < self.to,
        };
        within && !self.except.contains(&condition)
    }
}

/// Whom to tell, when.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Escalation {
    /// In order of time; the first one is usually after no minutes.
    pub steps: Vec<Step>,
    /// When messages wait.
    pub quiet: Option<QuietHours>,
}

impl Escalation {
    /// How many steps have come for an alert that was opened then.
    pub(crate) fn come(&self, opened: Timestamp, now: Timestamp) -> u32 {
        let minutes = (now.as_second() - opened.as_second()) / 60;
        self.steps.iter().take_while(|step| i64::from(step.after) <= minutes).count() as u32
    }

    /// Whom the steps from one to before another tell, each once.
    pub(crate) fn recipients(&self, from: u32, to: u32) -> Vec<Recipient> {
        let steps = self.steps.iter().take(to as usize).skip(from as usize);
        let mut all: Vec<_> = steps.flat_map(|step| step.to.iter().cloned()).collect();
        all.sort();
        all.dedup();
        all
    }
}
