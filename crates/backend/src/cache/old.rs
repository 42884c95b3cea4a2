//! The caches below a base directory, for whoever wants to see or remove them.

use std::time::SystemTime;

use super::*;

/// One repository's cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheInfo {
    /// The repository's id.
    pub id: String,
    /// Its directory.
    pub path: PathBuf,
    /// Bytes of the files in it.
    pub size: u64,
    /// When it was last opened.
    pub last_used: SystemTime,
}

/// Lists the caches below `base`; none where there is no such directory.
pub fn list_caches(base: &Path) -> io::Result<Vec<CacheInfo>> {
    let entries = match fs::read_dir(base) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut caches = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().into_string().unwrap_or_default();
        // Nothing but what looks like a cache is ever offered for removal.
        if name.parse::<Id>().is_err() || !entry.path().join("version").is_file() {
            continue;
        }
        let last_used = entry.metadata()?.modified()?;
        caches.push(CacheInfo { id: name, size: size_of(&entry.path())?, path: entry.path(), last_used });
    }
    caches.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(caches)
}

fn size_of(directory: &Path) -> io::Result<u64> {
    let mut size = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        size += match () {
            () if kind.is_dir() => size_of(&entry.path())?,
            () if kind.is_file() => entry.metadata()?.len(),
            () => 0,
        };
    }
    Ok(size)
}

/// Removes one repository's cache with all files in it.
pub fn remove_cache(cache: &CacheInfo) -> io::Result<()> {
    fs::remove_dir_all(&cache.path)
}
