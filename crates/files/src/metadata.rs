//! Nodes out of what the system says about a file, exactly as restic 0.19 stores them.

use std::ffi::CStr;
use std::io;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use platform::{Accounts, FileType, Stat, Subject, Time, XattrReader};
use repo::node::{ExtendedAttribute, Node, NodeKind, NodeTime};

/// Where the number of the device is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceIds {
    /// With everything, as restic does.
    Everywhere,
    /// Only where it tells hard links apart, so that a freeze or a remount does not change every tree.
    HardLinks,
}

/// How nodes are made.
#[derive(Clone, Debug)]
pub struct NodeStyle {
    /// Names of users and groups.
    pub accounts: Accounts,
    /// The zone under whose offset times are written.
    pub zone: TimeZone,
    /// Where the number of the device is stored.
    pub device_ids: DeviceIds,
    /// Store the time of last access; otherwise it is given as the time of last change.
    pub with_atime: bool,
}

/// Makes nodes; one per thread.
pub struct NodeMaker<'s> {
    style: &'s NodeStyle,
    offsets: Offsets,
    xattrs: XattrReader,
}

/// Go's `fs.FileMode` bits.
mod go_mode {
    pub(super) const DIR: u32 = 1 << 31;
    pub(super) const SYMLINK: u32 = 1 << 27;
    pub(super) const DEVICE: u32 = 1 << 26;
    pub(super) const NAMED_PIPE: u32 = 1 << 25;
    pub(super) const SOCKET: u32 = 1 << 24;
    pub(super) const SETUID: u32 = 1 << 23;
    pub(super) const SETGID: u32 = 1 << 22;
    pub(super) const CHAR_DEVICE: u32 = 1 << 21;
    pub(super) const STICKY: u32 = 1 << 20;
    pub(super) const IRREGULAR: u32 = 1 << 19;
}

fn kind_and_type_bits(file_type: FileType) -> (NodeKind, u32) {
    match file_type {
        FileType::Regular => (NodeKind::File, 0),
        FileType::Directory => (NodeKind::Dir, go_mode::DIR),
        FileType::Symlink => (NodeKind::Symlink, go_mode::SYMLINK),
        FileType::BlockDevice => (NodeKind::Device, go_mode::DEVICE),
        FileType::CharDevice => (NodeKind::CharDevice, go_mode::DEVICE | go_mode::CHAR_DEVICE),
        FileType::Fifo => (NodeKind::Fifo, go_mode::NAMED_PIPE),
        FileType::Socket => (NodeKind::Socket, go_mode::SOCKET),
        FileType::Unknown => (NodeKind::Irregular, go_mode::IRREGULAR),
    }
}

fn go_permissions(unix: u32) -> u32 {
    let bit = |unix_bit: u32, go_bit: u32| if unix & unix_bit != 0 { go_bit } else { 0 };
    (unix & 0o777) | bit(0o4000, go_mode::SETUID) | bit(0o2000, go_mode::SETGID) | bit(0o1000, go_mode::STICKY)
}

impl<'s> NodeMaker<'s> {
    /// A maker in that style.
    pub fn new(style: &'s NodeStyle) -> NodeMaker<'s> {
        NodeMaker { style, offsets: Offsets::new(style.zone.clone()), xattrs: XattrReader::default() }
    }

    /// The node of a file without what is inside it: attributes, link target, content and subtree are empty.
    pub fn node(&mut self, name: &[u8], stat: &Stat) -> Node {
        let (kind, type_bits) = kind_and_type_bits(stat.file_type);
        let mtime = self.offsets.local(stat.modified);
        let has_links = !matches!(kind, NodeKind::Dir | NodeKind::Fifo | NodeKind::Socket);
        let is_device = matches!(kind, NodeKind::Device | NodeKind::CharDevice);
        Node {
            name: name.to_vec(),
            kind,
            mode: go_permissions(stat.permissions) | type_bits,
            mtime,
            atime: if self.style.with_atime { self.offsets.local(stat.accessed) } else { mtime },
            ctime: self.offsets.local(stat.changed),
            uid: stat.uid,
            gid: stat.gid,
            user: self.style.accounts.user(stat.uid),
            group: self.style.accounts.group(stat.gid),
            inode: stat.inode,
            device_id: self.device_id(stat),
            size: if kind == NodeKind::File { stat.size } else { 0 },
            links: if has_links { stat.links } else { 0 },
            link_target: Vec::new(),
            extended_attributes: Vec::new(),
            generic_attributes: Default::default(),
            device: if is_device { stat.represents } else { 0 },
            content: None,
            subtree: None,
            error: String::new(),
        }
    }

    fn device_id(&self, stat: &Stat) -> u64 {
        match self.style.device_ids {
            DeviceIds::Everywhere => stat.device,
            DeviceIds::HardLinks if stat.links > 1 && !stat.is_dir() => stat.device,
            DeviceIds::HardLinks => 0,
        }
    }

    /// Fills in the extended attributes; one that cannot be read goes to `complain` and is left out.
    pub fn read_attributes(
        &mut self,
        subject: Subject<'_>,
        node: &mut Node,
        mut complain: impl FnMut(&CStr, io::Error),
    ) -> io::Result<()> {
        let attributes = &mut node.extended_attributes;
        self.xattrs.for_each(subject, |name, value| match value {
            Ok(value) => attributes.push(attribute(name, Some(value.to_vec()))),
            // Gone between listing and reading: restic keeps the name.
            Err(error) if error.raw_os_error() == Some(NO_DATA) => attributes.push(attribute(name, None)),
            Err(error) => complain(name, error),
        })
    }

    /// An instant with the offset from UTC of the style's zone.
    pub fn local(&mut self, time: Time) -> NodeTime {
        self.offsets.local(time)
    }
}

/// `ENODATA`.
const NO_DATA: i32 = 61;

fn attribute(name: &CStr, value: Option<Vec<u8>>) -> ExtendedAttribute {
    ExtendedAttribute { name: name.to_string_lossy().into_owned(), value }
}

/// Offsets from UTC; the span between two changes of the clock that was used last is kept.
struct Offsets {
    zone: TimeZone,
    span: std::ops::Range<i64>,
    offset: i32,
}

impl Offsets {
    fn new(zone: TimeZone) -> Offsets {
        Offsets { zone, span: 0..0, offset: 0 }
    }

    fn local(&mut self, time: Time) -> NodeTime {
        if !self.span.contains(&time.seconds) {
            self.find(time.seconds);
        }
        NodeTime { seconds: time.seconds, nanoseconds: time.nanoseconds, offset: self.offset }
    }

    fn find(&mut self, seconds: i64) {
        let earliest = Timestamp::MIN.as_second() + 1;
        let latest = Timestamp::MAX.as_second() - 1;
        let second = |second: i64| Timestamp::from_second(second.clamp(earliest, latest)).unwrap_or_default();
        self.offset = self.zone.to_offset(second(seconds)).seconds();
        let before = self.zone.preceding(second(seconds.saturating_add(1))).next();
        let after = self.zone.following(second(seconds)).next();
        let start = before.map_or(i64::MIN, |change| change.timestamp().as_second());
        let end = after.map_or(i64::MAX, |change| change.timestamp().as_second());
        self.span = start..end;
    }
}

/// True if two nodes are the same in all that restic compares: offsets of times and the order of attributes do not count.
pub(crate) fn same(one: &Node, other: &Node) -> bool {
    let instant = |time: &NodeTime| (time.seconds, time.nanoseconds);
    one.name == other.name
        && one.kind == other.kind
        && one.mode == other.mode
        && instant(&one.mtime) == instant(&other.mtime)
        && instant(&one.atime) == instant(&other.atime)
        && instant(&one.ctime) == instant(&other.ctime)
        && (one.uid, one.gid, &one.user, &one.group) == (other.uid, other.gid, &other.user, &other.group)
        && (one.inode, one.device_id, one.size, one.links) == (other.inode, other.device_id, other.size, other.links)
        && one.link_target == other.link_target
        && one.device == other.device
        && one.content == other.content
        && same_attributes(&one.extended_attributes, &other.extended_attributes)
        && one.generic_attributes == other.generic_attributes
        && one.subtree == other.subtree
        && one.error == other.error
}

fn same_attributes(one: &[ExtendedAttribute], other: &[ExtendedAttribute]) -> bool {
    one.len() == other.len() && (one == other || one.iter().all(|attribute| other.contains(attribute)))
}

/// True if a file's content may differ from what `previous` recorded.
pub(crate) fn changed(stat: &Stat, previous: &Node, ignore: Ignore) -> bool {
    let differs = |time: Time, known: NodeTime| (time.seconds, time.nanoseconds) != (known.seconds, known.nanoseconds);
    previous.kind != NodeKind::File
        || stat.size != previous.size
        || differs(stat.modified, previous.mtime)
        || (!ignore.ctime && !ignore.inode && differs(stat.changed, previous.ctime))
        || (!ignore.inode && stat.inode != previous.inode)
}

/// What does not count when looking for changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ignore {
    /// The inode number; where that is unreliable so is the time of the change of metadata, which is ignored too.
    pub inode: bool,
    /// The time of the last change of metadata.
    pub ctime: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_change_with_the_season_and_are_the_zones_own() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let mut offsets = Offsets::new(zone.clone());
        let switch = 1_711_846_800; // 2024-03-31 01:00 UTC, when the clocks went forward
        for seconds in [0, switch - 1, switch, switch + 1, switch - 1, 1_700_000_000, 1_720_000_000, -1, 4_000_000_000]
        {
            let wanted = zone.to_offset(Timestamp::from_second(seconds).unwrap()).seconds();
            assert_eq!(offsets.local(Time { seconds, nanoseconds: 7 }).offset, wanted, "{seconds}");
        }
        assert_eq!(offsets.local(Time { seconds: i64::MAX, nanoseconds: 0 }).seconds, i64::MAX);
        assert_eq!(offsets.local(Time { seconds: i64::MIN, nanoseconds: 0 }).seconds, i64::MIN);
    }

    #[test]
    fn permissions_become_gos_mode_bits() {
        assert_eq!(go_permissions(0o4755), go_mode::SETUID | 0o755);
        assert_eq!(go_permissions(0o3777), go_mode::SETGID | go_mode::STICKY | 0o777);
    }
}
