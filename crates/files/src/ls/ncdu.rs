//! A listing in the export format of `ncdu`, as restic's `ls --ncdu` writes it.

use std::io::{self, Write};

use repo::node::{Node, NodeKind};

use super::Fields;

/// Writes the format while a listing goes on: `begin`, entries and ends of directories, `end`.
pub struct Ncdu<W> {
    out: W,
    depth: usize,
}

impl<W: Write> Ncdu<W> {
    /// Begins; `snapshot` is a JSON object that describes where the listing comes from.
    pub fn begin(mut out: W, snapshot: &[u8]) -> io::Result<Ncdu<W>> {
        out.write_all(b"[1, 2, ")?;
        out.write_all(snapshot)?;
        out.write_all(b", [{\"name\":\"/\"}")?;
        Ok(Ncdu { out, depth: 1 })
    }

    /// An entry; a directory stays open until [`Ncdu::leave`].
    pub fn node(&mut self, node: &Node) -> io::Result<()> {
        let indent = "  ".repeat(self.depth);
        if node.kind == NodeKind::Dir {
            write!(self.out, ",\n{indent}[\n{indent}  ")?;
            self.depth += 1;
        } else {
            write!(self.out, ",\n{indent}")?;
        }
        self.out.write_all(&json(node))
    }

    /// The end of a directory.
    pub fn leave(&mut self) -> io::Result<()> {
        self.depth = self.depth.saturating_sub(1);
        write!(self.out, "\n{}]", "  ".repeat(self.depth))
    }

    /// The end.
    pub fn end(mut self) -> io::Result<()> {
        self.out.write_all(b"\n]\n]\n")?;
        self.out.flush()
    }
}

fn json(node: &Node) -> Vec<u8> {
    let mut out = Vec::with_capacity(200);
    let mut field = Fields { out: &mut out, first: true };
    let special = !matches!(node.kind, NodeKind::Dir | NodeKind::File);
    field.text("name", &node.name);
    field.number("asize", node.size);
    field.number("dsize", node.size.div_ceil(512).saturating_mul(512));
    field.number("dev", node.device_id);
    field.number("ino", node.inode);
    field.number("nlink", node.links);
    field.raw("notreg", |out| out.extend_from_slice(if special { b"true" } else { b"false" }));
    field.number("uid", node.uid.into());
    field.number("gid", node.gid.into());
    field.number("mode", crate::restore::unix_mode(node.mode).into());
    field.number("mtime", node.mtime.seconds.max(0).unsigned_abs());
    out.push(b'}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_lists_within_lists() {
        let mut out = Vec::new();
        let mut ncdu = Ncdu::begin(&mut out, b"{}").unwrap();
        ncdu.node(&Node::new("dir", NodeKind::Dir)).unwrap();
        let mut file = Node::new("file", NodeKind::File);
        file.size = 513;
        ncdu.node(&file).unwrap();
        ncdu.leave().unwrap();
        ncdu.end().unwrap();
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value[3][1][0]["name"], "dir");
        assert_eq!(value[3][1][1]["dsize"], 1024);
    }
}
