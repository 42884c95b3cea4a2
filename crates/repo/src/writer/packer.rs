//! Open packs of one kind. Each blob goes to one of them by chance, so that a pack's layout does not tell chunk sizes.

use parking_lot::Mutex;
use rand::Rng;

use super::Uploads;
use crate::Result;
use crate::pack::PackedBlob;

/// Blobs in a pack at most: keeps index files and headers small where blobs are tiny.
const MAX_BLOBS: usize = 20_000;

/// A pack that is being filled; used again after its upload.
#[derive(Default)]
pub(super) struct OpenPack {
    pub(super) content: Vec<u8>,
    pub(super) blobs: Vec<PackedBlob>,
}

impl OpenPack {
    pub(super) fn with_room(bytes: usize) -> OpenPack {
        OpenPack { content: Vec::with_capacity(bytes), blobs: Vec::new() }
    }

    pub(super) fn size(&self) -> u64 {
        self.content.len() as u64
    }

    /// True if it takes no blob of so many bytes: it is nearly full, and would become larger than `target`.
    fn is_full_for(&self, sealed: u64, target: u64) -> bool {
        self.blobs.len() >= MAX_BLOBS || self.size() >= target / 4 * 3 && self.size() + sealed > target
    }

    fn append(&mut self, entry: PackedBlob, sealed: &[u8]) {
        self.blobs.push(PackedBlob { offset: self.content.len() as u32, ..entry });
        self.content.extend_from_slice(sealed);
    }

    /// Takes over another pack's blobs and returns its empty buffers.
    pub(super) fn absorb(&mut self, mut other: OpenPack) -> OpenPack {
        let shift = self.content.len() as u32;
        self.content.extend_from_slice(&other.content);
        self.blobs.extend(other.blobs.iter().map(|entry| PackedBlob { offset: entry.offset + shift, ..*entry }));
        other.clear();
        other
    }

    pub(super) fn clear(&mut self) {
        self.content.clear();
        self.blobs.clear();
    }
}

/// The open packs of one kind.
pub(super) struct Packer {
    slots: Vec<Mutex<Option<OpenPack>>>,
    target: u64,
}

impl Packer {
    pub(super) fn new(open_packs: usize, target: u64) -> Packer {
        Packer { slots: (0..open_packs).map(|_| Mutex::new(None)).collect(), target }
    }

    /// Bytes at which a pack is closed.
    pub(super) fn target(&self) -> u64 {
        self.target
    }

    /// Adds a sealed blob, and sends the pack that it fills. Waits for a buffer while all are being uploaded.
    pub(super) fn append(&self, entry: PackedBlob, sealed: &[u8], uploads: &Uploads) -> Result<()> {
        let (kind, length) = (entry.blob.kind, sealed.len() as u64);
        if length >= self.target {
            let mut own = uploads.buffer(kind)?;
            own.append(entry, sealed);
            uploads.send(kind, own);
            return Ok(());
        }
        let mut slot = self.slots[rand::rng().random_range(0..self.slots.len())].lock();
        if let Some(full) = slot.take_if(|pack| pack.is_full_for(length, self.target)) {
            uploads.send(kind, full);
        }
        let pack = match &mut *slot {
            Some(pack) => pack,
            none => none.insert(uploads.buffer(kind)?),
        };
        pack.append(entry, sealed);
        if let Some(full) = slot.take_if(|pack| pack.size() >= self.target) {
            uploads.send(kind, full);
        }
        Ok(())
    }

    /// Takes all open packs.
    pub(super) fn take_all(&self) -> Vec<OpenPack> {
        self.slots.iter().filter_map(|slot| slot.lock().take()).collect()
    }
}
