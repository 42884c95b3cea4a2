//! Where repository files live.
//!
//! A backend knows names and bytes: six kinds of files ([`FileKind`]), named by the SHA-256 of what is stored
//! ([`Id`]). It knows nothing of blobs, keys or trees. Everything is synchronous; a backend that needs an
//! asynchronous library hides its own runtime.
//!
//! Retrying, caching and limiting bandwidth are wrappers, which are backends themselves.

mod backend;
mod cache;
mod child;
mod clock;
#[cfg(any(test, feature = "testing"))]
pub mod conformance;
mod error;
mod file;
mod http;
mod id;
mod limit;
mod local;
mod location;
mod memory;
mod object;
mod open;
mod options;
mod rclone;
mod rest;
mod retry;
mod road;
mod runtime;
mod sftp;
mod spool;
mod turns;
mod upload;

pub use backend::{Backend, FileInfo, Hint, Part};
pub use cache::{Cache, CacheInfo, list_caches, remove_cache};
pub use clock::{Clock, SystemClock};
pub use error::{Class, Error, Result};
pub use file::{FileKind, FileName};
pub use http::HttpOptions;
pub use id::{Id, IdHasher, ParseIdError};
pub use limit::{Limit, Limiter};
pub use local::Local;
pub use location::{Location, ParseLocationError, SftpLocation};
pub use memory::Memory;
pub use open::open;
pub use options::{CREDENTIALS, Options, ReadBack, SETTINGS};
pub use retry::{Retry, RetryEvent, RetryObserver, RetryOptions};
pub use road::Road;
pub use spool::{Brim, Spool, Unreachable};
pub use upload::Upload;
