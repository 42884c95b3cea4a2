//! An open repository.

use std::path::PathBuf;
use std::sync::Arc;

use backend::{Backend, Clock, FileKind, Id};

use crate::blob::BlobLocation;
use crate::compress::{Codec, Compression};
use crate::config::Config;
use crate::index::Index;
use crate::snapshot::Snapshot;
use crate::tree::Tree;
use crate::{BlobHandle, Cancel, Result};

/// How to open a repository.
#[derive(Clone)]
pub struct OpenOptions {
    /// Key file to try first, as a prefix of its id.
    pub key_hint: Option<String>,
    /// Where the index cache lives (a directory per repository is made in it); `None` keeps the index in memory.
    pub cache: Option<PathBuf>,
    /// For what is written.
    pub compression: Compression,
    /// Target size of packs in bytes, 4 to 128 MiB.
    pub pack_size: u64,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Request to stop.
    pub cancel: Cancel,
}

/// An open repository: storage, key, config, and the index once it is loaded.
pub struct Repository {}

impl Repository {
    /// Opens with a password.
    pub fn open(_backend: Arc<dyn Backend>, _password: &[u8], _options: OpenOptions) -> Result<Repository> {
        todo!()
    }

    /// The storage.
    pub fn backend(&self) -> &dyn Backend {
        todo!()
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        todo!()
    }

    /// Time.
    pub fn clock(&self) -> &dyn Clock {
        todo!()
    }

    /// The request to stop.
    pub fn cancel(&self) -> &Cancel {
        todo!()
    }

    /// Loads all index files (from the cache where it has them) and keeps the result. Snapshots must be listed before.
    pub fn load_index(&self) -> Result<&Index> {
        todo!()
    }

    /// The loaded index; loads it on first use.
    pub fn index(&self) -> Result<&Index> {
        self.load_index()
    }

    /// Reads, checks the name's hash, decrypts and decompresses a file that is not a pack; the config without hash.
    pub fn read_unpacked(&self, _kind: FileKind, _id: &Id) -> Result<Vec<u8>> {
        todo!()
    }

    /// Compresses (not the config), encrypts, self-checks and stores; returns the name.
    pub fn write_unpacked(&self, _kind: FileKind, _plain: &[u8]) -> Result<Id> {
        todo!()
    }

    /// Reads and checks one blob.
    pub fn read_blob(&self, _blob: &BlobHandle) -> Result<Vec<u8>> {
        todo!()
    }

    /// Reads and parses one tree, through the cache.
    pub fn read_tree(&self, _id: &Id) -> Result<Tree> {
        todo!()
    }

    /// Decrypts and decompresses `stored` (changed in place) and checks the hash; the plain bytes end up in the returned slice,
    /// which borrows from `stored` or from `scratch`.
    pub fn decode_blob<'b>(
        &self,
        _blob: &BlobHandle,
        _location: &BlobLocation,
        _stored: &'b mut [u8],
        _codec: &mut Codec,
        _scratch: &'b mut Vec<u8>,
    ) -> Result<&'b [u8]> {
        todo!()
    }

    /// All snapshots, oldest first; damaged ones are returned apart.
    pub fn snapshots(&self) -> Result<Snapshots> {
        todo!()
    }

    /// Stores a snapshot. Everything that it references must be durable.
    pub fn write_snapshot(&self, _snapshot: &Snapshot) -> Result<Id> {
        todo!()
    }
}

/// What listing snapshots found.
#[derive(Debug, Default)]
pub struct Snapshots {
    /// Readable ones, oldest first.
    pub all: Vec<(Id, Snapshot)>,
    /// Those that could not be read, with the reason.
    pub damaged: Vec<(Id, crate::Error)>,
}
