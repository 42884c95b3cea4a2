//! What a mounted filesystem itself says is free (FS_IOC_GETFSMAP): its live state, which no record on the disk has yet.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;

const GETFSMAP: libc::c_ulong = 0xc0c0_583b;

const SPECIAL_OWNER: u32 = 0x10;
const LAST: u32 = 0x20;
const FREE: u64 = 1;

/// The kernel tells devices by their numbers, not by other cookies.
const DEVICE_NUMBERS: u32 = 1;

/// Records that are asked for at once: 64 KiB.
const RECORDS: usize = 1024;

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Record {
    device: u32,
    flags: u32,
    physical: u64,
    owner: u64,
    offset: u64,
    length: u64,
    reserved: [u64; 3],
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Head {
    flags_in: u32,
    flags_out: u32,
    count: u32,
    entries: u32,
    reserved: [u64; 6],
    keys: [Record; 2],
}

#[repr(C)]
struct Request {
    head: Head,
    records: [Record; RECORDS],
}

/// Calls `each` with every range of bytes that the filesystem of `file` (any file or folder of it) calls free on the device
/// that it is mounted from, in ascending order. A log or a realtime section on another device is left out. Works while it is
/// frozen too. `Unsupported` where the filesystem cannot tell: ext4 and XFS can.
pub fn free_ranges(file: &File, mut each: impl FnMut(Range<u64>)) -> io::Result<()> {
    let device = encoded(file.metadata()?.dev());
    let mut request = Box::new(Request { head: Head::default(), records: [Record::default(); RECORDS] });
    let end = &mut request.head.keys[1];
    (end.device, end.flags) = (u32::MAX, u32::MAX);
    (end.physical, end.owner, end.offset) = (u64::MAX, u64::MAX, u64::MAX);
    request.head.count = RECORDS as u32;
    loop {
        ask(file, &mut request)?;
        let records = &request.records[..(request.head.entries as usize).min(RECORDS)];
        let tells_devices = request.head.flags_out & DEVICE_NUMBERS != 0;
        for record in records {
            let is_free = record.flags & SPECIAL_OWNER != 0 && record.owner == FREE;
            if is_free && (!tells_devices || record.device == device) {
                each(record.physical..record.physical.saturating_add(record.length));
            }
        }
        match records.last() {
            Some(last) if last.flags & LAST == 0 => request.head.keys[0] = *last,
            _ => return Ok(()),
        }
    }
}

fn ask(file: &File, request: &mut Request) -> io::Result<()> {
    // SAFETY: the request has room for as many records as its head says, and outlives the call.
    let answer = unsafe { libc::ioctl(file.as_raw_fd(), GETFSMAP as _, std::ptr::from_mut(request)) };
    if answer == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::ENOTTY | libc::EOPNOTSUPP) => Err(io::Error::new(io::ErrorKind::Unsupported, error)),
        _ => Err(error),
    }
}

/// A device number as the kernel encodes it in 32 bits.
fn encoded(device: u64) -> u32 {
    let (major, minor) = (libc::major(device), libc::minor(device));
    (minor & 0xff) | major << 8 | (minor & !0xff) << 12
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_the_kernels() {
        assert_eq!((size_of::<Record>(), size_of::<Head>()), (64, 192));
    }

    #[test]
    fn a_filesystem_that_cannot_tell_says_so() {
        let proc = File::open("/proc/self").unwrap();
        assert_eq!(free_ranges(&proc, |_| ()).unwrap_err().kind(), io::ErrorKind::Unsupported);
    }

    #[test]
    fn free_ranges_ascend() {
        let mut last = 0;
        match free_ranges(&File::open("/").unwrap(), |range| {
            assert!(range.start >= last && range.end > range.start);
            last = range.end;
        }) {
            Ok(()) => assert!(last > 0),
            // Not root, or a filesystem that cannot.
            Err(error) => assert!(matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied)),
        }
    }
}
