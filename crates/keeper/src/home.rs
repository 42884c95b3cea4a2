//! A keeper's directory: what lies where. Nobody but its owner can read anything in it.
//!
//! | file | what it is |
//! |---|---|
//! | `keys.json` | the keeper's keys, sealed |
//! | `key` | what opens them, where that is a file |
//! | `server.json` | which server it belongs to |
//! | `memory.redb` | what must outlive a restart |
//! | `status.json` | what it does, for whoever asks |
//! | `running` | locked while it runs |
//! | `destinations/<id>` | secrets to reach a destination: `NAME=value` lines |
//! | `catalogue/` | names of what is stored, sealed |
//! | `cache/` | metadata of repositories, encrypted as they are |
//! | `drills/` | room for restores that are practised |
//! | `sheets/<client>` | recovery passwords, sealed |

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// A keeper's directory.
#[derive(Clone, Debug)]
pub struct Home(PathBuf);

impl Home {
    /// The directory, made if it is missing.
    pub fn at(path: impl Into<PathBuf>) -> Result<Home> {
        let home = Home(path.into());
        for directory in
            [home.0.clone(), home.destinations(), home.cache(), home.catalogue(), home.drills(), home.sheets()]
        {
            make(&directory)?;
        }
        Ok(home)
    }

    /// The keeper's keys, sealed.
    pub fn keys(&self) -> PathBuf {
        self.0.join("keys.json")
    }

    /// What opens them where nothing else was chosen.
    pub fn key_file(&self) -> PathBuf {
        self.0.join("key")
    }

    /// Which server the keeper belongs to.
    pub fn server(&self) -> PathBuf {
        self.0.join("server.json")
    }

    /// What must outlive a restart.
    pub fn memory(&self) -> PathBuf {
        self.0.join("memory.redb")
    }

    /// What a running keeper says of itself.
    pub fn status(&self) -> PathBuf {
        self.0.join("status.json")
    }

    /// Locked by a keeper that runs.
    pub fn running(&self) -> PathBuf {
        self.0.join("running")
    }

    /// The gateway's authority, for whoever takes a file only.
    pub fn authority(&self) -> PathBuf {
        self.0.join("gateway.pem")
    }

    /// Where secrets of destinations are.
    pub fn destinations(&self) -> PathBuf {
        self.0.join("destinations")
    }

    /// Where metadata of repositories is kept.
    pub fn cache(&self) -> PathBuf {
        self.0.join("cache")
    }

    /// Where names are kept.
    pub fn catalogue(&self) -> PathBuf {
        self.0.join("catalogue")
    }

    /// Where recovery passwords are, sealed.
    pub fn sheets(&self) -> PathBuf {
        self.0.join("sheets")
    }

    /// Where restores are practised.
    pub fn drills(&self) -> PathBuf {
        self.0.join("drills")
    }
}

fn make(directory: &Path) -> Result<()> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(Error::file("make", directory))
}

/// Writes a file that nobody else can read: whole or not at all, durable when this returns.
pub fn write_private(path: &Path, content: &[u8]) -> Result<()> {
    // Added to the whole name: two files that differ in what follows a dot are not in each other's way.
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    let draft = PathBuf::from(draft);
    let mut file = create(&draft)?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(Error::file("write", &draft))?;
    std::fs::rename(&draft, path).map_err(Error::file("write", path))?;
    flush_names(path)
}

/// Writes a file as [`write_private`] does, unless there is one: then that stays. False if it was there.
pub fn write_once(path: &Path, content: &[u8]) -> Result<bool> {
    let draft = path.with_extension(format!("{}-{:?}", std::process::id(), std::thread::current().id()));
    write_private(&draft, content)?;
    let linked = std::fs::hard_link(&draft, path);
    std::fs::remove_file(&draft).map_err(Error::file("remove", &draft))?;
    match linked {
        Ok(()) => flush_names(path).map(|()| true),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(Error::file("write", path)(error)),
    }
}

/// Makes the names in a file's directory durable.
fn flush_names(path: &Path) -> Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(Error::file("write", path))
}

fn create(path: &Path) -> Result<File> {
    // One that is there may have been made with other rights.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(Error::file("replace", path)(error)),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(Error::file("write", path))
}
