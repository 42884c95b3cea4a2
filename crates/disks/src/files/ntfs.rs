//! Files of NTFS: fragmented, sparse, compressed and those with parts that were never written; links of Windows, of WSL and of
//! ntfs-3g. What is encrypted, or compressed in the newer way of Windows (WOF), is found and not read.
//!
//! Streams beside a file's content, owners and access lists are not read.

mod directory;
mod stream;

use platform::{FileType, Time};

use super::{Bytes, Each, Entry, FilesError, Filesystem, Handle, Result, Take};
use crate::used::fields::{le16, le32, le64, part};
use crate::used::ntfs::Shape;
use crate::used::ntfs::record::{Record, kind};
use crate::used::source::Source;
use stream::Stream;

const MFT: u64 = 0;
const ROOT: u64 = 5;

/// Records below this are the filesystem's own.
const FIRST_FILE: u64 = 16;

/// The name of a directory's index.
const INDEX_NAME: &[u16] = &[b'$' as u16, b'I' as u16, b'3' as u16, b'0' as u16];

pub(super) struct Ntfs {
    source: Source<'static>,
    shape: Shape,
    /// Where the file records are.
    files: Stream,
}

/// A reparse point's tags.
mod tag {
    pub(super) const MOUNT_POINT: u32 = 0xa000_0003;
    pub(super) const SYMLINK: u32 = 0xa000_000c;
    pub(super) const LX_SYMLINK: u32 = 0xa000_001d;
    pub(super) const DEDUP: u32 = 0x8000_0013;
    pub(super) const WOF: u32 = 0x8000_0017;
}

/// Attributes in the standard information.
const SYSTEM: u32 = 0x4;
const REPARSE_POINT: u32 = 0x400;

/// What files begin with that ntfs-3g shows as links.
const INTERIX_LINK: &[u8] = b"IntxLNK\x01";

/// The largest reparse point.
const LONGEST_REPARSE: u64 = 16 << 10;

impl Ntfs {
    pub(super) fn open(volume: Bytes) -> Result<Ntfs> {
        let source = Source::new(volume);
        let boot = source.record("the NTFS boot sector", 0, 512)?;
        let shape = Shape::parse(&boot, source.size())?;
        let first = shape.files.checked_mul(shape.cluster).ok_or_else(|| damaged("the file records are nowhere"))?;
        let record = Record::parse(source.record("a file record", first, shape.record)?, b"FILE")?;
        let mut ntfs = Ntfs { source, shape, files: Stream::default() };
        // Its own beginning leads to the rest of it.
        ntfs.files = ntfs.first_part(&record, kind::DATA, &[])?;
        ntfs.files =
            ntfs.stream(MFT, &record, kind::DATA, &[])?.ok_or_else(|| damaged("the file records are nowhere"))?;
        Ok(ntfs)
    }

    fn record(&self, number: u64) -> Result<Record> {
        let offset = number.checked_mul(self.shape.record).filter(|at| *at < self.files.size);
        let mut bytes = vec![0; self.shape.record as usize];
        let offset = offset.ok_or_else(|| damaged(format!("there is no file record {number}")))?;
        self.read_at(&self.files, offset, &mut bytes)?;
        Ok(Record::parse(bytes, b"FILE")?)
    }

    /// What a record says of the file; `None` if nothing uses it.
    fn entry(&self, name: Vec<u8>, number: u64) -> Result<Option<Entry>> {
        let record = self.record(number)?;
        let flags = le16(record.bytes(), 22);
        if flags & 1 == 0 {
            return Ok(None);
        }
        let file_type = if flags & 2 == 0 { FileType::Regular } else { FileType::Directory };
        let mut entry = Entry::new(name, file_type, Handle::Record(number));
        entry.inode = number;
        let information = record.resident(0x10).unwrap_or_default();
        (entry.modified, entry.changed) = (time(le64(information, 8)), time(le64(information, 16)));
        entry.accessed = time(le64(information, 24));
        let attributes = le32(information, 32);
        if file_type == FileType::Regular {
            self.take_size(&mut entry, &record)?;
        }
        if attributes & REPARSE_POINT != 0 {
            self.take_reparse(&mut entry, &record)?;
        } else if attributes & SYSTEM != 0 && (1..=4096).contains(&entry.size) && self.interix_link(&entry)?.is_some() {
            (entry.file_type, entry.size) = (FileType::Symlink, 0);
        }
        Ok(Some(entry))
    }

    fn take_size(&self, entry: &mut Entry, record: &Record) -> Result<()> {
        let Handle::Record(number) = entry.handle else { return Ok(()) };
        let Some(head) = self.head(number, record, kind::DATA, &[])? else { return Ok(()) };
        entry.size = head.size;
        if head.is_encrypted {
            entry.trouble = Some("it is encrypted by Windows (EFS)".into());
        }
        Ok(())
    }

    fn take_reparse(&self, entry: &mut Entry, record: &Record) -> Result<()> {
        let Some(reparse) = self.reparse(entry, record)? else { return Ok(()) };
        match le32(&reparse, 0) {
            tag::SYMLINK | tag::MOUNT_POINT | tag::LX_SYMLINK => {
                (entry.file_type, entry.size, entry.mode) = (FileType::Symlink, 0, 0o777);
            }
            tag::WOF => {
                entry.trouble = Some("it is compressed in the newer way of Windows (WOF), which is not read".into())
            }
            tag::DEDUP => {
                entry.trouble = Some("its content is in the chunk store of Windows Server, which is not read".into())
            }
            _ => {}
        }
        Ok(())
    }

    fn reparse(&self, entry: &Entry, record: &Record) -> Result<Option<Vec<u8>>> {
        let Handle::Record(number) = entry.handle else { return Ok(None) };
        let Some(stream) = self.stream(number, record, 0xc0, &[])? else { return Ok(None) };
        self.whole(&stream, LONGEST_REPARSE).map(Some)
    }

    /// Where a file points that ntfs-3g made a link.
    fn interix_link(&self, entry: &Entry) -> Result<Option<Vec<u8>>> {
        let Handle::Record(number) = entry.handle else { return Ok(None) };
        let Some(stream) = self.stream(number, &self.record(number)?, kind::DATA, &[])? else { return Ok(None) };
        let content = self.whole(&stream, 8192)?;
        Ok(content.strip_prefix(INTERIX_LINK).map(wtf8))
    }
}

impl Filesystem for Ntfs {
    fn root(&self) -> Result<Entry> {
        match self.entry(Vec::new(), ROOT)? {
            Some(root) if root.is_directory() => Ok(root),
            _ => Err(damaged("its root is no directory")),
        }
    }

    fn list(&self, directory: &Entry, each: Each<'_>) -> Result<()> {
        let number = number(directory)?;
        self.names(number, &mut |name, reference| {
            let child = reference & 0xffff_ffff_ffff;
            if number == ROOT && child < FIRST_FILE {
                return Ok(());
            }
            let unknown =
                |trouble: String| Entry::new(name.clone(), FileType::Unknown, Handle::Record(child)).troubled(trouble);
            each(match self.entry(name.clone(), child) {
                Ok(Some(entry)) => entry,
                Ok(None) => unknown("its directory names it, but nothing is there".into()),
                Err(error) => unknown(error.to_string()),
            })
        })
    }

    fn read(&self, file: &Entry, each: Take<'_>) -> Result<()> {
        let number = number(file)?;
        let record = self.record(number)?;
        match self.stream(number, &record, kind::DATA, &[])? {
            Some(stream) if stream.is_encrypted => {
                Err(FilesError::Unsupported("it is encrypted by Windows (EFS)".into()))
            }
            Some(stream) => self.read_stream(&stream, each),
            None => Ok(()),
        }
    }

    fn link(&self, link: &Entry) -> Result<Vec<u8>> {
        let record = self.record(number(link)?)?;
        match self.reparse(link, &record)? {
            Some(reparse) => target(&reparse).ok_or_else(|| damaged("a link is damaged")),
            None => self.interix_link(link)?.ok_or_else(|| FilesError::NotAFile(super::shown(&link.name))),
        }
    }

    /// Windows does not mind the letters' case.
    fn is_named(&self, entry: &Entry, name: &[u8]) -> bool {
        super::is_same_but_case(&entry.name, name)
    }
}

fn number(entry: &Entry) -> Result<u64> {
    match entry.handle {
        Handle::Record(number) => Ok(number),
        _ => Err(FilesError::NotThere(super::shown(&entry.name))),
    }
}

fn damaged(what: impl Into<String>) -> FilesError {
    FilesError::Damaged(what.into())
}

/// Where a reparse point leads, with slashes in place of backslashes.
fn target(reparse: &[u8]) -> Option<Vec<u8>> {
    let data = part(reparse, 8, usize::from(le16(reparse, 4)));
    let names = match le32(reparse, 0) {
        tag::LX_SYMLINK => return data.get(4..).filter(|target| !target.is_empty()).map(<[u8]>::to_vec),
        tag::SYMLINK => data.get(12..)?,
        tag::MOUNT_POINT => data.get(8..)?,
        _ => return None,
    };
    let name = |at: usize| part(names, usize::from(le16(data, at)), usize::from(le16(data, at + 2)));
    // The second name is for people; the first, for the kernel, may begin with `\??\`.
    let chosen = if name(4).is_empty() { name(0) } else { name(4) };
    let mut target = wtf8(chosen);
    if target.starts_with(b"\\??\\") {
        target.drain(..4);
    }
    target.iter_mut().filter(|byte| **byte == b'\\').for_each(|byte| *byte = b'/');
    (!target.is_empty()).then_some(target)
}

/// 16-bit characters as UTF-8; halves of pairs keep their number, so that different names stay different.
pub(super) fn wtf8(units: &[u8]) -> Vec<u8> {
    let units = units.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
    let mut out = Vec::new();
    for character in char::decode_utf16(units) {
        match character {
            Ok(character) => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            Err(half) => {
                let half = half.unpaired_surrogate();
                let low = |shift: u32| 0x80 | (half >> shift & 0x3f) as u8;
                out.extend_from_slice(&[0xe0 | (half >> 12) as u8, low(6), low(0)]);
            }
        }
    }
    out
}

/// Intervals of 100 ns since 1601.
fn time(intervals: u64) -> Time {
    const PER_SECOND: u64 = 10_000_000;
    let seconds = (intervals / PER_SECOND) as i64 - 11_644_473_600;
    Time { seconds, nanoseconds: (intervals % PER_SECOND * 100) as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_halves_of_pairs_apart() {
        let units = |units: &[u16]| units.iter().flat_map(|unit| unit.to_le_bytes()).collect::<Vec<u8>>();
        assert_eq!(wtf8(&units(&[0x61, 0xd83d, 0xde00])), "a😀".as_bytes());
        assert_ne!(wtf8(&units(&[0xd83d])), wtf8(&units(&[0xd83e])));
    }

    #[test]
    fn times_count_from_1601() {
        assert_eq!(time(116_444_736_000_000_000), Time { seconds: 0, nanoseconds: 0 });
        assert_eq!(time(0).seconds, -11_644_473_600);
        assert!(time(u64::MAX).nanoseconds < 1_000_000_000);
    }

    #[test]
    fn links_of_windows_lead_where_people_read_it() {
        let text = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        let (kernel, people) = (text("\\??\\C:\\Users"), text("C:\\Users"));
        let mut data = Vec::new();
        for field in [0, kernel.len(), kernel.len(), people.len()] {
            data.extend_from_slice(&(field as u16).to_le_bytes());
        }
        data.extend([kernel, people].concat());
        let mut reparse = tag::MOUNT_POINT.to_le_bytes().to_vec();
        reparse.extend((data.len() as u16).to_le_bytes());
        reparse.extend([0, 0]);
        reparse.extend(data);
        assert_eq!(target(&reparse).as_deref(), Some(b"C:/Users".as_slice()));
        assert_eq!(target(&reparse[..12]), None);
    }
}
