//! One entry of a snapshot as a line, as restic's `ls -l` writes it.

use files::ls::permissions;
use repo::node::Node;

use super::table::printable;
use super::{size, time};

/// How sizes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sizes {
    /// As numbers of bytes.
    Bytes,
    /// With binary units.
    WithUnits,
}

/// Mode, owner, size, time, path and a link's target.
pub(crate) fn long(path: &[u8], node: &Node, sizes: Sizes) -> String {
    let size = match sizes {
        Sizes::Bytes => node.size.to_string(),
        Sizes::WithUnits => size::bytes(node.size),
    };
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
