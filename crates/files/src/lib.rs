//! Directories in, directories out: backup, restore, excludes, listing.
//!
//! Nothing here prints, reads the environment or asks for the time by itself. Paths are bytes: names need not be text.

pub mod backup;
pub mod diff;
pub mod dump;
pub mod exclude;
pub mod find;
pub mod glob;
pub mod listing;
pub mod locate;
pub mod ls;
pub mod metadata;
pub mod parent;
pub mod path;
pub mod pattern;
pub mod restore;
pub mod source;
pub mod visit;
