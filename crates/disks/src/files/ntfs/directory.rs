//! A directory of NTFS: the names in its record and in the blocks of its index that are in use, whatever tree they form.

use super::{INDEX_NAME, Ntfs, damaged, wtf8};
use crate::files::Result;
use crate::used::fields::{byte, le16, le32, le64, part};
use crate::used::ntfs::record::{Record, kind};

/// Takes a name and a reference to its file record.
type EachName<'e> = &'e mut dyn FnMut(Vec<u8>, u64) -> Result<()>;

/// The kind of attribute that tells which blocks of an index are in use.
const BITMAP: u32 = 0xb0;

/// Bytes of that attribute: a directory of 500,000 entries has far fewer blocks.
const LONGEST_BITMAP: u64 = 64 << 10;

/// The space of names that have a longer name beside them.
const DOS: u8 = 2;

impl Ntfs {
    pub(super) fn names(&self, number: u64, each: EachName<'_>) -> Result<()> {
        let record = self.record(number)?;
        let root = self.stream(number, &record, kind::INDEX_ROOT, INDEX_NAME)?;
        let root = self.whole(&root.ok_or_else(|| damaged("a directory has no index"))?, self.shape.record)?;
        let block = u64::from(le32(&root, 8));
        names_in(root.get(16..).unwrap_or_default(), each)?;
        let Some(index) = self.stream(number, &record, kind::INDEX, INDEX_NAME)? else { return Ok(()) };
        if !block.is_power_of_two() || !(512..=65536).contains(&block) {
            return Err(damaged("a directory's index is damaged"));
        }
        let bitmap = self.stream(number, &record, BITMAP, INDEX_NAME)?;
        let bitmap = self.whole(&bitmap.ok_or_else(|| damaged("a directory has no bitmap"))?, LONGEST_BITMAP)?;
        let mut bytes = vec![0; block as usize];
        // The index may claim to be as long as it likes.
        let blocks = (index.size / block).min(bitmap.len() as u64 * 8);
        for at in (0..blocks).filter(|at| byte(&bitmap, (at / 8) as usize) >> (at % 8) & 1 != 0) {
            self.read_at(&index, at * block, &mut bytes)?;
            let index = Record::parse(bytes.clone(), b"INDX")?;
            names_in(index.bytes().get(24..).unwrap_or_default(), each)?;
        }
        Ok(())
    }
}

/// Goes through entries; `node` begins with where they are.
fn names_in(node: &[u8], each: EachName<'_>) -> Result<()> {
    let (mut at, end) = (le32(node, 0) as usize, (le32(node, 4) as usize).min(node.len()));
    while at.checked_add(16).is_some_and(|head| head <= end) {
        let (length, flags) = (usize::from(le16(node, at + 8)), le16(node, at + 12));
        if flags & 2 != 0 {
            break;
        }
        if length < 16 || at + length > end {
            return Err(damaged("a directory's index is damaged"));
        }
        let key = part(node, at + 16, length - 16);
        let name = part(key, 66, usize::from(byte(key, 64)) * 2);
        if !name.is_empty() && byte(key, 65) != DOS {
            each(wtf8(name), le64(node, at))?;
        }
        at += length;
    }
    Ok(())
}
