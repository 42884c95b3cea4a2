//! What is mounted where, in this process's view.

use std::ffi::{CString, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use crate::DeviceNumber;

/// One line of `mountinfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The kernel's number of this mount.
    pub id: u64,
    /// The filesystem's device; btrfs and others have numbers of their own, which no disk has.
    pub device: DeviceNumber,
    /// What of the filesystem is mounted: `/`, a subvolume or a bound folder.
    pub root: PathBuf,
    /// Where.
    pub mount_point: PathBuf,
    /// The kind of filesystem, such as `ext4`.
    pub kind: String,
    /// What it was mounted from, such as `/dev/sda1`; any text for filesystems without a device.
    pub source: OsString,
    /// True if nothing can be written into the filesystem.
    pub is_read_only: bool,
}

/// All mounts that this process sees, in the order in which the kernel lists them.
pub fn mounts() -> io::Result<Vec<Mount>> {
    Ok(parse_table(&fs::read("/proc/self/mountinfo")?))
}

/// The mounts that the lines of such a table tell of.
pub(crate) fn parse_table(table: &[u8]) -> Vec<Mount> {
    table.split(|&byte| byte == b'\n').filter_map(parse).collect()
}

/// Mounts a filesystem of the kernel's own, such as `tracefs` or `bpf`, on an existing folder.
pub fn mount_special(kind: &str, folder: &Path) -> io::Result<()> {
    let kind = CString::new(kind)?;
    let folder = CString::new(folder.as_os_str().as_bytes())?;
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    // SAFETY: strings that live for the call; no data.
    let answer = unsafe { libc::mount(kind.as_ptr(), folder.as_ptr(), kind.as_ptr(), flags, std::ptr::null()) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn parse(line: &[u8]) -> Option<Mount> {
    let fields: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
    let separator = fields.iter().position(|field| *field == b"-")?;
    let text = |field: &[u8]| String::from_utf8(field.to_vec()).ok();
    let path = |field: &[u8]| PathBuf::from(OsString::from_vec(unescape(field)));
    let options = text(fields.get(separator + 3)?)?;
    Some(Mount {
        id: text(fields.first()?)?.parse().ok()?,
        device: text(fields.get(2)?)?.parse().ok()?,
        root: path(fields.get(3)?),
        mount_point: path(fields.get(4)?),
        kind: text(fields.get(separator + 1)?)?,
        source: OsString::from_vec(unescape(fields.get(separator + 2)?)),
        is_read_only: options.split(',').any(|option| option == "ro"),
    })
}

/// The kernel writes spaces and the like as a backslash and three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|digits| digits.iter().all(|digit| (b'0'..=b'7').contains(digit)));
        match (first, digits) {
            (b'\\', Some(digits)) => {
                let byte = digits.iter().fold(0_u32, |sum, digit| sum * 8 + u32::from(digit - b'0'));
                plain.push(byte as u8);
                rest = &after[3..];
            }
            _ => {
                plain.push(first);
                rest = after;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_optional_fields_and_escapes_is_understood() {
        let line =
            br"36 35 98:0 /mnt1 /mnt/my\040disk rw,noatime master:1 shared:2 - ext3 /dev/ro\134ot ro,errors=continue";
        let mount = parse(line).unwrap();
        assert_eq!(mount.mount_point, Path::new("/mnt/my disk"));
        assert_eq!(mount.source, r"/dev/ro\ot");
        assert_eq!((mount.id, mount.device.to_string(), mount.kind.as_str()), (36, "98:0".to_owned(), "ext3"));
        assert!(mount.is_read_only);
        assert_eq!(parse(b"nonsense"), None);
    }

    #[test]
    fn the_root_is_mounted() {
        assert!(mounts().unwrap().iter().any(|mount| mount.mount_point == Path::new("/")));
    }
}
