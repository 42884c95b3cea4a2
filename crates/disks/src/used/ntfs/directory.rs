//! Looking for a name in a directory: every entry of its index is looked at, in whatever order.

use super::super::fields::{byte, le16, le32, le64, wide_text};
use super::super::source::{Damage, wrong};
use super::Ntfs;
use super::record::{Record, kind};

/// Blocks of an index that are looked at; a root directory has few.
const MOST: u64 = 1 << 14;

/// The number of a file's record, if the directory has that name; case does not matter.
pub(super) fn find(ntfs: &Ntfs<'_>, directory: u64, name: &str) -> Result<Option<u64>, Damage> {
    let record = ntfs.file(directory)?;
    let root = record.resident(kind::INDEX_ROOT)?;
    let block = u64::from(le32(root, 8));
    if let Some(number) = find_in(root.get(16..).unwrap_or_default(), name) {
        return Ok(Some(number));
    }
    // Bit 0: there is more than fits into the record.
    if byte(root, 16 + 12) & 1 == 0 {
        return Ok(None);
    }
    if !block.is_power_of_two() || !(512..=65536).contains(&block) {
        return wrong("a directory's index is damaged");
    }
    let runs = record.runs(kind::INDEX)?;
    for number in 0..(runs.size / block).min(MOST) {
        let place = ntfs.place(&runs, number * block, block)?;
        let bytes = ntfs.source.record("a directory's index", place, block)?;
        // Blocks that were never used have no name.
        let Ok(index) = Record::parse(bytes, b"INDX") else { continue };
        if let Some(found) = find_in(index.bytes().get(24..).unwrap_or_default(), name) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Looks through entries; `node` begins with where they are.
fn find_in(node: &[u8], name: &str) -> Option<u64> {
    let (mut at, end) = (le32(node, 0) as usize, (le32(node, 4) as usize).min(node.len()));
    while at.checked_add(16).is_some_and(|head| head <= end) {
        let (length, flags) = (usize::from(le16(node, at + 8)), le16(node, at + 12));
        if flags & 2 != 0 || length < 16 {
            return None;
        }
        // The file's name is 66 bytes into the key, its length two before.
        let characters = usize::from(byte(node, at + 16 + 64));
        let found = wide_text(node, at + 16 + 66, characters);
        if found.is_some_and(|found| found.eq_ignore_ascii_case(name)) {
            return Some(le64(node, at) & 0xffff_ffff_ffff);
        }
        at += length;
    }
    None
}
