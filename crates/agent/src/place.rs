//! Where an agent keeps what it must not lose: one directory that only its user may enter.
//!
//! Files are written whole or not at all. What is a secret is made once and never replaced.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Something in the agent's directory could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {}", .path.display())]
pub struct PlaceError {
    /// What was being done.
    pub doing: &'static str,
    /// To what.
    pub path: PathBuf,
    /// Why not.
    pub source: io::Error,
}

/// The directory of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    root: PathBuf,
}

impl Place {
    /// The directory at `root`, there or not.
    pub fn at(root: &Path) -> Place {
        Place { root: root.to_path_buf() }
    }

    /// The same, made for this user alone if it is not there.
    pub fn made(root: &Path) -> Result<Place, PlaceError> {
        make_private(root)?;
        Ok(Place::at(root))
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn identity(&self) -> PathBuf {
        self.root.join("identity.key")
    }

    pub(crate) fn memory(&self) -> PathBuf {
        self.root.join("agent.redb")
    }

    pub(crate) fn password(&self) -> PathBuf {
        self.root.join("repository.password")
    }

    pub(crate) fn gateway_authority(&self) -> PathBuf {
        self.root.join("gateway.pem")
    }

    /// Where the machine's own settings are.
    pub fn settings(&self) -> PathBuf {
        self.root.join("agent.toml")
    }

    pub(crate) fn status(&self) -> PathBuf {
        self.root.join("status.json")
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }

    pub(crate) fn images(&self) -> PathBuf {
        self.root.join("images")
    }

    pub(crate) fn drills(&self) -> PathBuf {
        self.root.join("drills")
    }
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PlaceError {
    let path = path.to_path_buf();
    move |source| PlaceError { doing, path, source }
}

/// Makes a directory that only this user may enter; one that is there stays as it is.
pub(crate) fn make_private(path: &Path) -> Result<(), PlaceError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(failed("make", path))
}

/// The text of a file; none if it is not there.
pub(crate) fn read(path: &Path) -> Result<Option<String>, PlaceError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path)(error)),
    }
}

/// Writes a file that only this user may read, in the place of one that may be there.
pub(crate) fn write(path: &Path, content: &[u8]) -> Result<(), PlaceError> {
    let part = path.with_extension("part");
    let written = durable(&part, content).and_then(|()| fs::rename(&part, path)).and_then(|()| settle(path));
    written.map_err(failed("write", path))
}

/// Writes a secret unless there is one: of two at once, the first one counts. What is there then is returned.
pub(crate) fn keep_first(path: &Path, content: &str) -> Result<String, PlaceError> {
    if let Some(there) = read(path)? {
        return Ok(there);
    }
    let part = path.with_extension(format!("{}.part", std::process::id()));
    let written = durable(&part, content.as_bytes()).and_then(|()| match fs::hard_link(&part, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    _ = fs::remove_file(&part);
    written.and_then(|()| settle(path)).map_err(failed("write", path))?;
    read(path)?.ok_or_else(|| failed("read", path)(io::ErrorKind::NotFound.into()))
}

fn durable(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// A new name is durable when its directory is.
fn settle(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if cfg!(unix) => fs::File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_replaced_and_nobody_else_can_read_it() {
        let room = tempfile::tempdir().unwrap();
        let place = Place::made(&room.path().join("agent")).unwrap();
        assert_eq!(keep_first(&place.password(), "first").unwrap(), "first");
        assert_eq!(keep_first(&place.password(), "second").unwrap(), "first");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(&place.password()), mode(place.root())), (0o600, 0o700));
        }
        assert_eq!(fs::read_dir(place.root()).unwrap().count(), 1, "nothing is left over");
    }

    #[test]
    fn what_was_written_replaces_what_was_there() {
        let room = tempfile::tempdir().unwrap();
        let file = room.path().join("status.json");
        assert_eq!(read(&file).unwrap(), None);
        write(&file, b"one").unwrap();
        write(&file, b"two").unwrap();
        assert_eq!(read(&file).unwrap().as_deref(), Some("two"));
    }
}
