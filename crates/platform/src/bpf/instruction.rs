//! Programs written by hand: instructions of 8 bytes, and labels to jump to.

use super::ArrayMap;

/// A register. `R1` holds the context at the start, `R0` the answer at the end, `R10` the end of the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "their numbers say it")]
pub enum Register {
    R0,
    R1,
    R2,
    R3,
    R4,
    R5,
    R6,
    R7,
    R8,
    R9,
    R10,
}

/// How much is loaded or stored.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub enum Size {
    /// 4 bytes.
    Word = 0x00,
    /// 2 bytes.
    Half = 0x08,
    /// 1 byte.
    Byte = 0x10,
    /// 8 bytes.
    Double = 0x18,
}

/// A place to jump to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label(usize);

/// Puts instructions one after the other.
#[derive(Debug, Default)]
pub struct Assembler {
    code: Vec<u64>,
    /// Where each label is.
    places: Vec<Option<usize>>,
    /// Jumps, and where they go.
    jumps: Vec<(usize, Label)>,
}

impl Assembler {
    fn push(&mut self, operation: u8, to: Register, from: Register, offset: i16, immediate: i32) {
        let registers = (from as u64) << 4 | to as u64;
        let offset = u64::from(offset as u16);
        self.code.push(u64::from(operation) | registers << 8 | offset << 16 | u64::from(immediate as u32) << 32);
    }

    /// A place that is not known yet.
    pub fn label(&mut self) -> Label {
        self.places.push(None);
        Label(self.places.len() - 1)
    }

    /// The label is here.
    pub fn place(&mut self, label: Label) {
        self.places[label.0] = Some(self.code.len());
    }

    /// `to = number`
    pub fn set(&mut self, to: Register, number: i32) {
        self.push(0xb7, to, Register::R0, 0, number);
    }

    /// `to = number`, of 64 bits.
    pub fn set_long(&mut self, to: Register, number: u64) {
        self.push(0x18, to, Register::R0, 0, number as u32 as i32);
        self.push(0x00, Register::R0, Register::R0, 0, (number >> 32) as i32);
    }

    /// `to = the map`, as helpers want it.
    pub fn set_map(&mut self, to: Register, map: &ArrayMap) {
        const MAP_DESCRIPTOR: Register = Register::R1;
        self.push(0x18, to, MAP_DESCRIPTOR, 0, map.descriptor());
        self.push(0x00, Register::R0, Register::R0, 0, 0);
    }

    /// `to = from`
    pub fn copy(&mut self, to: Register, from: Register) {
        self.push(0xbf, to, from, 0, 0);
    }

    /// `to += number`
    pub fn add(&mut self, to: Register, number: i32) {
        self.push(0x07, to, Register::R0, 0, number);
    }

    /// `to += from`
    pub fn add_register(&mut self, to: Register, from: Register) {
        self.push(0x0f, to, from, 0, 0);
    }

    /// `to &= number`
    pub fn and(&mut self, to: Register, number: i32) {
        self.push(0x57, to, Register::R0, 0, number);
    }

    /// `to >>= bits`
    pub fn shift_right(&mut self, to: Register, bits: i32) {
        self.push(0x77, to, Register::R0, 0, bits);
    }

    /// `to &= 2^32 - 1`
    pub fn truncate(&mut self, to: Register) {
        self.push(0xbc, to, to, 0, 0);
    }

    /// `to = *(from + offset)`
    pub fn load(&mut self, size: Size, to: Register, from: Register, offset: i16) {
        self.push(0x61 | size as u8, to, from, offset, 0);
    }

    /// `*(to + offset) = number`
    pub fn store(&mut self, size: Size, to: Register, offset: i16, number: i32) {
        self.push(0x62 | size as u8, to, Register::R0, offset, number);
    }

    /// `*(to + offset) = from`
    pub fn store_register(&mut self, size: Size, to: Register, offset: i16, from: Register) {
        self.push(0x63 | size as u8, to, from, offset, 0);
    }

    /// `*(to + offset) += from`, 8 bytes, whole even when several processors do it at once.
    pub fn add_atomically(&mut self, to: Register, offset: i16, from: Register) {
        self.push(0xdb, to, from, offset, 0);
    }

    /// Goes to the label if `register == number`.
    pub fn jump_if_equal(&mut self, register: Register, number: i32, label: Label) {
        self.jump(0x15, register, Register::R0, number, label);
    }

    /// Goes to the label if `register != number`.
    pub fn jump_unless_equal(&mut self, register: Register, number: i32, label: Label) {
        self.jump(0x55, register, Register::R0, number, label);
    }

    /// Goes to the label if the registers differ.
    pub fn jump_if_different(&mut self, one: Register, two: Register, label: Label) {
        self.jump(0x5d, one, two, 0, label);
    }

    /// Goes to the label if `one > two`, without signs.
    pub fn jump_if_above(&mut self, one: Register, two: Register, label: Label) {
        self.jump(0x2d, one, two, 0, label);
    }

    /// Goes to the label if `register > number`, without signs.
    pub fn jump_if_above_number(&mut self, register: Register, number: i32, label: Label) {
        self.jump(0x25, register, Register::R0, number, label);
    }

    /// Goes to the label if `register < number`, without signs.
    pub fn jump_if_below(&mut self, register: Register, number: i32, label: Label) {
        self.jump(0xa5, register, Register::R0, number, label);
    }

    fn jump(&mut self, operation: u8, one: Register, two: Register, number: i32, label: Label) {
        self.jumps.push((self.code.len(), label));
        self.push(operation, one, two, 0, number);
    }

    /// `R0 = the address of the map's value`, or 0: the map in `R1`, the address of its number in `R2`. `R1` to `R5` are
    /// worth nothing afterwards.
    pub fn look_up(&mut self) {
        self.push(0x85, Register::R0, Register::R0, 0, 1);
    }

    /// Copies as many bytes as `R2` says from the kernel's memory at `R3` to `R1`; zeros if they cannot be read. `R1` to `R5`
    /// are worth nothing afterwards, `R0` tells whether it worked.
    pub fn read_kernel(&mut self) {
        self.push(0x85, Register::R0, Register::R0, 0, 113);
    }

    /// Ends the program; `R0` must be set.
    pub fn exit(&mut self) {
        self.push(0x95, Register::R0, Register::R0, 0, 0);
    }

    /// The program, as the kernel loads it. Every label that is jumped to must have been placed.
    pub fn finish(mut self) -> Vec<u64> {
        for (at, label) in self.jumps {
            let place = self.places[label.0].expect("a label that is jumped to was placed");
            let distance = place as i64 - at as i64 - 1;
            self.code[at] |= u64::from(distance as i16 as u16) << 16;
        }
        self.code
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_go_forth_and_back() {
        let mut code = Assembler::default();
        let (start, end) = (code.label(), code.label());
        code.place(start);
        code.jump_if_equal(Register::R1, 5, end);
        code.jump_if_below(Register::R2, 9, start);
        code.place(end);
        code.exit();
        let offsets: Vec<i16> = code.finish().iter().map(|word| (word >> 16) as i16).collect();
        assert_eq!(offsets, [1, -2, 0]);
    }
}
