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

    /// When messages that wait at this moment go: the next time that the clock shows the end. None beyond the calendar.
    pub fn end(&self, at: Timestamp) -> Option<Timestamp> {
        let mut date = self.zone.date(at).yesterday().ok()?;
        loop {
            let moment = self.zone.moment(date.to_datetime(self.to))?;
            if moment > at {
                return Some(moment);
            }
            date = date.tomorrow().ok()?;
        }
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

#[cfg(test)]
mod tests {
    use jiff::civil::time;

    use super::*;

    fn night(zone: &str) -> QuietHours {
        let (from, to) = (time(22, 0, 0, 0), time(0, 30, 0, 0));
        QuietHours { zone: Zone::named(zone).unwrap(), from, to, except: vec![Condition::Storage] }
    }

    #[test]
    fn quiet_hours_over_midnight_hold_all_but_what_wakes_people() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let night = night("Europe/Vienna");
        assert!(night.hold(Condition::Backup, at("2026-11-22T21:00:00Z")));
        assert!(!night.hold(Condition::Storage, at("2026-11-22T21:00:00Z")));
        assert!(!night.hold(Condition::Backup, at("2026-11-22T23:30:00Z")));
        assert_eq!(night.end(at("2026-11-22T21:00:00Z")), Some(at("2026-11-22T23:30:00Z")));
    }

    #[test]
    fn quiet_hours_whose_end_the_clock_skips_end_when_it_goes_on() {
        // Santiago's clock jumps from midnight to one.
        let within = "2026-09-06T03:00:00Z".parse().unwrap();
        assert!(night("America/Santiago").hold(Condition::Backup, within));
        assert_eq!(night("America/Santiago").end(within).unwrap().to_string(), "2026-09-06T04:00:00Z");
    }
}
