//! A repository in restic's format, version 2 written, 1 and 2 read: bytes to blobs to snapshots and back.
//!
//! Only this crate knows the format. It never prints, reads the environment or asks the system for the time.

pub mod audit;
pub mod blob;
pub mod cancel;
pub mod check;
pub mod chunk;
pub mod compress;
pub mod config;
pub mod copy;
pub mod crypto;
pub mod error;
pub mod forget;
pub mod gojson;
pub mod index;
pub mod key;
mod known;
pub mod ledger;
pub mod lock;
pub mod node;
pub mod pack;
mod presence;
pub mod progress;
pub mod prune;
pub mod repository;
pub mod retention;
mod runs;
pub mod send;
pub mod snapshot;
pub mod stats;
pub mod tree;
pub mod unpacked;
pub mod used;
mod workers;
pub mod writer;

pub use backend::Id;
pub use blob::{BlobHandle, BlobKind};
pub use cancel::Cancel;
pub use error::{Error, Result};
pub use repository::Repository;
