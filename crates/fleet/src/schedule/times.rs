//! Times: which wall-clock times a schedule names: times of day on days of the week, or a cron line.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::WeekDay;
use crate::keep::listed;
use crate::window::{days_in_words, hour};

/// Why some times are no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// The line is not understood.
    #[error("cannot read the cron line {line:?}: {reason}")]
    Cron {
        /// The line.
        line: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It would never be due.
    #[error("a schedule needs a time of day")]
    NoTime,
}

/// The wall-clock times of a schedule. Only times that were checked can be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Times(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// Sorted times of day, on sorted days or on all.
    Days {
        on: Vec<WeekDay>,
        at: Vec<Time>,
    },
    Cron(Box<Cron>),
}

/// Times as they are stored.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Written {
    Days {
        #[serde(default)]
        on: Vec<WeekDay>,
        at: Vec<Time>,
    },
    Cron(String),
}

impl Times {
    /// Every day at these times (whole minutes).
    pub fn daily(at: Vec<Time>) -> Result<Times, ScheduleError> {
        Times::weekly(Vec::new(), at)
    }

    /// On these days at these times (whole minutes); no days mean every day.
    pub fn weekly(mut on: Vec<WeekDay>, at: Vec<Time>) -> Result<Times, ScheduleError> {
        let mut at: Vec<Time> =
            at.into_iter().map(|time| jiff::civil::time(time.hour(), time.minute(), 0, 0)).collect();
        if at.is_empty() {
            return Err(ScheduleError::NoTime);
        }
        on.sort();
        on.dedup();
        at.sort();
        at.dedup();
        Ok(Times(Kind::Days { on, at }))
    }

    /// By a cron line of five fields: minute, hour, day of month, month, day of week.
    pub fn cron(line: &str) -> Result<Times, ScheduleError> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let wrong =
            |error: croner::errors::CronError| ScheduleError::Cron { line: line.into(), reason: error.to_string() };
        let cron = parser.parse(line).map_err(wrong)?;
        Ok(Times(Kind::Cron(Box::new(cron))))
    }

    /// The first of them after `after`.
    pub(super) fn next(&self, after: DateTime) -> Option<DateTime> {
        match &self.0 {
            Kind::Days { on, at } => {
                let days = after.date().series(jiff::Span::new().days(1)).take(9);
                let days = days.filter(|date| falls_on(on, *date));
                let mut moments = days.flat_map(|date| at.iter().map(move |time| date.to_datetime(*time)));
                moments.find(|moment| *moment > after)
            }
            Kind::Cron(cron) => {
                // As if the clock never changed: what changes mean is the schedule's to say.
                let found = cron.find_next_occurrence(&TimeZone::UTC.to_zoned(after).ok()?, false).ok()?;
                Some(found.datetime())
            }
        }
    }

    /// The last of them not after `until`.
    pub(super) fn newest(&self, until: DateTime) -> Option<DateTime> {
        match &self.0 {
            Kind::Days { on, at } => {
                let days = until.date().series(jiff::Span::new().days(-1)).take(9);
                let days = days.filter(|date| falls_on(on, *date));
                let mut moments = days.flat_map(|date| at.iter().rev().map(move |time| date.to_datetime(*time)));
                moments.find(|moment| *moment <= until)
            }
            Kind::Cron(cron) => {
                let found = cron.find_previous_occurrence(&TimeZone::UTC.to_zoned(until).ok()?, true).ok()?;
                Some(found.datetime())
            }
        }
    }

    /// "every day at 12:30 and 20:00", "on Monday at 03:00", or croner's words for a line.
    pub fn words(&self) -> String {
        match &self.0 {
            Kind::Days { on, at } => {
                let times: Vec<_> = at.iter().map(|time| hour(*time)).collect();
                let days = if on.is_empty() { "every day".into() } else { format!("on {}", days_in_words(on)) };
                format!("{days} at {}", listed(&times))
            }
            Kind::Cron(cron) => {
                let words = cron.describe();
                let words = words.trim_end_matches('.');
                let mut letters = words.chars();
                letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
            }
        }
    }
}

fn falls_on(days: &[WeekDay], date: jiff::civil::Date) -> bool {
    days.is_empty() || days.contains(&WeekDay::of(date))
}

impl TryFrom<Written> for Times {
    type Error = ScheduleError;

    fn try_from(written: Written) -> Result<Times, ScheduleError> {
        match written {
            Written::Days { on, at } => Times::weekly(on, at),
            Written::Cron(line) => Times::cron(&line),
        }
    }
}

impl From<Times> for Written {
    fn from(times: Times) -> Written {
        match times.0 {
            Kind::Days { on, at } => Written::Days { on, at },
            Kind::Cron(cron) => Written::Cron(cron.as_str().to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::{datetime, time};

    use super::*;

    #[test]
    fn lines_that_mean_nothing_are_refused_with_the_reason() {
        for line in ["", "nonsense", "61 * * * *", "* * * * * *", "* * * * * * *", "@reboot"] {
            assert!(matches!(Times::cron(line), Err(ScheduleError::Cron { .. })), "{line}");
        }
        assert_eq!(Times::daily(vec![]), Err(ScheduleError::NoTime));
    }

    #[test]
    fn a_day_that_never_comes_is_never_due_and_ends() {
        let never = Times::cron("0 0 30 2 *").unwrap();
        assert_eq!(never.next(datetime(2026, 1, 1, 0, 0, 0, 0)), None);
        assert_eq!(never.newest(datetime(2026, 1, 1, 0, 0, 0, 0)), None);
    }

    #[test]
    fn times_are_told_in_words() {
        let times = Times::weekly(vec![WeekDay::Friday, WeekDay::Monday], vec![time(3, 0, 0, 0)]).unwrap();
        assert_eq!(times.words(), "on Monday and Friday at 03:00");
        assert_eq!(
            Times::daily(vec![time(20, 0, 0, 0), time(12, 30, 0, 0)]).unwrap().words(),
            "every day at 12:30 and 20:00"
        );
        assert_eq!(Times::cron("30 2 * * *").unwrap().words(), "at 02:30");
    }

    #[test]
    fn times_are_stored_and_read_again() {
        for times in [Times::cron("*/15 8-18 * * 1-5").unwrap(), Times::daily(vec![time(2, 30, 0, 0)]).unwrap()] {
            let text = serde_json::to_string(&times).unwrap();
            assert_eq!(serde_json::from_str::<Times>(&text).unwrap(), times);
        }
        assert!(serde_json::from_str::<Times>("{\"days\":{\"at\":[]}}").is_err());
    }
}
