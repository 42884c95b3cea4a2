//! Ages and sizes in words, as a person would say them.

use jiff::Timestamp;

/// How long ago `then` was: "now", "40 s ago", "12 min ago", "5 h ago", "3 days ago". What lies ahead is "now".
pub fn age_in_words(then: Timestamp, now: Timestamp) -> String {
    match now.as_second() - then.as_second() {
        ..=4 => "now".into(),
        seconds => format!("{} ago", span_in_words(seconds)),
    }
}

/// A span of time in its largest fitting unit, rounded down.
pub(crate) fn span_in_words(seconds: i64) -> String {
    match seconds {
        ..=89 => format!("{seconds} s"),
        90..=5_399 => format!("{} min", seconds / 60),
        5_400..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A number of bytes in decimal units: "172 GB", "9.4 GB", "12 bytes".
pub fn size_in_words(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1_000 {
        return format!("{bytes} bytes");
    }
    let mut size = bytes as f64 / 1_000.0;
    let mut unit = 0;
    while size >= 999.5 && unit + 1 < UNITS.len() {
        size /= 1_000.0;
        unit += 1;
    }
    if size < 9.95 { format!("{size:.1} {}", UNITS[unit]) } else { format!("{size:.0} {}", UNITS[unit]) }
}

/// "1 file", "3 files".
pub(crate) fn count_of(count: u64, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_in_the_largest_fitting_unit() {
        let ago = |seconds| age_in_words(Timestamp::UNIX_EPOCH, Timestamp::from_second(seconds).unwrap());
        assert_eq!(ago(3), "now");
        assert_eq!(ago(40), "40 s ago");
        assert_eq!(ago(750), "12 min ago");
        assert_eq!(ago(5 * 3_600), "5 h ago");
        assert_eq!(ago(8 * 86_400), "8 days ago");
    }

    #[test]
    fn sizes_have_two_digits_at_least() {
        assert_eq!(size_in_words(12), "12 bytes");
        assert_eq!(size_in_words(9_400_000_000), "9.4 GB");
        assert_eq!(size_in_words(172_300_000_000), "172 GB");
        assert_eq!(size_in_words(999_999), "1.0 MB");
        assert_eq!(size_in_words(u64::MAX), "18 EB");
    }
}
