//! Names of repositories: a directory below the storage's root and the first word of a path, and never anything else.

use std::fmt;
use std::str::FromStr;

/// Paths of the gateway's own, which no repository may have.
const RESERVED: [&str; 1] = ["metrics"];

/// 1 to 64 of `a-z 0-9 . _ -`, beginning with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepositoryName(String);

/// The text is no name for a repository.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no name: use up to 64 of a-z, 0-9, `-`, `_` and `.`, beginning with a letter or digit, and not `metrics`"
)]
pub struct BadName(String);

impl RepositoryName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RepositoryName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<RepositoryName, BadName> {
        let plain = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit();
        let good = (1..=64).contains(&text.len())
            && text.bytes().all(|letter| plain(letter) || b"-_.".contains(&letter))
            && text.bytes().next().is_some_and(plain)
            && !RESERVED.contains(&text);
        if good { Ok(RepositoryName(text.to_owned())) } else { Err(BadName(text.chars().take(80).collect())) }
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl serde::Serialize for RepositoryName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for RepositoryName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<RepositoryName, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_or_refused() {
        for good in ["a", "office-pc.2", "0", "client_7", &"x".repeat(64)] {
            assert!(good.parse::<RepositoryName>().is_ok(), "{good}");
        }
        for bad in ["", ".", "..", ".hidden", "-x", "A", "a/b", "a%2fb", "ä", "a b", "metrics", &"x".repeat(65)] {
            assert!(bad.parse::<RepositoryName>().is_err(), "{bad}");
        }
    }
}
