//! btrfs: the chunk tree says which parts of this device are given out, the extent tree what is in use within them.
//!
//! A chunk's inside is looked into only where each of its copies lies on a device in one piece; striped chunks are used as a
//! whole. Where the extent tree does not add up, all chunks are used as a whole; where the chunk tree cannot be read, because
//! other devices hold it or it is damaged, everything is.

mod chunks;
mod tree;

use super::fields::{byte, crc32c_raw, le16, le32, le64, part, text, uuid};
use super::free_list::FreeList;
use super::source::{Damage, Source, wrong};
use super::{Found, Kind, State, Usage};
use chunks::Chunks;
use tree::{Key, Reader};

const FIRST: u64 = 64 << 10;
const MIRRORS: [u64; 3] = [FIRST, 64 << 20, 256 << 30];
const SUPER_SIZE: u64 = 4096;

/// Never given out; boot loaders live here.
const RESERVED: u64 = 1 << 20;

const ZONED: u64 = 0x1000;
const METADATA_UUID: u64 = 0x400;
/// Everything up to RAID1C34 but zoned: the extent tree of version 2 and the stripe tree mean other things.
const KNOWN: u64 = 0xfff;

const EXTENT_TREE: u64 = 2;

mod item {
    pub(super) const ROOT: u8 = 132;
    pub(super) const EXTENT: u8 = 168;
    pub(super) const METADATA: u8 = 169;
    pub(super) const CHUNK: u8 = 228;
}

/// What the superblock says, checked.
struct Super {
    node: u64,
    root: (u64, u8, u64),
    chunk_root: (u64, u8, u64),
    log_root: u64,
    bytes_used: u64,
    /// The identity in every node.
    id: [u8; 16],
    /// Whether checksums can be verified.
    is_crc: bool,
    device: u64,
    device_size: u64,
    first_chunks: Vec<u8>,
}

pub(super) fn examine(source: &Source<'_>) -> Found {
    let record = source.record("the btrfs superblock", FIRST, SUPER_SIZE)?;
    if part(&record, 64, 8) != b"_BHRfS_M" {
        return Ok(None);
    }
    let mut usage = Usage::of(Kind::Btrfs, source.size());
    usage.label = text(&record, 299, 256);
    usage.uuid = uuid(&record, 32);
    usage.block = u64::from(le32(&record, 144));
    usage.size = le64(&record, 201 + 8);
    usage.state = match le64(&record, 96) {
        0 => State::Clean,
        _ => State::NeedsRecovery("its log of recent syncs was not replayed".into()),
    };
    if le64(&record, 136) > 1 {
        let devices = le64(&record, 136);
        usage.warn(format!("one of {devices} devices: all of them belong into one backup of one instant"));
    }
    let found = Super::parse(&record).and_then(|sb| sb.free(source, &mut usage.warnings));
    usage.prove(found);
    Ok(Some(usage))
}

impl Super {
    fn parse(record: &[u8]) -> Result<Super, Damage> {
        let incompat = le64(record, 188);
        if incompat & ZONED != 0 || incompat & !KNOWN != 0 {
            return wrong(format!("unknown features (incompat {incompat:#x})"));
        }
        let is_crc = le16(record, 196) == 0;
        if is_crc && !crc32c_raw(!0, &record[32..]) != le32(record, 0) {
            return wrong("the superblock's checksum is wrong");
        }
        if le64(record, 48) != FIRST {
            return wrong("the superblock says that it lies elsewhere");
        }
        let node = u64::from(le32(record, 148));
        if !node.is_power_of_two() || !(4096..=65536).contains(&node) {
            return wrong("the superblock's node size makes no sense");
        }
        let mut id = [0; 16];
        id.copy_from_slice(part(record, if incompat & METADATA_UUID == 0 { 32 } else { 571 }, 16));
        Ok(Super {
            node,
            root: (le64(record, 80), byte(record, 198), le64(record, 72)),
            chunk_root: (le64(record, 88), byte(record, 199), le64(record, 164)),
            log_root: le64(record, 96),
            bytes_used: le64(record, 120),
            id,
            is_crc,
            device: le64(record, 201),
            device_size: le64(record, 201 + 8),
            first_chunks: part(record, 811, (le32(record, 160) as usize).min(2048)).to_vec(),
        })
    }

    fn free(&self, source: &Source<'_>, warnings: &mut Vec<String>) -> Result<FreeList, Damage> {
        if self.device_size > source.size() {
            return wrong(format!("{} bytes are more than the volume has", self.device_size));
        }
        let mut chunks = Chunks::new(self.device);
        chunks.add_first(&self.first_chunks)?;
        let chunks = self.all_chunks(source, chunks)?;
        let mut free = FreeList::new(self.device_size);
        chunks.unused_parts(self.device_size).iter().for_each(|range| free.add(range));
        let inside = match self.log_root {
            0 => self.free_inside(source, &chunks),
            _ => wrong("a log of recent syncs waits"),
        };
        match inside {
            Ok(ranges) => ranges.into_iter().for_each(|range| free.add(range)),
            Err(damage) => warnings.push(format!("whole chunks count as used: {damage}")),
        }
        free.remove(0..RESERVED);
        MIRRORS.into_iter().for_each(|mirror| free.remove(mirror..mirror + SUPER_SIZE));
        Ok(free)
    }

    fn all_chunks(&self, source: &Source<'_>, first: Chunks) -> Result<Chunks, Damage> {
        let mut all = Chunks::new(self.device);
        Reader::new(self, source, &first).walk(self.chunk_root, &mut |key, data| {
            if key.kind == item::CHUNK { all.add(key.offset, data).map(|_| ()) } else { Ok(()) }
        })?;
        Ok(all)
    }

    /// What is free within chunks.
    fn free_inside(&self, source: &Source<'_>, chunks: &Chunks) -> Result<Vec<crate::Extent>, Damage> {
        let reader = Reader::new(self, source, chunks);
        let mut root = None;
        reader.walk(self.root, &mut |key, data| {
            if key.object == EXTENT_TREE && key.kind == item::ROOT && data.len() >= 239 {
                // The item begins with an inode of 160 bytes.
                root = Some((le64(data, 176), byte(data, 238), le64(data, 160)));
            }
            Ok(())
        })?;
        let Some(root) = root else { return wrong("there is no extent tree") };
        let mut gaps = Gaps { chunks, list: FreeList::new(self.device_size), end: 0, used: 0 };
        reader.walk(root, &mut |key, _| match key.kind {
            item::EXTENT => gaps.use_until(key, key.offset),
            item::METADATA => gaps.use_until(key, self.node),
            _ => Ok(()),
        })?;
        gaps.free_until(u64::MAX);
        if gaps.used != self.bytes_used {
            return wrong(format!("{} bytes are in use, the superblock says {}", gaps.used, self.bytes_used));
        }
        Ok(gaps.list.finish().0.iter().collect())
    }
}

/// What lies between the extents in use, in order of their logical addresses.
struct Gaps<'a> {
    chunks: &'a Chunks,
    list: FreeList,
    end: u64,
    used: u64,
}

impl Gaps<'_> {
    fn use_until(&mut self, key: Key, length: u64) -> Result<(), Damage> {
        if key.object < self.end {
            return wrong("extents overlap");
        }
        self.free_until(key.object);
        self.end = match key.object.checked_add(length) {
            Some(end) => end,
            None => return wrong("an extent ends beyond all addresses"),
        };
        self.used = self.used.saturating_add(length);
        Ok(())
    }

    fn free_until(&mut self, start: u64) {
        let list = &mut self.list;
        self.chunks.places(self.end..start, &mut |range| list.add(range));
    }
}
