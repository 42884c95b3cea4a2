//! A picture of a directory: everything that a restore must bring back, for comparison.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::fs::{lgetxattr, llistxattr};

/// What one entry looks like, in words that show well in a failed assertion.
type Entry = String;

/// Every entry below a directory, by relative path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture(BTreeMap<Vec<u8>, Entry>);

impl Picture {
    /// Takes a picture of what is below `root` (and of `root` itself, under the empty path, but for its times).
    pub fn of(root: &Path) -> Picture {
        let mut entries = BTreeMap::new();
        let mut links = BTreeMap::new();
        visit(root, root, &mut entries, &mut links);
        Picture(entries)
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there is nothing below the directory.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Fails with the first differences unless `other` looks the same.
    #[track_caller]
    pub fn assert_same(&self, other: &Picture) {
        let mut report = String::new();
        for (path, entry) in &self.0 {
            match other.0.get(path) {
                Some(same) if same == entry => {}
                Some(differs) => _ = write!(report, "\n  {}:\n    {entry}\n    {differs}", path.escape_ascii()),
                None => _ = write!(report, "\n  {}: missing ({entry})", path.escape_ascii()),
            }
        }
        for path in other.0.keys().filter(|path| !self.0.contains_key(*path)) {
            _ = write!(report, "\n  {}: unexpected", path.escape_ascii());
        }
        let shown: String = report.chars().take(4000).collect();
        assert!(report.is_empty(), "the directories differ:{shown}");
    }
}

fn visit(root: &Path, path: &Path, entries: &mut BTreeMap<Vec<u8>, Entry>, links: &mut BTreeMap<(u64, u64), Vec<u8>>) {
    let relative = path.strip_prefix(root).expect("below the root").as_os_str().as_bytes().to_vec();
    let metadata = path.symlink_metadata().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    if !relative.is_empty() {
        let first = links.entry((metadata.dev(), metadata.ino())).or_insert_with(|| relative.clone()).clone();
        entries.insert(relative, describe(path, &metadata, &first));
    }
    if metadata.is_dir() {
        for entry in std::fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())) {
            visit(root, &entry.expect("an entry").path(), entries, links);
        }
    }
}

fn describe(path: &Path, metadata: &std::fs::Metadata, first_link: &[u8]) -> Entry {
    let kind = metadata.file_type();
    let mut words = format!(
        "mode {:o} owner {}:{} mtime {}.{:09}",
        metadata.mode(),
        metadata.uid(),
        metadata.gid(),
        metadata.mtime(),
        metadata.mtime_nsec()
    );
    if kind.is_file() {
        let content = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        _ = write!(words, " size {} content {}", content.len(), backend::Id::of(&content).short());
    } else if kind.is_symlink() {
        let target = std::fs::read_link(path).expect("a link");
        _ = write!(words, " -> {}", target.as_os_str().as_bytes().escape_ascii());
    } else if kind.is_block_device() || kind.is_char_device() {
        _ = write!(words, " device {}", metadata.rdev());
    }
    if metadata.nlink() > 1 && !metadata.is_dir() {
        _ = write!(words, " linked with {}", first_link.escape_ascii());
    }
    words + &attributes(path)
}

fn attributes(path: &Path) -> String {
    let mut names = vec![0; 64 * 1024];
    let Ok(length) = llistxattr(path, &mut names) else { return String::new() };
    let mut names: Vec<&[u8]> = names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()).collect();
    names.sort_unstable();
    let mut words = String::new();
    for name in names {
        let mut value = vec![0; 64 * 1024];
        let length = lgetxattr(path, name, &mut value).unwrap_or(0);
        _ = write!(words, " {}={}", name.escape_ascii(), value[..length].escape_ascii());
    }
    words
}
