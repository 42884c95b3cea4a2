//! The kernel's description of its own structures (BTF): where a member lies. Source: Documentation/bpf/btf.rst of Linux.
//!
//! Nothing is believed of it: whatever does not fit is as if the kernel did not tell.

use std::fs;
use std::io;

const KERNEL: &str = "/sys/kernel/btf/vmlinux";
const MAGIC: u16 = 0xeb9f;
const TYPE_SIZE: usize = 12;
const MEMBER_SIZE: usize = 12;

/// The kinds of types that are told apart here, by the kernel's numbers.
mod kind {
    pub(super) const INT: u32 = 1;
    pub(super) const ARRAY: u32 = 3;
    pub(super) const STRUCT: u32 = 4;
    pub(super) const UNION: u32 = 5;
    pub(super) const ENUM: u32 = 6;
    pub(super) const FUNCTION: u32 = 13;
    pub(super) const VARIABLE: u32 = 14;
    pub(super) const SECTION: u32 = 15;
    pub(super) const TAG: u32 = 17;
    pub(super) const LONG_ENUM: u32 = 19;
}

/// A description of structures.
#[derive(Debug)]
pub struct Btf {
    types: Vec<u8>,
    strings: Vec<u8>,
}

impl Btf {
    /// What the running kernel tells; `None` if it is not understood. A kernel without it is an error (`NotFound`).
    pub fn of_kernel() -> io::Result<Option<Btf>> {
        Ok(Btf::parse(&fs::read(KERNEL)?))
    }

    fn parse(bytes: &[u8]) -> Option<Btf> {
        if bytes.get(..2)? != MAGIC.to_le_bytes() {
            return None;
        }
        let header = word(bytes, 4)?;
        let part = |at: usize| {
            let start = header.checked_add(word(bytes, at)?)? as usize;
            let end = start.checked_add(word(bytes, at + 4)? as usize)?;
            Some(bytes.get(start..end)?.to_vec())
        };
        Some(Btf { types: part(8)?, strings: part(16)? })
    }

    /// The offset in bytes of a member in the structure of that name; of several structures of one name, in the first that
    /// has it. Members of unnamed structures inside are not looked for, nor are bit fields.
    pub fn offset(&self, structure: &str, member: &str) -> Option<u32> {
        let mut rest = &self.types[..];
        while rest.len() >= TYPE_SIZE {
            let (name, info) = (word(rest, 0)?, word(rest, 4)?);
            let (kind, count) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
            let length = TYPE_SIZE + more(kind, count);
            if kind == kind::STRUCT && self.is_called(name, structure) {
                let found = self.member(rest.get(TYPE_SIZE..length)?, info >> 31 == 1, member);
                if found.is_some() {
                    return found;
                }
            }
            rest = rest.get(length..)?;
        }
        None
    }

    fn member(&self, members: &[u8], may_have_bit_fields: bool, name: &str) -> Option<u32> {
        let member = members.chunks_exact(MEMBER_SIZE).find(|member| {
            let of_member = word(member, 0);
            of_member.is_some_and(|at| self.is_called(at, name))
        })?;
        let place = word(member, 8)?;
        let (bits, width) = if may_have_bit_fields { (place & 0xff_ffff, place >> 24) } else { (place, 0) };
        (bits % 8 == 0 && width == 0).then_some(bits / 8)
    }

    fn is_called(&self, at: u32, name: &str) -> bool {
        let found = self.strings.get(at as usize..).and_then(|rest| rest.get(..=name.len()));
        found.is_some_and(|found| found.strip_suffix(&[0]) == Some(name.as_bytes()))
    }
}

/// Bytes that follow a type of that kind.
fn more(kind: u32, count: usize) -> usize {
    match kind {
        kind::INT | kind::VARIABLE | kind::TAG => 4,
        kind::ARRAY => 12,
        kind::STRUCT | kind::UNION | kind::SECTION | kind::LONG_ENUM => count * MEMBER_SIZE,
        kind::ENUM | kind::FUNCTION => count * 8,
        _ => 0,
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An int, and `struct pair` of two members, the second a bit field, described by hand.
    fn described() -> Vec<u8> {
        let strings = b"\0int\0pair\0right\0left\0";
        let types: Vec<u32> = vec![
            1,
            1 << 24,
            4,
            0x20, // int
            5,
            1 << 31 | 4 << 24 | 2,
            8, // struct pair with two members
            10,
            1,
            32, // right, at bit 32
            16,
            1,
            3 << 24 | 8, // left, three bits
        ];
        let types: Vec<u8> = types.into_iter().flat_map(u32::to_le_bytes).collect();
        let mut bytes = MAGIC.to_le_bytes().to_vec();
        bytes.extend([1, 0]);
        let header = [24, 0, types.len() as u32, types.len() as u32, strings.len() as u32];
        bytes.extend(header.into_iter().flat_map(u32::to_le_bytes));
        bytes.extend(types);
        bytes.extend(strings);
        bytes
    }

    #[test]
    fn members_are_found_where_they_lie() {
        let btf = Btf::parse(&described()).unwrap();
        assert_eq!(btf.offset("pair", "right"), Some(4));
        for (structure, member) in [("pair", "left"), ("pair", "righ"), ("pai", "right"), ("int", "right"), ("", "")] {
            assert_eq!(btf.offset(structure, member), None, "{structure}.{member}");
        }
    }

    #[test]
    fn a_description_that_is_cut_or_changed_tells_nothing_wrong_and_ends() {
        let whole = described();
        for length in 0..whole.len() {
            let found = Btf::parse(&whole[..length]).and_then(|btf| btf.offset("pair", "right"));
            assert_eq!(found, None, "{length}");
        }
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0xff;
            // Whatever it says, it ends.
            let _ = Btf::parse(&changed).and_then(|btf| btf.offset("pair", "right"));
        }
    }

    #[test]
    fn the_running_kernel_tells_where_a_request_has_its_place() {
        let Ok(Some(btf)) = Btf::of_kernel() else { return };
        assert!(btf.offset("request", "__sector").is_some() && btf.offset("gendisk", "first_minor").is_some());
    }
}
