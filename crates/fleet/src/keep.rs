//! Keep: how long snapshots are kept. The rules are restic's `keep-*`, and mean what they mean there.

use serde::{Deserialize, Serialize};

use crate::age::count_of;

/// A span before the newest snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Within {
    /// Years.
    pub years: u32,
    /// Months.
    pub months: u32,
    /// Days.
    pub days: u32,
    /// Hours.
    pub hours: u32,
}

impl Within {
    /// As restic writes it: `1y2m3d4h`.
    pub fn restic(&self) -> String {
        let parts = [(self.years, 'y'), (self.months, 'm'), (self.days, 'd'), (self.hours, 'h')];
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count}{unit}")).collect()
    }

    fn is_none(&self) -> bool {
        *self == Within::default()
    }

    fn words(&self) -> String {
        let parts = [(self.years, "year"), (self.months, "month"), (self.days, "day"), (self.hours, "hour")];
        let parts: Vec<_> =
            parts.iter().filter(|(count, _)| *count > 0).map(|(count, unit)| count_of((*count).into(), unit)).collect();
        listed(&parts)
    }
}

/// How long snapshots are kept; one is kept if any rule wants it. Nought means that a rule is not used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Keep {
    /// `--keep-last`
    pub last: u32,
    /// `--keep-hourly`
    pub hourly: u32,
    /// `--keep-daily`
    pub daily: u32,
    /// `--keep-weekly`
    pub weekly: u32,
    /// `--keep-monthly`
    pub monthly: u32,
    /// `--keep-yearly`
    pub yearly: u32,
    /// `--keep-within`
    pub within: Within,
    /// `--keep-tag`, each a tag of its own.
    pub tags: Vec<String>,
}

impl Keep {
    /// Whether it has no rule: then everything is kept.
    pub fn is_everything(&self) -> bool {
        *self == Keep::default()
    }

    /// The flags that restic and stead take for it.
    pub fn flags(&self) -> Vec<String> {
        let counts = self.counts();
        let mut flags: Vec<String> = counts
            .iter()
            .filter(|(count, _, _)| *count > 0)
            .map(|(count, rule, _)| format!("--keep-{rule}={count}"))
            .collect();
        if !self.within.is_none() {
            flags.push(format!("--keep-within={}", self.within.restic()));
        }
        flags.extend(self.tags.iter().map(|tag| format!("--keep-tag={tag}")));
        flags
    }

    /// What is kept, in one sentence.
    pub fn sentence(&self) -> String {
        if self.is_everything() {
            return "Every snapshot is kept for ever.".into();
        }
        format!("Kept: {}.", listed(&self.parts()))
    }

    fn counts(&self) -> [(u32, &'static str, &'static str); 6] {
        [
            (self.last, "last", "snapshot"),
            (self.hourly, "hourly", "hour"),
            (self.daily, "daily", "day"),
            (self.weekly, "weekly", "week"),
            (self.monthly, "monthly", "month"),
            (self.yearly, "yearly", "year"),
        ]
    }

    fn parts(&self) -> Vec<String> {
        let mut parts = Vec::new();
        if !self.within.is_none() {
            parts.push(format!("everything of the last {}", self.within.words()));
        }
        for (count, rule, unit) in self.counts() {
            match (count, rule) {
                (0, _) => {}
                (1, "last") => parts.push("the newest".into()),
                (_, "last") => parts.push(format!("the newest {count}")),
                (1, _) => parts.push(format!("one of the last {unit}")),
                _ => parts.push(format!("one for each of the last {}", count_of(count.into(), unit))),
            }
        }
        parts.extend(self.tags.iter().map(|tag| format!("whatever is tagged {tag:?}")));
        parts
    }
}

/// "a", "a and b", "a, b and c".
pub(crate) fn listed<T: AsRef<str>>(parts: &[T]) -> String {
    let parts: Vec<&str> = parts.iter().map(AsRef::as_ref).collect();
    match parts.as_slice() {
        [] => String::new(),
        [one] => (*one).into(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_told_in_words_and_as_restics_flags() {
        let keep = Keep {
            daily: 14,
            weekly: 8,
            yearly: 1,
            within: Within { days: 2, ..Within::default() },
            tags: vec!["audit".into()],
            ..Keep::default()
        };
        assert_eq!(
            keep.sentence(),
            "Kept: everything of the last 2 days, one for each of the last 14 days, one for each of the last 8 weeks, \
             one of the last year and whatever is tagged \"audit\"."
        );
        assert_eq!(
            keep.flags(),
            ["--keep-daily=14", "--keep-weekly=8", "--keep-yearly=1", "--keep-within=2d", "--keep-tag=audit"]
        );
    }

    #[test]
    fn no_rule_keeps_everything() {
        assert_eq!(Keep::default().sentence(), "Every snapshot is kept for ever.");
        assert!(Keep::default().flags().is_empty());
    }
}
