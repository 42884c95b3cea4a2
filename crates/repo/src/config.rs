//! The repository's configuration. Unknown keys are kept when it is written again.
//!
//! Our own key is `"stead": {"chunker": "gear-1"}`. A program that rewrites the config without it thereby turns the
//! repository into one that is cut by Rabin's fingerprint: nothing is lost but deduplication against older chunks.

use backend::{FileName, Id};
use serde_json::{Map, Value, json};

use crate::chunk::{ChunkerKind, ChunkerSpec, gear, polynomial};
use crate::{BlobKind, Error, Result};

/// A repository's configuration.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Config {
    /// Format version, 1 or 2.
    pub version: u32,
    /// Random id of the repository, 64 digits.
    pub id: Id,
    /// The Rabin polynomial, hexadecimal.
    pub chunker_polynomial: String,
    /// Everything else: rustic's keys, ours (`"stead": {"chunker": "gear-1"}`), other people's.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The version that new repositories have.
pub const VERSION: u32 = 2;

/// Name of our chunker in the config.
const GEAR: &str = "gear-1";

/// Pack sizes that restic works with, in bytes.
const PACK_SIZES: std::ops::RangeInclusive<u64> = 4 << 20..=128 << 20;

impl Config {
    /// A new repository's configuration with random id and polynomial.
    pub fn new(chunker: ChunkerKind) -> Config {
        Config::with_polynomial(chunker, polynomial::random())
    }

    /// A new repository's configuration with random id and a polynomial that is given, so that its chunks are those of
    /// another repository (`init --copy-chunker-params`).
    pub fn with_polynomial(chunker: ChunkerKind, polynomial: u64) -> Config {
        let mut other = Map::new();
        if chunker == ChunkerKind::Gear {
            other.insert("stead".into(), json!({ "chunker": GEAR }));
        }
        let id = Id::from_bytes(rand::random());
        Config { version: VERSION, id, chunker_polynomial: polynomial::format(polynomial), other }
    }

    /// Parses and checks.
    ///
    /// # Errors
    /// `Unsupported` if the version is neither 1 nor 2; `Damaged` if it is no config or the polynomial cannot be used.
    pub fn parse(json: &[u8]) -> Result<Config> {
        let parsed: Value = serde_json::from_slice(json).map_err(damaged)?;
        // Newer versions may look different in everything else: that is not damage.
        if let Some(version) =
            parsed.get("version").and_then(Value::as_u64).filter(|version| !(1..=2).contains(version))
        {
            let reason = format!("its format has version {version}, this program knows 1 and 2");
            return Err(Error::Unsupported(reason));
        }
        let config: Config = serde_json::from_value(parsed).map_err(damaged)?;
        config.polynomial()?;
        Ok(config)
    }

    /// The JSON that is stored (encrypted, never compressed).
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a config is JSON")
    }

    /// The Rabin polynomial: irreducible, of a degree that the chunker can use.
    pub fn polynomial(&self) -> Result<u64> {
        polynomial::parse(&self.chunker_polynomial).map_err(damaged)
    }

    /// How files are cut in this repository: ours if it says so, rustic's `chunker` keys honoured, else Rabin.
    ///
    /// # Errors
    /// `Unsupported` if it names a chunker or sizes that this program does not know.
    pub fn chunker(&self) -> Result<ChunkerSpec> {
        let polynomial = self.polynomial()?;
        let ours = self.other.get("stead").and_then(|stead| stead.get("chunker"));
        let spec = match ours {
            Some(name) if name == GEAR => ChunkerSpec::Gear { seed: gear::seed(&self.id, polynomial) },
            Some(name) => return Err(unknown_chunker(name)),
            None => self.foreign_chunker(polynomial)?,
        };
        spec.check().map_err(|error| Error::Unsupported(error.to_string()))?;
        Ok(spec)
    }

    /// restic's chunker, or what rustic's keys say.
    fn foreign_chunker(&self, polynomial: u64) -> Result<ChunkerSpec> {
        let sizes = ["chunk_size", "chunk_min_size", "chunk_max_size"];
        let [size, smallest, largest] = sizes.map(|key| self.size(key));
        match self.other.get("chunker").and_then(Value::as_str) {
            Some("FixedSize") => Ok(ChunkerSpec::Fixed { size: size?.unwrap_or(1 << 20) }),
            None | Some("Rabin") => Ok(ChunkerSpec::Rabin {
                polynomial,
                min: smallest?.unwrap_or(512 << 10),
                average: size?.unwrap_or(1 << 20),
                max: largest?.unwrap_or(8 << 20),
            }),
            Some(name) => Err(unknown_chunker(name)),
        }
    }

    /// What other programs were told about the size of packs (rustic's keys), in bytes, within the limits of restic.
    pub fn pack_size(&self, kind: BlobKind) -> Option<u64> {
        let key = match kind {
            BlobKind::Data => "datapack_size",
            BlobKind::Tree => "treepack_size",
        };
        let size = self.other.get(key)?.as_u64()?;
        Some(size.clamp(*PACK_SIZES.start(), *PACK_SIZES.end()))
    }

    /// True if rustic's `append_only` is set: nothing may be removed.
    pub fn is_append_only(&self) -> bool {
        self.other.get("append_only").and_then(Value::as_bool).unwrap_or(false)
    }

    /// A size among the other keys; `None` if it is not set.
    fn size(&self, key: &str) -> Result<Option<usize>> {
        let Some(value) = self.other.get(key).filter(|value| !value.is_null()) else { return Ok(None) };
        let size = value.as_u64().and_then(|size| usize::try_from(size).ok());
        let Some(size) = size else { return Err(Error::Unsupported(format!("its config has {key} {value}"))) };
        Ok(Some(size))
    }
}

fn damaged(reason: impl ToString) -> Error {
    Error::damaged(FileName::CONFIG, reason)
}

fn unknown_chunker(name: impl std::fmt::Display) -> Error {
    Error::Unsupported(format!("its files are cut by the chunker {name}, which this program does not know"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLYNOMIAL: u64 = 0x3DA3358B4DC173;

    fn config(other: Value) -> Config {
        let mut config = Config::with_polynomial(ChunkerKind::Rabin, POLYNOMIAL);
        config.other = other.as_object().unwrap().clone();
        config
    }

    #[test]
    fn a_new_config_reads_back_with_its_chunker() {
        let gear = Config::new(ChunkerKind::Gear);
        assert_eq!(Config::parse(&gear.to_json()).unwrap(), gear);
        assert!(matches!(gear.chunker().unwrap(), ChunkerSpec::Gear { .. }));
        let rabin = Config::new(ChunkerKind::Rabin);
        assert_eq!(rabin.chunker().unwrap(), ChunkerSpec::restic(rabin.polynomial().unwrap()));
        assert!(rabin.other.is_empty());
    }

    #[test]
    fn it_begins_as_restic_writes_it() {
        let json = String::from_utf8(Config::with_polynomial(ChunkerKind::Rabin, POLYNOMIAL).to_json()).unwrap();
        assert!(json.starts_with(r#"{"version":2,"id":""#), "{json}");
        assert!(json.ends_with(r#"","chunker_polynomial":"3da3358b4dc173"}"#), "{json}");
    }

    #[test]
    fn gear_is_keyed_by_repository_and_polynomial() {
        let first = Config::with_polynomial(ChunkerKind::Gear, POLYNOMIAL);
        let second = Config::with_polynomial(ChunkerKind::Gear, POLYNOMIAL);
        assert_ne!(first.chunker().unwrap(), second.chunker().unwrap());
        assert_eq!(first.chunker().unwrap(), first.clone().chunker().unwrap());
    }

    #[test]
    fn a_repository_whose_key_was_dropped_is_cut_by_rabin() {
        let mut config = Config::new(ChunkerKind::Gear);
        config.other.remove("stead");
        assert_eq!(config.chunker().unwrap(), ChunkerSpec::restic(config.polynomial().unwrap()));
    }

    #[test]
    fn unknown_keys_survive() {
        let json = format!(
            r#"{{"zeta":[1,{{"a":null}}],"version":2,"id":"{}","chunker_polynomial":"3da3358b4dc173","is_hot":true}}"#,
            Id::of(b"")
        );
        let again: Value = serde_json::from_slice(&Config::parse(json.as_bytes()).unwrap().to_json()).unwrap();
        assert_eq!(again, serde_json::from_str::<Value>(&json).unwrap());
    }

    #[test]
    fn what_rustic_sets_is_honoured() {
        let fixed = config(json!({ "chunker": "FixedSize", "chunk_size": 4 << 20 }));
        assert_eq!(fixed.chunker().unwrap(), ChunkerSpec::Fixed { size: 4 << 20 });
        let rabin = config(json!({ "chunker": "Rabin", "chunk_size": 2 << 20, "chunk_min_size": 1 << 20 }));
        let (min, average, max) = (1 << 20, 2 << 20, 8 << 20);
        assert_eq!(rabin.chunker().unwrap(), ChunkerSpec::Rabin { polynomial: POLYNOMIAL, min, average, max });
        let sizes = config(json!({ "datapack_size": 20 << 20, "treepack_size": 1, "append_only": true }));
        assert_eq!(sizes.pack_size(BlobKind::Data), Some(20 << 20));
        assert_eq!(sizes.pack_size(BlobKind::Tree), Some(4 << 20));
        assert!(sizes.is_append_only());
    }

    #[test]
    fn chunkers_and_sizes_nobody_knows_are_refused() {
        for other in [
            json!({ "stead": { "chunker": "gear-2" } }),
            json!({ "stead": { "chunker": 1 } }),
            json!({ "chunker": "Buz" }),
            json!({ "chunker": "FixedSize", "chunk_size": 0 }),
            json!({ "chunker": "FixedSize", "chunk_size": -1 }),
            json!({ "chunk_size": 1_000_000 }),
            json!({ "chunk_min_size": 9 << 20 }),
            json!({ "chunk_max_size": u64::MAX }),
        ] {
            assert!(matches!(config(other.clone()).chunker(), Err(Error::Unsupported(_))), "{other}");
        }
    }

    #[test]
    fn other_versions_are_unsupported_and_nonsense_is_damage() {
        let with = |version: &str, polynomial: &str| {
            let id = Id::of(b"");
            Config::parse(
                format!(r#"{{"version":{version},"id":"{id}","chunker_polynomial":"{polynomial}"}}"#).as_bytes(),
            )
        };
        assert!(with("1", "3da3358b4dc173").is_ok());
        for version in ["0", "3", "99999999999"] {
            assert!(matches!(with(version, "3da3358b4dc173"), Err(Error::Unsupported(_))), "{version}");
        }
        assert!(matches!(Config::parse(br#"{"version":3,"new":true}"#), Err(Error::Unsupported(_))));
        for polynomial in ["", "x", "3da3358b4dc172", "0x3da3358b4dc173", "ffffffffffffffffff"] {
            assert!(matches!(with("2", polynomial), Err(Error::Damaged { .. })), "{polynomial}");
        }
        for json in [&b""[..], b"{}", b"[]", b"null", br#"{"version":2}"#, br#"{"version":"2"}"#, b"\xff"] {
            assert!(matches!(Config::parse(json), Err(Error::Damaged { .. })), "{json:?}");
        }
    }
}
