//! A file record: its attributes, and the runs of clusters where their content lies.

use super::super::fields::{byte, le16, le32, le64, part};
use super::super::source::{Damage, wrong};

/// Kinds of attributes.
pub(crate) mod kind {
    pub(crate) const LIST: u32 = 0x20;
    pub(crate) const VOLUME_NAME: u32 = 0x60;
    pub(crate) const VOLUME_INFORMATION: u32 = 0x70;
    pub(crate) const DATA: u32 = 0x80;
    pub(crate) const INDEX_ROOT: u32 = 0x90;
    pub(crate) const INDEX: u32 = 0xa0;
}

const END: u32 = u32::MAX;

/// A record whose sectors were put together, and found whole.
pub(crate) struct Record(Vec<u8>);

impl Record {
    /// Checks the name and puts back the last two bytes of each sector, which prove that all sectors were written together.
    pub(crate) fn parse(mut bytes: Vec<u8>, name: &[u8; 4]) -> Result<Record, Damage> {
        if part(&bytes, 0, 4) != name {
            return wrong("a file record is damaged");
        }
        let (table, count) = (usize::from(le16(&bytes, 4)), usize::from(le16(&bytes, 6)));
        if count != bytes.len() / 512 + 1 || table + count * 2 > 510 {
            return wrong("a file record is damaged");
        }
        let mark = le16(&bytes, table);
        for sector in 1..count {
            let end = sector * 512 - 2;
            if le16(&bytes, end) != mark {
                return wrong("a file record was written only in part");
            }
            let put_back = le16(&bytes, table + sector * 2).to_le_bytes();
            bytes[end..end + 2].copy_from_slice(&put_back);
        }
        Ok(Record(bytes))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its attributes, as many as are whole.
    pub(crate) fn attributes(&self) -> impl Iterator<Item = &[u8]> {
        let mut at = usize::from(le16(&self.0, 20));
        std::iter::from_fn(move || {
            let (kind, length) = (le32(&self.0, at), le32(&self.0, at + 4) as usize);
            if kind == END || length < 24 || length > self.0.len().saturating_sub(at) {
                return None;
            }
            let attribute = &self.0[at..at + length];
            at += length;
            Some(attribute)
        })
    }

    fn find(&self, kind: u32) -> Option<&[u8]> {
        // Data and bitmaps have no name; an index is named `$I30`.
        let is_named = matches!(kind, kind::INDEX_ROOT | kind::INDEX);
        self.attributes().find(|attribute| le32(attribute, 0) == kind && (byte(attribute, 9) != 0) == is_named)
    }

    /// The content of an attribute that is in the record itself.
    pub(crate) fn resident(&self, kind: u32) -> Result<&[u8], Damage> {
        let Some(attribute) = self.find(kind) else { return wrong("a file record lacks an attribute") };
        let (length, start) = (le32(attribute, 16) as usize, usize::from(le16(attribute, 20)));
        if byte(attribute, 8) != 0 || start + length > attribute.len() {
            return wrong("a file record's attribute is damaged");
        }
        Ok(&attribute[start..start + length])
    }

    /// Where the content of an attribute lies that is not in the record.
    pub(crate) fn runs(&self, kind: u32) -> Result<Runs, Damage> {
        let Some(attribute) = self.find(kind) else {
            let is_elsewhere = self.attributes().any(|attribute| le32(attribute, 0) == kind::LIST);
            return wrong(if is_elsewhere {
                "a system file is too fragmented"
            } else {
                "a file record lacks an attribute"
            });
        };
        if byte(attribute, 8) != 1 || le64(attribute, 16) != 0 {
            return wrong("a file record's attribute is damaged");
        }
        let start = usize::from(le16(attribute, 32));
        let mut runs = Runs::parse(attribute.get(start..).unwrap_or_default())?;
        (runs.size, runs.initialised) = (le64(attribute, 48), le64(attribute, 56));
        Ok(runs)
    }
}

/// Where a file's clusters lie, in order.
pub(crate) struct Runs {
    /// First cluster (none in a hole) and how many.
    runs: Vec<(Option<u64>, u64)>,
    /// Bytes of the file.
    pub(crate) size: u64,
    /// Bytes that were ever written; what follows reads as zeros.
    pub(crate) initialised: u64,
}

impl Runs {
    pub(crate) fn one(start: u64, count: u64) -> Runs {
        Runs { runs: vec![(Some(start), count)], size: 0, initialised: 0 }
    }

    /// Lengths and signed distances to the run before, each of as many bytes as a nibble says.
    pub(crate) fn parse(mut pairs: &[u8]) -> Result<Runs, Damage> {
        let (mut runs, mut cluster) = (Vec::new(), 0_i64);
        while let Some((&sizes, rest)) = pairs.split_first().filter(|(sizes, _)| **sizes != 0) {
            let (length, distance) = (usize::from(sizes & 0xf), usize::from(sizes >> 4));
            if length == 0 || length > 8 || distance > 8 || length + distance > rest.len() {
                return wrong("a file's list of clusters is damaged");
            }
            let count = signed(&rest[..length]);
            cluster = cluster.wrapping_add(signed(&rest[length..length + distance]));
            if count <= 0 || cluster < 0 {
                return wrong("a file's list of clusters is damaged");
            }
            runs.push(((distance > 0).then_some(cluster as u64), count as u64));
            pairs = &rest[length + distance..];
        }
        Ok(Runs { runs, size: 0, initialised: 0 })
    }

    /// First cluster (none in a hole) and how many, in order.
    pub(crate) fn list(&self) -> &[(Option<u64>, u64)] {
        &self.runs
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Where a file's cluster lies, and how many follow in one piece, itself included.
    pub(crate) fn find(&self, cluster: u64) -> Option<(u64, u64)> {
        let mut first = 0_u64;
        for (start, count) in &self.runs {
            let within = cluster.checked_sub(first)?;
            if within < *count {
                return Some((start.as_ref()?.checked_add(within)?, count - within));
            }
            first = first.checked_add(*count)?;
        }
        None
    }
}

fn signed(bytes: &[u8]) -> i64 {
    let fill = if bytes.last().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
    let mut whole = [fill; 8];
    whole[..bytes.len()].copy_from_slice(bytes);
    i64::from_le_bytes(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_go_forward_and_back() {
        let runs = Runs::parse(&[0x21, 0x10, 0x00, 0x01, 0x11, 0x08, 0xf0, 0x01, 0x05, 0x11, 0x01, 0x7f, 0]).unwrap();
        assert_eq!(runs.find(0), Some((0x100, 0x10)));
        assert_eq!(runs.find(0x12), Some((0xf2, 6)));
        assert_eq!(runs.find(0x18), None, "a hole");
        assert_eq!(runs.find(0x1d), Some((0x16f, 1)));
        assert_eq!(runs.find(0x1e), None);
        assert!(Runs::parse(&[0x11, 0x10]).is_err() && Runs::parse(&[0x11, 0x10, 0x80]).is_err());
    }
}
