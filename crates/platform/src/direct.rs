//! Disks past the page cache: what is read is what is on the disk, and what is written is there.
//!
//! The cache of a block device knows nothing of what a mounted filesystem writes, so a live disk is only ever read so.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::{Deref, DerefMut, Range};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::ptr::NonNull;

/// Enough for every disk's sectors.
const ALIGNMENT: usize = 4096;

const BLKROGET: libc::c_ulong = 0x125e;
const BLKSSZGET: libc::c_ulong = 0x1268;
const BLKGETSIZE64: libc::c_ulong = 0x8008_1272;
const BLKDISCARD: libc::c_ulong = 0x1277;
const BLKPBSZGET: libc::c_ulong = 0x127b;
const BLKZEROOUT: libc::c_ulong = 0x127f;

/// Memory that disks can read into and write from without a copy: its address is a multiple of 4096.
#[derive(Debug)]
pub struct AlignedBuffer {
    start: NonNull<u8>,
    size: usize,
}

// SAFETY: it owns its memory alone.
unsafe impl Send for AlignedBuffer {}
// SAFETY: shared references only read.
unsafe impl Sync for AlignedBuffer {}

impl AlignedBuffer {
    /// That many bytes of zeros, rounded up to whole 4096 and never none.
    pub fn new(size: usize) -> AlignedBuffer {
        let size = size.max(1).next_multiple_of(ALIGNMENT);
        let layout = layout(size);
        // SAFETY: the size is not zero.
        let start = unsafe { alloc_zeroed(layout) };
        AlignedBuffer { start: NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout)), size }
    }
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, ALIGNMENT).expect("buffers are small")
}

impl Deref for AlignedBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: allocated with that size, zeroed at first, ours alone.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.size) }
    }
}

impl DerefMut for AlignedBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.size) }
    }
}

impl Drop for AlignedBuffer {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with the same layout.
        unsafe { dealloc(self.start.as_ptr(), layout(self.size)) }
    }
}

/// How a disk is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Along with whoever else uses it.
    Shared,
    /// Only if nobody has mounted it or builds on it, in any namespace, and so that nobody can: else `ResourceBusy`.
    Exclusive,
}

/// A disk or a file, open past the page cache. Offsets, lengths and addresses must be whole sectors.
#[derive(Debug)]
pub struct DirectFile {
    file: File,
}

impl DirectFile {
    /// Opens for reading.
    pub fn open(path: &Path, claim: Claim) -> io::Result<DirectFile> {
        DirectFile::open_with(OpenOptions::new().read(true), path, claim)
    }

    /// Opens for reading and writing.
    pub fn open_for_writing(path: &Path, claim: Claim) -> io::Result<DirectFile> {
        DirectFile::open_with(OpenOptions::new().read(true).write(true), path, claim)
    }

    fn open_with(options: &mut OpenOptions, path: &Path, claim: Claim) -> io::Result<DirectFile> {
        let exclusive = if claim == Claim::Exclusive { libc::O_EXCL } else { 0 };
        Ok(DirectFile { file: options.custom_flags(libc::O_DIRECT | exclusive).open(path)? })
    }

    /// Fills the buffer from the offset. `UnexpectedEof` beyond the end.
    pub fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(into, offset)
    }

    /// Writes all of it at the offset.
    pub fn write_at(&self, offset: u64, from: &[u8]) -> io::Result<()> {
        self.file.write_all_at(from, offset)
    }

    /// The open file, for what is below.
    pub fn file(&self) -> &File {
        &self.file
    }
}

/// Bytes of an open block device.
pub fn device_size(device: &File) -> io::Result<u64> {
    let mut size = 0_u64;
    ask(device, BLKGETSIZE64, &mut size)?;
    Ok(size)
}

/// Bytes of the smallest piece that an open block device can read, and of the smallest that it writes well.
pub fn sector_sizes(device: &File) -> io::Result<(u32, u32)> {
    let (mut logical, mut physical) = (0_i32, 0_u32);
    ask(device, BLKSSZGET, &mut logical)?;
    ask(device, BLKPBSZGET, &mut physical)?;
    Ok((logical.unsigned_abs(), physical))
}

/// True if an open block device cannot be written.
pub fn is_read_only(device: &File) -> io::Result<bool> {
    let mut answer = 0_i32;
    ask(device, BLKROGET, &mut answer)?;
    Ok(answer != 0)
}

/// Tells an open block device that nobody wants these bytes any more; whole sectors. `Unsupported` if it does not care.
pub fn discard(device: &File, range: Range<u64>) -> io::Result<()> {
    ask(device, BLKDISCARD, &mut [range.start, range.end.saturating_sub(range.start)])
}

/// Fills bytes of an open block device with zeros, the quickest way it has; whole sectors.
pub fn zero_out(device: &File, range: Range<u64>) -> io::Result<()> {
    ask(device, BLKZEROOUT, &mut [range.start, range.end.saturating_sub(range.start)])
}

fn ask<T>(device: &File, request: libc::c_ulong, about: &mut T) -> io::Result<()> {
    // SAFETY: every request above takes the address of a value of the type that its caller passes.
    let answer = unsafe { libc::ioctl(device.as_raw_fd(), request as _, std::ptr::from_mut(about)) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_lie_where_disks_want_them() {
        let mut buffer = AlignedBuffer::new(5000);
        assert_eq!((buffer.len(), buffer.as_ptr() as usize % 4096), (8192, 0));
        buffer[8191] = 7;
        assert_eq!(buffer.iter().map(|byte| u32::from(*byte)).sum::<u32>(), 7);
    }

    #[test]
    fn a_file_is_no_block_device() {
        let file = tempfile::tempfile().unwrap();
        assert!(device_size(&file).is_err() && sector_sizes(&file).is_err() && discard(&file, 0..4096).is_err());
    }
}
