//! When: an age in words, and the exact moment for those who ask.

use fleet::{Zone, age_in_words};
use jiff::Timestamp;

/// A moment on a page.
pub(crate) struct When {
    /// "5 h ago"
    pub(crate) words: String,
    /// RFC 3339 in UTC, for machines and on demand.
    pub(crate) exact: String,
}

impl When {
    /// A moment in the past.
    pub(crate) fn past(at: Timestamp, now: Timestamp) -> When {
        When { words: age_in_words(at, now), exact: exact(at) }
    }
}

/// RFC 3339 in UTC, to the second.
pub(crate) fn exact(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// "22 Nov 2026, 14:02" by the clocks of a zone.
pub(crate) fn clock(at: Timestamp, zone: &Zone) -> String {
    zone.clock(at).strftime("%-d %b %Y, %H:%M").to_string()
}
