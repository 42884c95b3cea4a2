//! Where a file's content lies on its filesystem's device (FS_IOC_FIEMAP).

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;

const FIEMAP: libc::c_ulong = 0xc020_660b;
const GET_ATTRIBUTES: libc::c_ulong = 0x801c_581f;

/// Of a file's attributes: it lies on XFS's realtime device.
const REALTIME: u32 = 1;

const LAST: u32 = 0x1;

/// Place unknown, not there yet, encoded, encrypted, not aligned, beside the inode, packed with others, shared with others.
const NOT_ITS_OWN: u32 = 0x2 | 0x4 | 0x8 | 0x80 | 0x100 | 0x200 | 0x400 | 0x2000;

/// Records that are asked for at once.
const RECORDS: usize = 256;

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Record {
    logical: u64,
    physical: u64,
    length: u64,
    reserved: [u64; 2],
    flags: u32,
    reserved_more: [u32; 3],
}

#[repr(C)]
struct Request {
    start: u64,
    length: u64,
    flags: u32,
    mapped: u32,
    count: u32,
    reserved: u32,
    records: [Record; RECORDS],
}

#[repr(C)]
#[derive(Default)]
struct Attributes {
    flags: u32,
    others: [u32; 6],
}

/// Calls `each` with every range of bytes of the filesystem's device that holds content of `file` and of nothing else, in the
/// order of the file. What has no place yet, or shares it with others, is left out. Nothing is written out before, so that it
/// works while the filesystem is frozen too. `Unsupported` where the filesystem cannot tell, or the file is on another device of
/// it.
pub fn own_ranges(file: &File, mut each: impl FnMut(Range<u64>)) -> io::Result<()> {
    if is_on_other_device(file) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let mut request = Box::new(Request {
        start: 0,
        length: 0,
        flags: 0,
        mapped: 0,
        count: RECORDS as u32,
        reserved: 0,
        records: [Record::default(); RECORDS],
    });
    loop {
        request.length = u64::MAX - request.start;
        ask(file, &mut request)?;
        let records = &request.records[..(request.mapped as usize).min(RECORDS)];
        for record in records.iter().filter(|record| record.flags & NOT_ITS_OWN == 0) {
            each(record.physical..record.physical.saturating_add(record.length));
        }
        match records.last() {
            Some(last) if last.flags & LAST == 0 => request.start = last.logical.saturating_add(last.length),
            _ => return Ok(()),
        }
    }
}

fn ask(file: &File, request: &mut Request) -> io::Result<()> {
    // SAFETY: the request has room for as many records as it says, and outlives the call.
    let answer = unsafe { libc::ioctl(file.as_raw_fd(), FIEMAP as _, std::ptr::from_mut(request)) };
    if answer == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::ENOTTY | libc::EOPNOTSUPP | libc::EINVAL) => Err(io::Error::new(io::ErrorKind::Unsupported, error)),
        _ => Err(error),
    }
}

fn is_on_other_device(file: &File) -> bool {
    let mut attributes = Attributes::default();
    // SAFETY: the kernel writes 28 bytes, which are there.
    let answer = unsafe { libc::ioctl(file.as_raw_fd(), GET_ATTRIBUTES as _, std::ptr::from_mut(&mut attributes)) };
    answer == 0 && attributes.flags & REALTIME != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_the_kernels() {
        assert_eq!((size_of::<Record>(), std::mem::offset_of!(Request, records)), (56, 32));
        assert_eq!(size_of::<Attributes>(), 28);
    }

    #[test]
    fn a_filesystem_without_a_device_cannot_tell() {
        let proc = File::open("/proc/self/status").unwrap();
        assert_eq!(own_ranges(&proc, |_| ()).unwrap_err().kind(), io::ErrorKind::Unsupported);
    }

    #[test]
    fn a_file_that_was_written_out_has_a_place_unless_its_filesystem_cannot_tell() {
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, &[7; 100_000]).unwrap();
        file.sync_all().unwrap();
        let mut bytes = 0;
        match own_ranges(&file, |range| bytes += range.end - range.start) {
            Ok(()) => assert!(bytes == 0 || bytes >= 100_000, "{bytes}"),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::Unsupported),
        }
    }
}
