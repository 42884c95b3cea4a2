//! Finding files by pattern, and blobs, trees and packs by id, in many snapshots.
//!
//! Snapshots share most of their trees, so a tree in which nothing was found is not read again.

use backend::Id;
use hashbrown::HashSet;
use repo::node::{Node, NodeKind};
use repo::{BlobHandle, BlobKind, Repository};

use crate::pattern::PatternList;
use crate::visit::{Descend, Visit, visit};

/// Which files are looked for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Patterns for paths; any of them.
    pub patterns: PatternList,
    /// Modified at this moment or later.
    pub oldest: Option<jiff::Timestamp>,
    /// Modified at this moment or earlier.
    pub newest: Option<jiff::Timestamp>,
}

impl Wanted {
    fn is_in_time(&self, node: &Node) -> bool {
        let time = (node.mtime.seconds, node.mtime.nanoseconds as i32);
        let moment = |limit: &jiff::Timestamp| match (limit.as_second(), limit.subsec_nanosecond()) {
            // Before 1970, jiff counts nanoseconds backwards.
            (second, nanosecond) if nanosecond < 0 => (second - 1, nanosecond + 1_000_000_000),
            moment => moment,
        };
        self.oldest.as_ref().is_none_or(|oldest| time >= moment(oldest))
            && self.newest.as_ref().is_none_or(|newest| time <= moment(newest))
    }
}

/// Something that was found.
#[derive(Debug)]
pub enum Found<'f> {
    /// A file whose path matches.
    Path {
        /// Absolute path.
        path: &'f [u8],
        /// What is there.
        node: &'f Node,
    },
    /// A blob, where it is used.
    Blob {
        /// Which blob.
        blob: BlobHandle,
        /// The file that holds it, or the directory that it is.
        path: &'f [u8],
        /// The tree that holds that file or directory; `None` for a snapshot's root.
        tree: Option<&'f Id>,
        /// When the file was modified.
        node: Option<&'f Node>,
    },
    /// A directory that cannot be read: something may be in it.
    Unreadable {
        /// Absolute path.
        path: &'f [u8],
        /// Why.
        error: repo::Error,
    },
}

/// Finds files by pattern in one snapshot after the other.
pub struct Finder<'r> {
    repo: &'r Repository,
    wanted: Wanted,
    barren: Barren,
}

impl<'r> Finder<'r> {
    /// Prepares a search.
    pub fn new(repo: &'r Repository, wanted: Wanted) -> Finder<'r> {
        Finder { repo, wanted, barren: Barren::default() }
    }

    /// Searches below the tree `root`; calls `each` for everything found. Ends early with its first error.
    pub fn search<E: From<repo::Error>>(
        &mut self,
        root: &Id,
        each: &mut dyn FnMut(Found<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let Finder { repo, wanted, barren } = self;
        // A match depends on the whole path, so the same tree elsewhere may hold one.
        barren.begin();
        visit(repo, root, b"/", &mut |came_to| match came_to {
            Visit::Node { path, node, .. } => {
                let verdict = wanted.patterns.judge(path);
                if verdict.matched && wanted.is_in_time(node) {
                    barren.found();
                    each(Found::Path { path, node })?;
                }
                let below = verdict.matched || verdict.below_may_match;
                Ok(barren.enter(node.subtree.filter(|_| below && node.kind == NodeKind::Dir), path))
            }
            Visit::Leave { path, tree } => Ok(barren.leave(tree, path)),
            Visit::Unreadable { path, error } => {
                barren.unreadable();
                each(Found::Unreadable { path, error })?;
                Ok(Descend::Past)
            }
        })
    }
}

/// Trees in which nothing was found, and the search's way down.
#[derive(Default)]
struct Barren {
    trees: HashSet<(Id, u64)>,
    /// For every directory on the way, the root included, whether something was found in it.
    way: Vec<bool>,
}

impl Barren {
    fn begin(&mut self) {
        self.way.clear();
        self.way.push(false);
    }

    fn found(&mut self) {
        if let Some(last) = self.way.last_mut() {
            *last = true;
        }
    }

    fn enter(&mut self, tree: Option<Id>, path: &[u8]) -> Descend {
        match tree {
            Some(tree) if !self.trees.contains(&(tree, place(path))) => {
                self.way.push(false);
                Descend::Into
            }
            _ => Descend::Past,
        }
    }

    fn leave(&mut self, tree: &Id, path: &[u8]) -> Descend {
        match self.way.pop() {
            Some(true) => self.found(),
            _ => _ = self.trees.insert((*tree, place(path))),
        }
        Descend::Past
    }

    /// Nobody knows what is in there.
    fn unreadable(&mut self) {
        self.way.pop();
        self.found();
    }
}

/// A path in eight bytes.
fn place(path: &[u8]) -> u64 {
    Id::of(path).prefix()
}

/// Which blobs are looked for.
#[derive(Clone, Debug, Default)]
pub struct Blobs {
    prefixes: Vec<(String, BlobKind)>,
    packed: HashSet<BlobHandle>,
}

/// What an id that somebody wrote names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdKind {
    /// A data or tree blob, as written; only of this kind.
    Blob(BlobKind),
    /// A pack: all blobs in it.
    Pack,
}

/// An id that names nothing.
#[derive(Debug, thiserror::Error)]
pub enum UnknownId {
    /// It is not hexadecimal, or too long.
    #[error("{0:?} is not an id")]
    NotAnId(String),
    /// No pack has it.
    #[error("no pack has the id {0}")]
    NoPack(String),
    /// The repository failed.
    #[error(transparent)]
    Repository(#[from] repo::Error),
}

impl Blobs {
    /// Adds an id, or the beginning of one, as somebody wrote it.
    pub fn add(&mut self, repo: &Repository, text: &str, kind: IdKind) -> Result<(), UnknownId> {
        let text = text.to_ascii_lowercase();
        if text.is_empty() || text.len() > 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(UnknownId::NotAnId(text));
        }
        match kind {
            IdKind::Blob(kind) => self.prefixes.push((text, kind)),
            IdKind::Pack => self.add_pack(repo, &text)?,
        }
        Ok(())
    }

    fn add_pack(&mut self, repo: &Repository, prefix: &str) -> Result<(), UnknownId> {
        let before = self.packed.len();
        repo.index()?.for_each_pack(&mut |pack, blobs| {
            if pack.to_string().starts_with(prefix) {
                self.packed.extend(blobs.iter().map(|entry| entry.blob));
            }
        })?;
        match self.packed.len() > before {
            true => Ok(()),
            false => Err(UnknownId::NoPack(prefix.into())),
        }
    }

    fn contain(&self, blob: &BlobHandle) -> bool {
        self.packed.contains(blob)
            || self.prefixes.iter().any(|(prefix, kind)| *kind == blob.kind && blob.id.to_string().starts_with(prefix))
    }
}

/// Finds where blobs are used, in one snapshot after the other.
pub struct BlobFinder<'r> {
    repo: &'r Repository,
    blobs: Blobs,
    barren: Barren,
}

impl<'r> BlobFinder<'r> {
    /// Prepares a search.
    pub fn new(repo: &'r Repository, blobs: Blobs) -> BlobFinder<'r> {
        BlobFinder { repo, blobs, barren: Barren::default() }
    }

    /// Searches the tree `root` and everything below it; calls `each` for everything found.
    pub fn search<E: From<repo::Error>>(
        &mut self,
        root: &Id,
        each: &mut dyn FnMut(Found<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let BlobFinder { repo, blobs, barren } = self;
        let root_blob = BlobHandle { kind: BlobKind::Tree, id: *root };
        if blobs.contain(&root_blob) {
            each(Found::Blob { blob: root_blob, path: b"/", tree: None, node: None })?;
        }
        barren.begin();
        visit(repo, root, b"/", &mut |came_to| match came_to {
            Visit::Node { path, node, tree } => {
                for blob in blobs_of(node).filter(|blob| blobs.contain(blob)) {
                    barren.found();
                    each(Found::Blob { blob, path, tree: Some(tree), node: Some(node) })?;
                }
                // What a tree holds does not depend on where it is.
                Ok(barren.enter(node.subtree.filter(|_| node.kind == NodeKind::Dir), b""))
            }
            Visit::Leave { tree, .. } => Ok(barren.leave(tree, b"")),
            Visit::Unreadable { path, error } => {
                barren.unreadable();
                each(Found::Unreadable { path, error })?;
                Ok(Descend::Past)
            }
        })
    }
}

fn blobs_of(node: &Node) -> impl Iterator<Item = BlobHandle> + '_ {
    let data = node.content.iter().flatten().map(|id| BlobHandle { kind: BlobKind::Data, id: *id });
    data.chain(node.subtree.map(|id| BlobHandle { kind: BlobKind::Tree, id }))
}
