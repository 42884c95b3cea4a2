//! A repository in restic's format, version 2 written, 1 and 2 read: bytes to blobs to snapshots and back.
//!
//! Only this crate knows the format. It never prints, reads the environment or asks the system for the time.
#![expect(clippy::todo, reason = "skeleton")]

pub mod blob;
pub mod cancel;
pub mod chunk;
pub mod compress;
pub mod config;
pub mod crypto;
pub mod error;
pub mod gojson;
pub mod index;
pub mod key;
pub mod lock;
pub mod node;
pub mod pack;
pub mod repository;
pub mod snapshot;
pub mod tree;
pub mod writer;

pub use backend::Id;
pub use blob::{BlobHandle, BlobKind};
pub use cancel::Cancel;
pub use error::{Error, Result};
pub use repository::Repository;
