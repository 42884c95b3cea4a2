//! Zone: a time zone by its name, never an offset; wall-clock times and moments meet here.
//!
//! A wall-clock time that the clock skips is due at the moment the clock goes on; one that it shows twice is due the
//! first time. So the moment of a later wall-clock time is never earlier.

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// A time zone of the IANA database, such as `Europe/Vienna`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone {
    name: String,
    zone: TimeZone,
}

/// A name that is no time zone's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no time zone {0:?}; names are like \"Europe/Vienna\"")]
pub struct ZoneError(String);

impl Zone {
    /// The zone of this name.
    pub fn named(name: &str) -> Result<Zone, ZoneError> {
        let zone = TimeZone::get(name).map_err(|_| ZoneError(name.to_owned()))?;
        Ok(Zone { name: zone.iana_name().unwrap_or(name).to_owned(), zone })
    }

    /// Coordinated universal time.
    pub fn utc() -> Zone {
        Zone { name: "UTC".into(), zone: TimeZone::UTC }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What clocks show there at this moment.
    pub fn clock(&self, at: Timestamp) -> DateTime {
        self.zone.to_datetime(at)
    }

    /// The day it is there at this moment.
    pub fn date(&self, at: Timestamp) -> Date {
        self.clock(at).date()
    }

    /// The moment of a wall-clock time; none beyond the calendar's ends (years -9999 to 9999).
    pub fn moment(&self, clock: DateTime) -> Option<Timestamp> {
        match self.zone.to_ambiguous_timestamp(clock).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(clock).ok(),
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(clock).ok(),
            AmbiguousOffset::Gap { before, .. } => {
                let beyond = before.to_timestamp(clock).ok()?;
                let just_after = beyond.checked_add(SignedDuration::from_nanos(1)).ok()?;
                self.zone.preceding(just_after).next().map(|change| change.timestamp())
            }
        }
    }

    /// The latest wall-clock time that has been due by this moment: later than what the clock shows while it shows
    /// times for the second time.
    pub(crate) fn latest_clock(&self, at: Timestamp) -> DateTime {
        let shown = self.clock(at);
        let Some(change) = self.zone.preceding(at).next() else { return shown };
        let two_days = SignedDuration::from_hours(48);
        if at.duration_since(change.timestamp()) > two_days {
            return shown;
        }
        let Ok(before) = change.timestamp().checked_sub(SignedDuration::from_nanos(1)) else { return shown };
        shown.max(self.clock(before))
    }
}

impl TryFrom<String> for Zone {
    type Error = ZoneError;

    fn try_from(name: String) -> Result<Zone, ZoneError> {
        Zone::named(&name)
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> String {
        zone.name
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::datetime;

    use super::*;

    fn moment(zone: &str, clock: DateTime) -> String {
        Zone::named(zone).unwrap().moment(clock).unwrap().to_string()
    }

    #[test]
    fn a_skipped_time_is_due_when_the_clock_goes_on() {
        assert_eq!(moment("Europe/Vienna", datetime(2026, 3, 29, 2, 30, 0, 0)), "2026-03-29T01:00:00Z");
        // Santiago's clock jumps at midnight.
        assert_eq!(moment("America/Santiago", datetime(2026, 9, 6, 0, 15, 0, 0)), "2026-09-06T04:00:00Z");
        // Samoa skipped a day.
        assert_eq!(moment("Pacific/Apia", datetime(2011, 12, 30, 12, 0, 0, 0)), "2011-12-30T10:00:00Z");
    }

    #[test]
    fn a_repeated_time_is_due_the_first_time() {
        assert_eq!(moment("Europe/Vienna", datetime(2026, 10, 25, 2, 30, 0, 0)), "2026-10-25T00:30:00Z");
    }

    #[test]
    fn a_zone_is_its_name() {
        let zone: Zone = serde_json::from_str("\"Australia/Lord_Howe\"").unwrap();
        assert_eq!(serde_json::to_string(&zone).unwrap(), "\"Australia/Lord_Howe\"");
        assert!(serde_json::from_str::<Zone>("\"Middle/Earth\"").is_err());
    }
}
