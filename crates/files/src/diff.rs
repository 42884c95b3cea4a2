//! What changed from one snapshot to another, with restic's words and figures.

use std::cmp::Ordering;
use std::iter::Peekable;

use backend::Id;
use hashbrown::HashSet;
use repo::node::{Node, NodeKind, NodeTime};
use repo::{BlobHandle, BlobKind, Repository};

use crate::path;

/// What happened to an entry. Letters are restic's: `+`, `-`, and for entries on both sides any of `T`, `M`, `?`, `U`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// `+`: only the second snapshot has it.
    pub added: bool,
    /// `-`: only the first has it.
    pub removed: bool,
    /// `T`: a file became a link, say.
    pub of_type: bool,
    /// `M`: a file's content is another.
    pub of_content: bool,
    /// `?`: only the content changed and nothing else, which looks like decay of the disk.
    pub without_trace: bool,
    /// `U`: metadata changed (only looked for if asked).
    pub of_metadata: bool,
}

impl Change {
    /// The letters.
    pub fn letters(&self) -> String {
        let letters = [
            (self.added, '+'),
            (self.removed, '-'),
            (self.of_type, 'T'),
            (self.of_content, 'M'),
            (self.without_trace, '?'),
            (self.of_metadata, 'U'),
        ];
        letters.iter().filter(|(is, _)| *is).map(|(_, letter)| letter).collect()
    }
}

/// Whether changes of metadata alone are looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Metadata {
    /// They are not told.
    #[default]
    Ignored,
    /// They are told.
    Compared,
}

/// Figures of one side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Side {
    /// Files.
    pub files: u64,
    /// Directories.
    pub dirs: u64,
    /// Anything else.
    pub others: u64,
    /// Data blobs that only this side has.
    pub data_blobs: u64,
    /// Tree blobs that only this side has.
    pub tree_blobs: u64,
    /// Their plain bytes.
    pub bytes: u64,
}

/// Figures of a comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Statistics {
    /// Files whose content changed.
    pub changed_files: u64,
    /// What the second has and the first has not.
    pub added: Side,
    /// What the first has and the second has not.
    pub removed: Side,
}

/// Is told the path of everything that changed, and how. Its error ends the comparison.
pub type Tell<'t, E> = &'t mut dyn FnMut(&[u8], Change) -> Result<(), E>;

/// Compares the trees `first` and `second`; calls `each` with the path of everything that changed (directories end with
/// `/`). Trees that both have are read only where needed to tell whose blobs are whose.
pub fn diff<E: From<repo::Error>>(
    repo: &Repository,
    (first, second): (&Id, &Id),
    metadata: Metadata,
    each: Tell<'_, E>,
) -> Result<Statistics, E> {
    let mut diff = Diff {
        repo,
        metadata,
        each,
        figures: Statistics::default(),
        before: Blobs::default(),
        after: Blobs::default(),
        common: HashSet::new(),
    };
    diff.before.insert(tree_blob(first));
    diff.after.insert(tree_blob(second));
    if first == second {
        diff.common.insert(*first);
    } else {
        diff.all(*first, *second)?;
    }
    diff.count_blobs()?;
    Ok(diff.figures)
}

type Blobs = HashSet<BlobHandle>;

struct Diff<'d, E> {
    repo: &'d Repository,
    metadata: Metadata,
    each: Tell<'d, E>,
    figures: Statistics,
    before: Blobs,
    after: Blobs,
    common: HashSet<Id>,
}

/// A pair of directories on the way; one side may be missing.
struct Level {
    before: Peekable<std::vec::IntoIter<Node>>,
    after: Peekable<std::vec::IntoIter<Node>>,
    path_length: usize,
}

impl<E: From<repo::Error>> Diff<'_, E> {
    fn all(&mut self, first: Id, second: Id) -> Result<(), E> {
        let mut path = b"/".to_vec();
        let mut levels = vec![self.level(Some(first), Some(second), path.len())?];
        while let Some(level) = levels.last_mut() {
            self.repo.cancel().check()?;
            path.truncate(level.path_length);
            let (before, after) = match next_pair(level) {
                (None, None) => {
                    levels.pop();
                    continue;
                }
                pair => pair,
            };
            let name = before.as_ref().or(after.as_ref()).map(|node| node.name.clone()).unwrap_or_default();
            path = path::child(&path, &name);
            let length = path.len();
            self.pair(before.as_ref(), after.as_ref(), &mut path)?;
            path.truncate(length);
            let [before, after] = [before, after].map(|node| node.and_then(subtree));
            if before.is_some() && before == after {
                self.common.extend(before);
            } else if before.is_some() || after.is_some() {
                levels.push(self.level(before, after, length)?);
            }
        }
        Ok(())
    }

    fn level(&self, before: Option<Id>, after: Option<Id>, path_length: usize) -> Result<Level, E> {
        let nodes = |tree: Option<Id>| -> Result<_, E> {
            let tree = tree.map(|tree| self.repo.read_tree(&tree)).transpose()?;
            Ok(tree.unwrap_or_default().nodes.into_iter().peekable())
        };
        Ok(Level { before: nodes(before)?, after: nodes(after)?, path_length })
    }

    /// Tells what happened to one name.
    fn pair(&mut self, before: Option<&Node>, after: Option<&Node>, path: &mut Vec<u8>) -> Result<(), E> {
        before.into_iter().for_each(|node| add_blobs(&mut self.before, node));
        after.into_iter().for_each(|node| add_blobs(&mut self.after, node));
        let change = match (before, after) {
            (Some(before), Some(after)) => self.compare(before, after),
            (Some(before), None) => {
                self.figures.removed.count(before);
                Change { removed: true, ..Change::default() }
            }
            (None, Some(after)) => {
                self.figures.added.count(after);
                Change { added: true, ..Change::default() }
            }
            (None, None) => Change::default(),
        };
        if after.or(before).is_some_and(|node| node.kind == NodeKind::Dir) {
            path.push(b'/');
        }
        if change == Change::default() { Ok(()) } else { (self.each)(path, change) }
    }

    fn compare(&mut self, before: &Node, after: &Node) -> Change {
        let mut change = Change { of_type: before.kind != after.kind, ..Change::default() };
        let files = before.kind == NodeKind::File && after.kind == NodeKind::File;
        if files && before.content != after.content {
            self.figures.changed_files += 1;
            change.of_content = true;
            change.without_trace = same_but_for_content(before, after);
        } else if self.metadata == Metadata::Compared {
            let same = before.content == after.content && before.subtree == after.subtree;
            change.of_metadata = !same || !same_but_for_content(before, after);
        }
        change
    }

    /// Counts the blobs that only one side has. Those that hide in common subtrees belong to both.
    fn count_blobs(&mut self) -> Result<(), E> {
        let mut removed: Blobs = self.before.difference(&self.after).copied().collect();
        let mut added: Blobs = self.after.difference(&self.before).copied().collect();
        let mut trees: Vec<Id> = self.common.iter().copied().collect();
        let mut seen = std::mem::take(&mut self.common);
        while let Some(tree) = trees.pop().filter(|_| !removed.is_empty() || !added.is_empty()) {
            self.repo.cancel().check()?;
            let mut forget = |blob: &BlobHandle| _ = removed.remove(blob) | added.remove(blob);
            forget(&tree_blob(&tree));
            for node in self.repo.read_tree(&tree)?.nodes {
                node.content.iter().flatten().for_each(|id| forget(&data_blob(id)));
                trees.extend(node.subtree.filter(|subtree| seen.insert(*subtree)));
            }
        }
        self.figures.removed.weigh(self.repo, &removed)?;
        self.figures.added.weigh(self.repo, &added)?;
        Ok(())
    }
}

impl Side {
    fn count(&mut self, node: &Node) {
        match node.kind {
            NodeKind::File => self.files += 1,
            NodeKind::Dir => self.dirs += 1,
            _ => self.others += 1,
        }
    }

    fn weigh(&mut self, repo: &Repository, blobs: &Blobs) -> Result<(), repo::Error> {
        let index = repo.index()?;
        for blob in blobs {
            match blob.kind {
                BlobKind::Data => self.data_blobs += 1,
                BlobKind::Tree => self.tree_blobs += 1,
            }
            let location = index.find(blob).ok_or(repo::Error::MissingBlob(*blob))?;
            self.bytes += u64::from(location.plain_length());
        }
        Ok(())
    }
}

/// The next name of either side, with the nodes that have it.
fn next_pair(level: &mut Level) -> (Option<Node>, Option<Node>) {
    let order = match (level.before.peek(), level.after.peek()) {
        (Some(before), Some(after)) => before.name.cmp(&after.name),
        (Some(_), None) => Ordering::Less,
        (None, _) => Ordering::Greater,
    };
    match order {
        Ordering::Less => (level.before.next(), None),
        Ordering::Equal => (level.before.next(), level.after.next()),
        Ordering::Greater => (None, level.after.next()),
    }
}

fn subtree(node: Node) -> Option<Id> {
    node.subtree.filter(|_| node.kind == NodeKind::Dir)
}

fn add_blobs(blobs: &mut Blobs, node: &Node) {
    match node.kind {
        NodeKind::File => blobs.extend(node.content.iter().flatten().map(data_blob)),
        NodeKind::Dir => blobs.extend(node.subtree.iter().map(tree_blob)),
        _ => {}
    }
}

fn data_blob(id: &Id) -> BlobHandle {
    BlobHandle { kind: BlobKind::Data, id: *id }
}

fn tree_blob(id: &Id) -> BlobHandle {
    BlobHandle { kind: BlobKind::Tree, id: *id }
}

/// True if two nodes differ in nothing but content and subtree. An instant is the same under any offset, and attributes
/// are in any order.
fn same_but_for_content(a: &Node, b: &Node) -> bool {
    let bare = |node: &Node| {
        let utc = |time: NodeTime| NodeTime { offset: 0, ..time };
        let mut attributes = node.extended_attributes.clone();
        attributes.sort_by(|a, b| a.name.cmp(&b.name));
        Node {
            mtime: utc(node.mtime),
            atime: utc(node.atime),
            ctime: utc(node.ctime),
            extended_attributes: attributes,
            content: None,
            subtree: None,
            ..node.clone()
        }
    };
    bare(a) == bare(b)
}
