//! Block devices in, block devices out: what a disk is made of, which of its blocks are in use, images of it, and back.
//!
//! Nothing here prints, reads the environment or asks for the time by itself. Whatever is read from a disk is foreign: every
//! offset, length and count is checked before it is used, and what cannot be proven free counts as used.

pub mod capture;
pub mod chunk;
pub mod extents;
pub mod files;
pub mod freezer;
pub mod image;
pub mod inventory;
pub mod left_out;
pub mod manifest;
pub mod offline;
pub mod places;
pub mod progress;
pub mod provider;
pub mod read;
pub mod restore;
pub mod resume;
pub mod session;
pub mod structure;
pub mod survey;
pub mod table;
pub mod tracker;
pub mod used;

pub use chunk::{CHUNK, SEGMENT, Sink};
pub use extents::{Extent, Extents};
pub use left_out::{LeftOut, LeftOutError};
pub use places::{Places, PlacesError};
pub use read::{ReadAt, SizedFile, Window};
pub use tracker::{Tracker, TrackerError, TrackerOptions};
