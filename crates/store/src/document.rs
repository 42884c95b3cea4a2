//! Documents: values that are stored as JSON because nothing asks for their parts.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// As it is stored.
pub(crate) fn written<T: Serialize>(what: &'static str, value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::stored(what)(error.into()))
}

/// As it is used.
pub(crate) fn read<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| Error::stored(what)(error.into()))
}

/// A word that is stored without quotes, of a type that is written as one.
pub(crate) fn word<T: Serialize>(what: &'static str, value: &T) -> Result<String> {
    Ok(written(what, value)?.trim_matches('"').to_owned())
}

/// Such a word as it is used.
pub(crate) fn of_word<T: DeserializeOwned>(what: &'static str, word: &str) -> Result<T> {
    serde_json::from_value(serde_json::Value::String(word.to_owned()))
        .map_err(|error| Error::stored(what)(error.into()))
}

/// The same for what may be missing.
pub(crate) fn written_if<T: Serialize>(what: &'static str, value: Option<&T>) -> Result<Option<String>> {
    value.map(|value| written(what, value)).transpose()
}

/// The same for what may be missing.
pub(crate) fn read_if<T: DeserializeOwned>(what: &'static str, text: Option<&str>) -> Result<Option<T>> {
    text.map(|text| read(what, text)).transpose()
}
