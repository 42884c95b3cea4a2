//! What is restored to: a device past the page cache, or a file with holes.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use platform::direct::{self, AlignedBuffer, Claim, DirectFile};

use super::Unused;

/// An open target. Shared by threads.
pub(super) struct Target {
    file: File,
    medium: Medium,
    size: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Medium {
    /// A file; `fresh` if it was made or emptied now, so that it is all holes.
    File { fresh: bool },
    /// A device with sectors of so many bytes.
    Device { sector: usize },
}

/// What happens to a file that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Existing {
    /// Its content stays and is compared.
    Keep,
    /// It is emptied.
    Empty,
}

impl Target {
    /// Opens a file, or makes it; nothing in it changes yet.
    pub(super) fn file(path: &Path) -> io::Result<Target> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let size = file.metadata()?.len();
        Ok(Target { file, medium: Medium::File { fresh: false }, size })
    }

    /// Gives a file its size, before anything is written to it. Devices have theirs.
    pub(super) fn begin(&mut self, size: u64, existing: Existing) -> io::Result<()> {
        let Medium::File { fresh } = &mut self.medium else { return Ok(()) };
        if existing == Existing::Empty {
            self.file.set_len(0)?;
        }
        *fresh = self.file.metadata()?.len() == 0;
        self.file.set_len(size)?;
        self.size = size;
        Ok(())
    }

    /// Opens a device.
    pub(super) fn device(path: &Path, claim: Claim) -> io::Result<Target> {
        let file = DirectFile::open_for_writing(path, claim)?.file().try_clone()?;
        let (size, sector) = (direct::device_size(&file)?, direct::sector_sizes(&file)?.0 as usize);
        Ok(Target { file, medium: Medium::Device { sector }, size })
    }

    /// A file of this program's own, all holes.
    pub(super) fn scratch(file: File, size: u64) -> Target {
        Target { file, medium: Medium::File { fresh: true }, size }
    }

    /// The open file or device.
    pub(super) fn as_file(&self) -> &File {
        &self.file
    }

    /// Bytes of the smallest part that can be written.
    pub(super) fn sector(&self) -> u32 {
        match self.medium {
            Medium::File { .. } => 512,
            Medium::Device { sector } => sector as u32,
        }
    }

    /// True if everything reads as zeros that was not written.
    pub(super) fn is_fresh(&self) -> bool {
        self.medium == Medium::File { fresh: true }
    }

    /// Bytes of a range's length on the target: whole sectors on devices.
    fn whole(&self, offset: u64, length: usize) -> usize {
        match self.medium {
            Medium::File { .. } => length,
            Medium::Device { sector } => {
                let room = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
                length.next_multiple_of(sector).min(room.max(length))
            }
        }
    }

    /// Writes a chunk, by way of the buffer where the device needs it; a cut sector is filled up with zeros.
    pub(super) fn write(&self, offset: u64, content: &[u8], buffer: &mut Aligned) -> io::Result<()> {
        if let Medium::File { .. } = self.medium {
            return self.file.write_all_at(content, offset);
        }
        let whole = self.whole(offset, content.len());
        let aligned = buffer.of(whole);
        aligned[..content.len()].copy_from_slice(content);
        aligned[content.len()..].fill(0);
        self.file.write_all_at(aligned, offset)
    }

    /// Writes bytes of any number at any place; what shares a sector with them stays.
    pub(super) fn overwrite(&self, offset: u64, content: &[u8], buffer: &mut Aligned) -> io::Result<()> {
        let sector = u64::from(self.sector());
        let start = offset / sector * sector;
        let end = (offset + content.len() as u64).next_multiple_of(sector).min(self.size);
        let mut whole = self.read(start, (end - start) as usize, buffer)?.to_vec();
        let at = (offset - start) as usize;
        let place = whole.get_mut(at..at + content.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        place.copy_from_slice(content);
        self.write(start, &whole, buffer)
    }

    /// Reads a range into the buffer.
    pub(super) fn read<'b>(&self, offset: u64, length: usize, buffer: &'b mut Aligned) -> io::Result<&'b [u8]> {
        let aligned = buffer.of(self.whole(offset, length));
        self.file.read_exact_at(aligned, offset)?;
        Ok(&aligned[..length])
    }

    /// Does with a range of zeros what is asked for.
    pub(super) fn zero(&self, range: Range<u64>, unused: Unused, buffer: &mut Aligned) -> io::Result<()> {
        let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let whole = range.start..range.start + self.whole(range.start, length) as u64;
        let done = match (self.medium, unused) {
            (Medium::File { fresh: true }, _) | (_, Unused::Leave) => return Ok(()),
            (Medium::File { .. }, _) => platform::punch_hole(&self.file, range.clone()),
            (Medium::Device { .. }, Unused::Discard) => match direct::discard(&self.file, whole.clone()) {
                // A device that cannot be told so does not need to know.
                Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
                done => done,
            },
            (Medium::Device { .. }, Unused::Zero) => direct::zero_out(&self.file, whole.clone()),
        };
        match done {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => self.write_zeros(range, buffer),
            done => done,
        }
    }

    fn write_zeros(&self, range: Range<u64>, buffer: &mut Aligned) -> io::Result<()> {
        let zeros = vec![0; crate::CHUNK as usize];
        let mut at = range.start;
        while at < range.end {
            let length = (range.end - at).min(crate::CHUNK);
            self.write(at, &zeros[..length as usize], buffer)?;
            at += length;
        }
        Ok(())
    }

    /// Makes what was written durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }
}

/// Memory that devices take without a copy, as much as was needed so far.
#[derive(Default)]
pub(super) struct Aligned(Option<AlignedBuffer>);

impl Aligned {
    fn of(&mut self, length: usize) -> &mut [u8] {
        if self.0.as_ref().is_none_or(|buffer| buffer.len() < length) {
            self.0 = None;
        }
        let buffer = self.0.get_or_insert_with(|| AlignedBuffer::new(length.max(crate::CHUNK as usize)));
        &mut buffer[..length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_at_every_length() {
        let mut buffer = Aligned::default();
        for length in [1, 512, 1 << 20, 4096] {
            let part = buffer.of(length);
            assert_eq!((part.len(), part.as_ptr().align_offset(4096)), (length, 0));
        }
    }

    #[test]
    fn a_file_gets_holes_where_it_had_something_else() {
        let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        std::fs::write(&path, vec![7; 3 << 20]).unwrap();
        let mut target = Target::file(&path).unwrap();
        target.begin(3 << 20, Existing::Keep).unwrap();
        let mut buffer = Aligned::default();
        target.zero(0..1 << 20, Unused::Zero, &mut buffer).unwrap();
        target.write((1 << 20) + 5, b"hello", &mut buffer).unwrap();
        let content = std::fs::read(&path).unwrap();
        assert!(content.len() == 3 << 20 && content[..1 << 20].iter().all(|byte| *byte == 0));
        assert_eq!(target.read((1 << 20) + 4, 7, &mut buffer).unwrap(), b"\x07hello\x07");
    }
}
