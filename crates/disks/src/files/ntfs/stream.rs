//! The content of an attribute: in its record, or in runs of clusters that one or many records tell, some of them packed.

use super::{Ntfs, damaged};
use crate::files::{PIECE, Result, Take, lznt1};
use crate::used::fields::{byte, le16, le32, le64, part};
use crate::used::ntfs::record::{Record, Runs, kind};

/// Runs of one file; more are not kept in memory.
const MOST_RUNS: usize = 2 << 20;

/// Bytes of a list of attributes; Windows has 256 KiB.
const LONGEST_LIST: u64 = 1 << 20;

/// A stream's content and where it lies.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// Bytes.
    pub(super) size: u64,
    /// True if its bytes mean nothing without a key.
    pub(super) is_encrypted: bool,
    /// Bytes that were ever written; what follows reads as zeros.
    initialised: u64,
    /// Its content, if it is in the record.
    resident: Option<Vec<u8>>,
    /// First cluster (none in a hole) and how many.
    runs: Vec<(Option<u64>, u64)>,
    /// Clusters that were packed together; 1 if none were.
    unit: u64,
}

/// An attribute of a record.
struct Attribute<'r>(&'r [u8]);

impl Attribute<'_> {
    fn is(&self, kind: u32, name: &[u16]) -> bool {
        let length = usize::from(byte(self.0, 9));
        let own = part(self.0, usize::from(le16(self.0, 10)), length * 2);
        le32(self.0, 0) == kind && length == name.len() && own.chunks(2).zip(name).all(|(a, b)| le16(a, 0) == *b)
    }

    fn is_resident(&self) -> bool {
        byte(self.0, 8) == 0
    }

    /// The number of its first cluster within the stream.
    fn first(&self) -> u64 {
        if self.is_resident() { 0 } else { le64(self.0, 16) }
    }

    fn content(&self) -> Result<&[u8]> {
        let (length, start) = (le32(self.0, 16) as usize, usize::from(le16(self.0, 20)));
        self.0.get(start..start.saturating_add(length)).ok_or_else(|| damaged("a file record's attribute is damaged"))
    }

    fn runs(&self) -> Result<Runs> {
        Ok(Runs::parse(self.0.get(usize::from(le16(self.0, 32))..).unwrap_or_default())?)
    }

    /// Sizes and flags, which the first part of a stream has.
    fn head(&self) -> Result<Stream> {
        let flags = le16(self.0, 12);
        let is_encrypted = flags & 0x4000 != 0;
        if self.is_resident() {
            let content = self.content()?.to_vec();
            let size = content.len() as u64;
            return Ok(Stream { size, is_encrypted, initialised: size, resident: Some(content), ..Stream::default() });
        }
        let power = match flags & 0xff {
            0 => 0,
            1 => u32::from(byte(self.0, 34)),
            _ => return Err(damaged("a file is compressed in a way that NTFS does not have")),
        };
        if power > 6 {
            return Err(damaged("a file record's attribute is damaged"));
        }
        let (size, initialised) = (le64(self.0, 48), le64(self.0, 56));
        Ok(Stream { size, is_encrypted, initialised, resident: None, runs: Vec::new(), unit: 1 << power })
    }
}

fn find<'r>(record: &'r Record, kind: u32, name: &[u16], first: u64) -> Option<Attribute<'r>> {
    record.attributes().map(Attribute).find(|attribute| attribute.is(kind, name) && attribute.first() == first)
}

impl Stream {
    fn add(&mut self, attribute: &Attribute<'_>) -> Result<()> {
        if self.resident.is_some() {
            return Ok(());
        }
        let runs = attribute.runs()?;
        if self.runs.len() + runs.list().len() > MOST_RUNS {
            return Err(damaged("a file is in too many pieces"));
        }
        self.runs.extend_from_slice(runs.list());
        Ok(())
    }

    fn clusters(&self) -> u64 {
        self.runs.iter().fold(0, |sum: u64, (_, count)| sum.saturating_add(*count))
    }
}

impl Ntfs {
    /// The part of a stream that a record itself has.
    pub(super) fn first_part(&self, record: &Record, kind: u32, name: &[u16]) -> Result<Stream> {
        let attribute = find(record, kind, name, 0).ok_or_else(|| damaged("a file record lacks an attribute"))?;
        let mut stream = attribute.head()?;
        stream.add(&attribute)?;
        Ok(stream)
    }

    /// Size and flags of a stream, without its runs.
    pub(super) fn head(&self, number: u64, record: &Record, kind: u32, name: &[u16]) -> Result<Option<Stream>> {
        if let Some(attribute) = find(record, kind, name, 0) {
            return attribute.head().map(Some);
        }
        let parts = self.parts(record, kind, name)?;
        let Some((_, holder)) = parts.iter().find(|(first, holder)| *first == 0 && *holder != number) else {
            return Ok(None);
        };
        find(&self.record(*holder)?, kind, name, 0).map(|attribute| attribute.head()).transpose()
    }

    /// A stream with all its parts, wherever they are told; `None` if the file has none of that kind and name.
    pub(super) fn stream(&self, number: u64, record: &Record, kind: u32, name: &[u16]) -> Result<Option<Stream>> {
        let parts = self.parts(record, kind, name)?;
        if parts.is_empty() {
            let there = find(record, kind, name, 0).is_some();
            return if there { self.first_part(record, kind, name).map(Some) } else { Ok(None) };
        }
        let mut whole: Option<Stream> = None;
        for (first, holder) in parts {
            let other = if holder == number { None } else { Some(self.record(holder)?) };
            let attribute = find(other.as_ref().unwrap_or(record), kind, name, first);
            let attribute = attribute.ok_or_else(|| damaged("a part of a file is not where it should be"))?;
            let stream = match &mut whole {
                None if first == 0 => whole.insert(attribute.head()?),
                Some(stream) if stream.clusters() == first => stream,
                _ => return Err(damaged("the parts of a file do not fit together")),
            };
            stream.add(&attribute)?;
        }
        Ok(whole)
    }

    /// First cluster and record number of each part of a stream, by the list of attributes; empty without such a list.
    fn parts(&self, record: &Record, kind: u32, name: &[u16]) -> Result<Vec<(u64, u64)>> {
        let Some(attribute) = find(record, kind::LIST, &[], 0) else { return Ok(Vec::new()) };
        let mut list = attribute.head()?;
        list.add(&attribute)?;
        let list = self.whole(&list, LONGEST_LIST)?;
        let (mut parts, mut at) = (Vec::new(), 0);
        while at + 26 <= list.len() {
            let length = usize::from(le16(&list, at + 4));
            if length < 26 {
                break;
            }
            let entry = part(&list, at, length);
            let characters = usize::from(byte(entry, 6));
            let own = part(entry, usize::from(byte(entry, 7)), characters * 2);
            let is_named = characters == name.len() && own.chunks(2).zip(name).all(|(a, b)| le16(a, 0) == *b);
            if le32(entry, 0) == kind && is_named {
                parts.push((le64(entry, 8), le64(entry, 16) & 0xffff_ffff_ffff));
            }
            at += length;
        }
        parts.sort_unstable();
        Ok(parts)
    }

    /// All of a short stream.
    pub(super) fn whole(&self, stream: &Stream, longest: u64) -> Result<Vec<u8>> {
        if stream.size > longest {
            return Err(damaged(format!("something of {} bytes should have {longest} at most", stream.size)));
        }
        let mut all = Vec::with_capacity(stream.size as usize);
        self.read_stream(stream, &mut |piece| {
            all.extend_from_slice(piece);
            Ok(())
        })?;
        Ok(all)
    }

    /// Reads at any place of a stream that is not packed.
    pub(super) fn read_at(&self, stream: &Stream, offset: u64, into: &mut [u8]) -> Result<()> {
        let cluster = self.shape.cluster;
        let (mut begin, mut done) = (0_u64, 0);
        for (start, count) in &stream.runs {
            let end = begin.saturating_add(count.saturating_mul(cluster));
            let at = offset + done as u64;
            if at >= begin && at < end {
                let length = (end - at).min((into.len() - done) as u64) as usize;
                self.fill(*start, at - begin, &mut into[done..done + length])?;
                done += length;
                if done == into.len() {
                    return Ok(());
                }
            }
            begin = end;
        }
        Err(damaged("a file's part is not on the volume"))
    }

    /// Bytes of a run; zeros of a hole.
    fn fill(&self, start: Option<u64>, within: u64, into: &mut [u8]) -> Result<()> {
        let Some(start) = start else {
            into.fill(0);
            return Ok(());
        };
        let end = self.shape.clusters.saturating_mul(self.shape.cluster);
        let offset = start.checked_mul(self.shape.cluster).and_then(|offset| offset.checked_add(within));
        let offset = offset.filter(|offset| offset.checked_add(into.len() as u64).is_some_and(|last| last <= end));
        let offset = offset.ok_or_else(|| damaged("a file's part is not on the volume"))?;
        Ok(self.source.read_into("a file", offset, into)?)
    }

    pub(super) fn read_stream(&self, stream: &Stream, each: Take<'_>) -> Result<()> {
        if let Some(content) = &stream.resident {
            return if content.is_empty() { Ok(()) } else { each(content) };
        }
        let written = stream.size.min(stream.initialised);
        match stream.unit {
            1 => self.read_runs(stream, written, each)?,
            unit => self.read_packed(stream, unit, written, each)?,
        }
        zeros(stream.size - written, each)
    }

    fn read_runs(&self, stream: &Stream, written: u64, each: Take<'_>) -> Result<()> {
        let (mut left, mut piece) = (written, vec![0; PIECE.min(written) as usize]);
        for (start, count) in &stream.runs {
            let length = count.saturating_mul(self.shape.cluster).min(left);
            let mut done = 0;
            while done < length {
                let part = PIECE.min(length - done) as usize;
                self.fill(*start, done, &mut piece[..part])?;
                each(&piece[..part])?;
                done += part as u64;
            }
            left -= length;
        }
        if left > 0 { Err(damaged("a file ends before its size")) } else { Ok(()) }
    }

    /// Unit by unit: a unit without holes is as it is, one of holes only is zeros, any other is packed into what it has.
    fn read_packed(&self, stream: &Stream, unit: u64, written: u64, each: Take<'_>) -> Result<()> {
        let cluster = self.shape.cluster;
        let size = (unit * cluster) as usize;
        let (mut left, mut packed, mut plain) = (written, Vec::with_capacity(size), Vec::with_capacity(size));
        let mut clusters =
            stream.runs.iter().flat_map(|(start, count)| (0..*count).map(move |at| start.map(|one| one + at)));
        while left > 0 {
            packed.clear();
            for start in clusters.by_ref().take(unit as usize).flatten() {
                let begin = packed.len();
                packed.resize(begin + cluster as usize, 0);
                self.fill(Some(start), 0, &mut packed[begin..])?;
            }
            let length = left.min(size as u64) as usize;
            if packed.len() == size {
                each(&packed[..length])?;
            } else if packed.is_empty() {
                zeros(length as u64, each)?;
            } else {
                lznt1::unpack(&packed, size, &mut plain).ok_or_else(|| damaged("a compressed file is damaged"))?;
                each(&plain[..length])?;
            }
            left -= length as u64;
        }
        Ok(())
    }
}

fn zeros(mut count: u64, each: Take<'_>) -> Result<()> {
    if count == 0 {
        return Ok(());
    }
    let piece = vec![0; PIECE.min(count) as usize];
    while count > 0 {
        let length = count.min(PIECE) as usize;
        each(&piece[..length])?;
        count -= length as u64;
    }
    Ok(())
}
