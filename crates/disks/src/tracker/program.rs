//! The programs that run in the kernel, instruction by instruction.

use platform::bpf::{ArrayMap, Assembler, Label, LoadError, Program, Register, Register::*, Size};

use super::event::{Event, Of};
use super::marks::{self, PAGE};

/// So many units of one request are marked; the verifier refuses many more. Larger requests set a flag.
const LONGEST_REQUEST: i32 = 1024;

const LOOK_UP_NUMBER: i16 = -4;

/// What the tracking program is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject {
    /// The disk's number as the kernel has it inside.
    pub(super) device: u32,
    /// Sectors of 512 bytes in a unit, as a power of two.
    pub(super) sector_bits: u32,
    /// Units on the disk.
    pub(super) units: u64,
}

/// Loads the program that counts what is written to one disk and marks its units.
pub(super) fn load_tracking(event: &Event, map: &ArrayMap, subject: Subject) -> Result<Program, LoadError> {
    event.load("stead_tracker", &tracking(event, map, subject))
}

/// Whoever ends a request that is no read: count its sectors, mark its units.
///
/// It runs when the disk has done it and before anybody is told so: whoever reads after taking a mark away sees what was
/// written, or finds a new mark later.
fn tracking(event: &Event, map: &ArrayMap, subject: Subject) -> Vec<u64> {
    let (header, unit, last, done) = (R9, R7, R8, R6);
    let mut code = Assembler::default();
    let end = code.label();
    event.begin(&mut code, subject.device, Of::AllButReads, end);
    // An ended flush has no sectors, and 2^64-1 for a place.
    code.jump_if_equal(last, 0, end);
    code.set(R2, 0);
    look_up(&mut code, map, R2, end);
    code.copy(header, R0);
    code.add_atomically(header, offset(marks::SECTORS), last);
    code.add_register(last, unit);
    code.add(last, -1);
    code.shift_right(unit, subject.sector_bits as i32);
    code.shift_right(last, subject.sector_bits as i32);
    let inside = code.label();
    code.set_long(R2, subject.units);
    code.jump_if_above(R2, last, inside);
    code.store(Size::Double, header, offset(marks::OUTSIDE), 1);
    code.set(R0, 0);
    code.exit();
    code.place(inside);
    mark_units(&mut code, map, (unit, last, done, header), end);
    code.place(end);
    code.set(R0, 0);
    code.exit();
    code.finish()
}

fn mark_units(
    code: &mut Assembler,
    map: &ArrayMap,
    (unit, last, done, header): (Register, Register, Register, Register),
    end: Label,
) {
    let next = code.label();
    code.set(done, 0);
    code.place(next);
    code.copy(R2, unit);
    code.shift_right(R2, PAGE.trailing_zeros() as i32);
    code.add(R2, 1);
    look_up(code, map, R2, end);
    code.copy(R3, unit);
    code.and(R3, PAGE as i32 - 1);
    code.add_register(R0, R3);
    code.store(Size::Byte, R0, 0, 1);
    code.add(unit, 1);
    code.jump_if_above(unit, last, end);
    code.add(done, 1);
    code.jump_if_below(done, LONGEST_REQUEST, next);
    code.store(Size::Double, header, offset(marks::OVERFLOW), 1);
}

/// Loads the program that counts reads of one place, by which it is known that the fields mean what we think.
pub(super) fn load_calibration(
    event: &Event,
    map: &ArrayMap,
    device: u32,
    (sector, sectors): (u64, u32),
) -> Result<Program, LoadError> {
    let mut code = Assembler::default();
    let end = code.label();
    event.begin(&mut code, device, Of::Reads, end);
    code.set_long(R3, sector);
    code.jump_if_different(R7, R3, end);
    code.jump_unless_equal(R8, sectors as i32, end);
    code.set(R2, 0);
    look_up(&mut code, map, R2, end);
    code.set(R1, 1);
    code.add_atomically(R0, 0, R1);
    code.place(end);
    code.set(R0, 0);
    code.exit();
    event.load("stead_calibrate", &code.finish())
}

/// `R0 = the address of the value of that number`; leaves if there is none. `R1` to `R5` are lost.
fn look_up(code: &mut Assembler, map: &ArrayMap, number: Register, end: Label) {
    code.store_register(Size::Word, R10, LOOK_UP_NUMBER, number);
    code.copy(R2, R10);
    code.add(R2, LOOK_UP_NUMBER.into());
    code.set_map(R1, map);
    code.look_up();
    code.jump_if_equal(R0, 0, end);
}

fn offset(word: usize) -> i16 {
    (word * 8) as i16
}
