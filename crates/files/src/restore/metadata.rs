//! From a node's metadata to what the file system is asked for.

use platform::Time;
use platform::create::{Attributes, Identity, Metadata};
use repo::node::{Node, NodeTime};

use super::Options;

/// A name and its value.
type Attribute = (Vec<u8>, Vec<u8>);

/// A node's metadata as it is to be set. Times are kept in parts, which packs them tighter.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mode: u32,
    modified_nanoseconds: u32,
    modified_seconds: i64,
    accessed_seconds: i64,
    accessed_nanoseconds: u32,
    attributes: Option<Box<[Attribute]>>,
}

/// What stands where metadata is set.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ground {
    /// We made it in a folder that bequeaths nothing.
    Plain,
    /// It existed, or got things by inheritance: attributes that the snapshot does not have are taken away.
    Used,
}

impl Wanted {
    pub(super) fn of(node: &Node, options: &Options<'_>) -> Wanted {
        let (uid, gid) = options.owner.map_or((node.uid, node.gid), |owner| owner(node));
        let selected = node.extended_attributes.iter().filter(|attribute| (options.attributes)(&attribute.name));
        let attributes: Box<[_]> = selected
            .map(|attribute| (attribute.name.clone().into_bytes(), attribute.value.clone().unwrap_or_default()))
            .collect();
        let (mtime, atime) = (time(node.mtime), time(node.atime));
        Wanted {
            uid,
            gid,
            mode: unix_mode(node.mode),
            modified_seconds: mtime.seconds,
            modified_nanoseconds: mtime.nanoseconds,
            accessed_seconds: atime.seconds,
            accessed_nanoseconds: atime.nanoseconds,
            attributes: (!attributes.is_empty()).then_some(attributes),
        }
    }

    pub(super) fn times(&self) -> (Time, Time) {
        let accessed = Time { seconds: self.accessed_seconds, nanoseconds: self.accessed_nanoseconds };
        let modified = Time { seconds: self.modified_seconds, nanoseconds: self.modified_nanoseconds };
        (accessed, modified)
    }

    /// Bytes that the attributes take.
    pub(super) fn heap(&self) -> usize {
        let attributes = self.attributes.as_deref().unwrap_or_default();
        attributes.iter().map(|(name, value)| name.len() + value.len() + 64).sum()
    }

    /// The mode with which a new file can be made at once, if owner and attributes need nothing else first.
    pub(super) fn mode_at_creation(&self, us: &Identity) -> Option<u32> {
        let special = self.mode & 0o7000 != 0 || self.mode & us.umask != 0;
        let ours = (self.uid, self.gid) == (us.uid, us.gid);
        (!special && ours && self.attributes.is_none()).then_some(self.mode)
    }

    /// Calls `with` with everything that must be set; `made_with` is the mode that the file got when it was made.
    pub(super) fn apply<R>(
        &self,
        ground: Ground,
        made_with: Option<u32>,
        us: &Identity,
        options: &Options<'_>,
        with: impl FnOnce(&Metadata<'_>) -> R,
    ) -> R {
        let wanted: Vec<(&[u8], &[u8])> = self.attributes.as_deref().unwrap_or_default().iter().map(pair).collect();
        let selected = |name: &[u8]| std::str::from_utf8(name).is_ok_and(|name| (options.attributes)(name));
        let used = ground == Ground::Used;
        let attributes = Attributes { wanted: &wanted, remove: used.then_some(&selected) };
        let owner = (self.uid, self.gid);
        let needs_mode = used || made_with != Some(self.mode);
        with(&Metadata {
            owner: (used || owner != (us.uid, us.gid)).then_some(owner),
            attributes: (used || !wanted.is_empty()).then_some(&attributes),
            mode: needs_mode.then_some(self.mode),
            times: Some(self.times()),
        })
    }
}

fn pair((name, value): &Attribute) -> (&[u8], &[u8]) {
    (name, value)
}

pub(super) fn time(time: NodeTime) -> Time {
    Time { seconds: time.seconds, nanoseconds: time.nanoseconds }
}

/// Go's mode bits, as nodes carry them, to those of `chmod`.
pub(crate) fn unix_mode(go: u32) -> u32 {
    const BITS: [(u32, u32); 3] = [(1 << 23, 0o4000), (1 << 22, 0o2000), (1 << 20, 0o1000)];
    let special = BITS.iter().filter(|(bit, _)| go & bit != 0).map(|(_, mode)| mode).sum::<u32>();
    go & 0o777 | special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_uid_set_gid_and_sticky_keep_their_meaning() {
        assert_eq!(unix_mode(0o755 | 1 << 23), 0o4755);
        assert_eq!(unix_mode(0o750 | 1 << 22), 0o2750);
        assert_eq!(unix_mode(1 << 31 | 0o777 | 1 << 20), 0o1777);
    }
}
