//! The repository's configuration. Unknown keys are kept when it is written again.

use backend::Id;

use crate::chunk::ChunkerKind;

/// A repository's configuration.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Config {
    /// Format version, 1 or 2.
    pub version: u32,
    /// Random id of the repository, 64 digits.
    pub id: Id,
    /// The Rabin polynomial, hexadecimal.
    pub chunker_polynomial: String,
    /// Everything else: rustic's keys, ours (`"stead": {"chunker": "gear-1"}`), other people's.
    #[serde(flatten)]
    pub other: serde_json::Map<String, serde_json::Value>,
}

impl Config {
    /// A new repository's configuration with random id and polynomial.
    pub fn new(_chunker: ChunkerKind) -> Config {
        todo!()
    }

    /// Parses and checks: version 1 or 2 (else `Unsupported`), irreducible polynomial.
    pub fn parse(_json: &[u8]) -> crate::Result<Config> {
        todo!()
    }

    /// How files are cut in this repository: ours if it says so, rustic's `chunker` keys honoured, else Rabin.
    pub fn chunker(&self) -> crate::Result<crate::chunk::ChunkerSpec> {
        todo!()
    }
}
