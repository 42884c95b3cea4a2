//! Window: when runs may start, by the wall clock of the schedule's zone.

use jiff::Timestamp;
use jiff::civil::{Date, Time, Weekday};
use serde::{Deserialize, Serialize};

use crate::{Zone, keep::listed};

/// A span of the day on some days of the week. One that ends at or before its beginning ends on the next day; its days
/// are those on which it opens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Days on which it opens; none means all.
    pub days: Vec<WeekDay>,
    /// When it opens.
    pub from: Time,
    /// When it closes; it is closed at this minute.
    pub to: Time,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "days have names")]
pub enum WeekDay {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl WeekDay {
    /// The day that a date falls on.
    pub fn of(date: Date) -> WeekDay {
        match date.weekday() {
            Weekday::Monday => WeekDay::Monday,
            Weekday::Tuesday => WeekDay::Tuesday,
            Weekday::Wednesday => WeekDay::Wednesday,
            Weekday::Thursday => WeekDay::Thursday,
            Weekday::Friday => WeekDay::Friday,
            Weekday::Saturday => WeekDay::Saturday,
            Weekday::Sunday => WeekDay::Sunday,
        }
    }
}

/// "every day", "Monday and Friday".
pub(crate) fn days_in_words(days: &[WeekDay]) -> String {
    match days {
        [] => "every day".into(),
        days => listed(&days.iter().map(|day| format!("{day:?}")).collect::<Vec<_>>()),
    }
}

impl Window {
    /// The moments between which it is open when it opens on `date`; none on other days, and none where the clock skips
    /// all of it.
    fn span(&self, zone: &Zone, date: Date) -> Option<(Timestamp, Timestamp)> {
        if !self.days.is_empty() && !self.days.contains(&WeekDay::of(date)) {
            return None;
        }
        let end = if self.to <= self.from { date.tomorrow().ok()? } else { date };
        let span = (zone.moment(date.to_datetime(self.from))?, zone.moment(end.to_datetime(self.to))?);
        (span.0 < span.1).then_some(span)
    }

    /// "every day 20:00 to 06:00"
    pub fn words(&self) -> String {
        format!("{} {} to {}", days_in_words(&self.days), hour(self.from), hour(self.to))
    }
}

/// "06:00"
pub(crate) fn hour(time: Time) -> String {
    format!("{:02}:{:02}", time.hour(), time.minute())
}

/// The first moment not before `at` in one of the windows, `at` itself where one is open. Without windows every moment
/// is open. None when no window opens within two weeks.
pub(crate) fn first_open(windows: &[Window], zone: &Zone, at: Timestamp) -> Option<Timestamp> {
    if windows.is_empty() {
        return Some(at);
    }
    let yesterday = zone.date(at).yesterday().ok()?;
    let days = yesterday.series(jiff::Span::new().days(1)).take(16);
    let spans = days.flat_map(|date| windows.iter().filter_map(move |window| window.span(zone, date)));
    spans.filter(|(_, to)| at < *to).map(|(from, _)| from.max(at)).min()
}

#[cfg(test)]
mod tests {
    use jiff::civil::time;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_it_opens_on() {
        let zone = Zone::named("Europe/Vienna").unwrap();
        let night = Window { days: vec![WeekDay::Friday], from: time(22, 0, 0, 0), to: time(6, 0, 0, 0) };
        let open = |text| first_open(std::slice::from_ref(&night), &zone, at(text)).unwrap().to_string();
        // 2026-11-20 is a Friday.
        assert_eq!(open("2026-11-20T12:00:00Z"), "2026-11-20T21:00:00Z");
        assert_eq!(open("2026-11-21T04:59:00Z"), "2026-11-21T04:59:00Z");
        assert_eq!(open("2026-11-21T05:00:00Z"), "2026-11-27T21:00:00Z");
        assert_eq!(night.words(), "Friday 22:00 to 06:00");
    }

    #[test]
    fn a_window_that_the_clock_skips_opens_on_another_day() {
        let zone = Zone::named("Europe/Vienna").unwrap();
        let skipped = Window { days: vec![], from: time(2, 0, 0, 0), to: time(3, 0, 0, 0) };
        let open = first_open(&[skipped], &zone, at("2026-03-29T00:30:00Z")).unwrap();
        assert_eq!(open.to_string(), "2026-03-30T00:00:00Z");
    }
}
