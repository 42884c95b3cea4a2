//! Settings: what the machine's own file allows. Nobody can change them from afar.

use std::path::PathBuf;

use serde::Deserialize;

use crate::place::{self, Place, PlaceError};

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// It is not understood.
    #[error("{} is not understood: {why}", .path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

/// The machine's own settings (`agent.toml` in the agent's directory); without the file, the least is allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What an order to restore may do.
    pub restore: Restore,
}

/// What an order to restore may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Restore {
    /// Whether it may overwrite what exists.
    pub overwrite: bool,
    /// Where new folders are made; none: the usual place.
    pub folder: Option<PathBuf>,
}

impl Settings {
    /// As they are in the file now.
    pub fn read(place: &Place) -> Result<Settings, SettingsError> {
        let Some(text) = place::read(&place.settings())? else { return Ok(Settings::default()) };
        let wrong =
            |error: toml::de::Error| SettingsError::Syntax { path: place.settings(), why: error.message().to_owned() };
        toml::from_str(&text).map_err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_file_nothing_is_overwritten_and_a_mistyped_one_is_told() {
        let room = tempfile::tempdir().unwrap();
        let place = Place::made(room.path()).unwrap();
        assert!(!Settings::read(&place).unwrap().restore.overwrite);
        std::fs::write(place.settings(), "[restore]\noverwrite = true\nfolder = \"/srv/back\"\n").unwrap();
        let settings = Settings::read(&place).unwrap();
        assert_eq!((settings.restore.overwrite, settings.restore.folder), (true, Some("/srv/back".into())));
        std::fs::write(place.settings(), "[restore]\noverwrites = true\n").unwrap();
        let error = Settings::read(&place).unwrap_err().to_string();
        assert!(error.contains("agent.toml") && error.contains("overwrites"), "{error}");
    }
}
