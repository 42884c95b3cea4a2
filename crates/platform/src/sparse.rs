//! Holes in files: finding, making, and reserving space against them.

use std::fs::File;
use std::io;
use std::ops::Range;

use rustix::fs::{FallocateFlags, SeekFrom};
use rustix::io::Errno;

/// A part of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Span {
    /// Nothing is stored here; it reads as zeros.
    Hole(Range<u64>),
    /// Something may be stored here.
    Data(Range<u64>),
}

/// The span that begins at `from`, in a file of `size` bytes; `None` at its end. A file system that cannot tell holes has
/// none. Moves the file's position.
pub fn next_span(file: &File, from: u64, size: u64) -> io::Result<Option<Span>> {
    if from >= size {
        return Ok(None);
    }
    let data = match rustix::fs::seek(file, SeekFrom::Data(from)) {
        Ok(at) => at.min(size),
        Err(Errno::NXIO) => size,
        Err(Errno::INVAL | Errno::NOTSUP) => return Ok(Some(Span::Data(from..size))),
        Err(error) => return Err(error.into()),
    };
    if data > from {
        return Ok(Some(Span::Hole(from..data)));
    }
    let hole = rustix::fs::seek(file, SeekFrom::Hole(from))?;
    Ok(Some(Span::Data(from..hole.clamp(from + 1, size))))
}

/// Makes a hole: the range reads as zeros afterwards, the size stays. `Unsupported` where the file system cannot.
pub fn punch_hole(file: &File, range: Range<u64>) -> io::Result<()> {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    Ok(rustix::fs::fallocate(file, flags, range.start, range.end.saturating_sub(range.start))?)
}

/// Reserves space for the first `size` bytes without changing the size, so that a full disk shows before anything is
/// written. `Unsupported` where the file system cannot.
pub fn reserve(file: &File, size: u64) -> io::Result<()> {
    Ok(rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, 0, size)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn holes_and_data_alternate_up_to_the_end() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(10 << 20).unwrap();
        file.write_all_at(b"middle", 4 << 20).unwrap();
        let mut at = 0;
        let mut holes = 0;
        while let Some(span) = next_span(&file, at, 10 << 20).unwrap() {
            let (Span::Hole(range) | Span::Data(range)) = &span;
            assert_eq!(range.start, at);
            assert!(range.end > at);
            at = range.end;
            if let Span::Hole(range) = span {
                holes += range.end - range.start;
            }
        }
        assert_eq!(at, 10 << 20);
        assert!(holes > 8 << 20, "{holes} bytes of holes");
    }
}
