//! Small programs inside the kernel: their maps, loading them, attaching them to tracepoints, pinning them; raw `bpf(2)`.
//!
//! What is pinned outlives this process; everything else is gone with its descriptor.

mod attach;
mod btf;
mod instruction;
mod map;

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

pub use attach::{Attachment, Link};
pub use btf::Btf;
pub use instruction::{Assembler, Label, Register, Size};
pub use map::{ArrayMap, Memory};

const PROG_LOAD: libc::c_int = 5;
const OBJ_PIN: libc::c_int = 6;
const OBJ_GET: libc::c_int = 7;
const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const LICENSE: &std::ffi::CStr = c"Dual MIT/GPL";
const LOG_SIZE: usize = 1 << 20;

/// Why a program was not loaded.
#[derive(Debug, thiserror::Error)]
#[error("the kernel refused the program: {cause}{}", said(log))]
pub struct LoadError {
    /// What the call said.
    pub cause: io::Error,
    /// What the verifier said, its last lines; empty if it was not asked.
    pub log: String,
}

fn said(log: &str) -> String {
    log.lines().next_back().map(|line| format!(" ({line})")).unwrap_or_default()
}

/// What a program is attached to, by the kernel's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ProgramKind {
    /// A tracepoint, through perf: the context is the event as its format file describes it.
    Tracepoint = 5,
    /// A tracepoint itself: the context is what the kernel's own function was called with, 8 bytes each.
    RawTracepoint = 17,
}

/// A program that was verified and loaded.
#[derive(Debug)]
pub struct Program {
    file: File,
}

#[repr(C)]
struct Load {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
}

impl Program {
    /// Loads a program. If it is refused, it is tried again for what the verifier says about it.
    pub fn load(kind: ProgramKind, name: &str, code: &[u64]) -> Result<Program, LoadError> {
        raise_locked_memory_limit();
        let mut log = Vec::new();
        load(kind, name, code, &mut log).map_err(|cause| {
            log.resize(LOG_SIZE, 0);
            let _ = load(kind, name, code, &mut log);
            let end = log.iter().position(|&byte| byte == 0).unwrap_or(log.len());
            LoadError { cause, log: last_lines(&String::from_utf8_lossy(&log[..end])) }
        })
    }

    /// How often the kernel did not run it because another program ran on the same processor; always 0 before Linux 6.7,
    /// which does not count it.
    pub fn missed(&self) -> io::Result<u64> {
        let mut info = ProgramInfo { words: [0; INFO_WORDS] };
        let request = InfoRequest {
            descriptor: self.file.as_raw_fd() as u32,
            length: size_of::<ProgramInfo>() as u32,
            info: (&raw mut info) as u64,
        };
        command(OBJ_GET_INFO_BY_FD, &request)?;
        // SAFETY: the kernel wrote it behind the compiler's back.
        Ok(unsafe { (&raw const info.words[RECURSION_MISSES]).read_volatile() })
    }

    /// Makes it live on under a path in a bpf filesystem.
    pub fn pin(&self, path: &Path) -> io::Result<()> {
        pin(&self.file, path)
    }

    /// Opens what was pinned.
    pub fn open(path: &Path) -> io::Result<Program> {
        Ok(Program { file: get(path)? })
    }
}

/// `struct bpf_prog_info` of the kernel, up to the field that is wanted; older kernels fill less.
#[repr(C)]
struct ProgramInfo {
    words: [u64; INFO_WORDS],
}

const INFO_WORDS: usize = 27;

/// `recursion_misses`, at byte 208.
const RECURSION_MISSES: usize = 26;

#[repr(C)]
struct InfoRequest {
    descriptor: u32,
    length: u32,
    info: u64,
}

fn load(kind: ProgramKind, name: &str, code: &[u64], log: &mut [u8]) -> io::Result<Program> {
    let request = Load {
        kind: kind as u32,
        instruction_count: u32::try_from(code.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        instructions: code.as_ptr() as u64,
        license: LICENSE.as_ptr() as u64,
        log_level: u32::from(!log.is_empty()),
        log_size: log.len() as u32,
        log: if log.is_empty() { 0 } else { log.as_mut_ptr() as u64 },
        kernel_version: 0,
        flags: 0,
        name: object_name(name),
    };
    Ok(Program { file: call(PROG_LOAD, &request)? })
}

fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().filter(|line| !line.starts_with("processed ")).collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// Names of programs and maps have 15 letters at most, plain ones.
fn object_name(name: &str) -> [u8; 16] {
    let mut letters = [0; 16];
    let plain = name.bytes().filter(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    letters.iter_mut().take(15).zip(plain).for_each(|(to, from)| *to = from);
    letters
}

#[repr(C)]
struct Object {
    path: u64,
    descriptor: u32,
    flags: u32,
}

fn pin(file: &File, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let request = Object { path: path.as_ptr() as u64, descriptor: file.as_raw_fd() as u32, flags: 0 };
    command(OBJ_PIN, &request).map(|_| ())
}

fn get(path: &Path) -> io::Result<File> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    call(OBJ_GET, &Object { path: path.as_ptr() as u64, descriptor: 0, flags: 0 })
}

/// A command whose answer is a new descriptor.
fn call<T>(number: libc::c_int, request: &T) -> io::Result<File> {
    let descriptor = command(number, request)?;
    // SAFETY: the kernel just made this descriptor for us, and nobody else has it.
    Ok(unsafe { File::from_raw_fd(descriptor) })
}

fn command<T>(number: libc::c_int, request: &T) -> io::Result<libc::c_int> {
    // SAFETY: the request is a `repr(C)` struct without padding as `bpf(2)` has it, of the size that is said; what it points
    // to lives for the call and is as long as it says.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, number, request as *const T, size_of::<T>()) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer as libc::c_int) }
}

/// Before 5.11 maps and programs count as locked memory, of which even root may have little.
fn raise_locked_memory_limit() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let _ = setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may_load() -> bool {
        rustix::process::geteuid().is_root()
    }

    #[test]
    fn a_refused_program_says_why() {
        if !may_load() {
            return;
        }
        let mut bad = Assembler::default();
        bad.load(Size::Double, Register::R0, Register::R9, 0);
        bad.exit();
        let error = Program::load(ProgramKind::Tracepoint, "bad", &bad.finish()).unwrap_err();
        assert!(error.log.contains("R9"), "{error}: {}", error.log);
    }

    #[test]
    fn memory_of_a_map_is_shared_with_the_kernel() {
        if !may_load() {
            return;
        }
        let map = ArrayMap::create("numbers", 4096, 3).unwrap();
        let memory = map.memory().unwrap();
        memory.words()[512].store(7, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(memory.words().len(), 3 * 512);
        assert_eq!(map.memory().unwrap().words()[512].load(std::sync::atomic::Ordering::Relaxed), 7);
    }
}
