//! Listing what is in a snapshot, as restic's `ls` does.

use std::cmp::Ordering;

use backend::Id;
use repo::Repository;
use repo::gojson;
use repo::node::{Node, NodeKind};

use crate::visit::{Descend, Visit, visit};

mod ncdu;

pub use ncdu::Ncdu;

/// What to list.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Absolute directories; empty lists everything.
    pub directories: Vec<Vec<u8>>,
    /// With directories: also what is deeper in them.
    pub recursive: bool,
}

/// What a listing comes to.
#[derive(Debug)]
pub enum Listed<'l> {
    /// An entry.
    Node {
        /// Absolute path.
        path: &'l [u8],
        /// What is there.
        node: &'l Node,
        /// True if it only leads to a directory that is listed; not an entry of the listing itself.
        on_the_way: bool,
    },
    /// The end of a directory whose node came before.
    Leave,
    /// A directory that cannot be read.
    Unreadable {
        /// Absolute path.
        path: &'l [u8],
        /// Why.
        error: repo::Error,
    },
}

/// Lists what is below the tree `root`, whose own path is `path` (`/`, or the subfolder's).
pub fn list<E: From<repo::Error>>(
    repo: &Repository,
    root: &Id,
    path: &[u8],
    options: &Options,
    each: &mut dyn FnMut(Listed<'_>) -> Result<(), E>,
) -> Result<(), E> {
    visit(repo, root, path, &mut |came_to| match came_to {
        Visit::Node { path, node, .. } => options.node(path, node, each),
        Visit::Leave { path: left, .. } if left.len() > path.len() => each(Listed::Leave).map(|()| Descend::Past),
        Visit::Leave { .. } => Ok(Descend::Past),
        Visit::Unreadable { path, error } => {
            each(Listed::Unreadable { path, error })?;
            each(Listed::Leave).map(|()| Descend::Past)
        }
    })
}

impl Options {
    fn node<E>(
        &self,
        path: &[u8],
        node: &Node,
        each: &mut dyn FnMut(Listed<'_>) -> Result<(), E>,
    ) -> Result<Descend, E> {
        let all = self.directories.is_empty();
        let within = all || self.directories.iter().any(|directory| is_in(path, directory));
        let approaching = all || self.directories.iter().any(|directory| is_in(directory, path));
        if within || approaching {
            each(Listed::Node { path, node, on_the_way: !within })?;
        }
        if approaching || within && self.recursive {
            return Ok(Descend::Into);
        }
        if within && node.kind == NodeKind::Dir {
            each(Listed::Leave)?;
        }
        Ok(Descend::Past)
    }
}

/// True if `path` is `directory` or lies in it.
fn is_in(path: &[u8], directory: &[u8]) -> bool {
    directory == b"/" || path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

/// An order of entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// By path.
    #[default]
    Name,
    /// By size.
    Size,
    /// By modification.
    Time,
    /// By access.
    Atime,
    /// By change of metadata.
    Ctime,
    /// By what follows the last dot of the name.
    Extension,
}

impl Sort {
    /// How two entries stand to each other; equal ones go by path.
    pub fn compare(self, a: (&[u8], &Node), b: (&[u8], &Node)) -> Ordering {
        let time = |time: repo::node::NodeTime| (time.seconds, time.nanoseconds);
        let by = match self {
            Sort::Name => Ordering::Equal,
            Sort::Size => a.1.size.cmp(&b.1.size),
            Sort::Time => time(a.1.mtime).cmp(&time(b.1.mtime)),
            Sort::Atime => time(a.1.atime).cmp(&time(b.1.atime)),
            Sort::Ctime => time(a.1.ctime).cmp(&time(b.1.ctime)),
            Sort::Extension => extension(&a.1.name).cmp(extension(&b.1.name)),
        };
        by.then_with(|| a.0.cmp(b.0))
    }
}

fn extension(name: &[u8]) -> &[u8] {
    name.iter().rposition(|byte| *byte == b'.').map_or(&[], |dot| &name[dot..])
}

/// Mode as Go writes it: letters for what it is, then `rwxrwxrwx`.
pub fn permissions(mode: u32) -> String {
    let mut text: String = b"dalTLDpSugct?"
        .iter()
        .enumerate()
        .filter(|(at, _)| mode >> (31 - at) & 1 != 0)
        .map(|(_, letter)| char::from(*letter))
        .collect();
    if text.is_empty() {
        text.push('-');
    }
    let bits = b"rwxrwxrwx".iter().enumerate();
    text.extend(bits.map(|(at, letter)| if mode >> (8 - at) & 1 != 0 { char::from(*letter) } else { '-' }));
    text
}

/// The JSON object that restic's `ls --json` writes for an entry, without line end.
pub fn json(path: &[u8], node: &Node) -> Vec<u8> {
    let mut out = Vec::with_capacity(320);
    let mut field = Fields { out: &mut out, first: true };
    field.text("name", &node.name);
    field.raw("type", |out| gojson::string(node.kind.name(), out));
    field.text("path", path);
    field.number("uid", node.uid.into());
    field.number("gid", node.gid.into());
    if node.kind == NodeKind::File {
        field.number("size", node.size);
    }
    if node.mode != 0 {
        field.number("mode", node.mode.into());
    }
    field.raw("permissions", |out| gojson::string(&permissions(node.mode), out));
    field.time("mtime", node.mtime);
    field.time("atime", node.atime);
    field.time("ctime", node.ctime);
    if node.inode != 0 {
        field.number("inode", node.inode);
    }
    field.raw("message_type", |out| gojson::string("node", out));
    field.raw("struct_type", |out| gojson::string("node", out));
    out.push(b'}');
    out
}

/// Writes the fields of a JSON object in order.
pub(crate) struct Fields<'o> {
    pub(crate) out: &'o mut Vec<u8>,
    pub(crate) first: bool,
}

impl Fields<'_> {
    pub(crate) fn raw(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
        self.out.push(if self.first { b'{' } else { b',' });
        self.first = false;
        gojson::string(name, self.out);
        self.out.push(b':');
        write(self.out);
    }

    pub(crate) fn text(&mut self, name: &str, text: &[u8]) {
        self.raw(name, |out| gojson::lossy_string(text, out));
    }

    pub(crate) fn number(&mut self, name: &str, number: u64) {
        self.raw(name, |out| gojson::number(number, out));
    }

    pub(crate) fn time(&mut self, name: &str, time: repo::node::NodeTime) {
        self.raw(name, |out| {
            out.push(b'"');
            time.write(out);
            out.push(b'"');
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_read_as_go_writes_them() {
        assert_eq!(permissions(0o644), "-rw-r--r--");
        assert_eq!(permissions(1 << 31 | 0o755), "drwxr-xr-x");
        assert_eq!(permissions(1 << 31 | 1 << 20 | 0o777), "dtrwxrwxrwx");
        assert_eq!(permissions(1 << 26 | 1 << 21 | 0o666), "Dcrw-rw-rw-");
        assert_eq!(permissions(1 << 27 | 0o777), "Lrwxrwxrwx");
    }

    #[test]
    fn a_directory_holds_itself_and_what_is_in_it_but_not_its_namesakes() {
        assert!(is_in(b"/a/b", b"/a"));
        assert!(is_in(b"/a", b"/a"));
        assert!(is_in(b"/a", b"/"));
        assert!(!is_in(b"/ab", b"/a"));
    }
}
