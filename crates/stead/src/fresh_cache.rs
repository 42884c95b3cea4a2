//! A cache for one command: empty at its beginning, gone at its end, so that everything is read from the storage, but
//! nothing more often than needed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What the names of such caches begin with. No repository's id does.
const PREFIX: &str = "check-";

/// Caches that were left by commands which had no time to tidy up go after this. One that is still used is missed by
/// nobody: its owner reads again.
const LEFT_BEHIND: Duration = Duration::from_secs(2 * 24 * 60 * 60);

/// A directory that is removed when this goes.
pub(crate) struct FreshCache(PathBuf);

impl FreshCache {
    /// Makes one below the directory of caches, and removes those that were left there.
    pub(crate) fn new(base: &Path) -> io::Result<FreshCache> {
        fs::create_dir_all(base)?;
        remove_left_behind(base)?;
        let path = base.join(format!("{PREFIX}{:016x}", rand::random::<u64>()));
        fs::create_dir(&path)?;
        Ok(FreshCache(path))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for FreshCache {
    fn drop(&mut self) {
        // There is nobody to tell, and the next check removes what is left.
        _ = fs::remove_dir_all(&self.0);
    }
}

fn remove_left_behind(base: &Path) -> io::Result<()> {
    for entry in fs::read_dir(base)? {
        let entry = entry?;
        let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        let age = entry.metadata().and_then(|metadata| metadata.modified()).map(|time| time.elapsed());
        if is_ours && age.is_ok_and(|age| age.is_ok_and(|age| age > LEFT_BEHIND)) {
            _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn it_goes_with_its_owner_and_takes_what_others_left_along() {
        let base = tempfile::tempdir().expect("room");
        let at = |name: &str| base.path().join(name);
        for name in ["check-left", "check-used", "0123"] {
            fs::create_dir(at(name)).expect("a folder");
        }
        let old = SystemTime::now() - 2 * LEFT_BEHIND;
        for name in ["check-left", "0123"] {
            fs::File::open(at(name)).and_then(|folder| folder.set_modified(old)).expect("made old");
        }
        let cache = FreshCache::new(base.path()).expect("a cache");
        let path = cache.path().to_path_buf();
        fs::write(path.join("file"), "").expect("a file");
        drop(cache);
        assert!(!path.exists() && !at("check-left").exists());
        assert!(at("check-used").exists() && at("0123").exists());
    }
}
