//! Reading at an offset: a device, a file, bytes in memory, or a part of any of these.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use parking_lot::Mutex;

use crate::Extents;

/// Something of a fixed size whose bytes can be read in any order by several threads.
pub trait ReadAt: Send + Sync {
    /// Bytes in all.
    fn size(&self) -> u64;

    /// Fills the buffer from the offset; beyond the end is an error (`UnexpectedEof`).
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()>;
}

impl ReadAt for [u8] {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(|_| beyond())?;
        let end = start.checked_add(into.len()).ok_or_else(beyond)?;
        into.copy_from_slice(self.get(start..end).ok_or_else(beyond)?);
        Ok(())
    }
}

impl ReadAt for Vec<u8> {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self[..].read_at(offset, into)
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn size(&self) -> u64 {
        (**self).size()
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        (**self).read_at(offset, into)
    }
}

impl<T: ReadAt + ?Sized> ReadAt for std::sync::Arc<T> {
    fn size(&self) -> u64 {
        (**self).size()
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        (**self).read_at(offset, into)
    }
}

/// A regular file, or a device opened through the page cache, whose size was asked for once.
#[derive(Debug)]
pub struct SizedFile {
    file: File,
    size: u64,
}

impl SizedFile {
    /// Takes the size from the end of the file, which is right for devices too.
    pub fn new(mut file: File) -> io::Result<SizedFile> {
        let size = io::Seek::seek(&mut file, io::SeekFrom::End(0))?;
        Ok(SizedFile { file, size })
    }
}

impl ReadAt for SizedFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(into, offset)
    }
}

/// A part of something larger: a partition of a disk.
#[derive(Clone, Copy, Debug)]
pub struct Window<R> {
    inner: R,
    start: u64,
    size: u64,
}

impl<R: ReadAt> Window<R> {
    /// The bytes from `start`, as many as `size`; none if they are not all there.
    pub fn new(inner: R, start: u64, size: u64) -> Option<Window<R>> {
        let end = start.checked_add(size)?;
        (end <= inner.size()).then_some(Window { inner, start, size })
    }
}

impl<R: ReadAt> ReadAt for Window<R> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(into.len() as u64).ok_or_else(beyond)?;
        if end > self.size {
            return Err(beyond());
        }
        self.inner.read_at(self.start + offset, into)
    }
}

/// A disk whose medium fails in places: zeros are read there, and it remembers where.
pub(crate) struct Worn<'d> {
    disk: &'d dyn ReadAt,
    /// Bytes that are lost at the least where one cannot be read.
    sector: u64,
    lost: Mutex<Extents>,
}

impl<'d> Worn<'d> {
    pub(crate) fn new(disk: &'d dyn ReadAt, sector: u64) -> Worn<'d> {
        Worn { disk, sector, lost: Mutex::default() }
    }

    /// What was asked for and could not be read.
    pub(crate) fn into_lost(self) -> Extents {
        self.lost.into_inner()
    }

    fn read_sector(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        match self.disk.read_at(offset, into) {
            Err(error) if is_of_the_medium(&error) => {
                into.fill(0);
                self.lost.lock().insert(offset..offset + into.len() as u64);
                Ok(())
            }
            outcome => outcome,
        }
    }
}

impl ReadAt for Worn<'_> {
    fn size(&self) -> u64 {
        self.disk.size()
    }

    fn read_at(&self, mut offset: u64, mut into: &mut [u8]) -> io::Result<()> {
        match self.disk.read_at(offset, into) {
            Err(error) if is_of_the_medium(&error) => (),
            outcome => return outcome,
        }
        while !into.is_empty() {
            let length = (self.sector - offset % self.sector).min(into.len() as u64);
            let (part, rest) = into.split_at_mut(length as usize);
            self.read_sector(offset, part)?;
            (offset, into) = (offset + length, rest);
        }
        Ok(())
    }
}

/// Linux' numbers for errors that a part of a medium has, not the whole disk: EIO, ENODATA, EILSEQ, EREMOTEIO.
const MEDIUM_ERRORS: [i32; 4] = [5, 61, 84, 121];

pub(crate) fn is_of_the_medium(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|number| MEDIUM_ERRORS.contains(&number))
}

fn beyond() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "read beyond the end")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_shows_its_part_and_nothing_beyond() {
        let disk: Vec<u8> = (0..100).collect();
        let window = Window::new(&disk, 10, 20).unwrap();
        let mut four = [0; 4];
        window.read_at(16, &mut four).unwrap();
        assert_eq!(four, [26, 27, 28, 29]);
        assert!(window.read_at(17, &mut four).is_err() && window.read_at(u64::MAX, &mut four).is_err());
        assert!(Window::new(&disk, 90, 11).is_none() && Window::new(&disk, u64::MAX, 2).is_none());
    }
}
