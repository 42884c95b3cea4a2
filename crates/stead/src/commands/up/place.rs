//! Where a server keeps what it must not lose.

use std::fs;
use std::path::{Path, PathBuf};

use crate::environment;
use crate::failure::{Failure, Outcome};

/// The directory of a server.
pub(crate) struct Place(PathBuf);

impl Place {
    /// The one that was given, or the usual one; made if it is not there. A demonstration has its own.
    pub(crate) fn made(given: Option<PathBuf>, demo: bool) -> Outcome<Place> {
        let place = Place::usual(given, demo)?;
        make(&place.0)?;
        Ok(place)
    }

    /// The same, without making it.
    pub(crate) fn usual(given: Option<PathBuf>, demo: bool) -> Outcome<Place> {
        let usual = || environment::data_directory().map(|data| data.join(if demo { "demo" } else { "server" }));
        let place = given.or_else(usual);
        let nowhere =
            || Failure::new("there is no home directory to keep the server's data in").hint("name one with `--data`");
        place.map(Place).ok_or_else(nowhere)
    }

    /// The directory.
    pub(crate) fn root(&self) -> &Path {
        &self.0
    }

    /// Where the authority's key is.
    pub(super) fn tls(&self) -> Outcome<PathBuf> {
        self.made_below("tls")
    }

    /// What secrets in the database are sealed with, unless another file is named.
    pub(super) fn key(&self) -> PathBuf {
        self.0.join("server.key")
    }

    /// Where repositories are, unless another storage is named.
    pub(super) fn repositories(&self) -> Outcome<PathBuf> {
        self.made_below("repositories")
    }

    /// Where the gateway keeps files on their way.
    pub(super) fn gateway(&self) -> Outcome<PathBuf> {
        self.made_below("gateway")
    }

    /// Where the keeper keeps its keys and what it knows.
    pub(super) fn keeper(&self) -> Outcome<PathBuf> {
        self.made_below("keeper")
    }

    /// Where this machine's agent keeps what it must not lose.
    pub(super) fn agent(&self) -> Outcome<PathBuf> {
        self.made_below("agent")
    }

    fn made_below(&self, name: &str) -> Outcome<PathBuf> {
        let below = self.0.join(name);
        make(&below)?;
        Ok(below)
    }
}

/// Makes a directory that only we may enter.
pub(crate) fn make(path: &Path) -> Outcome {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|error| Failure::io("make", path, error))
}
