//! The end of a request, as the kernel tells a program of it: by the request itself, or by an event that perf made of it.
//!
//! The request itself is better: perf does not run a program while the current task's counter of nested events is above zero,
//! and Linux 6.18 was seen to leave it there. Where members of a request lie is the kernel's to tell (BTF, Linux 5.2 and newer
//! if it was built with it); no kernel is believed before a read of our own was seen as it was.

use std::ffi::CStr;
use std::os::fd::OwnedFd;

use platform::bpf::{Assembler, Attachment, Btf, Label, Link, LoadError, Program, ProgramKind, Register::*, Size};
use platform::{BlockDevice, bpf::Register};

use super::tracepoint::Tracepoint;
use super::{Hold, TrackerError, calibrate};

const NAME: &CStr = c"block_rq_complete";

/// Where a program is told, and how it finds what it needs.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// The kernel's request.
    Request(Request),
    /// An event of perf's.
    Perf(Tracepoint),
}

/// Which requests a program is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    Reads,
    /// Whatever may change the disk.
    AllButReads,
}

/// Offsets in bytes of what is wanted of the kernel's structures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// 8 bytes.
    sector: i32,
    /// 4 bytes, the lowest of which says what is done.
    flags: i32,
    /// Pointers to follow from the request to its disk.
    to_disk: Vec<i32>,
    /// Two numbers of 4 bytes in the disk, one after the other.
    number: i32,
}

/// What reads are, in a request's flags.
const READ: i32 = 0;

/// Room on the stack for what is copied from the kernel's memory.
const COPY: i16 = -16;

impl Event {
    /// The best one that shows reads of that disk where and as we think.
    pub(super) fn for_disk(disk: &BlockDevice, hold: Hold) -> Result<Event, TrackerError> {
        let best = (hold == Hold::Best).then(Request::find).flatten().map(Event::Request);
        match best.filter(|event| calibrate::calibrate(event, disk).is_ok()) {
            Some(event) => Ok(event),
            None => {
                let event = Event::Perf(Tracepoint::find()?);
                calibrate::calibrate(&event, disk)?;
                Ok(event)
            }
        }
    }

    /// Loads a program that begins with [`Event::begin`].
    pub(super) fn load(&self, name: &str, code: &[u64]) -> Result<Program, LoadError> {
        let kind = match self {
            Event::Request(_) => ProgramKind::RawTracepoint,
            Event::Perf(_) => ProgramKind::Tracepoint,
        };
        Program::load(kind, name, code)
    }

    /// Holds a program to it in a way that can be pinned. A kernel that has none says `InvalidInput`.
    pub(super) fn link(&self, program: &Program) -> std::io::Result<Link> {
        match self {
            Event::Request(_) => Link::raw(program, NAME),
            Event::Perf(event) => Link::new(program, event.id),
        }
    }

    /// Holds a program to it as long as the descriptor is open.
    pub(super) fn attach(&self, program: &Program) -> std::io::Result<OwnedFd> {
        match self {
            Event::Request(_) => Ok(Link::raw(program, NAME)?.into_descriptor()),
            Event::Perf(event) => Ok(Attachment::new(program, event.id)?.into_descriptor()),
        }
    }

    /// The beginning of a program, with the context in `R1`: goes to `end` unless it is a request of that disk and of those.
    /// Then `R7` is its first sector and `R8` its number of sectors of 512 bytes; `R6` and below are worth nothing.
    pub(super) fn begin(&self, code: &mut Assembler, device: u32, of: Of, end: Label) {
        match self {
            Event::Request(request) => request.begin(code, device, of, end),
            Event::Perf(event) => begin_perf(event, code, device, of, end),
        }
    }
}

fn begin_perf(event: &Tracepoint, code: &mut Assembler, device: u32, of: Of, end: Label) {
    code.load(Size::Word, R2, R1, event.device);
    code.set_long(R3, u64::from(device));
    code.jump_if_different(R2, R3, end);
    code.load(Size::Byte, R2, R1, event.letters);
    leave_unless(code, (R2, i32::from(b'R')), of, end);
    code.load(Size::Double, R7, R1, event.sector);
    code.load(Size::Word, R8, R1, event.sectors);
}

fn leave_unless(code: &mut Assembler, (what, read): (Register, i32), of: Of, end: Label) {
    match of {
        Of::Reads => code.jump_unless_equal(what, read, end),
        Of::AllButReads => code.jump_if_equal(what, read, end),
    }
}

impl Request {
    fn find() -> Option<Request> {
        Btf::of_kernel().ok().flatten().as_ref().and_then(Request::of)
    }

    fn of(btf: &Btf) -> Option<Request> {
        let offset = |structure: &str, member: &str| btf.offset(structure, member)?.try_into().ok();
        let number = offset("gendisk", "major")?;
        // Linux had the disk in the request until 5.16.
        let to_disk = match offset("request", "rq_disk") {
            Some(disk) => vec![disk],
            None => vec![offset("request", "q")?, offset("request_queue", "disk")?],
        };
        let found =
            Request { sector: offset("request", "__sector")?, flags: offset("request", "cmd_flags")?, to_disk, number };
        (offset("gendisk", "first_minor")? == number + 4).then_some(found)
    }

    /// The context has the request, an error, and how many bytes are done.
    fn begin(&self, code: &mut Assembler, device: u32, of: Of, end: Label) {
        code.load(Size::Double, R6, R1, 0);
        code.load(Size::Double, R8, R1, 16);
        code.truncate(R8);
        code.shift_right(R8, 9);
        copy(code, 4, self.flags);
        code.load(Size::Byte, R2, R10, COPY);
        leave_unless(code, (R2, READ), of, end);
        copy(code, 8, self.sector);
        code.load(Size::Double, R7, R10, COPY);
        for pointer in &self.to_disk {
            copy(code, 8, *pointer);
            code.load(Size::Double, R6, R10, COPY);
        }
        copy(code, 8, self.number);
        code.load(Size::Word, R2, R10, COPY);
        code.jump_unless_equal(R2, (device >> 20) as i32, end);
        code.load(Size::Word, R2, R10, COPY + 4);
        code.jump_unless_equal(R2, (device & 0xf_ffff) as i32, end);
    }
}

/// Copies from the kernel's memory, so many bytes at `R6` and that offset, to the stack.
fn copy(code: &mut Assembler, bytes: i32, offset: i32) {
    code.copy(R1, R10);
    code.add(R1, COPY.into());
    code.set(R2, bytes);
    code.copy(R3, R6);
    code.add(R3, offset);
    code.read_kernel();
}
