//! Blobs that were saved but whose pack is not stored yet: the second save of one of them stores nothing.

use backend::Id;
use hashbrown::HashTable;
use parking_lot::Mutex;

use crate::pack::PackedBlob;
use crate::{BlobHandle, BlobKind};

/// More than threads that save, so that they seldom meet.
const SHARDS: usize = 32;

/// Sets of ids by kind, in shards by the first byte.
#[derive(Default)]
pub(super) struct InFlight {
    shards: [Mutex<[HashTable<Id>; 2]>; SHARDS],
}

impl InFlight {
    fn shard(&self, id: &Id) -> &Mutex<[HashTable<Id>; 2]> {
        &self.shards[id.as_bytes()[31] as usize % SHARDS]
    }

    /// True if the caller must store the blob: nobody else is about to, and `is_stored` denies it. An index learns a
    /// pack before its blobs are removed here, so a blob is always known to one of them.
    pub(super) fn reserve(&self, blob: &BlobHandle, is_stored: impl FnOnce() -> bool) -> bool {
        let mut shard = self.shard(&blob.id).lock();
        let table = &mut shard[of_kind(blob.kind)];
        let hash = blob.id.prefix();
        if table.find(hash, |id| *id == blob.id).is_some() || is_stored() {
            return false;
        }
        table.insert_unique(hash, blob.id, Id::prefix);
        true
    }

    /// Forgets blobs that the index knows now.
    pub(super) fn remove(&self, stored: &[PackedBlob]) {
        for PackedBlob { blob, .. } in stored {
            let mut shard = self.shard(&blob.id).lock();
            if let Ok(entry) = shard[of_kind(blob.kind)].find_entry(blob.id.prefix(), |id| *id == blob.id) {
                entry.remove();
            }
        }
    }
}

fn of_kind(kind: BlobKind) -> usize {
    match kind {
        BlobKind::Data => 0,
        BlobKind::Tree => 1,
    }
}
