//! A part of a file or disk that the kernel shows as a disk of its own, for as long as somebody has it open.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

const LOOP_CTL_GET_FREE: libc::c_ulong = 0x4c82;
const LOOP_CONFIGURE: libc::c_ulong = 0x4c0a;
const AUTOCLEAR: u32 = 4;

/// `struct loop_info64`.
#[repr(C)]
struct Info {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config`.
#[repr(C)]
struct Config {
    fd: u32,
    block_size: u32,
    info: Info,
    reserved: [u64; 8],
}

/// Attempts to get a device before somebody else does.
const ATTEMPTS: usize = 64;

/// A loop device over a range of bytes. It is gone when this is dropped and whoever else opened it has closed it: also if
/// this process is killed.
#[derive(Debug)]
pub struct LoopOver {
    device: File,
    path: PathBuf,
}

impl LoopOver {
    /// Shows a range of an open file or disk, which must begin and end at whole sectors of `sector` bytes. Needs root.
    pub fn new(backing: &File, range: Range<u64>, sector: u32) -> io::Result<LoopOver> {
        let control = OpenOptions::new().read(true).write(true).open("/dev/loop-control")?;
        let mut config = Config {
            fd: u32::try_from(backing.as_raw_fd()).map_err(|_| io::ErrorKind::InvalidInput)?,
            block_size: sector,
            info: Info {
                device: 0,
                inode: 0,
                rdevice: 0,
                offset: range.start,
                size_limit: range.end.saturating_sub(range.start),
                number: 0,
                encrypt_type: 0,
                encrypt_key_size: 0,
                flags: AUTOCLEAR,
                file_name: [0; 64],
                crypt_name: [0; 64],
                encrypt_key: [0; 32],
                init: [0; 2],
            },
            reserved: [0; 8],
        };
        for _ in 0..ATTEMPTS {
            let (device, path) = free_device(&control)?;
            // SAFETY: the struct is as `linux/loop.h` has it and lives for the call.
            let answer = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE as _, &raw mut config) };
            match io::Error::last_os_error() {
                _ if answer >= 0 => return Ok(LoopOver { device, path }),
                error if error.kind() == io::ErrorKind::ResourceBusy => {}
                error => return Err(error),
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }

    /// Such as `/dev/loop3`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes durable what was written to it.
    pub fn sync(&self) -> io::Result<()> {
        self.device.sync_all()
    }
}

fn free_device(control: &File) -> io::Result<(File, PathBuf)> {
    // SAFETY: this request takes no argument.
    let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE as _) };
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    let path = PathBuf::from(format!("/dev/loop{number}"));
    let device = OpenOptions::new().read(true).write(true).open(&path)?;
    Ok((device, path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn a_part_of_a_file_is_a_disk_until_it_is_dropped() {
        if crate::effective_uid() != 0 {
            return;
        }
        let file = tempfile::tempfile().unwrap();
        file.set_len(4 << 20).unwrap();
        let part = LoopOver::new(&file, 1 << 20..3 << 20, 512).unwrap();
        let device = OpenOptions::new().read(true).write(true).open(part.path()).unwrap();
        assert_eq!(crate::direct::device_size(&device).unwrap(), 2 << 20);
        device.write_all_at(b"hello", 512).unwrap();
        part.sync().unwrap();
        let mut back = [0; 5];
        file.read_exact_at(&mut back, (1 << 20) + 512).unwrap();
        assert_eq!(&back, b"hello");
    }
}
