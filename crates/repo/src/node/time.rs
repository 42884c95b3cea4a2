//! Times of nodes, as Go writes them: RFC 3339 with up to nine decimals and the offset under which they were seen.

use std::fmt;

/// An instant with the offset from UTC under which it is written. Years 0 to 9999: others are written with the year
/// clamped, as restic does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeTime {
    /// Seconds since 1970.
    pub seconds: i64,
    /// Nanoseconds within the second.
    pub nanoseconds: u32,
    /// Seconds east of UTC; 0 is written as `Z`. Seconds within a minute (offsets before 1900) are used but not written.
    pub offset: i32,
}

const DAY: i64 = 86_400;

impl NodeTime {
    /// Appends the time as text, without quotes.
    pub fn write(&self, out: &mut Vec<u8>) {
        let local = self.seconds.saturating_add(i64::from(self.offset));
        let (year, month, day) = clamp(date_of(local.div_euclid(DAY)));
        let second = local.rem_euclid(DAY);
        padded(year, 4, out);
        for (separator, value) in
            [(b'-', month), (b'-', day), (b'T', second / 3600), (b':', second / 60 % 60), (b':', second % 60)]
        {
            out.push(separator);
            padded(value, 2, out);
        }
        write_fraction(self.nanoseconds, out);
        write_offset(self.offset, out);
    }

    /// Reads RFC 3339 with any number of decimals (those after the ninth are dropped); `None` if it is not well-formed.
    pub fn parse(text: &str) -> Option<NodeTime> {
        let text = text.as_bytes();
        let (date_time, rest) = text.split_at_checked(19)?;
        let separators = [4, 7, 10, 13, 16].map(|at| date_time[at]);
        if separators != *b"--T::" {
            return None;
        }
        let [month, day, hour, minute, second] = [5, 8, 11, 14, 17].map(|at| digits(&date_time[at..at + 2]));
        let (year, month, day) = (digits(&date_time[..4])?, month?, day?);
        let (hour, minute, second) = (hour?, minute?, second?);
        if !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
            return None;
        }
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let (nanoseconds, rest) = parse_fraction(rest)?;
        let offset = parse_offset(rest)?;
        let local = days_to(year, month, day) * DAY + hour * 3600 + minute * 60 + second;
        Some(NodeTime { seconds: local - i64::from(offset), nanoseconds, offset })
    }
}

impl From<&jiff::Zoned> for NodeTime {
    fn from(zoned: &jiff::Zoned) -> NodeTime {
        // Before 1970, jiff counts both parts down from there.
        let nanoseconds = zoned.timestamp().as_nanosecond();
        NodeTime {
            seconds: nanoseconds.div_euclid(1_000_000_000) as i64,
            nanoseconds: nanoseconds.rem_euclid(1_000_000_000) as u32,
            offset: zoned.offset().seconds(),
        }
    }
}

/// As Go writes times: snapshots, keys and locks have them, too.
impl fmt::Display for NodeTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(36);
        self.write(&mut text);
        f.pad(std::str::from_utf8(&text).expect("digits and punctuation"))
    }
}

fn write_fraction(nanoseconds: u32, out: &mut Vec<u8>) {
    if nanoseconds > 0 {
        out.push(b'.');
        padded(i64::from(nanoseconds.min(999_999_999)), 9, out);
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
}

fn write_offset(offset: i32, out: &mut Vec<u8>) {
    if offset == 0 {
        return out.push(b'Z');
    }
    let minutes = i64::from(offset / 60);
    out.push(if minutes < 0 { b'-' } else { b'+' });
    padded(minutes.abs() / 60, 2, out);
    out.push(b':');
    padded(minutes.abs() % 60, 2, out);
}

fn parse_fraction(text: &[u8]) -> Option<(u32, &[u8])> {
    let [b'.' | b',', rest @ ..] = text else { return Some((0, text)) };
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (fraction, rest) = rest.split_at(length);
    let kept = &fraction[..length.min(9)];
    let value = digits(kept).filter(|_| length > 0)? as u32;
    Some((value * 10u32.pow(9 - kept.len() as u32), rest))
}

fn parse_offset(text: &[u8]) -> Option<i32> {
    let (sign, hours, minutes) = match text {
        b"Z" => return Some(0),
        [b'+', hours @ .., b':', tens, ones] => (1, hours, [*tens, *ones]),
        [b'-', hours @ .., b':', tens, ones] => (-1, hours, [*tens, *ones]),
        _ => return None,
    };
    let (hours, minutes) = (digits(hours).filter(|_| hours.len() == 2)?, digits(&minutes)?);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60) as i32)
}

fn digits(text: &[u8]) -> Option<i64> {
    let mut number = 0;
    for byte in text {
        number = number * 10 + i64::from(byte.checked_sub(b'0').filter(|digit| *digit < 10)?);
    }
    Some(number)
}

fn padded(number: i64, width: usize, out: &mut Vec<u8>) {
    let (mut digits, mut rest) = ([b'0'; 10], number.unsigned_abs());
    for digit in digits[..width].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&digits[..width]);
}

/// restic moves years outside 0 to 9999 to the nearest of these. 29 February becomes 1 March where there is none.
fn clamp((year, month, day): (i64, i64, i64)) -> (i64, i64, i64) {
    match year.clamp(0, 9999) {
        same if same == year => (year, month, day),
        other if day > days_in(other, month) => (other, month + 1, 1),
        other => (other, month, day),
    }
}

fn days_in(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar. Years are counted from March, so that the leap day is last.
fn days_to(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse of `days_to`.
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (day, month) =
        (day_of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(seconds: i64, nanoseconds: u32, offset: i32) -> String {
        let mut out = Vec::new();
        NodeTime { seconds, nanoseconds, offset }.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn times_are_written_as_go_does() {
        assert_eq!(written(0, 0, 0), "1970-01-01T00:00:00Z");
        assert_eq!(written(-1, 999_999_999, 0), "1969-12-31T23:59:59.999999999Z");
        assert_eq!(written(1_709_164_800, 120_000_000, 3600), "2024-02-29T01:00:00.12+01:00");
        assert_eq!(written(0, 1, -12_600), "1969-12-31T20:30:00.000000001-03:30");
        assert_eq!(written(0, 0, 28), "1970-01-01T00:00:28+00:00");
    }

    #[test]
    fn years_outside_four_digits_are_clamped_as_restic_does() {
        assert_eq!(written(days_to(10_000, 2, 29) * DAY, 0, 0), "9999-03-01T00:00:00Z");
        assert_eq!(written(days_to(-4, 2, 29) * DAY + 5, 7, 0), "0000-02-29T00:00:05.000000007Z");
        for extreme in [i64::MIN, i64::MAX] {
            assert!(NodeTime::parse(&written(extreme, u32::MAX, -3600)).is_some());
        }
    }

    #[test]
    fn every_day_of_ten_thousand_years_reads_back() {
        let (mut date, mut days) = ((0, 1, 1), days_to(0, 1, 1));
        while date.0 < 10_000 {
            assert_eq!((date_of(days), days_to(date.0, date.1, date.2)), (date, days));
            days += 1;
            date = match date {
                (year, month, day) if day < days_in(year, month) => (year, month, day + 1),
                (year, 12, _) => (year + 1, 1, 1),
                (year, month, _) => (year, month + 1, 1),
            };
        }
        assert_eq!(days_to(1970, 1, 1), 0);
    }

    #[test]
    fn times_read_back() {
        for (seconds, nanoseconds, offset) in [
            (0, 0, 0),
            (-62_167_219_200, 1, 0),
            (253_402_300_799, 999_999_999, 0),
            (1 << 31, 500, 20_700),
            (7, 0, -3600),
        ] {
            let time = NodeTime { seconds, nanoseconds, offset };
            assert_eq!(NodeTime::parse(&written(seconds, nanoseconds, offset)), Some(time));
        }
        let long = NodeTime::parse("1970-01-01T00:00:00.1234567899+00:00").unwrap();
        assert_eq!(long, NodeTime { seconds: 0, nanoseconds: 123_456_789, offset: 0 });
    }

    #[test]
    fn times_of_people_are_written_in_their_zone() {
        let zoned: jiff::Zoned = "1969-07-20T20:17:40.5-04:00[America/New_York]".parse().unwrap();
        assert_eq!(NodeTime::from(&zoned).to_string(), "1969-07-20T20:17:40.5-04:00");
        assert_eq!(
            NodeTime::from(&zoned.with_time_zone(jiff::tz::TimeZone::UTC)).to_string(),
            "1969-07-21T00:17:40.5Z"
        );
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for bad in [
            "",
            "1970-01-01",
            "1970-01-01T00:00:00",
            "1970-13-01T00:00:00Z",
            "1970-02-29T00:00:00Z",
            "1970-00-01T00:00:00Z",
            "1970-01-01T24:00:00Z",
            "1970-01-01T00:60:00Z",
            "1970-01-01T00:00:60Z",
            "1970-01-01 00:00:00Z",
            "1970-01-01T00:00:00.Z",
            "1970-01-01T00:00:00+1:00",
            "1970-01-01T00:00:00+24:00",
            "1970-01-01T00:00:00+01:60",
            "1970-01-01T00:00:00+0100",
            "+970-01-01T00:00:00Z",
            "1970-01-01T00:00:00ZZ",
            "197é-01-01T00:00:00Z",
        ] {
            assert_eq!(NodeTime::parse(bad), None, "{bad}");
        }
    }
}
