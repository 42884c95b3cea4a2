//! Arrays that programs in the kernel write and we read as memory.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use super::{call, get, object_name, pin, raise_locked_memory_limit};

const MAP_CREATE: libc::c_int = 0;
const MAP_TYPE_ARRAY: u32 = 2;
const MMAPABLE: u32 = 1 << 10;

/// An array map that can be mapped into memory (kernel 5.5 or newer).
#[derive(Debug)]
pub struct ArrayMap {
    file: File,
    bytes: usize,
}

#[repr(C)]
struct Create {
    kind: u32,
    key_size: u32,
    value_size: u32,
    entries: u32,
    flags: u32,
    inner_map: u32,
    numa_node: u32,
    name: [u8; 16],
}

impl ArrayMap {
    /// A new array of zeros; a value's size must be a multiple of 8.
    pub fn create(name: &str, value_size: u32, entries: u32) -> io::Result<ArrayMap> {
        raise_locked_memory_limit();
        let request = Create {
            kind: MAP_TYPE_ARRAY,
            key_size: 4,
            value_size,
            entries,
            flags: MMAPABLE,
            inner_map: 0,
            numa_node: 0,
            name: object_name(name),
        };
        Ok(ArrayMap { file: call(MAP_CREATE, &request)?, bytes: value_size as usize * entries as usize })
    }

    /// Opens an array that was pinned; its size is what the kernel says.
    pub fn open(path: &Path) -> io::Result<ArrayMap> {
        let file = get(path)?;
        let said = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_raw_fd()))?;
        let field = |name: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"));
            line.and_then(|text| text.trim().parse::<usize>().ok())
        };
        let bytes = field("value_size").zip(field("max_entries")).and_then(|(size, count)| size.checked_mul(count));
        let bytes = bytes.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the pinned object is no map"))?;
        Ok(ArrayMap { file, bytes })
    }

    /// Makes it live on under a path in a bpf filesystem.
    pub fn pin(&self, path: &Path) -> io::Result<()> {
        pin(&self.file, path)
    }

    /// Bytes in all.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// All its values, shared with the programs that write them.
    pub fn memory(&self) -> io::Result<Memory> {
        Memory::of(&self.file, self.bytes)
    }

    pub(super) fn descriptor(&self) -> i32 {
        self.file.as_raw_fd()
    }
}

/// The values of an [`ArrayMap`].
#[derive(Debug)]
pub struct Memory {
    start: NonNull<AtomicU64>,
    bytes: usize,
}

// SAFETY: the memory is reached as atomics only, and stays where it is until it is dropped.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    fn of(file: &File, bytes: usize) -> io::Result<Memory> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new shared mapping where the kernel likes it; it touches no memory of ours.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), bytes, access, libc::MAP_SHARED, file.as_raw_fd(), 0) };
        match NonNull::new(at.cast()).filter(|_| at != libc::MAP_FAILED) {
            Some(start) => Ok(Memory { start, bytes }),
            None => Err(io::Error::last_os_error()),
        }
    }

    /// The values as words of 8 bytes, in the machine's own order of bytes.
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is page aligned, as long as `bytes`, and lives as long as `self`; others write it too, which
        // atomics allow.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.bytes / 8) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: ours, mapped in `of`, and no reference outlives `self`.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}
