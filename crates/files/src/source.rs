//! What is to be backed up, as the upper part of the snapshot's tree.
//!
//! Absolute paths keep all their parts (`/home/u` becomes `home` and in it `u`); relative ones are put at the root, `.` by
//! its entries. Names that clash get `-1`, `-2`, … All of this is as restic does it.

use std::collections::BTreeMap;
use std::io;

use platform::Stat;

use crate::path;

/// A path that is backed up with everything below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Where it is, relative to the working directory or absolute.
    pub(crate) path: Vec<u8>,
    /// True if it was named: then nothing excludes it.
    pub(crate) named: bool,
}

/// A directory of the snapshot that holds some of what was asked for, or a target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SourceNode {
    /// What is backed up here with everything below it; has no children then.
    pub(crate) target: Option<Target>,
    /// Where this directory's own metadata comes from.
    pub(crate) info: Vec<u8>,
    /// What is in it.
    pub(crate) children: BTreeMap<Vec<u8>, SourceNode>,
    /// The directory that its first part was found in: names of different roots clash.
    root: Vec<u8>,
}

/// Why paths cannot be put into one tree.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A directory whose entries are needed cannot be listed.
    #[error("cannot list {path}", path = String::from_utf8_lossy(.path))]
    List {
        /// Which.
        path: Vec<u8>,
        /// Why.
        source: io::Error,
    },
    /// Two different paths want the same place.
    #[error("{first} and {second} want the same place in the snapshot",
        first = String::from_utf8_lossy(.first), second = String::from_utf8_lossy(.second))]
    Collision {
        /// One.
        first: Vec<u8>,
        /// The other.
        second: Vec<u8>,
    },
}

/// A path that is not there, with the reason.
pub type Missing<'p> = (&'p Vec<u8>, io::Error);

/// Sorts paths into those that exist and those that do not, with the reason. Relative ones are seen from `from`.
pub fn existing<'p>(from: &[u8], paths: &'p [Vec<u8>]) -> (Vec<&'p Vec<u8>>, Vec<Missing<'p>>) {
    let (mut present, mut missing) = (Vec::new(), Vec::new());
    for given in paths {
        match Stat::of_path(&path::absolute(from, given)) {
            // Nothing, as an unset variable gives, is no path: least of all the one to everything here.
            _ if given.is_empty() => missing.push((given, io::ErrorKind::NotFound.into())),
            Ok(_) => present.push(given),
            Err(error) => missing.push((given, error)),
        }
    }
    (present, missing)
}

/// Puts paths into one tree. Relative ones are seen from the absolute directory `from`.
pub(crate) fn tree(from: &[u8], paths: &[&Vec<u8>]) -> Result<SourceNode, SourceError> {
    let mut root = SourceNode::default();
    let mut seen = std::collections::HashSet::new();
    for target in targets(from, paths)? {
        if seen.insert(target.path.clone()) {
            root.add(target)?;
        }
    }
    root.unroll(from)?;
    root.make_absolute(from);
    Ok(root)
}

/// Cleans paths, and replaces those that are nothing but a way up (or the root) by their entries.
fn targets(from: &[u8], paths: &[&Vec<u8>]) -> Result<Vec<Target>, SourceError> {
    let mut targets = Vec::new();
    for given in paths {
        let path = path::clean(given);
        if snapshot_parts(&path).is_empty() {
            let entries = entries(from, &path)?;
            targets.extend(entries.iter().map(|name| Target { path: path::join(&path, name), named: false }));
        } else {
            targets.push(Target { path, named: true });
        }
    }
    Ok(targets)
}

/// The parts that a path has within the snapshot: `../x` is `x` there.
fn snapshot_parts(path: &[u8]) -> Vec<Vec<u8>> {
    let rooted = path::join(b"/", path);
    path::parts(&rooted).map(<[u8]>::to_vec).collect()
}

/// The directory that the first of [`snapshot_parts`] lies in.
fn root_of(path: &[u8]) -> Vec<u8> {
    if path.first() == Some(&b'/') {
        return b"/".to_vec();
    }
    path::parts(path).filter(|part| *part == b"..").fold(b".".to_vec(), |root, part| path::join(&root, part))
}

fn entries(from: &[u8], path: &[u8]) -> Result<Vec<Vec<u8>>, SourceError> {
    let list = || platform::Dir::open(&path::absolute(from, path))?.names(&mut Vec::new());
    let names = list().map_err(|source| SourceError::List { path: path.to_vec(), source })?;
    Ok(names.iter().map(<[u8]>::to_vec).collect())
}

impl SourceNode {
    /// Adds a target below the snapshot's root.
    fn add(&mut self, target: Target) -> Result<(), SourceError> {
        let parts = snapshot_parts(&target.path);
        let root = root_of(&target.path);
        let name = self.free_name(&parts[0], &root);
        let info = path::join(&root, &parts[0]);
        let node = self.children.entry(name).or_default();
        node.root = root;
        node.place(target, info, &parts[1..])
    }

    /// The name under which things of `root` go: the first of `name`, `name-1`, … that is free or of the same root.
    fn free_name(&self, name: &[u8], root: &[u8]) -> Vec<u8> {
        let mut free = name.to_vec();
        let mut number = 0;
        while self.children.get(&free).is_some_and(|other| other.root != root) {
            number += 1;
            free = [name, format!("-{number}").as_bytes()].concat();
        }
        free
    }

    /// Puts a target at `parts` below this node, whose own metadata is at `info`.
    fn place(&mut self, target: Target, info: Vec<u8>, parts: &[Vec<u8>]) -> Result<(), SourceError> {
        let Some((name, below)) = parts.split_first() else {
            if let Some(other) = &self.target
                && other.path != target.path
            {
                return Err(SourceError::Collision { first: other.path.clone(), second: target.path });
            }
            self.target = Some(target);
            return Ok(());
        };
        let deeper = path::join(&info, name);
        self.info = info;
        self.children.entry(name.clone()).or_default().place(target, deeper, below)
    }

    /// Replaces targets that hold other targets by their entries.
    fn unroll(&mut self, from: &[u8]) -> Result<(), SourceError> {
        if !self.children.is_empty()
            && let Some(target) = self.target.take()
        {
            for name in entries(from, &target.path)? {
                self.unroll_entry(path::join(&target.path, &name), name)?;
            }
        }
        self.children.values_mut().try_for_each(|child| child.unroll(from))
    }

    fn make_absolute(&mut self, from: &[u8]) {
        self.info = path::absolute(from, &self.info);
        if let Some(target) = &mut self.target {
            target.path = path::absolute(from, &target.path);
        }
        self.children.values_mut().for_each(|child| child.make_absolute(from));
    }

    fn unroll_entry(&mut self, path: Vec<u8>, name: Vec<u8>) -> Result<(), SourceError> {
        let child = self.children.entry(name).or_default();
        match &child.target {
            None => child.target = Some(Target { path, named: false }),
            Some(other) if other.path == path => {}
            Some(other) => return Err(SourceError::Collision { first: other.path.clone(), second: path }),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(node: &SourceNode, indent: usize, into: &mut Vec<String>) {
        for (name, child) in &node.children {
            let name = String::from_utf8_lossy(name);
            let what = match &child.target {
                Some(target) => format!("= {}", String::from_utf8_lossy(&target.path)),
                None => format!("from {}", String::from_utf8_lossy(&child.info)),
            };
            into.push(format!("{}{name} {what}", " ".repeat(indent)));
            show(child, indent + 1, into);
        }
    }

    fn shown(from: &[u8], paths: &[&str]) -> Vec<String> {
        let paths: Vec<Vec<u8>> = paths.iter().map(|path| path.as_bytes().to_vec()).collect();
        let mut lines = Vec::new();
        show(&tree(from, &paths.iter().collect::<Vec<_>>()).unwrap(), 0, &mut lines);
        lines
    }

    #[test]
    fn absolute_paths_keep_their_parts_and_relative_ones_go_to_the_root() {
        assert_eq!(shown(b"/", &["/home/u/x"]), ["home from /home", " u from /home/u", "  x = /home/u/x"]);
        assert_eq!(shown(b"/w", &["a/b"]), ["a from /w/a", " b = /w/a/b"]);
        assert_eq!(shown(b"/w/x", &["../a/b"]), ["a from /w/a", " b = /w/a/b"]);
    }

    #[test]
    fn names_that_clash_are_numbered() {
        let wanted = ["a from /a", " b = /a/b", "a-1 from /v/w/a", " b = /v/w/a/b", "a-2 = /v/a"];
        assert_eq!(shown(b"/v/w", &["/a/b", "a/b", "../a"]), wanted);
    }

    #[test]
    fn a_target_within_a_target_is_not_taken_twice() {
        let temp = tempfile::tempdir().unwrap();
        let base = temp.path().as_os_str().as_encoded_bytes();
        std::fs::create_dir_all(temp.path().join("d/e/f")).unwrap();
        std::fs::write(temp.path().join("d/g"), "").unwrap();
        let wanted = ["d from B/d", " e from B/d/e", "  f = B/d/e/f", " g = B/d/g"];
        let shown = |paths: &[&str]| -> Vec<String> {
            shown(base, paths).iter().map(|line| line.replace(temp.path().to_str().unwrap(), "B")).collect()
        };
        assert_eq!(shown(&["d", "d/e/f"]), wanted);
        assert_eq!(shown(&["d/e/f", "d"]), wanted);
        assert_eq!(shown(&["."]), ["d = B/d"]);
        assert_eq!(shown(&["./d", "d"]), ["d = B/d"]);
    }
}
