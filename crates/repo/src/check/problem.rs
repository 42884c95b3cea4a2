//! What a check can find.

use crate::{BlobHandle, BlobKind, Error, Id};

/// One finding.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// A snapshot that cannot be read.
    #[error("snapshot {id} cannot be read: {error}")]
    Snapshot {
        /// Which one.
        id: Id,
        /// Why.
        error: Error,
    },
    /// An index file that cannot be read.
    #[error("index {id} cannot be read: {error}")]
    Index {
        /// Which one.
        id: Id,
        /// Why.
        error: Error,
    },
    /// The same entry in several index files, or twice in one. Harmless.
    #[error("pack {pack} is listed {times} times in index files")]
    DuplicatePack {
        /// Which pack.
        pack: Id,
        /// How often.
        times: u32,
    },
    /// Index files that name different blobs for one pack. Old programs split packs' entries; harmless unless reading the
    /// pack says otherwise.
    #[error("index files name different blobs for pack {pack}")]
    ContradictingPack {
        /// Which pack.
        pack: Id,
    },
    /// Trees and data in one pack. Harmless.
    #[error("pack {pack} holds both trees and data")]
    MixedPack {
        /// Which pack.
        pack: Id,
    },
    /// A pack that the index names and the storage does not have.
    #[error("pack {pack} does not exist")]
    MissingPack {
        /// Which pack.
        pack: Id,
    },
    /// A pack that is there, though the storage's listing leaves it out: storage that shows files late. Harmless if it
    /// passes.
    #[error("pack {pack} exists, but the storage does not list it")]
    UnlistedPack {
        /// Which pack.
        pack: Id,
    },
    /// A pack of the wrong size: truncated, or overwritten.
    #[error("pack {pack} has {size} bytes, the index says {expected}")]
    PackSize {
        /// Which pack.
        pack: Id,
        /// What the storage says.
        size: u64,
        /// What follows from the index.
        expected: u64,
    },
    /// A pack that no index names: an interrupted backup's. Harmless.
    #[error("pack {pack} is not referenced in any index")]
    OrphanedPack {
        /// Which pack.
        pack: Id,
    },
    /// A tree that cannot be read, or is no tree.
    #[error("tree {tree} cannot be read: {error}")]
    Tree {
        /// Which tree.
        tree: Id,
        /// Why.
        error: Error,
    },
    /// A node that makes no sense.
    #[error("tree {tree}: {reason}")]
    Node {
        /// In which tree.
        tree: Id,
        /// What is wrong, with the node's name.
        reason: String,
    },
    /// A file whose content is not all there.
    #[error("tree {tree}: file {name:?} needs data blob {blob}, which is not in the index")]
    MissingBlob {
        /// In which tree.
        tree: Id,
        /// The file.
        name: String,
        /// The blob.
        blob: Id,
    },
    /// A blob that snapshots use and that lies in a pack marked for deletion: the next prune takes it back.
    #[error("{kind:?} blob {id} lies only in packs that wait for deletion; prune will take them back", kind = .blob.kind, id = .blob.id)]
    MarkedBlob {
        /// Which blob.
        blob: BlobHandle,
    },
    /// A blob that no snapshot uses. Harmless.
    #[error("{kind:?} blob {id} is not used by any snapshot", kind = .blob.kind, id = .blob.id)]
    UnusedBlob {
        /// Which blob.
        blob: BlobHandle,
    },
    /// A pack whose content is not what it must be, found twice.
    #[error("pack {pack} is damaged: {}", .reasons.join("; "))]
    PackContent {
        /// Which pack.
        pack: Id,
        /// What is wrong with it.
        reasons: Vec<String>,
        /// Its blobs that cannot be had from it.
        blobs: Vec<BlobHandle>,
    },
    /// A pack that could not be read.
    #[error("pack {pack} cannot be read: {error}")]
    PackUnreadable {
        /// Which pack.
        pack: Id,
        /// Why.
        error: backend::Error,
    },
    /// The packs that were verified could not be noted on this machine: they will be verified again. Harmless.
    #[error("what was verified is not noted: {error}")]
    NotNoted {
        /// Why.
        error: Error,
    },
    /// A pack that read wrong at first and right on second try: suspect the way to the storage, or this machine's memory.
    #[error("pack {pack} read well only on second attempt: {}", .reasons.join("; "))]
    Transient {
        /// Which pack.
        pack: Id,
        /// What the first attempt found.
        reasons: Vec<String>,
    },
}

impl Problem {
    /// True if it does no harm.
    pub fn is_hint(&self) -> bool {
        use Problem as P;
        matches!(
            self,
            P::DuplicatePack { .. }
                | P::ContradictingPack { .. }
                | P::MixedPack { .. }
                | P::OrphanedPack { .. }
                | P::UnlistedPack { .. }
                | P::MarkedBlob { .. }
                | P::UnusedBlob { .. }
                | P::NotNoted { .. }
        )
    }

    /// The pack that it is about, if it is about one.
    pub fn pack(&self) -> Option<Id> {
        use Problem as P;
        match self {
            P::DuplicatePack { pack, .. }
            | P::ContradictingPack { pack }
            | P::MixedPack { pack }
            | P::MissingPack { pack }
            | P::UnlistedPack { pack }
            | P::PackSize { pack, .. }
            | P::OrphanedPack { pack }
            | P::PackContent { pack, .. }
            | P::PackUnreadable { pack, .. }
            | P::Transient { pack, .. } => Some(*pack),
            _ => None,
        }
    }

    /// Blobs that it makes unreadable by themselves; a missing pack's are found through the index.
    pub(super) fn blobs(&self) -> Vec<BlobHandle> {
        match self {
            Problem::PackContent { blobs, .. } => blobs.clone(),
            Problem::MissingBlob { blob, .. } => vec![BlobHandle { kind: BlobKind::Data, id: *blob }],
            Problem::Tree { tree, .. } | Problem::Node { tree, .. } => {
                vec![BlobHandle { kind: BlobKind::Tree, id: *tree }]
            }
            _ => Vec::new(),
        }
    }
}
