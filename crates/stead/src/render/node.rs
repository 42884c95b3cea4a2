//! One entry of a snapshot as a line, as restic's `ls -l` writes it.

use files::ls::permissions;
use repo::node::Node;

use super::table::printable;
use super::{size, time};

/// How entries are shown.
#[derive(clap::Args)]
pub(crate) struct FormArgs {
    /// Show mode, owner, size and time
    #[arg(short, long)]
    pub(crate) long: bool,
    /// Show sizes with units
    #[arg(long)]
    human_readable: bool,
}

impl FormArgs {
    /// The line of an entry.
    pub(crate) fn line(&self, path: &[u8], node: &Node) -> String {
        match self.long {
            true => self.long_line(path, node),
            false => printable(&String::from_utf8_lossy(path)),
        }
    }

    /// Mode, owner, size, time, path and a link's target.
    fn long_line(&self, path: &[u8], node: &Node) -> String {
        let size = if self.human_readable { size::bytes(node.size) } else { node.size.to_string() };
        let mode = permissions(node.mode);
        let (uid, gid) = (node.uid, node.gid);
        let mtime = jiff::Timestamp::new(node.mtime.seconds, 0).map_or_else(|_| "?".into(), time::local);
        let path = printable(&String::from_utf8_lossy(path));
        let target = match node.link_target.is_empty() {
            true => String::new(),
            false => format!(" -> {}", printable(&String::from_utf8_lossy(&node.link_target))),
        };
        format!("{mode} {uid:>5} {gid:>5} {size:>6} {mtime} {path}{target}")
    }
}
