//! Images in a repository: `<disk>.img/<segment>/data` per disk, and one manifest per snapshot.
//!
//! A segment's directory depends on its content and on nothing else, so that an unchanged segment is the same tree in every
//! snapshot; a disk's chunks lie at multiples of their size, each as one data blob. `docs/concepts/disk-images.md` describes
//! it for those who write another reader.

mod geometry;
mod store;
mod stored;
mod table;
mod tree;
mod writer;

use std::sync::Arc;

use backend::Id;

pub use geometry::{CHUNKS_PER_SEGMENT, Geometry, MAX_SEGMENTS};
pub use store::{Figures, FinishedImage, SnapshotDetails, SnapshotSaved, Store};
pub use stored::{StoredDisk, StoredImages};
pub use table::{SegmentState, TableState};
pub use tree::{DiskName, read_segment, zero_chunk};
pub use writer::{Base, ImageWriter};

/// Why an image could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The repository failed.
    #[error(transparent)]
    Repo(#[from] repo::Error),
    /// A disk that is larger than the layout has numbers for.
    #[error("a disk of {size} bytes is larger than the {MAX_SEGMENTS} segments that an image can have")]
    TooLarge {
        /// Its bytes.
        size: u64,
    },
    /// A disk's name that cannot be a directory's.
    #[error("{name:?} cannot be the name of a disk: {reason}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A chunk that the disk does not have, or with another length.
    #[error("chunk {number} of {length} bytes is none of this disk's")]
    Chunk {
        /// Its number.
        number: u64,
        /// Its bytes.
        length: usize,
    },
    /// The snapshot holds no image.
    #[error("snapshot {} holds no disk image: it has no {MANIFEST}", .0.short())]
    NoImage(Id),
    /// What is stored contradicts itself.
    #[error("the image in snapshot {} is damaged: {reason}", .snapshot.short())]
    Damaged {
        /// Which snapshot.
        snapshot: Id,
        /// What is wrong.
        reason: String,
    },
    /// The image that this one was to continue is of another shape.
    #[error("the image of {name} cannot continue an earlier one: {reason}")]
    Parent {
        /// The disk.
        name: String,
        /// Why.
        reason: String,
    },
    /// The state of the job cannot be written.
    #[error("cannot write the state of the image")]
    State(#[source] std::io::Error),
    /// What failed before, told again.
    #[error(transparent)]
    Earlier(Arc<ImageError>),
    /// A fault of this program.
    #[error("internal error: {0}")]
    Internal(String),
}

/// The manifest's file in a snapshot's root.
pub const MANIFEST: &str = "manifest.json";

type Result<T> = std::result::Result<T, ImageError>;
