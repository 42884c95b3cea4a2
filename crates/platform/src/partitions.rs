//! Telling the kernel which partitions a disk has (`BLKPG`): for kernels or moments in which it does not read the table.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

const BLKPG: libc::c_ulong = 0x1269;
const BLKRRPART: libc::c_ulong = 0x125f;
const ADD: libc::c_int = 1;
const DELETE: libc::c_int = 2;

#[repr(C)]
struct Partition {
    start: i64,
    length: i64,
    number: libc::c_int,
    names: [u8; 128],
}

#[repr(C)]
struct Request {
    operation: libc::c_int,
    flags: libc::c_int,
    length: libc::c_int,
    partition: *mut Partition,
}

/// Has the kernel read the table of a disk again. `ResourceBusy` while a partition is used, `InvalidInput` for disks of which
/// it reads none; a kernel without a parser for the table shows no partitions afterwards.
pub fn reread_partitions(disk: &File) -> io::Result<()> {
    // SAFETY: this request takes no argument.
    let answer = unsafe { libc::ioctl(disk.as_raw_fd(), BLKRRPART as _, 0) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Shows a partition: where it starts and how long it is, in bytes, whole sectors both. Numbers begin at 1. `ResourceBusy`
/// if the number or the place is taken.
pub fn add_partition(disk: &File, number: u32, start: u64, length: u64) -> io::Result<()> {
    control(disk, ADD, number, start, length)
}

/// Hides a partition again; `ResourceBusy` while it is used.
pub fn delete_partition(disk: &File, number: u32) -> io::Result<()> {
    control(disk, DELETE, number, 0, 0)
}

fn control(disk: &File, operation: libc::c_int, number: u32, start: u64, length: u64) -> io::Result<()> {
    let too_large = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let mut partition = Partition {
        start: i64::try_from(start).map_err(too_large)?,
        length: i64::try_from(length).map_err(too_large)?,
        number: libc::c_int::try_from(number).map_err(too_large)?,
        names: [0; 128],
    };
    let size = size_of::<Partition>() as libc::c_int;
    let mut request = Request { operation, flags: 0, length: size, partition: &raw mut partition };
    // SAFETY: both structs are as `linux/blkpg.h` has them and live for the call.
    let answer = unsafe { libc::ioctl(disk.as_raw_fd(), BLKPG as _, &raw mut request) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
