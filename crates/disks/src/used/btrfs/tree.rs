//! Walking a tree in the order of its keys. Keys must ascend, so that a tree that runs in circles is noticed.

use super::super::fields::{byte, crc32c_raw, le32, le64, part};
use super::super::source::{Damage, Source, wrong};
use super::Super;
use super::chunks::Chunks;

const HEAD: usize = 101;
const ITEM: usize = 25;
const POINTER: usize = 33;
const LEVELS: u8 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) object: u64,
    pub(super) kind: u8,
    pub(super) offset: u64,
}

impl Key {
    fn at(node: &[u8], at: usize) -> Key {
        Key { object: le64(node, at), kind: byte(node, at + 8), offset: le64(node, at + 9) }
    }
}

type Each<'e> = dyn FnMut(Key, &[u8]) -> Result<(), Damage> + 'e;

pub(super) struct Reader<'a> {
    sb: &'a Super,
    source: &'a Source<'a>,
    chunks: &'a Chunks,
}

impl<'a> Reader<'a> {
    pub(super) fn new(sb: &'a Super, source: &'a Source<'a>, chunks: &'a Chunks) -> Reader<'a> {
        Reader { sb, source, chunks }
    }

    /// Calls `each` with every item, in order. A root is its address, level and generation.
    pub(super) fn walk(&self, (address, level, generation): (u64, u8, u64), each: &mut Each<'_>) -> Result<(), Damage> {
        if level >= LEVELS {
            return wrong("a tree is too high");
        }
        self.visit(address, level, generation, &mut None, each)
    }

    fn visit(
        &self,
        address: u64,
        level: u8,
        generation: u64,
        last: &mut Option<Key>,
        each: &mut Each<'_>,
    ) -> Result<(), Damage> {
        let node = self.node(address, level, generation)?;
        let count = le32(&node, 96) as usize;
        let size = if level == 0 { ITEM } else { POINTER };
        if count > (node.len() - HEAD) / size || level > 0 && count == 0 {
            return wrong("a node is damaged");
        }
        for number in 0..count {
            let at = HEAD + number * size;
            let key = Key::at(&node, at);
            // A pointer repeats the first key below it.
            if last.is_some_and(|last| key <= last) {
                return wrong("the keys of a tree are out of order");
            }
            if level > 0 {
                self.visit(le64(&node, at + 17), level - 1, le64(&node, at + 25), last, each)?;
                if last.is_none_or(|last| last < key) {
                    return wrong("a node has other keys than its parent says");
                }
                continue;
            }
            *last = Some(key);
            let (start, length) = (le32(&node, at + 17) as usize, le32(&node, at + 21) as usize);
            if start.checked_add(length).is_none_or(|end| end > node.len() - HEAD) {
                return wrong("an item is not in its node");
            }
            each(key, part(&node, HEAD + start, length))?;
        }
        Ok(())
    }

    /// A node from the first copy that is right.
    fn node(&self, address: u64, level: u8, generation: u64) -> Result<Vec<u8>, Damage> {
        let mut result = wrong("a tree lies on other devices, or in stripes");
        for place in self.chunks.places_of(address, self.sb.node) {
            result = self.source.record("a tree's node", place, self.sb.node).and_then(|node| {
                let is_right = le64(&node, 48) == address
                    && part(&node, 32, 16) == self.sb.id
                    && byte(&node, 100) == level
                    && le64(&node, 80) == generation
                    && (!self.sb.is_crc || !crc32c_raw(!0, &node[32..]) == le32(&node, 0));
                if is_right { Ok(node) } else { wrong("a tree's node is damaged") }
            });
            if result.is_ok() {
                break;
            }
        }
        result
    }
}
