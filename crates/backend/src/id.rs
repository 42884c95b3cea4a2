//! The name of content: its SHA-256, written as 64 lower-case hexadecimal digits.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{self, Context, Digest, SHA256};

/// A SHA-256. Files of a repository are named by the hash of their stored bytes, blobs by that of their plain bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Id([u8; 32]);

/// Hashes content that comes in parts.
pub struct IdHasher(Context);

impl IdHasher {
    /// Of no content yet.
    pub fn new() -> IdHasher {
        IdHasher(Context::new(&SHA256))
    }

    /// Takes the next part.
    pub fn update(&mut self, part: &[u8]) {
        self.0.update(part);
    }

    /// The name of all parts together.
    pub fn finish(self) -> Id {
        Id::from_digest(&self.0.finish())
    }
}

impl Default for IdHasher {
    fn default() -> IdHasher {
        IdHasher::new()
    }
}

impl Id {
    /// Hashes `content`.
    pub fn of(content: &[u8]) -> Id {
        Id::from_digest(&digest::digest(&SHA256, content))
    }

    fn from_digest(digest: &Digest) -> Id {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        Id(bytes)
    }

    /// Wraps a hash that was computed elsewhere.
    pub const fn from_bytes(bytes: [u8; 32]) -> Id {
        Id(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first eight digits, as people quote an id.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..4])
    }

    /// The first eight bytes as a number: ids are uniform, so this is a good hash.
    pub fn prefix(&self) -> u64 {
        u64::from_be_bytes(self.0[..8].try_into().expect("eight bytes"))
    }

    /// True for 32 zero bytes, which no content has and which damaged files show.
    pub fn is_null(&self) -> bool {
        self.0 == [0; 32]
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 64];
        hex::encode_to_slice(self.0, &mut text).expect("64 digits");
        f.pad(std::str::from_utf8(&text).expect("hexadecimal"))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({})", self.short())
    }
}

/// The text is not 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an id of 64 hexadecimal digits")]
pub struct ParseIdError(String);

impl FromStr for Id {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Id, ParseIdError> {
        let mut bytes = [0; 32];
        let canonical = !text.bytes().any(|digit| digit.is_ascii_uppercase());
        match hex::decode_to_slice(text, &mut bytes) {
            Ok(()) if canonical => Ok(Id(bytes)),
            _ => Err(ParseIdError(text.chars().take(80).collect())),
        }
    }
}

impl serde::Serialize for Id {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = [0; 64];
        hex::encode_to_slice(self.0, &mut text).expect("64 digits");
        serializer.serialize_str(std::str::from_utf8(&text).expect("hexadecimal"))
    }
}

impl<'de> serde::Deserialize<'de> for Id {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Id, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Id;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an id of 64 hexadecimal digits")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Id, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_it_is_written() {
        let id = Id::of(b"stead");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(serde_json::from_str::<Id>(&serde_json::to_string(&id).unwrap()).unwrap(), id);
    }

    #[test]
    fn only_64_lower_case_digits_are_an_id() {
        let good = Id::of(b"").to_string();
        assert!(good.to_uppercase().parse::<Id>().is_err());
        assert!(good[1..].parse::<Id>().is_err());
        assert!("../../etc/passwd".parse::<Id>().is_err());
    }
}
