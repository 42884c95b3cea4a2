//! A tree of files that becomes a package: every folder 0755, every file with the mode that is asked for.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::program::{self, Outcome, at};

/// The tree, below a folder of its own.
pub(super) struct Tree(PathBuf);

impl Tree {
    /// An empty one; what was there is gone.
    pub(super) fn fresh(root: &Path) -> Outcome<Tree> {
        let _ = fs::remove_dir_all(root);
        let tree = Tree(root.to_owned());
        tree.folder("")?;
        Ok(tree)
    }

    /// Removes it.
    pub(super) fn remove(self) -> Outcome {
        at(&self.0, fs::remove_dir_all(&self.0))
    }

    /// Its top.
    pub(super) fn root(&self) -> &Path {
        &self.0
    }

    /// A place in it.
    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A folder in it, made with those above.
    pub(super) fn folder(&self, name: &str) -> Outcome<PathBuf> {
        let folder = self.at(name);
        at(&folder, fs::create_dir_all(&folder))?;
        for made in folder.ancestors().take_while(|above| above.starts_with(&self.0)) {
            mode(made, 0o755)?;
        }
        Ok(folder)
    }

    /// Copies a file.
    pub(super) fn add(&self, from: &Path, name: &str, bits: u32) -> Outcome {
        let to = self.prepared(name)?;
        at(from, fs::copy(from, &to))?;
        mode(&to, bits)
    }

    /// Writes a file.
    pub(super) fn write(&self, name: &str, text: &str, bits: u32) -> Outcome {
        let to = self.prepared(name)?;
        at(&to, fs::write(&to, text))?;
        mode(&to, bits)
    }

    fn prepared(&self, name: &str) -> Outcome<PathBuf> {
        let to = self.at(name);
        self.folder(name.rsplit_once('/').map_or("", |(folder, _)| folder))?;
        Ok(to)
    }

    /// Compresses every file of a folder, without names and times in it.
    pub(super) fn compress(&self, name: &str) -> Outcome {
        let mut gzip = program::command(["gzip", "-9n"]);
        let folder = self.at(name);
        for entry in at(&folder, fs::read_dir(&folder))? {
            let file = at(&folder, entry)?.path();
            mode(&file, 0o644)?;
            gzip.arg(file);
        }
        program::output(&mut gzip).map(drop)
    }

    /// How much a machine needs for it.
    pub(super) fn kibibytes(&self) -> Outcome<u64> {
        let said = program::output(program::command(["du", "-k", "-s", "--apparent-size"]).arg(&self.0))?;
        let first = said.split_whitespace().next().and_then(|size| size.parse().ok());
        first.ok_or_else(|| format!("du said {said:?}"))
    }

    /// The MD5 sum of every file, as dpkg compares them; called before `DEBIAN` is there.
    pub(super) fn sums(&self) -> Outcome<String> {
        let mut files = Vec::new();
        collect(&self.0, &mut files)?;
        files.sort();
        let relative = files.iter().filter_map(|file| file.strip_prefix(&self.0).ok());
        program::output(program::command(["md5sum"]).args(relative).current_dir(&self.0))
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Outcome {
    for entry in at(folder, fs::read_dir(folder))? {
        let path = at(folder, entry)?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

fn mode(path: &Path, bits: u32) -> Outcome {
    at(path, fs::set_permissions(path, fs::Permissions::from_mode(bits)))
}
