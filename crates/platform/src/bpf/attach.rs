//! Programs attached to tracepoints.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use super::{Program, call, get, pin};

const LINK_CREATE: libc::c_int = 28;
const RAW_TRACEPOINT_OPEN: libc::c_int = 17;
const ATTACH_PERF_EVENT: u32 = 41;
const PERF_TYPE_TRACEPOINT: u32 = 2;
const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 8;
const PERF_EVENT_IOC_ENABLE: libc::c_ulong = 0x2400;
const PERF_EVENT_IOC_SET_BPF: libc::c_ulong = 0x4004_2408;

/// The beginning of `perf_event_attr`, as long as its first version.
#[repr(C)]
#[derive(Default)]
struct PerfEvent {
    kind: u32,
    size: u32,
    config: u64,
    rest: [u64; 6],
}

#[repr(C)]
struct CreateLink {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
}

#[repr(C)]
struct OpenRawTracepoint {
    name: u64,
    program: u32,
    unused: u32,
}

/// A program that runs whenever its tracepoint is passed, on every processor, as long as this descriptor is open anywhere.
#[derive(Debug)]
pub struct Attachment {
    event: File,
}

impl Attachment {
    /// Attaches a program to the tracepoint of that id in the old way, which every kernel knows and which cannot be pinned.
    pub fn new(program: &Program, tracepoint: u64) -> io::Result<Attachment> {
        let event = open_event(tracepoint)?;
        control(&event, PERF_EVENT_IOC_SET_BPF, program.file.as_raw_fd() as libc::c_ulong)?;
        control(&event, PERF_EVENT_IOC_ENABLE, 0)?;
        Ok(Attachment { event })
    }

    /// The descriptor that keeps it attached.
    pub fn into_descriptor(self) -> OwnedFd {
        self.event.into()
    }
}

/// As [`Attachment`], but it can be pinned, and then lives until it is unpinned.
#[derive(Debug)]
pub struct Link {
    file: File,
}

impl Link {
    /// Attaches a program of the kind [`super::ProgramKind::RawTracepoint`] to the tracepoint of that name.
    pub fn raw(program: &Program, tracepoint: &CStr) -> io::Result<Link> {
        let (name, program) = (tracepoint.as_ptr() as u64, program.file.as_raw_fd() as u32);
        Ok(Link { file: call(RAW_TRACEPOINT_OPEN, &OpenRawTracepoint { name, program, unused: 0 })? })
    }

    /// Attaches a program of the kind [`super::ProgramKind::Tracepoint`] to the tracepoint of that id. Linux before 5.15 says
    /// `InvalidInput`.
    pub fn new(program: &Program, tracepoint: u64) -> io::Result<Link> {
        let event = open_event(tracepoint)?;
        let request = CreateLink {
            program: program.file.as_raw_fd() as u32,
            target: event.as_raw_fd() as u32,
            attach_type: ATTACH_PERF_EVENT,
            flags: 0,
        };
        let link = Link { file: call(LINK_CREATE, &request)? };
        control(&event, PERF_EVENT_IOC_ENABLE, 0)?;
        Ok(link)
    }

    /// Makes it live on under a path in a bpf filesystem.
    pub fn pin(&self, path: &Path) -> io::Result<()> {
        pin(&self.file, path)
    }

    /// The descriptor that keeps it attached, as a pin does.
    pub fn into_descriptor(self) -> OwnedFd {
        self.file.into()
    }

    /// Opens what was pinned.
    pub fn open(path: &Path) -> io::Result<Link> {
        Ok(Link { file: get(path)? })
    }
}

fn open_event(tracepoint: u64) -> io::Result<File> {
    let event = PerfEvent {
        kind: PERF_TYPE_TRACEPOINT,
        size: size_of::<PerfEvent>() as u32,
        config: tracepoint,
        ..PerfEvent::default()
    };
    let (every_process, first_cpu, no_group): (libc::pid_t, libc::c_int, libc::c_int) = (-1, 0, -1);
    // SAFETY: the struct is as long as it says and lives for the call; the answer is a new descriptor or an error.
    let descriptor = unsafe {
        let address = &raw const event;
        libc::syscall(libc::SYS_perf_event_open, address, every_process, first_cpu, no_group, PERF_FLAG_FD_CLOEXEC)
    };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made it for us.
    Ok(unsafe { File::from_raw_fd(descriptor as libc::c_int) })
}

fn control(event: &File, request: libc::c_ulong, argument: libc::c_ulong) -> io::Result<()> {
    // SAFETY: both requests take a number as their argument, no address.
    let answer = unsafe { libc::ioctl(event.as_raw_fd(), request as _, argument) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
