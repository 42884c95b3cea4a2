//! tar: a POSIX header per entry, an extended header before it for what does not fit, content padded to 512 bytes.

use std::io::Write;

use repo::Repository;
use repo::node::{Node, NodeKind, NodeTime};
use tar::{EntryType, Header};

use super::{DumpError, content, content_size};

const BLOCK: u64 = 512;

/// Writes an archive.
pub(super) struct Writer<'o> {
    out: &'o mut dyn Write,
}

impl<'o> Writer<'o> {
    pub(super) fn new(out: &'o mut dyn Write) -> Writer<'o> {
        Writer { out }
    }

    /// Writes an entry; `path` is relative.
    pub(super) fn node(&mut self, repo: &Repository, path: &[u8], node: &Node) -> Result<(), DumpError> {
        let Some(kind) = entry_type(node.kind) else { return Ok(()) };
        let size = if kind == EntryType::Regular { content_size(repo, node)? } else { 0 };
        let mut path = path.to_vec();
        if kind == EntryType::Directory {
            path.push(b'/');
        }
        let mut header = header(node, kind, size);
        let mut extended = Vec::new();
        name(&mut header.as_ustar_mut().expect("a ustar header").name, "path", &path, &mut extended);
        name(
            &mut header.as_ustar_mut().expect("a ustar header").linkname,
            "linkpath",
            &node.link_target,
            &mut extended,
        );
        self.extended(node, size, extended)?;
        header.set_cksum();
        self.out.write_all(header.as_bytes())?;
        if kind == EntryType::Regular {
            content(repo, node, self.out)?;
            self.pad(size)?;
        }
        Ok(())
    }

    /// Writes the extended header, if there is anything to say in it.
    fn extended(&mut self, node: &Node, size: u64, mut records: Vec<u8>) -> Result<(), DumpError> {
        if node.mtime.nanoseconds != 0 || node.mtime.seconds < 0 {
            record("mtime", decimal(node.mtime).as_bytes(), &mut records);
        }
        if node.atime != node.mtime {
            record("atime", decimal(node.atime).as_bytes(), &mut records);
        }
        if size >= 8 << 30 {
            record("size", size.to_string().as_bytes(), &mut records);
        }
        for attribute in &node.extended_attributes {
            let key = format!("SCHILY.xattr.{}", attribute.name);
            record(&key, attribute.value.as_deref().unwrap_or_default(), &mut records);
        }
        if records.is_empty() {
            return Ok(());
        }
        let mut header = Header::new_ustar();
        header.as_ustar_mut().expect("a ustar header").name[..15].copy_from_slice(b"PaxHeaders/meta");
        header.set_entry_type(EntryType::XHeader);
        header.set_mode(0o644);
        header.set_size(records.len() as u64);
        header.set_cksum();
        self.out.write_all(header.as_bytes())?;
        self.out.write_all(&records)?;
        self.pad(records.len() as u64)
    }

    fn pad(&mut self, size: u64) -> Result<(), DumpError> {
        let rest = (BLOCK - size % BLOCK) % BLOCK;
        Ok(self.out.write_all(&[0; BLOCK as usize][..rest as usize])?)
    }

    /// Ends the archive.
    pub(super) fn finish(self) -> Result<(), DumpError> {
        self.out.write_all(&[0; 2 * BLOCK as usize])?;
        Ok(self.out.flush()?)
    }
}

/// Sockets have no form in tar.
fn entry_type(kind: NodeKind) -> Option<EntryType> {
    Some(match kind {
        NodeKind::File => EntryType::Regular,
        NodeKind::Dir => EntryType::Directory,
        NodeKind::Symlink => EntryType::Symlink,
        NodeKind::Device => EntryType::Block,
        NodeKind::CharDevice => EntryType::Char,
        NodeKind::Fifo => EntryType::Fifo,
        NodeKind::Socket | NodeKind::Irregular => return None,
    })
}

fn header(node: &Node, kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(crate::restore::unix_mode(node.mode));
    header.set_uid(node.uid.into());
    header.set_gid(node.gid.into());
    header.set_mtime(node.mtime.seconds.max(0).unsigned_abs());
    header.set_size(size);
    // Longer or odd names of owners are left out: the numbers are there.
    _ = header.set_username(&node.user);
    _ = header.set_groupname(&node.group);
    if matches!(node.kind, NodeKind::Device | NodeKind::CharDevice) {
        let (major, minor) = device_numbers(node.device);
        _ = header.set_device_major(major);
        _ = header.set_device_minor(minor);
    }
    header
}

/// Major and minor number as Linux packs them into 64 bits.
fn device_numbers(device: u64) -> (u32, u32) {
    let major = device >> 8 & 0xfff | device >> 32 & 0xffff_f000;
    let minor = device & 0xff | device >> 12 & 0xffff_ff00;
    (major as u32, minor as u32)
}

/// Puts a name into its field, or into a record if it is too long or no plain text.
fn name(field: &mut [u8; 100], key: &str, name: &[u8], records: &mut Vec<u8>) {
    let short = &name[..name.len().min(field.len())];
    field[..short.len()].copy_from_slice(short);
    if name.len() > field.len() || !name.is_ascii() {
        record(key, name, records);
    }
}

/// A record says its own length, the digits of it included.
fn record(key: &str, value: &[u8], records: &mut Vec<u8>) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(format!("{length} {key}=").as_bytes());
    records.extend_from_slice(value);
    records.push(b'\n');
}

/// Seconds with decimals.
fn decimal(time: NodeTime) -> String {
    let nanoseconds = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanoseconds);
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let size = nanoseconds.unsigned_abs();
    format!("{sign}{}.{:09}", size / 1_000_000_000, size % 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_its_own_digits() {
        let of = |value: &[u8]| {
            let mut records = Vec::new();
            record("path", value, &mut records);
            records
        };
        assert_eq!(of(b"x"), b"9 path=x\n");
        for length in 80..1_100 {
            let records = of(&vec![b'x'; length]);
            let said: usize = std::str::from_utf8(&records).unwrap().split(' ').next().unwrap().parse().unwrap();
            assert_eq!(said, records.len());
        }
    }

    #[test]
    fn moments_before_1970_have_a_sign() {
        assert_eq!(decimal(NodeTime { seconds: -2, nanoseconds: 500_000_000, offset: 0 }), "-1.500000000");
    }
}
