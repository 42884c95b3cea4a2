//! Progress: one honest percentage. It never goes backwards without saying why, and is 100 only when all is done.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::age::{size_in_words, span_in_words};
use crate::window::hour;
use crate::{Actor, Zone};

/// What a run is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Looks at what there is to do; there is no percentage yet.
    #[default]
    Preparing,
    /// Reads the machine.
    Reading,
    /// Sends what was read.
    Sending,
    /// Writes what it restores, copies or keeps.
    Writing,
    /// Compares what was written.
    Verifying,
    /// Writes the last things; nothing is left to count.
    Finishing,
}

impl Phase {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Phase::Preparing => "preparing",
            Phase::Reading => "reading",
            Phase::Sending => "sending",
            Phase::Writing => "writing",
            Phase::Verifying => "verifying",
            Phase::Finishing => "finishing",
        }
    }
}

/// What a run waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A network.
    Network,
    /// Somebody to sign in to this network.
    CaptivePortal,
    /// A link that is not paid by volume.
    UnmeteredLink,
    /// Mains power.
    Mains,
    /// The next day's budget of bytes.
    Budget,
    /// The hours in which it may run.
    Window,
    /// Storage that answers.
    Storage,
    /// Room on storage.
    Room,
    /// Another run's lock.
    Lock,
}

impl Cause {
    fn words(self) -> &'static str {
        match self {
            Cause::Network => "network",
            Cause::CaptivePortal => "somebody to sign in to this network",
            Cause::UnmeteredLink => "an unmetered link",
            Cause::Mains => "mains power",
            Cause::Budget => "tomorrow's byte budget",
            Cause::Window => "its hours",
            Cause::Storage => "storage",
            Cause::Room => "room on storage",
            Cause::Lock => "another run to finish",
        }
    }
}

/// Whether a run moves, and if not, why not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// It moves.
    #[default]
    Moving,
    /// It waits.
    Waiting {
        /// For what.
        cause: Cause,
        /// Since when.
        since: Timestamp,
    },
    /// The machine sleeps.
    Asleep {
        /// Since when.
        since: Timestamp,
    },
    /// Somebody paused it.
    Paused {
        /// Who.
        by: Actor,
        /// Since when.
        since: Timestamp,
    },
}

/// How much: of what there is to do, and of what storage did not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// Bytes that need no more work.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
    /// Bytes that were new and had to be stored.
    pub new: u64,
}

/// What a run says about itself. Reports are numbered from 1; of two, the higher number is the later one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Its number.
    pub number: u64,
    /// When it was made, by the clock of whoever keeps the progress.
    pub at: Timestamp,
    /// What it does.
    pub phase: Phase,
    /// Whether it moves.
    pub condition: Condition,
    /// How much.
    pub amount: Amount,
    /// Why less is done than before, if so, as a clause: "3 GB changed while they were read".
    pub setback: Option<String>,
}

/// How far a run is, as everybody sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The last report's number; 0 before the first.
    pub number: u64,
    /// When the last report came.
    pub at: Option<Timestamp>,
    /// What it does.
    pub phase: Phase,
    /// Whether it moves.
    pub condition: Condition,
    /// How much.
    pub amount: Amount,
    /// Thousandths that are shown; at most 999 before the end.
    pub thousandths: u16,
    /// Why `thousandths` are less than they once were, if so.
    pub setback: Option<String>,
    /// Bytes in a second, of those that count as done, smoothed over about a minute; 0 while nothing moves.
    pub rate: u64,
    /// Milliseconds over which the rate was measured since it moves.
    #[serde(default)]
    pub measured: u64,
}

impl Progress {
    /// Takes a report in. One that was overtaken by a later one changes nothing.
    pub fn hear(&mut self, report: Report) {
        if report.number <= self.number {
            return;
        }
        (self.rate, self.measured) = self.rate_with(&report);
        self.judge(&report);
        self.number = report.number;
        self.at = Some(report.at);
        self.phase = report.phase;
        self.condition = report.condition;
        self.amount = report.amount;
    }

    /// All is done: 100 %.
    pub fn finish(&mut self) {
        self.thousandths = 1_000;
        self.phase = Phase::Finishing;
        self.condition = Condition::Moving;
        self.rate = 0;
    }

    /// Whole per cent, rounded down.
    pub fn percent(&self) -> u8 {
        (self.thousandths / 10) as u8
    }

    /// Seconds that are left at this rate; none while nothing moves or nothing is known.
    pub fn seconds_left(&self) -> Option<u64> {
        let left = self.amount.total.checked_sub(self.amount.done)?;
        (self.condition == Condition::Moving && self.rate > 0).then(|| left.div_ceil(self.rate))
    }

    /// How far it is and what it does, in words, with the clock of `zone`: "waiting for network since 14:02, 61 % done,
    /// nothing lost".
    pub fn words(&self, zone: &Zone) -> String {
        let clock = |since: Timestamp| hour(zone.clock(since).time());
        let mut words = match &self.condition {
            Condition::Moving => return self.moving_words(),
            Condition::Waiting { cause, since } => format!("waiting for {} since {}", cause.words(), clock(*since)),
            Condition::Asleep { since } => format!("asleep since {}", clock(*since)),
            Condition::Paused { by, since } => format!("paused by {} since {}", by.name, clock(*since)),
        };
        words += &format!(", {} % done, nothing lost", self.percent());
        self.with_setback(words)
    }

    fn moving_words(&self) -> String {
        let Amount { done, total, new } = self.amount;
        if self.phase == Phase::Preparing || total == 0 {
            return self.phase.word().into();
        }
        let (done, total, new) = (size_in_words(done), size_in_words(total), size_in_words(new));
        let mut words = format!("{}, {} % done: {done} of {total}, {new} new", self.phase.word(), self.percent());
        if let Some(seconds) = self.seconds_left() {
            let left = span_in_words(i64::try_from(seconds).unwrap_or(i64::MAX));
            words += &format!(", about {left} left at {}/s", size_in_words(self.rate));
        }
        self.with_setback(words)
    }

    fn with_setback(&self, words: String) -> String {
        match &self.setback {
            Some(why) => format!("{words}; went back because {why}"),
            None => words,
        }
    }

    /// Less than before is shown only with a reason. Without one, what was shown stays until it is reached again.
    fn judge(&mut self, report: &Report) {
        let now = thousandths(&report.amount);
        let grown = report.amount.total.saturating_sub(self.amount.total);
        let reason = match &report.setback {
            Some(why) => Some(why.clone()),
            None if grown > 0 && self.amount.total > 0 => {
                Some(format!("there is {} more to do than was known", size_in_words(grown)))
            }
            None => None,
        };
        if now >= self.thousandths {
            self.thousandths = now;
        } else if let Some(reason) = reason {
            self.thousandths = now;
            self.setback = Some(reason);
        }
    }

    /// The rate, and over how many milliseconds it was measured.
    fn rate_with(&self, report: &Report) -> (u64, u64) {
        let Some(before) = self.at.filter(|_| report.condition == Condition::Moving) else { return (0, 0) };
        let took = u64::try_from(report.at.duration_since(before).as_millis()).unwrap_or_default();
        if took == 0 {
            return (self.rate, self.measured);
        }
        let (seconds, measured) = (took as f64 / 1_000.0, self.measured.saturating_add(took));
        let moved = report.amount.done.saturating_sub(self.amount.done) as f64;
        // In the first minute all of it counts the same, so that what went into buffers at once is no promise; later measures
        // weigh as much as their share of a minute.
        let weight = (1.0 - (-seconds / 60.0).exp()).max(took as f64 / measured as f64);
        ((self.rate as f64 * (1.0 - weight) + moved / seconds * weight) as u64, measured)
    }
}

/// The share that is done; rounded down, never 1000: that is said by the end alone.
fn thousandths(amount: &Amount) -> u16 {
    if amount.total == 0 {
        return 0;
    }
    let share = u128::from(amount.done) * 1_000 / u128::from(amount.total);
    share.min(999) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(number: u64, done: u64, total: u64) -> Report {
        Report {
            number,
            at: Timestamp::from_second(number as i64 * 10).unwrap(),
            phase: Phase::Reading,
            condition: Condition::Moving,
            amount: Amount { done, total, new: done / 10 },
            setback: None,
        }
    }

    const GB: u64 = 1_000_000_000;

    #[test]
    fn a_run_that_waits_for_the_network_says_so_with_its_percentage() {
        let mut progress = Progress::default();
        progress.hear(report(1, 0, 100 * GB));
        let since = "2026-11-22T13:02:00Z".parse().unwrap();
        let condition = Condition::Waiting { cause: Cause::Network, since };
        progress.hear(Report { condition, ..report(2, 61 * GB, 100 * GB) });
        let vienna = Zone::named("Europe/Vienna").unwrap();
        assert_eq!(progress.words(&vienna), "waiting for network since 14:02, 61 % done, nothing lost");
        assert_eq!(progress.seconds_left(), None);
    }

    #[test]
    fn a_run_that_moves_says_how_much_how_fast_and_how_long() {
        let mut progress = Progress::default();
        progress.hear(report(1, 170 * GB, 187 * GB));
        progress.hear(report(2, 172 * GB, 187 * GB));
        let words = progress.words(&Zone::utc());
        assert_eq!(words, "reading, 91 % done: 172 GB of 187 GB, 17 GB new, about 75 s left at 200 MB/s");
    }

    #[test]
    fn what_went_into_buffers_at_once_is_no_promise() {
        let mut progress = Progress::default();
        progress.hear(report(1, 0, 100 * GB));
        progress.hear(report(2, 10 * GB, 100 * GB));
        (3..=6).for_each(|number| progress.hear(report(number, 10 * GB, 100 * GB)));
        assert_eq!(progress.rate.div_ceil(1_000_000), 200, "10 GB in 50 s");
        let since = Timestamp::from_second(60).unwrap();
        let condition = Condition::Waiting { cause: Cause::Network, since };
        progress.hear(Report { condition, ..report(7, 10 * GB, 100 * GB) });
        progress.hear(report(8, 11 * GB, 100 * GB));
        assert_eq!(progress.rate.div_ceil(1_000_000), 100, "after a wait it is measured anew");
    }

    #[test]
    fn a_disk_that_grows_is_the_reason_why_the_percentage_falls() {
        let mut progress = Progress::default();
        progress.hear(report(1, 50 * GB, 100 * GB));
        progress.hear(report(2, 60 * GB, 200 * GB));
        assert_eq!(progress.percent(), 30);
        assert!(
            progress.words(&Zone::utc()).ends_with("; went back because there is 100 GB more to do than was known")
        );
    }

    #[test]
    fn without_a_reason_the_percentage_waits_until_it_is_reached_again() {
        let mut progress = Progress::default();
        progress.hear(report(1, 50 * GB, 100 * GB));
        progress.hear(report(2, 40 * GB, 100 * GB));
        assert_eq!(progress.percent(), 50);
        progress.hear(report(3, 51 * GB, 100 * GB));
        assert_eq!(progress.percent(), 51);
    }

    #[test]
    fn all_bytes_done_is_not_yet_the_end() {
        let mut progress = Progress::default();
        progress.hear(report(1, 7, 7));
        assert_eq!(progress.percent(), 99);
        progress.finish();
        assert_eq!(progress.percent(), 100);
    }

    #[test]
    fn a_report_that_was_overtaken_changes_nothing() {
        let mut progress = Progress::default();
        progress.hear(report(2, 50, 100));
        let before = progress.clone();
        progress.hear(report(1, 99, 100));
        progress.hear(report(2, 99, 100));
        assert_eq!(progress, before);
    }
}
