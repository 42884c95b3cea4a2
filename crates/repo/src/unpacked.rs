//! Files that are not packs: config, locks, snapshots, indexes.
//!
//! What is read had the hash that its name says and opened with the repository's key. What is written was opened,
//! decompressed and compared before it was stored. The config is neither named by its hash nor compressed.

use std::sync::Arc;

use backend::{Backend, FileKind, FileName, Id, Part};
use parking_lot::Mutex;

use crate::compress::{Codec, Compression};
use crate::crypto::MasterKey;
use crate::{Error, Result};

/// First byte of plain content that is one zstd frame after it.
const ZSTD: u8 = 2;

/// A file may grow to this when it is decompressed, or to [`MAX_RATIO`] times its size.
const ALWAYS_ALLOWED: usize = 64 << 20;

/// Indexes and snapshots compress to a half or a tenth; more is a bomb.
const MAX_RATIO: usize = 30;

/// Storage and key: all that is needed to read and write files that are not packs. Shared by all threads.
pub struct Unpacked {
    /// The storage.
    pub backend: Arc<dyn Backend>,
    /// What opens everything.
    pub key: MasterKey,
    /// Format version: files are compressed from 2 on.
    pub version: u32,
    codecs: Mutex<Vec<Codec>>,
    compression: Compression,
}

impl Unpacked {
    /// Access to the files of a repository of format `version` in `backend`.
    pub fn new(backend: Arc<dyn Backend>, key: MasterKey, version: u32, compression: Compression) -> Unpacked {
        Unpacked { backend, key, version, codecs: Mutex::new(Vec::new()), compression }
    }

    /// Runs `work` with a codec that is kept for the next one.
    pub fn with_codec<T>(&self, work: impl FnOnce(&mut Codec) -> T) -> T {
        let spare = self.codecs.lock().pop();
        let mut codec = spare.unwrap_or_else(|| Codec::new(self.compression));
        let result = work(&mut codec);
        self.codecs.lock().push(codec);
        result
    }

    /// Reads a file: hash of the name (one second try on a mismatch), decryption, decompression within bounds.
    pub fn read(&self, kind: FileKind, id: &Id) -> Result<Vec<u8>> {
        let file = file_name(kind, id)?;
        let mut stored = self.read_stored(&file)?;
        let plain = open(&self.key, &file, &mut stored)?;
        match (kind, plain.first()) {
            (FileKind::Config, _) | (_, Some(b'{' | b'[')) => Ok(plain.to_vec()),
            (_, Some(&ZSTD)) => self.decompress(&file, &plain[1..]),
            (_, None) => Err(Error::damaged(file, "it is empty")),
            (_, Some(byte)) => Err(Error::damaged(file, format!("its content starts with the unknown byte {byte}"))),
        }
    }

    fn decompress(&self, file: &FileName, frame: &[u8]) -> Result<Vec<u8>> {
        let limit = ALWAYS_ALLOWED.max(frame.len().saturating_mul(MAX_RATIO));
        self.with_codec(|codec| codec.decompress_bounded(frame, limit)).map_err(|reason| Error::damaged(*file, reason))
    }

    fn read_stored(&self, file: &FileName) -> Result<Vec<u8>> {
        let mut stored = Vec::new();
        for _ in 0..2 {
            self.backend.read(file, Part::Whole, &mut stored)?;
            if file.kind == FileKind::Config || Id::of(&stored) == file.id {
                return Ok(stored);
            }
        }
        Err(Error::damaged(*file, "its content does not have the hash that its name says"))
    }

    /// Stores a file durably and returns its name (null for the config, which must not exist yet).
    pub fn write(&self, kind: FileKind, plain: &[u8]) -> Result<Id> {
        let sealed = self.seal(kind, plain)?;
        let id = if kind == FileKind::Config { FileName::CONFIG.id } else { Id::of(&sealed) };
        self.backend.write(&file_name(kind, &id)?, &sealed)?;
        Ok(id)
    }

    /// Compresses and encrypts as [`Unpacked::write`] does, and proves that it opens again.
    pub fn seal(&self, kind: FileKind, plain: &[u8]) -> Result<Vec<u8>> {
        let compress = self.version >= 2 && kind != FileKind::Config;
        let mut framed = Vec::new();
        if compress {
            framed.push(ZSTD);
            self.with_codec(|codec| codec.compress_metadata(plain, &mut framed));
        } else {
            framed.extend_from_slice(plain);
        }
        let mut sealed = Vec::with_capacity(framed.len() + crate::crypto::OVERHEAD);
        self.key.seal(&framed, &mut sealed);
        framed.clear();
        framed.extend_from_slice(&sealed);
        self.prove(framed, plain, compress).map_err(|reason| Error::SelfCheck { what: kind.to_string(), reason })?;
        Ok(sealed)
    }

    /// Opens the copy `sealed` and compares it with `plain`.
    fn prove(&self, mut sealed: Vec<u8>, plain: &[u8], compressed: bool) -> std::result::Result<(), String> {
        let opened = self.key.open(&mut sealed).map_err(|error| error.to_string())?;
        let same = match (compressed, opened.split_first()) {
            (false, _) => *opened == *plain,
            (true, Some((&ZSTD, frame))) => {
                self.with_codec(|codec| codec.decompress_bounded(frame, plain.len()))? == plain
            }
            (true, _) => false,
        };
        if same { Ok(()) } else { Err("its content differs".into()) }
    }
}

fn open<'s>(key: &MasterKey, file: &FileName, stored: &'s mut [u8]) -> Result<&'s [u8]> {
    match key.open(stored) {
        Ok(plain) => Ok(plain),
        Err(error) => Err(Error::damaged(*file, error)),
    }
}

fn file_name(kind: FileKind, id: &Id) -> Result<FileName> {
    match kind {
        FileKind::Config => Ok(FileName::CONFIG),
        FileKind::Lock | FileKind::Snapshot | FileKind::Index => Ok(FileName::new(kind, *id)),
        FileKind::Key | FileKind::Pack => Err(Error::Invalid(format!("a {kind} is not an encrypted JSON file"))),
    }
}
