//! Times for people: wall clock of this machine; durations as minutes and seconds.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A moment on this machine's wall clock, to the second.
pub(crate) fn local(moment: Timestamp) -> String {
    moment.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// The moment that a snapshot or node names, on this machine's wall clock; what cannot be read is shown as it is.
pub(crate) fn local_text(moment: &str) -> String {
    moment.parse().map_or_else(|_| moment.to_owned(), local)
}

/// The moment as restic tells it in the first line of `ls` and `restore`: with nanoseconds and zone, both as stored.
pub(crate) fn full(moment: &str) -> String {
    let Ok(at) = jiff::fmt::temporal::DateTimeParser::new().parse_timestamp(moment) else { return moment.to_owned() };
    let zone = jiff::fmt::temporal::DateTimeParser::new()
        .parse_pieces(moment)
        .ok()
        .and_then(|pieces| pieces.to_numeric_offset())
        .map_or(TimeZone::UTC, |offset| offset.to_time_zone());
    let zoned = at.to_zoned(zone);
    let name = if zoned.offset().is_zero() { "UTC".to_owned() } else { zoned.strftime("%z").to_string() };
    format!("{} {name}", zoned.strftime("%Y-%m-%d %H:%M:%S%.f %z"))
}

/// Seconds as `m:ss` or `h:mm:ss`.
pub(crate) fn clock(seconds: u64) -> String {
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{rest:02}") } else { format!("{minutes}:{rest:02}") }
}

/// Parses a duration such as `90s`, `5m`, `2h`, `1h30m`.
pub(crate) fn parse_duration(text: &str) -> Result<std::time::Duration, String> {
    let invalid = || format!("`{text}` is no duration; write 30s, 5m, 2h or 1h30m");
    let mut total = std::time::Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(invalid)?;
        let number: u64 = rest[..digits].parse().map_err(|_| invalid())?;
        let unit = rest[digits..].find(|letter: char| letter.is_ascii_digit()).map_or(rest.len(), |at| digits + at);
        let seconds = match &rest[digits..unit] {
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86400,
            _ => return Err(invalid()),
        };
        let more = number.checked_mul(seconds).ok_or_else(invalid)?;
        total = total.checked_add(std::time::Duration::from_secs(more)).ok_or_else(invalid)?;
        rest = &rest[unit..];
    }
    if text.is_empty() { Err(invalid()) } else { Ok(total) }
}

/// Parses what a user writes for a moment: `2012-11-01 22:08:41`, `2012-11-01`, RFC 3339 or `now`.
pub(crate) fn parse_moment(text: &str, now: &jiff::Zoned) -> Result<jiff::Zoned, String> {
    if text == "now" {
        return Ok(now.clone());
    }
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment.to_zoned(now.time_zone().clone()));
    }
    let civil = text.parse::<jiff::civil::DateTime>();
    civil
        .and_then(|civil| civil.to_zoned(now.time_zone().clone()))
        .map_err(|_| format!("`{text}` is no time; write 2012-11-01 22:08:41, 2012-11-01 or now"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, seconds) in [("0s", 0), ("30s", 30), ("5m", 300), ("2h", 7200), ("1h30m", 5400)] {
            assert_eq!(parse_duration(text).map(|time| time.as_secs()), Ok(seconds));
        }
        for text in ["", "5", "m", "5x", "-1m", "99999999999999999999h"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn moments_are_read_in_the_zone_of_the_machine() {
        let now: jiff::Zoned = "2026-11-22T01:00:00+01:00[Europe/Zurich]".parse().expect("a time");
        let moment = parse_moment("2026-07-01 12:00:00", &now).expect("a time");
        assert_eq!(moment.timestamp().to_string(), "2026-07-01T10:00:00Z");
        assert_eq!(parse_moment("now", &now).as_ref(), Ok(&now));
        assert!(parse_moment("yesterday", &now).is_err());
    }

    #[test]
    fn full_times_keep_the_zone_in_which_they_were_written() {
        assert_eq!(full("2026-11-22T01:39:21.768390927Z"), "2026-11-22 01:39:21.768390927 +0000 UTC");
        assert_eq!(full("2026-11-22T01:39:21+01:00"), "2026-11-22 01:39:21 +0100 +0100");
        assert_eq!(full("rubbish"), "rubbish");
    }

    #[test]
    fn clocks_have_hours_only_where_needed() {
        assert_eq!(clock(5), "0:05");
        assert_eq!(clock(3725), "1:02:05");
    }
}
