//! A disk read from its image, a chunk at a time: enough to look at tables and file systems before anything is restored.

use std::io;
use std::sync::Arc;

use backend::Id;
use hashbrown::HashMap;
use parking_lot::Mutex;
use repo::{BlobHandle, BlobKind, Repository};

use crate::image::{StoredDisk, zero_chunk};
use crate::{CHUNK, ReadAt};

/// Chunks that are kept.
const KEPT: usize = 16;

/// The image of a disk. Shared by threads, which wait for each other.
pub(super) struct ImageReader<'r> {
    repo: &'r Repository,
    disk: &'r StoredDisk,
    zeros: [Id; 2],
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Blobs of the segments that were asked for.
    segments: HashMap<u64, Vec<Id>>,
    /// The chunks that were read last, the newest at the end.
    chunks: Vec<(u64, Arc<Vec<u8>>)>,
}

impl<'r> ImageReader<'r> {
    pub(super) fn new(repo: &'r Repository, disk: &'r StoredDisk) -> ImageReader<'r> {
        let last = disk.geometry.chunk_length(disk.geometry.chunks().saturating_sub(1));
        ImageReader { repo, disk, zeros: [CHUNK as usize, last].map(zero_chunk), inner: Mutex::default() }
    }

    /// True if there are only zeros from there to the end of the disk; a chunk is read only if it begins before.
    pub(super) fn is_zero_from(&self, offset: u64) -> io::Result<bool> {
        let geometry = &self.disk.geometry;
        if !offset.is_multiple_of(CHUNK) {
            let chunk = self.chunk(offset / CHUNK)?;
            if chunk[(offset % CHUNK) as usize..].iter().any(|byte| *byte != 0) {
                return Ok(false);
            }
        }
        for number in offset.div_ceil(CHUNK)..geometry.chunks() {
            let id = self.id(&mut self.inner.lock(), number)?;
            if !self.zeros.contains(&id) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn chunk(&self, number: u64) -> io::Result<Arc<Vec<u8>>> {
        let mut inner = self.inner.lock();
        if let Some((_, known)) = inner.chunks.iter().find(|(chunk, _)| *chunk == number) {
            return Ok(Arc::clone(known));
        }
        let id = self.id(&mut inner, number)?;
        let length = self.disk.geometry.chunk_length(number);
        let content = match self.zeros.contains(&id) {
            true => vec![0; length],
            false => self.repo.read_blob(&BlobHandle { kind: BlobKind::Data, id }).map_err(io::Error::other)?.to_vec(),
        };
        if content.len() != length {
            return Err(io::Error::other(format!("chunk {number} has {} bytes instead of {length}", content.len())));
        }
        if inner.chunks.len() == KEPT {
            inner.chunks.remove(0);
        }
        let content = Arc::new(content);
        inner.chunks.push((number, Arc::clone(&content)));
        Ok(content)
    }

    fn id(&self, inner: &mut Inner, chunk: u64) -> io::Result<Id> {
        let per_segment = crate::SEGMENT / CHUNK;
        let segment = chunk / per_segment;
        if !inner.segments.contains_key(&segment) {
            inner.segments.insert(segment, self.disk.chunks(self.repo, segment).map_err(io::Error::other)?);
        }
        let ids = &inner.segments[&segment];
        ids.get((chunk % per_segment) as usize).copied().ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

impl ReadAt for ImageReader<'_> {
    fn size(&self) -> u64 {
        self.disk.geometry.size()
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(into.len() as u64).filter(|end| *end <= self.size());
        end.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut done = 0;
        while done < into.len() {
            let at = offset + done as u64;
            let chunk = self.chunk(at / CHUNK)?;
            let part = &chunk[(at % CHUNK) as usize..];
            let length = part.len().min(into.len() - done);
            into[done..done + length].copy_from_slice(&part[..length]);
            done += length;
        }
        Ok(())
    }
}
