//! How much of each pack is used. Of a blob that is stored more than once, one copy counts as used, the others as unused.

use std::collections::{HashMap, HashSet};

use super::PruneStats;
use crate::index::Index;
use crate::pack::{self, PackedBlob};
use crate::used::{BlobSet, UsedBlobs};
use crate::{BlobHandle, BlobKind, Id, Result};

/// What kinds of blobs a pack holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PackKind {
    Data,
    Tree,
    Mixed,
}

/// How much of one pack is used.
#[derive(Clone, Copy, Debug)]
pub(super) struct PackUse {
    pub(super) id: Id,
    pub(super) used_blobs: u64,
    pub(super) unused_blobs: u64,
    /// Of the unused ones, further copies of used blobs.
    duplicate_blobs: u64,
    /// Header included.
    pub(super) used_bytes: u64,
    pub(super) unused_bytes: u64,
    pub(super) kind: Option<PackKind>,
    pub(super) has_uncompressed: bool,
}

impl PackUse {
    /// The size that the pack must have.
    pub(super) fn size(&self) -> u64 {
        self.used_bytes + self.unused_bytes
    }

    fn see_kind(&mut self, blob: &PackedBlob) {
        let kind = match blob.blob.kind {
            BlobKind::Data => PackKind::Data,
            BlobKind::Tree => PackKind::Tree,
        };
        self.kind = match self.kind {
            None => Some(kind),
            Some(same) if same == kind => Some(kind),
            Some(_) => Some(PackKind::Mixed),
        };
        self.has_uncompressed |= blob.uncompressed_length.is_none();
    }
}

/// All packs of the index, in ascending order of their names, and what that adds up to.
pub(super) struct Survey {
    pub(super) packs: Vec<PackUse>,
    pub(super) stats: PruneStats,
}

/// Looks at all packs that the index knows.
pub(super) fn survey(index: &Index, used: &UsedBlobs) -> Result<Survey> {
    let mut copies = count_copies(index, used)?;
    let mut survey = Survey { packs: Vec::new(), stats: PruneStats::default() };
    index.for_each_pack(&mut |id, blobs| survey.first_look(*id, blobs, used, &copies))?;
    if !copies.is_empty() {
        let mut at = 0;
        index.for_each_pack(&mut |_, blobs| {
            survey.choose_copies(at, blobs, &mut copies);
            at += 1;
        })?;
    }
    Ok(survey)
}

/// For used blobs that are stored more than once: how often. First by fingerprint, which may say "twice" of different
/// blobs; then those few exactly.
fn count_copies(index: &Index, used: &UsedBlobs) -> Result<HashMap<BlobHandle, u32>> {
    let seen = BlobSet::default();
    let mut suspects = HashSet::new();
    index.for_each_pack(&mut |_, blobs| {
        let again = blobs.iter().filter(|entry| used.contains(&entry.blob) && !seen.insert(&entry.blob));
        suspects.extend(again.map(|entry| entry.blob));
    })?;
    drop(seen);
    let mut copies = HashMap::with_capacity(suspects.len());
    if !suspects.is_empty() {
        index.for_each_pack(&mut |_, blobs| {
            for entry in blobs.iter().filter(|entry| suspects.contains(&entry.blob)) {
                *copies.entry(entry.blob).or_insert(0) += 1;
            }
        })?;
    }
    copies.retain(|_, count| *count > 1);
    Ok(copies)
}

impl Survey {
    fn first_look(&mut self, id: Id, blobs: &[PackedBlob], used: &UsedBlobs, copies: &HashMap<BlobHandle, u32>) {
        let mut pack = PackUse {
            id,
            used_blobs: 0,
            unused_blobs: 0,
            duplicate_blobs: 0,
            used_bytes: pack::header_size(blobs),
            unused_bytes: 0,
            kind: None,
            has_uncompressed: false,
        };
        let PruneStats { blobs: blob_stats, bytes, .. } = &mut self.stats;
        for entry in blobs {
            let length = u64::from(entry.length);
            pack.see_kind(entry);
            if !used.contains(&entry.blob) {
                (pack.unused_blobs, pack.unused_bytes) = (pack.unused_blobs + 1, pack.unused_bytes + length);
                (blob_stats.unused, bytes.unused) = (blob_stats.unused + 1, bytes.unused + length);
            } else if copies.contains_key(&entry.blob) {
                // Unused for now; `choose_copies` makes one of them used.
                pack.duplicate_blobs += 1;
                (pack.unused_blobs, pack.unused_bytes) = (pack.unused_blobs + 1, pack.unused_bytes + length);
                (blob_stats.duplicate, bytes.duplicate) = (blob_stats.duplicate + 1, bytes.duplicate + length);
            } else {
                (pack.used_blobs, pack.used_bytes) = (pack.used_blobs + 1, pack.used_bytes + length);
                (blob_stats.used, bytes.used) = (blob_stats.used + 1, bytes.used + length);
            }
        }
        self.packs.push(pack);
    }

    /// Chooses copies as restic does: in a pack with used blobs, in a pack of nothing but copies (which an interrupted
    /// prune made), or else the last one. `copies` counts down; zero means chosen.
    fn choose_copies(&mut self, at: usize, blobs: &[PackedBlob], copies: &mut HashMap<BlobHandle, u32>) {
        let pack = &mut self.packs[at];
        let PruneStats { blobs: blob_stats, bytes, .. } = &mut self.stats;
        for entry in blobs {
            let Some(left) = copies.get_mut(&entry.blob).filter(|left| **left > 0) else { continue };
            let worth_keeping = pack.used_blobs > 0 || pack.duplicate_blobs == pack.unused_blobs;
            if worth_keeping || *left == 1 {
                *left = 0;
                let length = u64::from(entry.length);
                (pack.used_blobs, pack.used_bytes) = (pack.used_blobs + 1, pack.used_bytes + length);
                (pack.unused_blobs, pack.unused_bytes) = (pack.unused_blobs - 1, pack.unused_bytes - length);
                (blob_stats.used, bytes.used) = (blob_stats.used + 1, bytes.used + length);
                (blob_stats.duplicate, bytes.duplicate) = (blob_stats.duplicate - 1, bytes.duplicate - length);
            } else {
                *left -= 1;
            }
        }
    }
}
