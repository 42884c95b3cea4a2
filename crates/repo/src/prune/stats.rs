//! Figures of a prune, with restic's names.

use serde::Serialize;

/// Blobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BlobStats {
    /// Used by snapshots.
    pub used: u64,
    /// Further copies of used ones.
    pub duplicate: u64,
    /// Not used.
    pub unused: u64,
    /// All.
    pub total: u64,
    /// In packs to repack.
    pub repack: u64,
    /// Of those, not copied.
    pub repack_remove: u64,
    /// In packs to remove.
    pub remove: u64,
    /// All that go.
    pub remove_total: u64,
    /// All that stay.
    pub remaining: u64,
}

/// Bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ByteStats {
    /// Used by snapshots.
    pub used: u64,
    /// Further copies of used blobs.
    pub duplicate: u64,
    /// Not used.
    pub unused: u64,
    /// Of packs that no index knows.
    pub unreferenced: u64,
    /// Of packs with uncompressed blobs that stay as they are.
    pub uncompressed: u64,
    /// All.
    pub total: u64,
    /// Of packs to repack.
    pub repack: u64,
    /// Of those, not copied.
    pub repack_remove: u64,
    /// In packs to remove.
    pub remove: u64,
    /// All that go.
    pub remove_total: u64,
    /// All that stay.
    pub remaining: u64,
    /// Unused ones that stay.
    pub remaining_unused: u64,
}

/// Packs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PackStats {
    /// With nothing but used blobs.
    pub used: u64,
    /// With nothing but unused blobs.
    pub unused: u64,
    /// With both.
    pub partly_used: u64,
    /// That no index knows.
    pub unreferenced: u64,
    /// All.
    pub total: u64,
    /// That stay.
    pub keep: u64,
    /// Of which the used blobs are copied.
    pub repack: u64,
    /// That go because nothing of them is used.
    pub remove: u64,
    /// All that go without repacking.
    pub remove_total: u64,
}

/// What a plan found and would do. Serialises to restic's JSON summary, but for `message_type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PruneStats {
    /// Blobs.
    pub blobs: BlobStats,
    /// Bytes.
    pub bytes: ByteStats,
    /// Packs.
    #[serde(rename = "packfiles")]
    pub packs: PackStats,
}

impl PruneStats {
    /// Computes the sums.
    pub(super) fn finish(&mut self) {
        let remaining_unused = self.remaining_unused();
        let PruneStats { blobs, bytes, packs } = self;
        blobs.total = blobs.used + blobs.unused + blobs.duplicate;
        blobs.remove_total = blobs.remove + blobs.repack_remove;
        blobs.remaining = blobs.total - blobs.remove_total;
        bytes.total = bytes.used + bytes.duplicate + bytes.unused + bytes.unreferenced;
        bytes.remove_total = bytes.remove + bytes.repack_remove + bytes.unreferenced;
        bytes.remaining = bytes.total - bytes.remove_total;
        bytes.remaining_unused = remaining_unused;
        packs.total = packs.used + packs.partly_used + packs.unused + packs.unreferenced;
        packs.remove_total = packs.unreferenced + packs.remove;
    }

    /// Unused bytes that would stay, by what was decided so far.
    pub(super) fn remaining_unused(&self) -> u64 {
        let bytes = &self.bytes;
        bytes.duplicate + bytes.unused - bytes.remove - bytes.repack_remove
    }
}
