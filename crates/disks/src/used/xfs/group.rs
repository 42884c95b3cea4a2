//! One allocation group: its header, its tree of free extents, its list of blocks kept for trees.

use super::super::fields::{be16, be32, be64, part};
use super::super::free_list::FreeList;
use super::super::source::{Damage, Source, wrong};
use super::{Super, check_sum};

const NONE: u32 = u32::MAX;

/// Deeper trees than this cannot be: nine levels of at least two hold more than a group's blocks.
const DEEPEST: u32 = 32;

pub(super) struct Group<'a> {
    sb: &'a Super,
    source: &'a Source<'a>,
    number: u64,
    length: u64,
    root: u32,
    levels: u32,
    free: u64,
    /// First and last entry of the list that are in use, and how many.
    list: (u32, u32, u32),
}

/// A block of the tree.
struct Block {
    bytes: Vec<u8>,
    level: u16,
    records: usize,
    right: u32,
    head: usize,
}

impl<'a> Group<'a> {
    pub(super) fn read(sb: &'a Super, source: &'a Source<'a>, number: u64) -> Result<Group<'a>, Damage> {
        let start = number * sb.group_blocks * sb.block;
        let header = sb.check_sector(source, start + sb.sector, 216)?;
        let length = u64::from(be32(&header, 12));
        let expected = sb.group_blocks.min(sb.blocks - number * sb.group_blocks);
        if part(&header, 0, 4) != b"XAGF" || u64::from(be32(&header, 8)) != number || length != expected {
            return wrong("its header is damaged");
        }
        Ok(Group {
            sb,
            source,
            number,
            length,
            root: be32(&header, 16),
            levels: be32(&header, 28),
            free: u64::from(be32(&header, 52)),
            list: (be32(&header, 40), be32(&header, 44), be32(&header, 48)),
        })
    }

    /// Adds what is free in the group. After an error, what was added must be taken back.
    pub(super) fn free(&self, free: &mut FreeList) -> Result<(), Damage> {
        self.add_extents(free)?;
        self.spare_blocks()?.into_iter().for_each(|block| self.add(free, block, 1));
        Ok(())
    }

    fn add(&self, free: &mut FreeList, start: u32, count: u32) {
        let first = self.number * self.sb.group_blocks + u64::from(start);
        free.add_blocks(first..first + u64::from(count), self.sb.block);
    }

    /// Every free extent of the tree. Each is beyond the one before, so that a tree that runs in circles is noticed.
    fn add_extents(&self, free: &mut FreeList) -> Result<(), Damage> {
        let (mut end, mut sum) = (0, 0);
        let mut next = Some(self.first_leaf()?);
        while let Some(leaf) = next {
            for record in 0..leaf.records {
                let at = leaf.head + record * 8;
                let (start, count) = (be32(&leaf.bytes, at), be32(&leaf.bytes, at + 4));
                if u64::from(start) < end || count == 0 || u64::from(start) + u64::from(count) > self.length {
                    return wrong("its free extents are out of order");
                }
                end = u64::from(start) + u64::from(count);
                sum += u64::from(count);
                self.add(free, start, count);
            }
            if leaf.right != NONE && leaf.records == 0 {
                return wrong("its tree of free extents is damaged");
            }
            next = if leaf.right == NONE { None } else { Some(self.block(leaf.right, 0)?) };
        }
        if sum == self.free { Ok(()) } else { wrong(format!("{sum} blocks are free, its header says {}", self.free)) }
    }

    fn first_leaf(&self) -> Result<Block, Damage> {
        if self.levels == 0 || self.levels > DEEPEST {
            return wrong("its tree of free extents has no sensible height");
        }
        let mut block = self.block(self.root, self.levels as u16 - 1)?;
        while block.level > 0 {
            let most = (self.sb.block as usize - block.head) / 12;
            if block.records == 0 || block.records > most {
                return wrong("its tree of free extents is damaged");
            }
            block = self.block(be32(&block.bytes, block.head + most * 8), block.level - 1)?;
        }
        Ok(block)
    }

    fn block(&self, number: u32, level: u16) -> Result<Block, Damage> {
        if u64::from(number) >= self.length {
            return wrong("its tree of free extents points outside");
        }
        let offset = (self.number * self.sb.group_blocks + u64::from(number)) * self.sb.block;
        let mut bytes = self.source.record("a tree of free extents", offset, self.sb.block)?;
        let (magic, head) = if self.sb.checked.is_some() { (b"AB3B", 56) } else { (b"ABTB", 16) };
        let records = usize::from(be16(&bytes, 6));
        let fits = head + records * 8 <= bytes.len();
        if part(&bytes, 0, 4) != magic || be16(&bytes, 4) != level || !fits {
            return wrong("its tree of free extents is damaged");
        }
        if let Some(id) = self.sb.checked {
            check_sum(&mut bytes, 52)?;
            let is_ours = part(&bytes, 32, 16) == id && be64(&bytes, 16) == offset / 512;
            if !is_ours || u64::from(be32(&bytes, 48)) != self.number {
                return wrong("its tree of free extents has a block that is not its own");
            }
        }
        Ok(Block { level, records, right: be32(&bytes, 12), head, bytes })
    }

    /// Blocks that are kept for the trees to grow into: nothing is in them.
    fn spare_blocks(&self) -> Result<Vec<u32>, Damage> {
        let offset = self.number * self.sb.group_blocks * self.sb.block + 3 * self.sb.sector;
        let list = self.sb.check_sector(self.source, offset, 32)?;
        let head = if self.sb.checked.is_some() { 36 } else { 0 };
        let room = ((list.len() - head) / 4) as u32;
        let (first, last, count) = self.list;
        if count == 0 {
            return Ok(Vec::new());
        }
        // Kernels and tools disagree about how large the list is where its header is not a multiple of eight; a list that wraps
        // differently than thought is left alone.
        if first >= room || last >= room || (last + room - first) % room + 1 != count {
            return Ok(Vec::new());
        }
        let entries = (0..count).map(|entry| be32(&list, head + ((first + entry) % room) as usize * 4));
        Ok(entries.filter(|block| u64::from(*block) < self.length).collect())
    }
}
