//! A calendar span as restic writes it: `2y5m7d3h`. Never negative.

use jiff::{SignedDuration, Timestamp, Zoned, civil::Date};

/// Years, months, days and hours, each counted for itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Years.
    pub years: u32,
    /// Months.
    pub months: u32,
    /// Days.
    pub days: u32,
    /// Hours.
    pub hours: u32,
}

impl Span {
    /// True if it is no time at all: the rule is not used.
    pub fn is_zero(&self) -> bool {
        *self == Span::default()
    }

    /// The moment this long before `time`, by the calendar of `time`. As in Go, a date that does not exist moves on: one
    /// month before 31 March is 3 March (31 February). `None` before the beginning of the calendar.
    pub fn before(&self, time: &Zoned) -> Option<Timestamp> {
        let months = i64::from(time.year()) * 12 + i64::from(time.month()) - 1;
        let months = months - i64::from(self.years) * 12 - i64::from(self.months);
        let first = Date::new(i16::try_from(months.div_euclid(12)).ok()?, (months.rem_euclid(12) + 1) as i8, 1).ok()?;
        let days = i64::from(time.day()) - 1 - i64::from(self.days);
        let date = first.checked_add(SignedDuration::from_hours(days * 24)).ok()?;
        let moved = date.to_datetime(time.time()).to_zoned(time.time_zone().clone()).ok()?;
        moved.timestamp().checked_sub(SignedDuration::from_hours(i64::from(self.hours))).ok()
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = [(self.years, 'y'), (self.months, 'm'), (self.days, 'd'), (self.hours, 'h')];
        for (number, unit) in parts.into_iter().filter(|(number, _)| *number != 0) {
            write!(f, "{number}{unit}")?;
        }
        Ok(())
    }
}

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Span, String> {
        let mut span = Span::default();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let number = rest[..digits].parse().map_err(|_| format!("no number found in {rest:?}"))?;
            let mut after = rest[digits..].chars();
            match after.next() {
                Some('y') => span.years = number,
                Some('m') => span.months = number,
                Some('d') => span.days = number,
                Some('h') => span.hours = number,
                Some(unit) => return Err(format!("invalid unit {unit:?} found after number {number}")),
                None => return Err(format!("no unit found after number {number}: write y, m, d or h, as in 1y5m7d2h")),
            }
            rest = after.as_str();
        }
        Ok(span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn before(span: &str, time: &str) -> String {
        let time: Zoned = time.parse().unwrap();
        span.parse::<Span>().unwrap().before(&time).unwrap().to_string()
    }

    #[test]
    fn a_span_reads_back_as_it_is_written() {
        for text in ["2y5m7d3h", "1d", "3h", "14d", "1y"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
        assert_eq!("7d2y".parse::<Span>().unwrap().to_string(), "2y7d");
    }

    #[test]
    fn what_is_no_span_is_refused_with_the_reason() {
        assert_eq!(
            "3".parse::<Span>().unwrap_err(),
            "no unit found after number 3: write y, m, d or h, as in 1y5m7d2h"
        );
        assert_eq!("3w".parse::<Span>().unwrap_err(), "invalid unit 'w' found after number 3");
        assert!("-3d".parse::<Span>().is_err());
        assert!("d".parse::<Span>().is_err());
        assert!("99999999999999d".parse::<Span>().is_err());
    }

    #[test]
    fn going_back_by_months_overflows_as_in_go() {
        assert_eq!(before("1m", "2026-03-31T12:00:00+00:00[+00:00]"), "2026-03-03T12:00:00Z");
        assert_eq!(before("1y", "2024-02-29T12:00:00+00:00[+00:00]"), "2023-03-01T12:00:00Z");
        assert_eq!(before("1m31d1h", "2026-03-31T12:00:00+00:00[+00:00]"), "2026-01-31T11:00:00Z");
    }

    #[test]
    fn a_span_longer_than_the_calendar_has_no_beginning() {
        let time: Zoned = "2026-03-31T12:00:00+00:00[+00:00]".parse().unwrap();
        assert_eq!(Span { years: u32::MAX, ..Span::default() }.before(&time), None);
        assert_eq!(Span { days: u32::MAX, ..Span::default() }.before(&time), None);
    }
}
