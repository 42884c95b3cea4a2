//! Kernels that `cargo xtask setup` unpacked, and which of their modules a guest gets.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::archive::Archive;
use crate::peer;

/// A kernel of Debian's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// Linux 5.10 of Debian 11: the oldest that stead supports.
    Bullseye,
    /// Linux 6.1 of Debian 12.
    Bookworm,
}

/// Modules that are loaded at the start, where the kernel has them; what they need comes before them.
const LOADED: [&str; 8] =
    ["virtio_pci", "virtio_blk", "virtio_console", "virtio_rng", "9pnet_virtio", "9p", "ext4", "dm_mod"];

/// Modules that the kernel finds when it wants them.
const FOUND: [&str; 21] = [
    "aesni_intel",
    "algif_skcipher",
    "brd",
    "btrfs",
    "crc32c_generic",
    "crc32c_intel",
    "dm_crypt",
    "dm_era",
    "dm_mirror",
    "dm_raid",
    "dm_snapshot",
    "dm_thin_pool",
    "dm_zero",
    "loop",
    "md_mod",
    "nls_ascii",
    "nls_cp437",
    "sha256_ssse3",
    "vfat",
    "xfs",
    "xts",
];

impl Kernel {
    /// Such as `5.10`.
    pub fn version(self) -> &'static str {
        match self {
            Kernel::Bullseye => "5.10",
            Kernel::Bookworm => "6.1",
        }
    }

    fn folder(self) -> PathBuf {
        peer::folder().with_file_name("guest").join(self.version())
    }

    pub(super) fn is_there(self) -> bool {
        self.image().exists()
    }

    pub(super) fn image(self) -> PathBuf {
        self.folder().join("vmlinuz")
    }

    /// Adds the modules that are loaded, those that they need, and the lists of both.
    pub(super) fn add_modules(self, archive: &mut Archive) {
        let modules = self.folder().join("modules");
        let read =
            |name: &str| fs::read_to_string(modules.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (release, needs) = (read("release"), Needs::parse(&read("modules.dep")));
        let root = Path::new("lib/modules").join(release.trim());
        let mut lines = String::new();
        for path in needs.closure(LOADED.iter().chain(&FOUND)) {
            let content = fs::read(modules.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
            archive.file(&root.join(path), &content, 0o644).expect("an archive");
            lines.push_str(&format!("{path}: {}\n", needs.of[path].join(" ")));
        }
        let known = LOADED.into_iter().filter(|name| needs.path(name).is_some()).collect::<Vec<_>>().join("\n");
        for (name, text) in [("modules.dep", &lines), ("modules.alias", &read("modules.alias"))] {
            archive.file(&root.join(name), text.as_bytes(), 0o644).expect("an archive");
        }
        archive.text("etc/modules", &known, 0o644).expect("an archive");
    }
}

/// Which module needs which, by their paths.
struct Needs {
    of: BTreeMap<String, Vec<String>>,
}

impl Needs {
    fn parse(text: &str) -> Needs {
        let line = |line: &str| {
            let (path, needs) = line.split_once(':')?;
            Some((path.to_owned(), needs.split_ascii_whitespace().map(str::to_owned).collect()))
        };
        Needs { of: text.lines().filter_map(line).collect() }
    }

    /// Where a module is; names of files have dashes where names of modules have underscores, or not.
    fn path(&self, name: &str) -> Option<&str> {
        let is = |path: &&String| {
            let file = path.rsplit('/').next().unwrap_or_default();
            file.strip_suffix(".ko").is_some_and(|its| its.replace('-', "_") == name.replace('-', "_"))
        };
        self.of.keys().find(is).map(String::as_str)
    }

    fn closure<'n>(&self, names: impl Iterator<Item = &'n &'n str>) -> BTreeSet<&str> {
        let mut waiting: Vec<&str> = names.filter_map(|name| self.path(name)).collect();
        let mut found = BTreeSet::new();
        while let Some(path) = waiting.pop() {
            if found.insert(path) {
                waiting.extend(self.of.get(path).into_iter().flatten().map(String::as_str));
            }
        }
        found
    }
}
