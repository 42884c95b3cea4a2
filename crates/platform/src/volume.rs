//! The file system that a path lies on.

use std::io;

/// A mounted file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Its kind, as the kernel numbers it (`statfs(2)`: ext4 is 0xEF53).
    pub kind: u64,
    /// All bytes.
    pub total: u64,
    /// Bytes that this user may still write.
    pub available: u64,
    /// True if nothing can be written.
    pub read_only: bool,
}

/// The file system that the path lies on; links are followed.
#[allow(clippy::unnecessary_cast, reason = "the fields' types differ between architectures")]
pub fn volume(path: &[u8]) -> io::Result<Volume> {
    let kind = rustix::fs::statfs(path)?.f_type as u64;
    let space = rustix::fs::statvfs(path)?;
    Ok(Volume {
        kind,
        total: space.f_blocks.saturating_mul(space.f_frsize),
        available: space.f_bavail.saturating_mul(space.f_frsize),
        read_only: space.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_has_some_space() {
        let root = volume(b"/").unwrap();
        assert!(root.total >= root.available && root.total > 0);
        assert!(volume(b"/nonexistent").is_err());
    }
}
