//! Bar: the last 28 days of a machine, one letter each. A day on which nothing was attempted is not good.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// How many days a bar shows.
const DAYS: usize = 28;

/// What became of one day of the machine's zone; a run belongs to the day on which it began. The order is what counts when several things happened: the best.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Day {
    /// Nothing was attempted.
    #[default]
    Nothing,
    /// A backup was tried and failed.
    Failed,
    /// A backup is running.
    Running,
    /// A backup missed something.
    Incomplete,
    /// There was a good backup.
    Good,
}

impl Day {
    const ALL: [(Day, char, &str); 5] = [
        (Day::Nothing, '-', "nothing attempted"),
        (Day::Failed, 'f', "failed"),
        (Day::Running, 'r', "running"),
        (Day::Incomplete, 'i', "incomplete"),
        (Day::Good, 'g', "good"),
    ];

    /// The words for it.
    pub fn words(self) -> &'static str {
        Day::ALL[self as usize].2
    }
}

/// The last 28 days, up to and including one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bar {
    last: Date,
    days: [Day; DAYS],
}

/// A text that is no bar.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a bar: a date, a space and 28 of the letters -frig are")]
pub struct BarError(String);

impl Bar {
    /// 28 days without anything.
    pub fn new(last: Date) -> Bar {
        Bar { last, days: [Day::Nothing; DAYS] }
    }

    /// The days, the oldest first.
    pub fn days(&self) -> impl ExactSizeIterator<Item = (Date, Day)> + '_ {
        let oldest = self.last.saturating_sub(jiff::Span::new().days(DAYS as i64 - 1));
        self.days
            .iter()
            .enumerate()
            .map(move |(n, day)| (oldest.saturating_add(jiff::Span::new().days(n as i64)), *day))
    }

    /// The same bar as it is shown on `today`: days without news since are days on which nothing was attempted.
    pub fn on(&self, today: Date) -> Bar {
        let passed = days_between(self.last, today);
        if passed <= 0 {
            return self.clone();
        }
        let mut bar = Bar::new(today);
        let kept = DAYS.saturating_sub(usize::try_from(passed).unwrap_or(DAYS));
        bar.days[..kept].copy_from_slice(&self.days[DAYS - kept..]);
        bar
    }

    /// Something happened on a day; the best of what happened there stays. Days before the bar are over.
    pub fn note(&mut self, date: Date, day: Day) {
        *self = self.on(date);
        let back = days_between(date, self.last);
        if let Some(slot) = usize::try_from(back).ok().and_then(|back| DAYS.checked_sub(back + 1)) {
            let old = self.days[slot];
            self.days[slot] = if old == Day::Running { day } else { old.max(day) };
        }
    }

    /// How many days had a good backup.
    pub fn good(&self) -> usize {
        self.days.iter().filter(|day| **day == Day::Good).count()
    }
}

fn days_between(from: Date, to: Date) -> i32 {
    // Without a unit of its own a span between dates is in days.
    from.until(to).map_or(0, |span| span.get_days())
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters: String = self.days.iter().map(|day| Day::ALL[*day as usize].1).collect();
        write!(f, "{} {letters}", self.last)
    }
}

impl FromStr for Bar {
    type Err = BarError;

    fn from_str(text: &str) -> Result<Bar, BarError> {
        let bar = || {
            let (last, letters) = text.split_once(' ')?;
            let day = |letter| Day::ALL.iter().find(|(_, known, _)| *known == letter).map(|(day, _, _)| *day);
            let days: Vec<Day> = letters.chars().map(day).collect::<Option<_>>()?;
            Some(Bar { last: last.parse().ok()?, days: days.try_into().ok()? })
        };
        bar().ok_or_else(|| BarError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn days_without_news_move_the_bar_on() {
        let mut bar = Bar::new(date(2026, 11, 1));
        bar.note(date(2026, 11, 1), Day::Good);
        bar.note(date(2026, 11, 3), Day::Incomplete);
        assert_eq!(bar.to_string(), "2026-11-03 -------------------------g-i");
        assert_eq!(bar.on(date(2026, 11, 4)).to_string(), "2026-11-04 ------------------------g-i-");
        assert_eq!(bar.on(date(2027, 2, 1)), Bar::new(date(2027, 2, 1)));
    }

    #[test]
    fn the_best_of_a_day_stays_and_what_ran_is_replaced_by_its_end() {
        let (today, mut bar) = (date(2026, 11, 1), Bar::new(date(2026, 11, 1)));
        let shown = |bar: &Bar| bar.days().last().unwrap().1;
        bar.note(today, Day::Running);
        bar.note(today, Day::Failed);
        assert_eq!(shown(&bar), Day::Failed);
        bar.note(today, Day::Good);
        bar.note(today, Day::Failed);
        assert_eq!(shown(&bar), Day::Good);
        assert_eq!(bar.good(), 1);
    }

    #[test]
    fn an_end_that_is_told_late_counts_on_its_day() {
        let mut bar = Bar::new(date(2026, 11, 10));
        bar.note(date(2026, 11, 8), Day::Good);
        bar.note(date(2026, 9, 8), Day::Good);
        assert_eq!(bar.to_string(), "2026-11-10 -------------------------g--");
        assert_eq!(bar.days().next().unwrap().0, date(2026, 10, 14));
    }

    #[test]
    fn a_bar_is_read_as_it_is_written_and_rubbish_is_refused() {
        let mut bar = Bar::new(date(2026, 11, 1));
        bar.note(date(2026, 10, 20), Day::Running);
        assert_eq!(bar.to_string().parse(), Ok(bar));
        for rubbish in ["", "2026-11-01", "2026-11-01 g", "yesterday ----------------------------"] {
            assert!(rubbish.parse::<Bar>().is_err(), "{rubbish}");
        }
    }
}
